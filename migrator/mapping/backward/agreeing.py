"""Whether two values are the same, whatever kind they are kept in."""

from __future__ import annotations

import polars as pl

from migrator.mapping import jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values

_CLOCKS = (Kind.DATETIME, Kind.TIMESTAMP, Kind.DATE)


def agree(one: Values, other: Values) -> pl.Series:
    """Where both say the same; null is the same as null."""
    left, right = one.text, other.text
    same = left.eq_missing(right)
    if same.all():
        return same
    if one.kind in _CLOCKS or other.kind in _CLOCKS:
        same = same | columns.is_true(moments.as_instants(one.values) == moments.as_instants(other.values))
    if Kind.JSON in (one.kind, other.kind):
        same = same | _documents(left, same).eq_missing(_documents(right, same))
    if Kind.BOOLEAN in (one.kind, other.kind):
        same = same | columns.is_true(columns.numbers(one) == columns.numbers(other))
    return same


def _documents(text: pl.Series, known: pl.Series) -> pl.Series:
    return columns.per_distinct(columns.blank(text, known), jsons.canonical)
