"""Rows as one CSV text that the server prints: less work, on both sides, than a packet for each row and a cut for each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import mysql_values
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind

#: Longer than what is asked for by keys; a text that is cut off there is noticed.
LONGEST_TEXT = 256 * 1024**2
#: Printed without any character that CSV gives a meaning.
_BARE = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP})
_QUOTED = frozenset({Kind.TEXT, Kind.ENUM, Kind.JSON, Kind.UUID, Kind.BINARY})
_END = "1"


def can_print(query: Query, columns: Mapping[str, Column]) -> bool:
    """Whether the rows are so few that one text holds them, in no order, and a cast prints their values as the server does."""
    whole = query.among is None or query.distinct or query.order or query.limit is not None
    return not whole and all(_is_printed_alike(column) for column in columns.values())


def _is_printed_alike(column: Column) -> bool:
    return column.kind in _BARE | _QUOTED and not column.declared.startswith(("bit", "set"))


def printing(columns: Mapping[str, tuple[ColumnElement[Any], Column]]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Give what a statement has to select: how many rows there are, and all of them as text."""
    parts: list[ColumnElement[Any]] = []
    for column, declared in columns.values():
        parts += [_field(column, declared), sa.literal(",")]
    line = sa.func.concat(*parts, sa.literal(_END))
    return sa.func.count(), sa.func.aggregate_strings(line, "\n")


def _field(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    """Null is nothing, which nothing else is: what may be empty is quoted."""
    if declared.kind in _BARE:
        return sa.func.ifnull(mysql_values.text(column), sa.literal(""))
    if declared.kind is Kind.BINARY:
        printed: ColumnElement[Any] = sa.func.hex(column)
    else:
        printed = sa.func.replace(mysql_values.text(column), sa.literal('"'), sa.literal('""'))
    return sa.func.ifnull(sa.func.concat(sa.literal('"'), printed, sa.literal('"')), sa.literal(""))


def frame(found: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame | None:
    """Read the text back; None where it is not whole: the server cuts off what is longer than it allows."""
    count, text = (column.item() for column in found.get_columns())
    types: dict[str, pl.DataType] = {str(place): pl.String() for place in range(len(columns))}
    rows = pl.DataFrame(schema=types | {"end": pl.String()})
    if int(count):
        try:
            rows = pl.read_csv(text or b"", has_header=False, schema=rows.schema)
        except pl.exceptions.PolarsError:
            return None
    if rows.height != int(count) or not rows["end"].eq_missing(_END).all():
        return None
    named = zip(rows.drop("end").get_columns(), columns.items(), strict=True)
    return pl.DataFrame([_column(texts.alias(name), declared) for texts, (name, declared) in named])


def _column(texts: pl.Series, declared: Column) -> pl.Series:
    if declared.kind is Kind.BINARY:
        return texts.str.decode("hex")
    return mysql_values.typed(texts, declared)
