"""A connection to a legacy database from beside the work: for what triggers keep there, and for what they go by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from migrator.edges.databases.failures import Meaning, at_place, driver_error, translated
from migrator.edges.databases.quoting import quote_every_name
from migrator.errors import Refused, SettingWrong, Unreachable

CONNECT_SECONDS = 10


class Beside:
    """One such connection; nothing is opened before it is used."""

    def __init__(self, engine: sa.Engine, schema: str | None, name: str, meaning: Meaning) -> None:
        self.engine, self.schema, self.name, self._meaning = quote_every_name(engine), schema, name, meaning

    @property
    def dialect(self) -> sa.Dialect:
        """That of the database, which quotes every name."""
        return self.engine.dialect

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        with self.connected() as connection:
            return sa.inspect(connection).has_table(table, schema=self.schema)

    def run(self, statements: Sequence[str], printed_by: str) -> int:
        """
        Run definitions, in one transaction where the database knows that for them; how many.

        Args:
            printed_by: The command that prints them.

        Raises:
            Refused: our account may not.
        """
        try:
            with self._opened() as connection:
                for statement in statements:
                    connection.execution_options(no_parameters=True).exec_driver_sql(statement)
                connection.commit()
        except sa.exc.DBAPIError as failed:
            said = str(driver_error(failed)).splitlines()[0]
            raise Refused(
                f"{self.name} does not let us: {said}; give what `{printed_by}` prints to somebody who may"
            ) from None
        return len(statements)

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """A connection whose failures are told in our words."""
        with self._opened() as connection, translated(self._meaning):
            yield connection

    def close(self) -> None:
        """Give back the connection."""
        self.engine.dispose()

    @contextmanager
    def _opened(self) -> Iterator[sa.Connection]:
        try:
            opened = self.engine.connect()
        except sa.exc.DBAPIError as away:
            said = str(driver_error(away)).splitlines()[0]
            raise Unreachable(f"cannot connect to {self.name} at {at_place(self.engine.url)}: {said}") from None
        with opened as connection:
            yield connection


def beside(url: str, schema: str | None, name: str, program: str) -> Beside:
    """
    Stand beside the legacy database under *url*.

    Args:
        name: What the database is called in what is said: legacy, legacy.shop.
        program: As what the server shows us to those who look.
    """
    parsed = sa.make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _sqlite(parsed, name)
    if kind in ("postgresql", "postgres"):
        return _postgresql(parsed, schema or "public", name, program)
    if kind in ("mysql", "mariadb"):
        return _mysql(parsed, schema, name, program)
    raise SettingWrong(f"[{name}] url names a database that is not known here: {kind}")


def _sqlite(url: sa.URL, name: str) -> Beside:
    from migrator.edges.databases.sqlite_failures import meaning

    path = Path(url.database or "")

    def opened() -> sqlite3.Connection:
        """A file is opened, never made."""
        if not path.is_file():
            raise Unreachable(f"there is no database at {path}")
        return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=CONNECT_SECONDS)

    engine = sa.create_engine("sqlite+pysqlite://", creator=opened, hide_parameters=True, poolclass=sa.pool.NullPool)
    return Beside(engine, None, name, meaning)


def _postgresql(url: sa.URL, schema: str, name: str, program: str) -> Beside:
    from migrator.edges.databases.postgresql_failures import meaning

    told = {"connect_timeout": CONNECT_SECONDS, "application_name": program, "prepare_threshold": None}
    url = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, pool_size=1, pool_pre_ping=True, hide_parameters=True, connect_args=told)
    return Beside(engine, schema, name, meaning)


def _mysql(url: sa.URL, schema: str | None, name: str, program: str) -> Beside:
    from migrator.edges.databases.mysql_failures import meaning

    told = {"connect_timeout": CONNECT_SECONDS, "program_name": program}
    url = url.set(drivername="mysql+pymysql", database=schema or url.database)
    url = url.update_query_dict({"charset": "utf8mb4"})
    engine = sa.create_engine(url, pool_size=1, pool_pre_ping=True, hide_parameters=True, connect_args=told)
    return Beside(engine, None, name, meaning)
