"""JSON objects and lists built from columns, without a Python object per row."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from migrator.mapping import jsons


def objects(texts: Mapping[str, pl.Series], height: int, *, omit_nulls: bool) -> pl.Series:
    """Build one JSON object per row from the JSON text of each key; a null is `null` or left out."""
    entries = []
    for place, (name, text) in enumerate(texts.items()):
        start = f"{jsons.write(str(name))}:"
        entry = start + text
        entries.append((entry if omit_nulls else entry.fill_null(start + "null")).alias(str(place)))
    if not entries:
        return pl.Series(["{}"]).new_from_index(0, height)
    joined = pl.concat_str(pl.all(), separator=",", ignore_nulls=True)
    return pl.DataFrame(entries).select("{" + joined + "}").to_series()


def lists(texts: pl.Series, row_of: pl.Series, some: pl.Series, height: int) -> pl.Series:
    """
    Build one JSON list per row from the JSON texts of its items, in their order.

    Args:
        some: The rows that had items at all: theirs is at least an empty list, that of all others null.
    """
    made = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    made = made.scatter(some, "[]") if len(some) else made
    if not len(texts):
        return made
    frame = pl.DataFrame({"row": row_of, "text": texts})
    joined = frame.group_by("row", maintain_order=True).agg(pl.col("text").str.join(","))
    return made.scatter(joined["row"], "[" + joined["text"] + "]")
