"""What was deleted is still in the file until its place is used again: write the control database anew without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.base import Executable

from migrator.store.tables import metadata

_PATIENCE = "5s"


class Vacuum(Executable, ClauseElement):
    """VACUUM FULL of PostgreSQL: tables are copied without what was deleted."""

    inherit_cache = False

    def __init__(self, tables: Sequence[sa.Table]) -> None:
        self.tables = tables


@compiles(Vacuum)
def _vacuum(element: Vacuum, compiler: Any, **options: Any) -> str:
    names: str = ", ".join(compiler.preparer.format_table(table) for table in element.tables)
    return "VACUUM FULL " + names


def scrub(engine: sa.Engine) -> bool:
    """Whether it could be done: it needs the tables for itself, for as long as they take to be copied."""
    return _sqlite(engine) if engine.dialect.name == "sqlite" else _postgresql(engine)


def _sqlite(engine: sa.Engine) -> bool:
    pooled = engine.raw_connection()
    driver = pooled.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        driver.execute("PRAGMA busy_timeout=5000")
        driver.execute("VACUUM")
        (busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # old pages are in the log, too
    except sqlite3.OperationalError:
        return False
    finally:
        driver.execute("PRAGMA busy_timeout=40000")
        pooled.close()
    return not busy


def _postgresql(engine: sa.Engine) -> bool:
    naming = [table for table in metadata.sorted_tables if "user_key" in table.c]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        try:
            db.execute(sa.select(sa.func.set_config("lock_timeout", _PATIENCE, False)))
            db.execute(Vacuum(naming))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            return False
        finally:
            db.execute(sa.select(sa.func.set_config("lock_timeout", "0", False)))
    return True
