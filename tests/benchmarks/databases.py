"""Where the work lies: PostgreSQL, MariaDB and SQLite with plain connections of their drivers, nothing of ours."""

from __future__ import annotations

import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pymysql

from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer

DIALECTS = ("postgresql", "sqlite", "mariadb")


@dataclass(frozen=True)
class Database:
    """One of the two sides; `schema` only where a PostgreSQL database holds both."""

    dialect: str
    url: str
    schema: str | None = None

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def section(self) -> str:
        """What `migrator.toml` says of it."""
        return f'url = "{self.url}"\n' + (f'schema = "{self.schema}"\n' if self.schema else "")

    @contextmanager
    def open(self) -> Iterator[Any]:
        """A connection of the driver, in which names need no schema; committed at the end."""
        with closing(self._connect()) as connection:
            yield connection
            connection.commit()

    def run(self, script: str) -> None:
        """Carry out statements that end in semicolons, each by itself."""
        with self.open() as connection:
            cursor = connection.cursor()
            for statement in filter(str.strip, script.split(";")):
                cursor.execute(statement)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.open() as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

    def maintain(self, statement: str) -> None:
        """Carry out what PostgreSQL does in no transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _connect(self) -> Any:
        if self.dialect == "postgresql":
            return psycopg.connect(self.url, options=f"-c search_path={self.schema or 'public'} -c timezone=UTC")
        if self.dialect == "mariadb":
            return pymysql.connect(**mariadb_options(self.url), local_infile=True, charset="utf8mb4")
        return sqlite3.connect(self.path, timeout=60)


def mariadb_options(url: str) -> dict[str, Any]:
    """What the driver wants of a URL such as `mysql://root@/name?unix_socket=/tmp/x/socket`."""
    parts = urlsplit(url)
    return {
        "user": unquote(parts.username or "root"),
        "database": parts.path.lstrip("/"),
        "unix_socket": parse_qs(parts.query)["unix_socket"][0],
    }


class Servers:
    """Starts what is asked for, once, with a durable disk; ends it all on leaving."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._postgresql: PostgresqlServer | None = None
        self._mariadb: MariadbServer | None = None
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # who is ended from outside also ends its servers
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    @property
    def postgresql(self) -> PostgresqlServer:
        """PostgreSQL; raises NoServer where there is none."""
        self._postgresql = self._postgresql or self._stack.enter_context(PostgresqlServer(durable=True))
        return self._postgresql

    @property
    def mariadb(self) -> MariadbServer:
        """MariaDB; raises NoServer where there is none."""
        self._mariadb = self._mariadb or self._stack.enter_context(MariadbServer(durable=True))
        return self._mariadb

    def folder(self, name: str) -> Path:
        """A folder that goes with the servers."""
        return Path(tempfile.mkdtemp(prefix=name, dir=self._folder))

    def pair(self, legacy: str, target: str) -> tuple[Database, Database]:
        """Two empty sides; two of PostgreSQL are schemas of one database, as plain SQL can reach no other."""
        if legacy == target == "postgresql":
            url = self.postgresql.url()
            both = Database("postgresql", url, "legacy"), Database("postgresql", url, "target")
            both[0].maintain("create schema legacy")
            both[0].maintain("create schema target")
            return both
        return self._empty(legacy, "legacy"), self._empty(target, "target")

    def server_processes(self) -> list[int]:
        """The first process of each server that runs."""
        return [server.pid for server in (self._postgresql, self._mariadb) if server is not None]

    def _empty(self, dialect: str, side: str) -> Database:
        if dialect == "postgresql":
            return Database(dialect, self.postgresql.url())
        if dialect == "mariadb":
            return Database(dialect, self.mariadb.url())
        return Database(dialect, f"sqlite:///{self.folder(side) / f'{side}.sqlite'}")
