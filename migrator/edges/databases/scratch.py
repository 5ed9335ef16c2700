"""Empty copies of tables to try things in. They are seen by one connection alone, and go with it or with its transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.base import Executable

from migrator.edges.databases import own


class Copy(Executable, ClauseElement):
    """CREATE TEMPORARY TABLE *name* of the form of *table*."""

    inherit_cache = False

    def __init__(self, name: str, table: sa.TableClause) -> None:
        self.name, self.table = name, table


class Rename(Executable, ClauseElement):
    """Give a temporary table another name."""

    inherit_cache = False

    def __init__(self, name: str, to: str) -> None:
        self.name, self.to = name, to


@compiles(Copy)
def _copy(element: Copy, compiler: Any, **options: Any) -> str:
    name: str = compiler.preparer.quote(element.name)
    return "CREATE TEMPORARY TABLE " + name + " LIKE " + str(compiler.preparer.format_table(element.table))


@compiles(Rename)
def _rename(element: Rename, compiler: Any, **options: Any) -> str:
    name: str = compiler.preparer.quote(element.name)
    return "ALTER TABLE " + name + " RENAME TO " + str(compiler.preparer.quote(element.to))


@compiles(Copy, "postgresql")
def _copy_in_postgresql(element: Copy, compiler: Any, **options: Any) -> str:
    name: str = compiler.preparer.quote(element.name)
    like: str = compiler.preparer.format_table(element.table)
    return "CREATE TEMPORARY TABLE " + name + " (LIKE " + like + " INCLUDING ALL) ON COMMIT DROP"


def copy(connection: sa.Connection, schema: str | None, tables: Sequence[str]) -> None:
    """Copy *tables* and our own ones; the copies have their names, and are the ones that are met by them."""
    named = [*tables, *(table.name for table in own.own_tables(schema).all)]
    if connection.dialect.name == "postgresql":
        for name in named:
            connection.execute(Copy(name, sa.table(name, schema=schema)))
        return
    for number, name in enumerate(named):  # MySQL does not copy a table to its own name
        connection.execute(Copy(f"{own.PREFIX}scratch_{number}", sa.table(name)))
    for number, name in enumerate(named):
        connection.execute(Rename(f"{own.PREFIX}scratch_{number}", name))


def copy_file(original: sqlite3.Connection, path: Path, tables: Collection[str]) -> None:
    """Make a SQLite file with *tables* and our own ones as *original* declares them: tables and indexes, no triggers."""
    wanted = {*tables, *(table.name for table in own.own_tables(None).all)}
    made = sqlite3.connect(path, isolation_level=None)
    try:
        query = "SELECT tbl_name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC"
        for name, sql in original.execute(query).fetchall():
            if name in wanted:
                made.execute(sql)
    finally:
        made.close()
