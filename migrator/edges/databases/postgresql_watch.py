"""How busy a PostgreSQL server is, by its statistics views."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from migrator.edges.databases.failures import at_place, driver_error, translated
from migrator.edges.databases.postgresql_statements import setting
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
from migrator.errors import Refused, SettingWrong

try:
    import psycopg

    from migrator.edges.databases.postgresql_failures import meaning, unreachable
except ImportError:  # the extra is not installed: PostgresqlWatch says so
    psycopg = None  # type: ignore[assignment]

_RIGHT = "pg_read_all_stats"
_SETTINGS = {"statement_timeout": f"{ANSWER_SECONDS}s", "lock_timeout": f"{ANSWER_SECONDS}s"}

_activity = sa.table(
    "pg_stat_activity",
    *(sa.column(name) for name in ("pid", "state", "backend_type", "application_name", "xact_start")),
    schema="pg_catalog",
)
_locks = sa.table(
    "pg_locks",
    *(sa.column(name) for name in ("locktype", "database", "relation", "mode", "granted", "pid", "virtualtransaction")),
    schema="pg_catalog",
)
_tables = sa.table("pg_class", sa.column("oid"), sa.column("relkind"), schema="pg_catalog")
_FIRST_OURS = 16384  # oid: what is below came with the server
_databases = sa.table("pg_database", sa.column("oid"), sa.column("datname"), schema="pg_catalog")
#: What SELECT FOR UPDATE, INSERT, UPDATE, DELETE and LOCK TABLE take; what VACUUM and CREATE INDEX take is left out.
_WRITERS = ("RowShareLock", "RowExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
_followers = sa.table("pg_stat_replication", sa.column("replay_lag"), schema="pg_catalog")
_receiver = sa.table("pg_stat_wal_receiver", sa.column("status"), schema="pg_catalog")
_clients = sa.and_(_activity.c.backend_type == "client backend", _activity.c.pid != sa.func.pg_backend_pid())


class PostgresqlWatch:
    """A primary, whose lag is that of the slowest that follows it, or a replica, whose lag is its own."""

    dialect = "postgresql"

    def __init__(self, url: sa.URL, name: str, *, replica: bool) -> None:
        if psycopg is None:
            raise SettingWrong(f"{name} is PostgreSQL: install its driver with pip install 'migrator[postgresql]'")
        self._url, self._name, self._replica = url, name, replica
        self._engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=1,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "migrator watch",
                "prepare_threshold": None,
                "tcp_user_timeout": 1000 * (CONNECT_SECONDS + ANSWER_SECONDS),
            },
        )

    def pressure(self, wanted: Collection[str]) -> Pressure:
        """Measure what is wanted; Refused where the statistics of others are hidden from us."""
        with self._looking() as connection:
            if not connection.scalar(sa.select(sa.func.pg_has_role(_RIGHT, "MEMBER"))):
                raise Refused(f"its statistics are hidden from us; there, grant {_RIGHT} to our user")
            return Pressure(
                lag=self._lag(connection) if LAG in wanted else None,
                sessions=_sessions(connection) if SESSIONS in wanted and not self._replica else None,
                statement=_statement(connection) if STATEMENT in wanted and not self._replica else None,
            )

    def number(self, sql: str) -> float:
        """Run *sql* in a read-only transaction; the one number it gives."""
        with self._looking() as connection:
            return the_number([tuple(row) for row in connection.execute(asking(sql)).fetchmany(2)])

    def writers(self) -> frozenset[str]:
        """By their locks, which everybody may see, where the statistics of others are hidden."""
        here = sa.select(_databases.c.oid).where(_databases.c.datname == sa.func.current_database()).scalar_subquery()
        theirs = sa.or_(_locks.c.pid.is_(None), _locks.c.pid != sa.func.pg_backend_pid())  # no pid: it is prepared
        writing = sa.and_(_locks.c.locktype == "relation", _locks.c.mode.in_(_WRITERS), _locks.c.granted, theirs)
        with self._looking() as connection:
            # of tables alone: VACUUM locks indexes like a writer
            tables = sa.select(_tables.c.oid).where(_tables.c.relkind.in_(["r", "p"]), _tables.c.oid >= _FIRST_OURS)
            found = sa.select(_locks.c.virtualtransaction).where(
                writing, _locks.c.database == here, _locks.c.relation.in_(tables)
            )
            return frozenset(connection.scalars(found.distinct()))

    def close(self) -> None:
        """Give back the connection."""
        self._engine.dispose()

    def _lag(self, connection: sa.Connection) -> float:
        if not self._replica:
            seconds = sa.func.max(sa.func.extract("epoch", _followers.c.replay_lag))
            return float(connection.scalar(sa.select(sa.func.coalesce(seconds, 0))) or 0)
        if not connection.scalar(sa.select(sa.func.pg_is_in_recovery())):
            raise Refused("it is no replica")
        # nothing new to replay is no lag, as long as somebody sends
        receives = sa.exists(sa.select(1).select_from(_receiver).where(_receiver.c.status == "streaming"))
        all_replayed = sa.func.pg_last_wal_replay_lsn() >= sa.func.pg_last_wal_receive_lsn()
        behind = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.pg_last_xact_replay_timestamp())
        found = connection.scalar(sa.select(sa.case((sa.and_(receives, all_replayed), 0), else_=behind)))
        if found is None:
            raise Refused("it has replayed nothing since it was started")
        return float(found)

    @contextmanager
    def _looking(self) -> Iterator[sa.Connection]:
        with translated(meaning), self._connected() as connection:
            connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=True)
            connection.execute(setting(_SETTINGS))
            yield connection

    def _connected(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            raise unreachable(driver_error(error), at_place(self._url), self._url.password) from None


def _sessions(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).where(_clients, _activity.c.state == "active")) or 0)


def _statement(connection: sa.Connection) -> float:
    """The oldest open transaction of somebody else: it is at least as old as its statement."""
    age = sa.func.max(sa.func.extract("epoch", sa.func.clock_timestamp() - _activity.c.xact_start))
    others = sa.not_(_activity.c.application_name.startswith("migrator"))
    return float(connection.scalar(sa.select(sa.func.coalesce(age, 0)).where(_clients, others)) or 0)
