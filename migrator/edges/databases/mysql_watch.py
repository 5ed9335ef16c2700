"""How busy a MySQL or MariaDB server is, by its status and its list of transactions and processes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from migrator.edges.databases.failures import at_place, driver_error, translated
from migrator.edges.databases.watching import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LAG,
    SESSIONS,
    STATEMENT,
    Pressure,
    asking,
    the_number,
)
from migrator.errors import Refused, SettingWrong, Unreachable

try:
    import pymysql

    from migrator.edges.databases import mysql_schema
    from migrator.edges.databases.mysql_failures import meaning, reason
except ImportError:  # the extra is not installed: MysqlWatch says so
    pymysql = None  # type: ignore[assignment]

_BEHIND = ("Seconds_Behind_Source", "Seconds_Behind_Master")  # MySQL's name since 8.0.22, and the older one
_transactions = sa.table(
    "innodb_trx",
    *(sa.column(name) for name in ("trx_mysql_thread_id", "trx_started", "trx_is_read_only")),
    schema="information_schema",
)
_processes = sa.table(
    "processlist",
    *(sa.column(name) for name in ("id", "user", "command", "time")),
    schema="information_schema",
)
_others = _processes.c.user.not_in(
    [sa.func.substring_index(sa.func.current_user(), "@", 1), "system user", "event_scheduler"]
)


class MysqlWatch:
    """A primary, which knows nothing of the lag of others, or a replica."""

    dialect = "mysql"

    def __init__(self, url: sa.URL, name: str, *, replica: bool) -> None:
        if pymysql is None:
            raise SettingWrong(f"{name} is MySQL: install its driver with pip install 'migrator[mysql]'")
        if replica:  # the account for it has rights in no database, and who names one must have some
            url = url._replace(database=None)
        self._url, self._name, self._replica = url, name, replica
        self._engine = sa.create_engine(
            url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"}),
            pool_size=1,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": ANSWER_SECONDS,
                "write_timeout": ANSWER_SECONDS,
                "program_name": "migrator watch",
            },
        )

    def pressure(self, wanted: Collection[str]) -> Pressure:
        """Measure what is wanted; Refused where we may not look."""
        with self._looking() as connection:
            return Pressure(
                lag=_lag(connection) if LAG in wanted and self._replica else None,
                sessions=_sessions(connection) if SESSIONS in wanted and not self._replica else None,
                statement=_statement(connection) if STATEMENT in wanted and not self._replica else None,
            )

    def number(self, sql: str) -> float:
        """Run *sql* in a read-only transaction; the one number it gives."""
        with self._looking() as connection:
            return the_number([tuple(row) for row in connection.execute(asking(sql)).fetchmany(2)])

    def writers(self) -> frozenset[str]:
        """By thread and start; Refused or worse where we lack PROCESS."""
        others = _transactions.c.trx_mysql_thread_id != sa.func.connection_id()
        writing = sa.and_(others, _transactions.c.trx_is_read_only == 0)
        with self._looking() as connection:
            found = connection.execute(
                sa.select(_transactions.c.trx_mysql_thread_id, _transactions.c.trx_started).where(writing)
            )
            return frozenset(f"{thread} {started}" for thread, started in found)

    def close(self) -> None:
        """Give back the connection."""
        self._engine.dispose()

    @contextmanager
    def _looking(self) -> Iterator[sa.Connection]:
        with translated(meaning), self._connected() as connection:
            if mysql_schema.is_mariadb(connection):
                connection.exec_driver_sql("SET SESSION max_statement_time = %s", (ANSWER_SECONDS,))
            elif mysql_schema.version(connection) >= (5, 7, 8):
                connection.exec_driver_sql("SET SESSION max_execution_time = %s", (1000 * ANSWER_SECONDS,))
            connection.exec_driver_sql("START TRANSACTION READ ONLY")
            yield connection

    def _connected(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except (sa.exc.DBAPIError, pymysql.MySQLError) as error:
            said = reason(driver_error(error))
            raise Unreachable(f"cannot connect to {at_place(self._url)}: {said}") from None


def _sessions(connection: sa.Connection) -> int:
    """Those that run a statement now, our look left out; ours that move users are among them."""
    row = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Threads_running'").one()
    return max(0, int(row[1]) - 1)


def _statement(connection: sa.Connection) -> float:
    """The oldest statement or open transaction of another user of the server."""
    statement = sa.select(sa.func.max(_processes.c.time)).where(_others, _processes.c.command.in_(["Query", "Execute"]))
    started = sa.select(sa.func.max(sa.func.unix_timestamp() - sa.func.unix_timestamp(_transactions.c.trx_started)))
    started = started.select_from(
        sa.join(_transactions, _processes, _processes.c.id == _transactions.c.trx_mysql_thread_id)
    ).where(_others)
    return max(float(connection.scalar(one) or 0) for one in (statement, started))


def _lag(connection: sa.Connection) -> float:
    """The slowest of what it follows; Refused where it follows nobody, or has stopped to."""
    found = connection.exec_driver_sql(_asking(connection)).mappings().all()
    if not found:
        raise Refused("it is no replica")
    behind = [row[name] for row in found for name in _BEHIND if row.get(name) is not None]
    if len(behind) < len(found):
        raise Refused("its replication has stopped")
    return max(map(float, behind))


def _asking(connection: sa.Connection) -> str:
    if mysql_schema.is_mariadb(connection):
        return "SHOW ALL SLAVES STATUS"  # of every version, and of every source
    return "SHOW REPLICA STATUS" if mysql_schema.version(connection) >= (8, 0, 22) else "SHOW SLAVE STATUS"
