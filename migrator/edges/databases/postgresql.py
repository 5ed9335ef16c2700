"""PostgreSQL as legacy or target: rows go out and in by COPY, statements are set-based."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from migrator.edges.databases import own, postgresql_powers, postgresql_schema, postgresql_sequences, scratch
from migrator.edges.databases.base import Concern
from migrator.edges.databases.carried import ours
from migrator.edges.databases.failures import at_place, driver_error, only_target, translated
from migrator.edges.databases.postgresql_statements import setting
from migrator.edges.databases.quoting import as_value, quote_every_name
from migrator.errors import SettingWrong, Unreachable
from migrator.keepalive import keepalive
from migrator.mapping.schema import Schema

try:
    import psycopg

    from migrator.edges.databases.postgresql_failures import meaning, unreachable
    from migrator.edges.databases.postgresql_reader import PostgresqlReader, Shapes
    from migrator.edges.databases.postgresql_writer import PostgresqlWriter
except ImportError:  # the extra is not installed: PostgresqlDatabase says so
    psycopg = None  # type: ignore[assignment]

CONNECT_TIMEOUT_SECONDS = 10
_TEMPORARY = "pg_temp"  # the schema of a session's temporary tables

#: What our transactions say to the server first. Locks are not waited for longer than a lease lives.
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "jit": "off",  # compiling takes longer than any of our statements
    "lock_timeout": "5s",
    "statement_timeout": "300s",
    # a plan maps what it has read before it reads on: a slow machine takes its time, and a reader is in nobody's way
    "idle_in_transaction_session_timeout": "300s",
}
#: What a worker that died has left behind must let go of its rows before its lease ends.
WRITING = {"statement_timeout": "50s", "idle_in_transaction_session_timeout": "30s"}
_ENDED = sa.select(sa.cast(sa.func.txid_current_snapshot(), sa.Text))


class PostgresqlDatabase:
    """One schema of one PostgreSQL database. As legacy its transactions are read-only."""

    dialect = "postgresql"

    def __init__(self, url: sa.URL, schema: str | None, role: str) -> None:
        if psycopg is None:
            raise SettingWrong(
                f"[{role}] url is of PostgreSQL: install its driver with pip install 'migrator[postgresql]'"
            )
        self._url, self._role, self._namespace = url, role, schema or "public"
        self._schema: Schema | None = None
        self._shapes: Shapes = {}
        self._engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                **keepalive(url.query),
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "migrator",
                "client_encoding": "utf8",
                "prepare_threshold": None,  # a pooler in between would lose prepared statements
            },
        )
        quote_every_name(self._engine)
        said = SESSION | {"search_path": self._search_path()}
        self._reading, self._writing = setting(said), setting(said | WRITING)

    def schema(self) -> Schema:
        """What the schema holds now, our own tables left out."""
        with self._begun(read_only=True) as connection:
            self._schema = postgresql_schema.reflect(connection, self._namespace)
        self._shapes.clear()
        return self._schema

    @contextmanager
    def reading(self) -> Iterator[PostgresqlReader]:
        """Open a read-only snapshot."""
        schema = self._schema or self.schema()
        with self._begun(read_only=True) as connection:
            yield PostgresqlReader(connection, schema, self._namespace, self._shapes)

    @contextmanager
    def writing(self) -> Iterator[PostgresqlWriter]:
        """Open a write transaction."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._begun(read_only=False) as connection:
            yield PostgresqlWriter(connection, schema, self._namespace, self._shapes)
            with translated(meaning, at_commit=True):
                connection.commit()

    @contextmanager
    def scratch(self, tables: Sequence[str]) -> Iterator[PostgresqlWriter]:
        """Write into temporary copies of tables."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._begun(read_only=False) as connection:
            scratch.copy(connection, self._namespace, tables)
            yield PostgresqlWriter(connection, schema, _TEMPORARY, {})
            connection.rollback()

    def sequences(self, tables: Sequence[str]) -> list[str]:
        """What counts columns of *tables*: a column that has a default may have a sequence behind it."""
        with self._begun(read_only=True) as connection:
            return postgresql_sequences.names(connection, self._namespace, tables)

    def prepare(self) -> None:
        """Create those of our own tables that are missing."""
        only_target(self._role)
        if self.prepared():
            return
        with self._begun(read_only=False) as connection:
            own.create(connection, ours(self._role, self._namespace))
            connection.commit()

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run."""
        return own.creating_sql(self._engine.dialect, ours(self._role, self._namespace))

    def prepared(self) -> bool:
        """Whether all our own tables exist."""
        with self._begun(read_only=True) as connection:
            return own.are_there(connection, ours(self._role, self._namespace))

    def mark(self) -> str:
        """Which transactions had ended: of the whole server, so it may change although nothing here was written."""
        with self._begun(read_only=True) as connection:
            return str(connection.execute(_ENDED).scalar_one())

    def ping(self) -> str:
        """Name and version of the server."""
        with self._begun(read_only=True) as connection:
            version = connection.execute(sa.select(sa.func.current_setting("server_version"))).scalar_one()
        return f"PostgreSQL {version}"

    def powers(self) -> list[Concern]:
        """Rights, cover and clock."""
        with self._begun(read_only=True) as connection:
            return postgresql_powers.of(connection, self._namespace, self._role, self._engine.url)

    def concerns(self) -> list[Concern]:
        """What needs to be known is said where it shows."""
        return []

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, *, read_only: bool) -> Iterator[sa.Connection]:
        with translated(meaning), self._connected() as connection:
            # a writer must see what was committed while it waited for a row, a reader must not
            connection.execution_options(
                isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED", postgresql_readonly=read_only
            )
            connection.execute(self._reading if read_only else self._writing)
            yield connection

    def _connected(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        return unreachable(driver_error(error), f"the {self._role} database {at_place(self._url)}", self._url.password)

    def _search_path(self) -> str:
        quoted = as_value(self._engine.dialect.identifier_preparer.quote_identifier(self._namespace))
        return quoted if self._namespace == "public" else f"{quoted}, public"  # operators of extensions
