"""Back through steps to and on numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.arithmetic import products, quotients
from migrator.mapping.backward.lens import Around
from migrator.mapping.schema import Kind
from migrator.mapping.transforms.numbers import words
from migrator.mapping.values import Values


def multiply(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """Divided, where that comes out even."""
    return (_worked(wanted, lambda number: quotients(number, Decimal(args))),)


def by_zero(args: Any) -> str | None:
    """What was multiplied by zero is lost."""
    return "what was multiplied by zero is lost" if args == 0 else None


def divide(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """Multiplied."""
    return (_worked(wanted, lambda number: products(number, Decimal(args))),)


def _worked(wanted: Values, work: Callable[[pl.Series], pl.Series]) -> Values:
    made = work(columns.numbers(wanted))
    failed = wanted.values.is_not_null() & made.is_null()
    return Values(made, Kind.DECIMAL).fails(failed, "the way back does not come out even")


def boolean(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The word beside the one that stands there; where none stands there, the only word there is."""
    yes, no = words(args)
    if around.kind in (Kind.BOOLEAN, Kind.INTEGER) and not args:
        yes, no = ["1"], ["0"]
    told = before[0].text if args else before[0].text.str.to_lowercase()
    pairs = pl.DataFrame({"before": told, "wanted": wanted.text})
    both = pairs.select(pl.concat_str(pl.col("wanted"), pl.lit("\x1f"), pl.col("before").fill_null("\x1e"))).to_series()
    made = columns.per_distinct(both, lambda pair: _counterpart(pair, yes, no))
    if not args and len(yes) > 1:
        made = columns.pick(_is_upper(before[0].text), made.str.to_uppercase(), made)
    failed = wanted.values.is_not_null() & made.is_null()
    return (Values(made, Kind.TEXT).fails(failed, "legacy has several words for it"),)


def _is_upper(text: pl.Series) -> pl.Series:
    return columns.is_true(text.str.contains(r"[A-Z]")) & ~columns.is_true(text.str.contains(r"[a-z]"))


def _counterpart(pair: str, yes: list[str], no: list[str]) -> str | None:
    said, _, stands = pair.partition("\x1f")
    ours, theirs = (yes, no) if said == "true" else (no, yes)
    if len(ours) == 1:
        return ours[0]
    if len(ours) == len(theirs) and stands in theirs:
        return ours[theirs.index(stands)]
    return None
