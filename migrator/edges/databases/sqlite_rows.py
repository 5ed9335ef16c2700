"""Rows on their way into SQLite: many by one statement, for each statement has its price."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select

from migrator.edges.databases import frames

ROWS_AT_ONCE = 1000
_BYTES_AT_ONCE = 4 * 1024**2  # SQLite copies the values of a statement


class MarkedRows(Select[Any]):
    """VALUES of *count* rows behind INSERT; what they are is given when it is run, one row after the other."""

    inherit_cache = False

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.width, self.count = width, count


@compiles(MarkedRows)
def _marked_rows(element: MarkedRows, compiler: Any, **_: Any) -> str:
    row = "(" + ", ".join(["?"] * element.width) + ")"
    return "VALUES " + ", ".join([row] * element.count)


def insert_rows(driver: sqlite3.Connection, dialect: sa.Dialect, statement: Any, rows: pl.DataFrame) -> int:
    """
    Run the INSERT *statement*, which has no values yet, for all *rows*; how many it met.

    Past SQLAlchemy, whose price per row is high.
    """
    at_once = _rows_at_once(driver, rows)
    values = _one_row_after_the_other([bindable(column) for column in rows.get_columns()], rows.height)
    cursor, met = driver.cursor(), 0
    said: dict[int, str] = {}
    for start in range(0, rows.height, at_once):
        count = min(at_once, rows.height - start)
        if count not in said:
            marked = statement.from_select(rows.columns, MarkedRows(rows.width, count))
            said[count] = str(marked.compile(dialect=dialect))
        cursor.execute(said[count], values[start * rows.width : (start + count) * rows.width])
        met += max(cursor.rowcount, 0)
    return met


def _rows_at_once(driver: sqlite3.Connection, rows: pl.DataFrame) -> int:
    marks = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // rows.width
    fitting = _BYTES_AT_ONCE * rows.height // max(1, rows.estimated_size())
    return max(1, min(ROWS_AT_ONCE, marks, int(fitting)))


def _one_row_after_the_other(columns: Sequence[list[object]], height: int) -> list[object]:
    values: list[object] = [None] * (height * len(columns))
    for place, column in enumerate(columns):
        values[place :: len(columns)] = column
    return values


def bindable(series: pl.Series) -> list[object]:
    """Give a column as values that SQLite stores as they are meant: decimals and times as text, booleans as 0 and 1."""
    kind = series.dtype
    if kind == pl.Boolean:
        return series.cast(pl.Int8).to_list()
    if isinstance(kind, pl.Decimal):
        return frames.text(series).to_list()
    if isinstance(kind, pl.Datetime):
        return frames.moments(series, zone="+00:00").to_list()
    if kind == pl.Date:
        return series.cast(pl.String).to_list()
    return series.to_list()
