"""Rows out of SQLite as read frames: packed where that is possible, else one by one."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from migrator.edges.databases import frames, sqlite_packed
from migrator.edges.databases.statements import Statement
from migrator.mapping.schema import Column, Schema

_TUPLES_AT_ONCE = 500
_ROWS_AT_ONCE = 100_000


def driver_of(connection: sa.Connection) -> sqlite3.Connection:
    """Give the connection of the driver behind SQLAlchemy's."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("the connection is not one of sqlite3")
    return driver


def fetch(
    connection: sa.Connection, statement: Statement, columns: Mapping[str, Column], schema: Schema
) -> pl.DataFrame:
    """Run *statement* and give its rows as a read frame."""
    packed = sqlite_packed.fetch(connection, statement, columns, schema)
    if packed is not None:
        return packed
    try:
        return _framed(connection, statement, columns)
    except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
        if "decode to UTF-8" not in str(error):
            raise
        return _leniently(connection, statement, columns)


def _leniently(connection: sa.Connection, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Read text that is not UTF-8, at the price of a call per value."""
    driver = driver_of(connection)
    driver.text_factory = frames.lenient_text
    try:
        return _framed(connection, statement, columns)
    finally:
        driver.text_factory = str


def _framed(connection: sa.Connection, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Many rows as frame after frame: Python's values of all of them would fill the memory."""
    lots = [_frame(values, columns) for values in _lots(connection, statement, len(columns), _ROWS_AT_ONCE)]
    if all(lot.schema == lots[0].schema for lot in lots):
        return pl.concat(lots)
    # of loosely typed columns only all values together say what they are
    (values,) = _lots(connection, statement, len(columns), sys.maxsize)
    return _frame(values, columns)


def _lots(connection: sa.Connection, statement: Statement, width: int, size: int) -> Iterator[list[list[object]]]:
    """Give the columns of some rows at a time; so few are tuples that Python's garbage collector never looks at them."""
    columns: list[list[object]] = [[] for _ in range(width)]
    cursor = connection.execute(statement).cursor
    while cursor is not None and (rows := cursor.fetchmany(_TUPLES_AT_ONCE)):
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
        if len(columns[0]) >= size:
            yield columns
            columns = [[] for _ in range(width)]
    yield columns


def _frame(values: Sequence[Sequence[object]], columns: Mapping[str, Column]) -> pl.DataFrame:
    named = zip(columns.items(), values, strict=True)
    return pl.DataFrame([frames.from_driver(name, found, column.kind) for (name, column), found in named])
