"""Back through steps on values that hold values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from migrator.mapping import jsons
from migrator.mapping import values as columns
from migrator.mapping.backward.lens import Around
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values


def json_get(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The document that stands there, with the value under its path; a value keeps its kind."""
    steps = str(args).split(".")
    frame = pl.DataFrame({"before": columns.readable(before[0].values), "wanted": wanted.text})
    told = frame.select(pl.concat_str(pl.col("wanted").fill_null("\x1e"), pl.lit("\x1f"), pl.col("before"))).to_series()
    made = columns.per_distinct(told, lambda pair: _with(pair, steps))
    return (Values(made, Kind.TEXT).fails(made.is_null(), "there is no place for it in the document"),)


def _with(pair: str, steps: list[str]) -> str | None:
    said, _, text = pair.partition("\x1f")
    document = jsons.read(text)
    holder = document
    for step in steps[:-1]:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    last: Any = int(steps[-1]) if isinstance(holder, list) else steps[-1]
    if not isinstance(holder, dict | list):
        return None
    stood = holder.get(last) if isinstance(holder, dict) else holder[last]
    holder[last] = None if said == "\x1e" else alike(said, stood)
    return jsons.write(document)


def alike(said: str, stood: Any) -> Any:
    """A text as a value of the kind that stood there."""
    if stood is None or isinstance(stood, str):
        return said
    return jsons.read(said)
