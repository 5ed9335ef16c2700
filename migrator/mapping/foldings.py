"""Source rows that become fewer or more: grouped into lists, or unfolded part by part."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl

from migrator.mapping import faults, jsons, php
from migrator.mapping import values as columns
from migrator.mapping.model import Group, Unnest

_PARTS = pl.List(pl.Struct({"key": pl.String, "part": pl.String}))


def group(frame: pl.DataFrame, by: Group, whole: Collection[str]) -> pl.DataFrame:
    """
    Make one row of all rows with one user and one `by`; all columns but those of *whole* become lists, in `order`.

    Returns:
        The new rows, numbered by `__new`; `__row` is the list of the old ones.
    """
    first = str(by.by)
    if by.order:
        frame = columns.in_order(frame, [str(by.order), "__row"])
    kept = [pl.col(name).first() for name in frame.columns if name in whole and name not in (first, "__user", "__row")]
    lists = [name for name in frame.columns if name not in whole and name not in (first, "__user", "__row")]
    grouped = frame.group_by("__user", first, maintain_order=True).agg(*kept, *lists, pl.col("__row"))
    return grouped.with_row_index("__new").with_columns(pl.col("__new").cast(pl.Int64))


def unnest(frame: pl.DataFrame, how: Unnest) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """
    Make one row per part of a column; parts without any text are none, and a null has no part.

    Returns:
        The new rows, numbered by `__new`, and faults (by `__new`) of rows whose text could not be parsed: such a row
        stays one row, without parts.
    """
    given = columns.readable(frame[str(how.column)])
    parts = _separated(given, how) if how.separator is not None else _parsed(given, how.parse or "json")
    broken = frame[str(how.column)].is_not_null() & parts.is_null()
    told = frame.with_columns(parts.alias("__parts"), broken.alias("__broken"))
    some = told.filter(pl.col("__broken") | (pl.col("__parts").list.len() > 0))
    names = {"key": how.key or "__part_key", "part": str(how.as_)}
    flat = some.with_columns(
        pl.int_ranges(pl.col("__parts").list.len().fill_null(1).clip(lower_bound=1)).alias("__place")
    )
    flat = flat.with_columns(pl.col("__parts").fill_null(pl.lit([{"key": None, "part": None}], dtype=_PARTS)))
    flat = flat.explode("__parts", "__place").unnest("__parts").rename(names)
    if how.position:
        flat = flat.with_columns(pl.col("__place").alias(str(how.position)))
    flat = flat.with_row_index("__new").with_columns(pl.col("__new").cast(pl.Int64))
    bad = flat.filter("__broken").with_columns(pl.col("__new").alias("__row"))
    found = faults.of(bad, str(how.column), "unnest", columns.text(bad[str(how.column)]), "it cannot be read in parts")
    return flat.drop("__broken", "__place", "__part_key", strict=False), found


def _separated(given: pl.Series, how: Unnest) -> pl.Series:
    cut = pl.col("given").str.split(str(how.separator), literal=not how.regex)
    split = given.alias("given").to_frame().select(cut).to_series()
    frame = split.alias("parts").to_frame().with_row_index("row").explode("parts")
    full = frame.filter(pl.col("parts").str.strip_chars() != "")
    item = pl.struct(pl.lit(None, dtype=pl.String).alias("key"), pl.col("parts").alias("part"))
    lists = full.group_by("row", maintain_order=True).agg(item.alias("items"))
    base = pl.DataFrame({"row": pl.int_range(len(given), dtype=pl.UInt32, eager=True), "given": given})
    made = base.join(lists, on="row", how="left", maintain_order="left")
    empty = pl.lit([], dtype=_PARTS)
    return made.select(
        pl.when(pl.col("given").is_not_null() & pl.col("items").is_null()).then(empty).otherwise(pl.col("items"))
    ).to_series()


def _parsed(given: pl.Series, language: str) -> pl.Series:
    read = php.read if language == "php" else jsons.read
    distinct = given.drop_nulls().unique()
    made = pl.Series([_parts(read, text) for text in distinct.to_list()], dtype=_PARTS)
    told = pl.DataFrame({"given": distinct, "parts": made})
    return pl.DataFrame({"given": given}).join(told, on="given", how="left", maintain_order="left")["parts"]


def _parts(read: Any, text: str) -> list[dict[str, str | None]] | None:
    try:
        value = read(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return [{"key": str(key), "part": _said(item)} for key, item in value.items()]
    if isinstance(value, list):
        return [{"key": str(place), "part": _said(item)} for place, item in enumerate(value)]
    return None


def _said(item: Any) -> str | None:
    return jsons.write(item) if isinstance(item, dict | list) else columns.literal_text(item)
