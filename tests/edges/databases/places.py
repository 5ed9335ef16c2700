"""A database that a test fills with its own SQL, through a bare driver, and then looks at through ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg

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

    def close(self) -> None:
        for database in self._databases:
            database.close()
