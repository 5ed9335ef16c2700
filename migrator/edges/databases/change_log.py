"""
What triggers in a legacy database keep of every change, read from beside the work on a connection of its own.

A number drawn early may be committed late. So the mark up to which the log counts as read is never beyond what a
transaction that is still open may yet commit: what lies behind it is read again, and told twice rather than never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from migrator.edges.databases.beside import Beside, beside
from migrator.edges.databases.change_scripts import LOG, Script
from migrator.edges.databases.failures import driver_error

SLACK = timedelta(seconds=60)  # MySQL tells to the second when a transaction began, and clocks are set
#: What MySQL says where it does not show us the transactions of others.
_NO_RIGHT = (1227, 1044, 1142)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of *table* changed whose *column* had this value; no column: it may concern everybody."""

    table: str
    column: str | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Entries:
    """What was noted since a mark, each once, and the mark to go on from; `remark` where something is to be known."""

    found: tuple[Entry, ...]
    mark: str
    remark: str = ""


class ChangeLog(Protocol):
    """The log of one legacy database."""

    def script(self, watched: Mapping[str, Sequence[str]], *, drop: bool = False) -> str:
        """The SQL that makes the database keep its changes, or (`drop`) keep them no more."""

    def install(self, watched: Mapping[str, Sequence[str]], *, drop: bool = False) -> int:
        """Run it with our own account; how many statements. Refused where the account may not."""

    def installed(self) -> bool:
        """Whether the log is there."""

    def read(self, after: str | None, overlap: timedelta) -> Entries:
        """
        Entries that were noted after a mark; without one all of them.

        Args:
            overlap: How long a transaction may take where the server does not tell which are open.
        """

    def close(self) -> None:
        """Give back the connection."""


def change_log(url: str, schema: str | None, name: str) -> ChangeLog:
    """
    Give the log of the legacy database under *url*; nothing is opened before it is used.

    Args:
        name: What the database is called in what is said: legacy, legacy.shop.
    """
    place = beside(url, schema, name, "migrator changes")
    return _LOGS[place.dialect.name](place)


class _Log:
    """What all of them do alike."""

    def __init__(self, place: Beside) -> None:
        self._place, self._connected = place, place.connected
        columns = ("seq", "table_name", "column_name", "value", "at", "txid")
        self._log = sa.table(LOG, *map(sa.column, columns), schema=place.schema)

    def script(self, watched: Mapping[str, Sequence[str]], *, drop: bool = False) -> str:
        """One statement behind the other."""
        return "\n".join(f"{statement};" for statement in self._statements(watched, drop=drop))

    def install(self, watched: Mapping[str, Sequence[str]], *, drop: bool = False) -> int:
        """Run them, in one transaction where the database knows that for definitions."""
        return self._place.run(self._statements(watched, drop=drop), "migrator changes script")

    def installed(self) -> bool:
        """Look for the table."""
        return self._place.has(LOG)

    def close(self) -> None:
        """Give back the connection."""
        self._place.close()

    def _statements(self, watched: Mapping[str, Sequence[str]], *, drop: bool) -> list[str]:
        place = self._place
        script = Script(place.dialect, place.schema, watched, place.engine.url.username)
        return script.drop() if drop else script.install()

    def _entries(self, connection: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[Entry, ...]:
        wanted = (self._log.c.table_name, self._log.c.column_name, self._log.c.value)
        rows = connection.execute(sa.select(*wanted).where(*where).distinct())
        return tuple(Entry(table, column, None if value is None else str(value)) for table, column, value in rows)


class _SqliteLog(_Log):
    """One writer at a time: numbers are committed in their order."""

    def read(self, after: str | None, overlap: timedelta) -> Entries:
        """Everything behind the last number."""
        seen = int(after or 0)
        with self._connected() as connection:
            last = connection.scalar(sa.select(sa.func.max(self._log.c.seq)))
            found = self._entries(connection, self._log.c.seq > seen, self._log.c.seq <= (last or 0))
        return Entries(found, str(last or seen))


class _PostgresqlLog(_Log):
    """Read from the oldest transaction that was open at the last look."""

    def read(self, after: str | None, overlap: timedelta) -> Entries:
        """Whatever is visible, from there on; the mark is what no open transaction can be older than."""
        with self._connected() as connection:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            oldest = connection.scalar(sa.select(sa.func.txid_snapshot_xmin(sa.func.txid_current_snapshot())))
            found = self._entries(connection, self._log.c.txid >= int(after or 0))
        return Entries(found, str(oldest))


class _MysqlLog(_Log):
    """Read from a moment before the oldest open transaction began."""

    def read(self, after: str | None, overlap: timedelta) -> Entries:
        """Whatever is visible since the mark; the next one is taken before the rows are."""
        remark = ""
        with self._connected() as connection:
            connection.exec_driver_sql("SET SESSION time_zone = 'SYSTEM'")  # the zone in which transactions began
            age = _oldest_transaction(connection)
            if age is None:
                age, remark = overlap, (
                    f"{self._place.name} does not say which transactions are open (grant process to our account): one that "
                    f"takes longer than {int(overlap.total_seconds())} s is only found by the next scan"
                )  # fmt: skip
            now = connection.scalar(sa.select(sa.func.utc_timestamp(sa.literal_column("6"))))
            connection.rollback()
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            since = (self._log.c.at >= datetime.fromisoformat(after),) if after else ()
            found = self._entries(connection, *since)
        moment = now if isinstance(now, datetime) else datetime.fromisoformat(str(now))
        return Entries(found, (moment - age - SLACK).isoformat(), remark)


#: By the name of the dialect.
_LOGS: dict[str, type[_SqliteLog | _PostgresqlLog | _MysqlLog]] = {
    "sqlite": _SqliteLog,
    "postgresql": _PostgresqlLog,
    "mysql": _MysqlLog,
}


def _oldest_transaction(connection: sa.Connection) -> timedelta | None:
    """How long the oldest open transaction is at work; None where that is not shown to us."""
    open_ = sa.table("innodb_trx", sa.column("trx_started"), schema="information_schema")
    seconds: Any = sa.func.timestampdiff(sa.literal_column("SECOND"), sa.func.min(open_.c.trx_started), sa.func.now())
    try:
        found = connection.scalar(sa.select(seconds).select_from(open_))
    except sa.exc.DBAPIError as refused:
        if driver_error(refused).args[:1] and driver_error(refused).args[0] in _NO_RIGHT:
            connection.rollback()
            return None
        raise
    return timedelta(seconds=max(0, int(found or 0)))
