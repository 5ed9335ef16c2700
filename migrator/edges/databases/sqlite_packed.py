"""
Rows out of SQLite as one JSON text per column: SQLite prints a value for less than it hands one over.

JSON tells a text from a whole number, as SQLite does. It has no bytes, and SQLite prints a fraction with 15 digits, which
may be too few: so decimals come as whole numbers of their last place, and the database proves of each that it is one.
Where anything else is found, the rows have to be read one by one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.visitors import iterate

from migrator.edges.databases import frames
from migrator.edges.databases.statements import Statement
from migrator.mapping.schema import Column, Kind, Schema

#: More would fill the memory: a text and Python's values of a whole column at once.
ROWS_AT_MOST = 200_000
_PLACES_AT_LEAST, _PLACES_AT_MOST = 2, 6
_PLACES_UNSAID = 4
#: As many digits as a float always keeps.
_EXACT_BELOW = 10**15


class _OtherValue(ValueError):
    """A value that JSON does not carry whole."""


def fetch(
    connection: sa.Connection, statement: Statement, columns: Mapping[str, Column], schema: Schema
) -> pl.DataFrame | None:
    """Run *statement* and give its rows as a read frame; None where they have to be read one by one."""
    if not _is_plain(statement, columns, schema):
        return None
    try:
        count, others, *texts = tuple(connection.execute(_packing(statement, columns)).one())
    except (sqlite3.OperationalError, sa.exc.OperationalError):  # bytes, or text that is none; reading on will tell
        return None
    if count > ROWS_AT_MOST or others:
        return None
    named = zip(columns.items(), texts, strict=True)
    try:
        return pl.DataFrame([_column(name, text, column) for (name, column), text in named])
    except ValueError:
        return None


def _is_plain(statement: Statement, columns: Mapping[str, Column], schema: Schema) -> bool:
    """
    Whether the values are worth the attempt, and are those that are in the tables.

    What an expression makes may be known to SQLite as JSON, and would not be printed as the text it is.
    """
    if any(column.generated or not _is_carried(column) for column in columns.values()):
        return False
    named = (part.name for part in iterate(statement) if isinstance(part, sa.TableClause))
    return not any(name in schema.tables and schema.tables[name].view for name in named)


def _is_carried(column: Column) -> bool:
    if column.kind is Kind.DECIMAL:
        return _places(column) <= _PLACES_AT_MOST
    return column.kind not in (Kind.FLOAT, Kind.BINARY)


def _places(column: Column) -> int:
    """Of a decimal; SQLite keeps to no declaration."""
    return _PLACES_UNSAID if column.scale is None else max(column.scale, _PLACES_AT_LEAST)


def _packing(statement: Statement, columns: Mapping[str, Column]) -> Statement:
    """SELECT how many rows there are, how many values are not what they seem, and each column as an array."""
    every = statement.subquery("every")
    some = sa.select(*every.c).limit(ROWS_AT_MOST + 1).subquery("some")
    arrays: list[ColumnElement[Any]] = []
    others: ColumnElement[Any] = sa.literal(0)
    for found, column in zip(some.c, columns.values(), strict=True):
        value: ColumnElement[Any] = found
        if column.kind is Kind.DECIMAL:
            size = sa.literal(float(10 ** _places(column)))
            value = sa.cast(sa.func.round(found.op("*")(size)), sa.Integer)
            # a float that is the quotient of two whole numbers is the one that is nearest to that decimal
            others += sa.func.total(found != sa.type_coerce(value, sa.types.NullType()).op("/")(size))
        arrays.append(sa.func.json_group_array(value))
    return sa.select(sa.func.count(), others, *arrays).select_from(some)


def _column(name: str, text: str, column: Column) -> pl.Series:
    values = _DECODER.decode(text)
    if column.kind is not Kind.DECIMAL:
        return frames.from_driver(name, values, column.kind)
    units = pl.Series(name, values, dtype=pl.Int64)
    if not units.is_between(-_EXACT_BELOW, _EXACT_BELOW, closed="none").all():
        raise _OtherValue
    decimals: pl.Series = units.cast(frames.EXACT) / 10 ** _places(column)
    return decimals


def _refuse(_: object) -> None:
    raise _OtherValue


_DECODER = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse, object_hook=_refuse)
