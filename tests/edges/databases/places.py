"""A database that a test fills with its own SQL, through a bare driver, and then looks at through ours."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pymysql
import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.edges.databases.base import Database


class Place(Protocol):
    """Where one database lives."""

    url: str

    def run(self, sql: str, *rows: tuple[object, ...]) -> None: ...

    def ask(self, sql: str) -> list[tuple[Any, ...]]: ...


class SqlitePlace:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "a b#c.sqlite"
        self.url = f"sqlite:///{self.file}"
        self.run("create table started (id integer)")
        self.run("drop table started")

    def run(self, sql: str, *rows: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.file)) as connection:
            if rows:
                connection.executemany(sql, rows)
            else:
                connection.executescript(sql)
            connection.commit()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(sql).fetchall()


class PostgresqlPlace:
    def __init__(self, url: str) -> None:
        self.url = url
        self.run("drop schema public cascade; create schema public")  # ten times faster than a new database

    def run(self, sql: str, *rows: tuple[object, ...]) -> None:
        with psycopg.connect(self.url) as connection:
            if rows:
                connection.cursor().executemany(sql.replace("?", "%s"), rows)
            else:
                connection.execute(sql)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()


class MariadbPlace:
    """Takes the suite's SQL in its own words: ANSI quotes, and types under the names they have there."""

    _TYPES = (
        (r"\btimestamptz\b", "timestamp(6) null"), (r"\btimestamp\b(?!\()", "datetime(6)"), (r"\btext\b", "varchar(190)"),
        (r"\bboolean\b", "bit(1)"), (r"\bbytea\b", "blob"), (r"\btime\b", "time(6)"), (r"\bdeferrable initially deferred\b", ""),
    )  # fmt: skip

    def __init__(self, url: str) -> None:
        self.url = url
        found = self.ask("select table_name, table_type from information_schema.tables where table_schema = database()")
        drops = [
            f'drop {"view" if kind == "VIEW" else "table"} "{name.replace(chr(34), chr(34) * 2)}"'
            for name, kind in found
        ]
        self.run("; ".join(["set foreign_key_checks = 0", *drops]))  # faster than a new database

    def run(self, sql: str, *rows: tuple[object, ...]) -> None:
        sql = self._worded(sql)
        with self.connect() as connection, connection.cursor() as cursor:
            if rows:
                for row in rows:
                    cursor.execute(sql.replace("?", "%s"), row)
            else:
                cursor.execute(sql)
                while cursor.nextset():
                    pass
            connection.commit()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def connect(self) -> pymysql.Connection[Any]:
        url = sa.make_url(self.url)
        return pymysql.connect(
            unix_socket=str(url.query["unix_socket"]),
            user="root",
            database=url.database,
            charset="utf8mb4",
            sql_mode="ANSI_QUOTES,STRICT_ALL_TABLES",
            init_command="set time_zone = '+00:00'",
            client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        )

    def _worded(self, sql: str) -> str:
        if not sql.lstrip().startswith("create table"):
            return sql.replace("+00'", "'")  # its instants are written without a zone
        for pattern, type_ in self._TYPES:
            sql = re.sub(pattern, type_, sql)
        return re.sub(r"(\w+) time\(6\) ", r"\1 time(6) ", sql)


class Opened:
    """Databases opened on a place, closed at the end of a test."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._databases: list[Database] = []

    def legacy(self) -> Database:
        self._databases.append(connect(self.place.url, None, "legacy"))
        return self._databases[-1]

    def target(self, schema: str | None = None, url: str | None = None) -> Database:
        self._databases.append(connect(url or self.place.url, schema, "target"))
        return self._databases[-1]

    def quoted(self, statement: str) -> str:
        """A statement whose names are quoted as the standard has it, in the way of the place."""
        return statement.replace('"', "`") if self.place.url.startswith("mysql") else statement

    def run(self, statement: str) -> None:
        """Do it, `quoted`."""
        self.place.run(self.quoted(statement))

    def close(self) -> None:
        for database in self._databases:
            database.close()


@contextmanager
def at_work(statement: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """Somebody else's statement goes on while the block runs."""
    thread = threading.Thread(target=statement)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()
