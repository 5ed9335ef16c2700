"""Many rows of one table at once, past SQLAlchemy, whose price per row is high: COPY, or `executemany` of tuples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.expression import ClauseElement

if TYPE_CHECKING:
    import polars as pl

CHUNK = 50_000  # rows on their way at once
#: Kilobytes of an index that is filled in no order; with SQLite's 2 MB each page would be written many times over.
_CACHE = "PRAGMA cache_size = -131072"


def insert(db: sa.Connection, table: sa.Table, lots: Iterable[pl.DataFrame], **same: int) -> None:
    """
    Insert many rows, in the caller's transaction; PostgreSQL works on one lot while the next is made.

    Args:
        lots: Rows, all with the same columns of *table*: texts, numbers, bytes and times with a zone. The database gives
            the others their defaults.
        same: Columns that are alike in all rows.
    """
    import polars as pl

    parts = (
        part.with_columns(pl.lit(value).alias(name) for name, value in same.items())
        for lot in lots
        for part in lot.iter_slices(CHUNK)
        if part.height
    )
    write = _executed if db.dialect.name == "sqlite" else _copied
    write(db, table, parts)


class _Analyze(ExecutableDDLElement):
    """ANALYZE of PostgreSQL, which may run in a transaction."""

    def __init__(self, table: sa.Table) -> None:
        self.table = table


class _Copy(ClauseElement):
    """COPY of CSV lines into columns of a table."""

    inherit_cache = False

    def __init__(self, table: sa.Table, names: Sequence[str]) -> None:
        self.table, self.names = table, names


@compiles(_Analyze, "postgresql")
def _analyze(element: _Analyze, compiler: Any, **_: Any) -> str:
    return f"ANALYZE {compiler.preparer.format_table(element.table)}"


@compiles(_Copy, "postgresql")
def _copy(element: _Copy, compiler: Any, **_: Any) -> str:
    names = ", ".join(compiler.preparer.quote(name) for name in element.names)
    return f"COPY {compiler.preparer.format_table(element.table)} ({names}) FROM STDIN (FORMAT csv)"


@contextmanager
def filling(db: sa.Connection, table: sa.Table, names: Collection[str]) -> Iterator[None]:
    """
    Make these indexes of *table* anew behind what is inserted: sorted once they cost a third of what they do row by row.

    Of SQLite, whose writer is alone anyway; PostgreSQL would lock everybody out of the table. That one is told what there
    is now, or it would plan for an empty table until its own housekeeping comes by.
    """
    indexes = [index for index in table.indexes if index.name in names] if db.dialect.name == "sqlite" else []
    for index in indexes:
        index.drop(db)
    yield
    for index in indexes:
        index.create(db)
    if db.dialect.name == "postgresql":
        db.execute(_Analyze(table))


def select(db: sa.Connection, statement: sa.Select[Any], schema: Mapping[str, Any]) -> pl.DataFrame:
    """
    Read many rows as a frame.

    Args:
        statement: Texts and numbers only; the driver's values are taken as they are.
        schema: The columns in the order of *statement*, with their frame types.
    """
    import polars as pl

    cursor, found = db.execute(statement).cursor, [pl.DataFrame(schema=dict(schema))]
    while cursor is not None and (rows := cursor.fetchmany(CHUNK)):
        values = zip(schema.items(), zip(*rows, strict=True), strict=True)
        found.append(pl.DataFrame([pl.Series(name, column, dtype=kind) for (name, kind), column in values]))
    return pl.concat(found)


def _executed(db: sa.Connection, table: sa.Table, parts: Iterable[pl.DataFrame]) -> None:
    db.exec_driver_sql(_CACHE)
    for rows in parts:
        statement = sa.insert(table).compile(dialect=db.dialect, column_keys=rows.columns)
        values = [_of_sqlite(rows[name]).to_list() for name in statement.positiontup or ()]
        db.exec_driver_sql(str(statement), list(zip(*values, strict=True)))


def _of_sqlite(column: pl.Series) -> pl.Series:
    """SQLAlchemy keeps times in SQLite as text, without the zone."""
    return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f") if column.dtype.is_temporal() else column


def _copied(db: sa.Connection, table: sa.Table, parts: Iterable[pl.DataFrame]) -> None:
    from psycopg import Error

    left = iter(parts)
    first = next(left, None)
    if first is None:
        return
    copy = str(_Copy(table, first.columns).compile(dialect=db.dialect))
    driver: Any = db.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as into:
            for rows in chain([first], left):
                into.write(_lines(rows.select(first.columns)))
    except Error as failed:  # told as SQLAlchemy does
        told = f"COPY {table.name}", None, failed, Error
        raise sa.exc.DBAPIError.instance(*told, hide_parameters=True, dialect=db.dialect) from failed


def _lines(rows: pl.DataFrame) -> memoryview:
    """CSV as PostgreSQL reads it: null is bare, an empty text is quoted."""
    lines = BytesIO()
    printed = rows.select(_of_postgresql(column) for column in rows.get_columns())
    printed.write_csv(lines, include_header=False, quote_style="non_numeric")
    return lines.getbuffer()


def _of_postgresql(column: pl.Series) -> pl.Series:
    import polars as pl

    if column.dtype == pl.Binary:
        return ("\\x" + column.bin.encode("hex")).alias(column.name)
    return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00") if column.dtype.is_temporal() else column
