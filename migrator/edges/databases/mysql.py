"""MySQL and MariaDB as legacy or target: rows come out by a streaming cursor and go in by inserts of many rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import sqlalchemy as sa

from migrator.edges.databases import mysql_powers, mysql_printing, own, scratch
from migrator.edges.databases.base import Concern
from migrator.edges.databases.carried import ours
from migrator.edges.databases.failures import at_place, driver_error, only_target, translated
from migrator.edges.databases.quoting import quote_every_name
from migrator.errors import SettingWrong, Unreachable
from migrator.mapping.schema import Schema

try:
    import pymysql

    from migrator.edges.databases import mysql_concerns, mysql_schema
    from migrator.edges.databases.mysql_failures import meaning, reason
    from migrator.edges.databases.mysql_reader import MysqlReader
    from migrator.edges.databases.mysql_writer import MysqlWriter
except ImportError:  # the extra is not installed: MysqlDatabase says so
    pymysql = None  # type: ignore[assignment]

CONNECT_TIMEOUT_SECONDS = 10
ANSWER_TIMEOUT_SECONDS = 330  # longer than any statement may take

#: What every transaction says to the server first. Locks are not waited for longer than a lease lives.
SESSION: dict[str, object] = {
    "foreign_key_checks": 1,
    "unique_checks": 1,
    "innodb_lock_wait_timeout": 5,
    "lock_wait_timeout": 5,
    "wait_timeout": 300,  # a plan maps what it has read before it reads on: a slow machine takes its time
    "group_concat_max_len": mysql_printing.LONGEST_TEXT,
}
#: What a worker that died has left behind must let go of its rows before its lease ends.
WRITING: dict[str, object] = {"wait_timeout": 120, "max_statement_time": 50, "idle_transaction_timeout": 30}
#: The same of what not every server knows: by kind of server and the version that brought it.
_SINCE: tuple[tuple[bool, tuple[int, ...], dict[str, object]], ...] = (
    (True, (10, 1, 1), {"max_statement_time": 300}),
    (True, (10, 3), {"idle_transaction_timeout": 300}),
    (False, (5, 7, 8), {"max_execution_time": 300_000}),
)

#: Nothing is cut off or guessed; but dates that are none, and a 0 in a counted column, go back where they came from.
_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"
#: Said at once on connecting: SQLAlchemy looks at the mode before we get a word in.
_FIRST = f"SET SESSION sql_mode = '{_MODE}', time_zone = '+00:00'"

#: A writer must see what was committed while it waited for a row, a reader must not.
_SNAPSHOT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_WRITE = ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION READ WRITE")

_LOGGED = ("Innodb_lsn_current", "Innodb_redo_log_current_lsn")  # MariaDB's name and MySQL's
_VERBS = (
    "insert", "insert_select", "load", "replace", "replace_select", "update", "update_multi", "delete", "delete_multi",
    "truncate",
)  # fmt: skip
_WRITING = tuple(f"Com_{verb}" for verb in _VERBS)


class MysqlDatabase:
    """One database of one MySQL or MariaDB server. As legacy its transactions are read-only."""

    dialect = "mysql"

    def __init__(self, url: sa.URL, schema: str | None, role: str) -> None:
        if pymysql is None:
            raise SettingWrong(f"[{role}] url is of MySQL: install its driver with pip install 'migrator[mysql]'")
        self._name = schema or url.database or ""
        if not self._name:
            raise SettingWrong(f"[{role}] url must name a database, as in mysql://user@host/shop")
        self._url, self._role = url.set(drivername="mysql+pymysql", database=self._name), role
        self._schema: Schema | None = None
        self._engine = sa.create_engine(
            self._url.update_query_dict({"charset": "utf8mb4"}),
            pool_size=2,
            pool_pre_ping=True,
            paramstyle="format",
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "read_timeout": ANSWER_TIMEOUT_SECONDS,
                "write_timeout": ANSWER_TIMEOUT_SECONDS,
                "init_command": _FIRST,
                "program_name": "migrator",
            },
        )
        quote_every_name(self._engine)

    def schema(self) -> Schema:
        """What the database holds now, our own tables left out."""
        with self._begun(read_only=True) as connection:
            self._schema = mysql_schema.reflect(connection, self._name)
        return self._schema

    @contextmanager
    def reading(self) -> Iterator[MysqlReader]:
        """Open a read-only snapshot."""
        schema = self._schema or self.schema()
        with self._begun(read_only=True) as connection:
            yield MysqlReader(connection, schema, None)

    @contextmanager
    def writing(self) -> Iterator[MysqlWriter]:
        """Open a write transaction."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._begun(read_only=False) as connection:
            yield MysqlWriter(connection, schema, None)
            with translated(meaning, at_commit=True):
                connection.commit()

    @contextmanager
    def scratch(self, tables: Sequence[str]) -> Iterator[MysqlWriter]:
        """Write into temporary tables that stand before those of the same names, in a connection that ends with it."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._begun(read_only=False) as connection:
            try:
                scratch.copy(connection, None, tables)
                yield MysqlWriter(connection, schema, None)
            finally:
                connection.invalidate()

    def sequences(self, tables: Sequence[str]) -> list[str]:
        """Counters have no rights of their own."""
        return []

    def prepare(self) -> None:
        """Create those of our own tables that are missing."""
        only_target(self._role)
        if self.prepared():
            return
        with self._begun(read_only=False) as connection:
            own.create(connection, ours(self._role, None))

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run."""
        return own.creating_sql(self._engine.dialect, ours(self._role, None))

    def prepared(self) -> bool:
        """Whether all our own tables exist."""
        with self._begun(read_only=True) as connection:
            return own.are_there(connection, ours(self._role, None))

    def mark(self) -> str:
        """
        How far the server's redo log has come: of the whole server, so it may change although nothing here was written.

        Tables without transactions have no part in that log: for them, how many statements that write were begun. A
        server that does not say how far its log has come has another mark each time.
        """
        with self._begun(read_only=True) as connection:
            named = {name: value for name, value in connection.exec_driver_sql("SHOW GLOBAL STATUS")}
        if not any(name in named for name in _LOGGED):
            return uuid4().hex
        return " ".join(f"{named.get(name, '')}" for name in (*_LOGGED, *_WRITING))

    def ping(self) -> str:
        """Name and version of the server."""
        with self._begun(read_only=True) as connection:
            version = str(connection.execute(sa.select(sa.func.version())).scalar_one())
            name = "MariaDB" if mysql_schema.is_mariadb(connection) else "MySQL"
        return f"{name} {version.partition('-')[0]}"

    def powers(self) -> list[Concern]:
        """Rights, cover and clock."""
        with self._begun(read_only=True) as connection:
            return mysql_powers.of(connection, self._role, self._url)

    def concerns(self) -> list[Concern]:
        """Engines, rights and settings that will get in the way."""
        schema = self._schema or self.schema()
        with self._begun(read_only=True) as connection:
            return mysql_concerns.of(connection, schema, self._role)

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, *, read_only: bool) -> Iterator[sa.Connection]:
        with translated(meaning), self._connected() as connection:
            settings = dict(SESSION)
            for mariadb, version, more in _SINCE:
                if mariadb is mysql_schema.is_mariadb(connection) and mysql_schema.version(connection) >= version:
                    settings |= more
            if not read_only:
                settings |= {name: value for name, value in WRITING.items() if name in settings}
            setting = "SET SESSION " + ", ".join(name + " = %s" for name in settings)
            connection.exec_driver_sql(setting, tuple(settings.values()))
            for statement in _SNAPSHOT if read_only else _WRITE:
                connection.exec_driver_sql(statement)
            yield connection

    def _connected(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except (sa.exc.DBAPIError, pymysql.MySQLError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"cannot connect to the {self._role} database {at_place(self._url)}: {reason(driver_error(error))}"
        )
