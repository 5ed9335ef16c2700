"""Rows straight from PyMySQL as bytes, a piece at a time: decoding them one by one in Python is what costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import pymysql
from pymysql.cursors import SSCursor

ROWS_AT_ONCE = 20_000  # as Python objects; as a frame they need a tenth of the room


def fetch(connection: pymysql.Connection[Any], sql: str, parameters: Sequence[Any], width: int) -> pl.DataFrame:
    """Run *sql* and give its *width* columns as Binary, as the server printed them."""
    names = [str(number) for number in range(width)]
    pieces = [pl.DataFrame(schema=dict.fromkeys(names, pl.Binary()))]
    with _undecoded(connection), SSCursor(connection) as cursor:
        cursor.execute(sql, parameters)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            pieces.append(_frame(rows, names))
    return pl.concat(pieces)


def _frame(rows: Sequence[tuple[bytes | None, ...]], names: Sequence[str]) -> pl.DataFrame:
    values = zip(*rows, strict=True)
    return pl.DataFrame([pl.Series(name, column, dtype=pl.Binary) for name, column in zip(names, values, strict=True)])


@contextmanager
def _undecoded(connection: pymysql.Connection[Any]) -> Iterator[None]:
    decoders, unicode = connection.decoders, connection.use_unicode
    connection.decoders, connection.use_unicode = {}, False
    try:
        yield
    finally:
        connection.decoders, connection.use_unicode = decoders, unicode
