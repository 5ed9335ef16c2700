"""Many rows of one table at once, past SQLAlchemy, whose price per row is high: COPY, or `executemany` of tuples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    import polars as pl

CHUNK = 50_000  # rows on their way at once
#: Kilobytes of an index that is filled in no order; with SQLite's 2 MB each page would be written many times over.
_CACHE = "PRAGMA cache_size = -131072"


def insert(db: sa.Connection, table: sa.Table, rows: pl.DataFrame, **same: int) -> None:
    """
    Insert *rows*, in the caller's transaction.

    Args:
        rows: Columns of *table* by name: texts, numbers, bytes and times with a zone. The database gives the others
            their defaults.
        same: Columns that are alike in all rows.
    """
    import polars as pl

    write = _executed if db.dialect.name == "sqlite" else _copied
    for part in rows.iter_slices(CHUNK):
        write(db, table, part.with_columns(pl.lit(value).alias(name) for name, value in same.items()))


@contextmanager
def filling(db: sa.Connection, table: sa.Table, names: Collection[str]) -> Iterator[None]:
    """
    Make these indexes of *table* anew behind what is inserted: sorted once they cost a third of what they do row by row.

    Of SQLite, whose writer is alone anyway; PostgreSQL would lock everybody out of the table.
    """
    indexes = [index for index in table.indexes if index.name in names] if db.dialect.name == "sqlite" else []
    for index in indexes:
        index.drop(db)
    yield
    for index in indexes:
        index.create(db)


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


def _executed(db: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    db.exec_driver_sql(_CACHE)
    statement = sa.insert(table).compile(dialect=db.dialect, column_keys=rows.columns)
    values = [_of_sqlite(rows[name]).to_list() for name in statement.positiontup or ()]
    db.exec_driver_sql(str(statement), list(zip(*values, strict=True)))


def _of_sqlite(column: pl.Series) -> pl.Series:
    """SQLAlchemy keeps times in SQLite as text, without the zone."""
    return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f") if column.dtype.is_temporal() else column


def _copied(db: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    from psycopg import OperationalError, sql

    names = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(table.name), names)
    lines = BytesIO()
    printed = rows.select(_of_postgresql(column) for column in rows.get_columns())
    printed.write_csv(lines, include_header=False, quote_style="non_numeric")  # null is bare, an empty text is quoted
    driver: Any = db.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as into:
            into.write(lines.getbuffer())
    except OperationalError as failed:  # as SQLAlchemy would have told it
        raise sa.exc.OperationalError(f"COPY {table.name}", None, failed) from failed


def _of_postgresql(column: pl.Series) -> pl.Series:
    import polars as pl

    if column.dtype == pl.Binary:
        return ("\\x" + column.bin.encode("hex")).alias(column.name)
    return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00") if column.dtype.is_temporal() else column
