"""Many keys in one question to PostgreSQL: one array, and between which two of them all lie where they lie close together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames, postgresql_printing
from migrator.edges.databases.postgresql_statements import Named
from migrator.mapping.schema import Column, Kind

#: The types by which keys are compared, wide enough to cut nothing off. Other kinds are compared as printed.
_COMPARED_AS = {
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.FLOAT: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.TEXT: "text",
    Kind.UUID: "uuid",
    Kind.BINARY: "bytea",
}
_TIMES_COMPARED_AS = {Kind.DATE: "date", Kind.DATETIME: "timestamp", Kind.TIMESTAMP: "timestamptz"}
_ASKED, _LOW, _HIGH = "asked", "asked_low", "asked_high"
_FEW = 100  # keys: to look each of them up costs next to nothing
_SPARSE = 2  # times as many numbers between them as there are keys


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys as a question has them: its parameters, and whether the keys lie close together."""

    given: dict[str, Any]
    close: bool = False


NONE = Keys({})


def of(values: pl.Series, declared: Column) -> Keys:
    """Make *values* keys of *declared*; what cannot be a value of that column matches nothing."""
    if declared.kind is not Kind.INTEGER or values.dtype.is_temporal():
        return Keys({_ASKED: array(values.unique().drop_nulls().sort(), declared)})
    numbers = frames.matchable(values, Kind.INTEGER).cast(pl.Int64).unique().drop_nulls().sort()
    given: dict[str, Any] = {_ASKED: postgresql_printing.array(numbers.cast(pl.String), numbers=True)}
    if not are_close(len(numbers), numbers.min(), numbers.max()):
        return Keys(given)
    return Keys({**given, _LOW: numbers[0], _HIGH: numbers[-1]}, close=True)


def are_close(count: int, low: Any, high: Any) -> bool:
    """Whether a walk from the lowest to the highest of so many numbers meets little else."""
    return count >= _FEW and high - low < _SPARSE * count


def among(column: ColumnElement[Any], declared: Column, values: pl.Series, keys: Keys) -> ColumnElement[bool]:
    """Hold where *column* is one of *values*, which *keys* were made of."""
    if not keys.close:
        compared, asked = comparable(column, declared, values, _ASKED, keys.given[_ASKED])
        return compared == sa.func.any(asked)
    low, high, asked = (
        _bound(name, keys.given[name], type_)
        for name, type_ in ((_LOW, "bigint"), (_HIGH, "bigint"), (_ASKED, "bigint[]"))
    )
    # the sum keeps the server from entering the index anew for each key of the array
    return sa.and_(column.between(low, high), column + sa.literal_column("0") == sa.func.any(asked))


def comparable(
    column: ColumnElement[Any], declared: Column, values: pl.Series, name: str, given: str
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Give a column and an array as two that can be compared: in a type that has all of both, or as printed."""
    type_ = _compared_as(declared, values)
    printed = type_ is None and declared.kind is not Kind.TEXT
    return sa.cast(column, sa.Text) if printed else column, _bound(name, given, f"{type_ or 'text'}[]")


def array(values: pl.Series, declared: Column) -> str:
    """Print *values* as the array that `comparable` takes."""
    numbers = _compared_as(declared, values) == "bigint"
    return postgresql_printing.array(frames.matchable(values, declared.kind), numbers=numbers)


def _bound(name: str, given: Any, type_: str) -> ColumnElement[Any]:
    return sa.cast(sa.bindparam(name, given, type_=sa.types.NullType()), Named(type_))


def _compared_as(declared: Column, values: pl.Series) -> str | None:
    """Name the type in which column and values can be compared; None where they are compared as printed."""
    return (_TIMES_COMPARED_AS if values.dtype.is_temporal() else _COMPARED_AS).get(declared.kind)
