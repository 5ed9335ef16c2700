"""Rows straight from the stream of PyMySQL as bytes, a piece at a time: its own way takes a call per value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pymysql
from pymysql.constants import CR
from pymysql.cursors import SSCursor
from pymysql.protocol import MysqlPacket

from migrator.edges.databases.mysql_packets import OutOfOrder, Packets

ROWS_AT_ONCE = 20_000  # as Python objects; as a frame they need a tenth of the room
_BYTES_AT_ONCE = 256 * 1024


def fetch(connection: pymysql.Connection[Any], sql: str, parameters: Sequence[Any], width: int) -> pl.DataFrame:
    """Run *sql* and give its *width* columns as Binary, as the server printed them."""
    names = [str(number) for number in range(width)]
    pieces = [pl.DataFrame(schema=dict.fromkeys(names, pl.Binary()))]
    with SSCursor(connection) as cursor:
        cursor.execute(sql, parameters)
        stream = _Stream(connection)
        packets = Packets(stream.more, stream.number)
        try:
            while not packets.ended:
                values = packets.values(ROWS_AT_ONCE)
                pieces.append(_frame(values, names))
        except (OSError, OutOfOrder):
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the connection was lost during a query") from None
        finally:
            stream.leave(whole=packets.ended)
        if packets.error is not None:
            MysqlPacket(packets.error, connection.encoding).raise_for_error()
    return pl.concat(pieces)


def _frame(values: Sequence[bytes | None], names: Sequence[str]) -> pl.DataFrame:
    width = len(names)
    return pl.DataFrame([pl.Series(name, values[place::width], dtype=pl.Binary) for place, name in enumerate(names)])


class _Stream:
    """What the server sends behind the head of a result, taken out of PyMySQL's hands until the result has ended."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._result = connection, connection._result
        self.number: int = connection._next_seq_id

    def more(self) -> bytes:
        """Wait for some bytes, as long as an answer may take."""
        found: bytes = self._connection._rfile.read1(_BYTES_AT_ONCE)
        if not found:
            raise ConnectionResetError
        return found

    def leave(self, *, whole: bool) -> None:
        """Give the connection back; one with rows still on their way is of no use to anybody."""
        self._result.unbuffered_active, self._result.connection = False, None
        if not whole:
            self._connection._force_close()
