"""A SQLite file tells nothing of who else is at work; only a query of one's own can."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from migrator.edges.databases.failures import translated
from migrator.edges.databases.sqlite_failures import meaning
from migrator.edges.databases.watching import ANSWER_SECONDS, CONNECT_SECONDS, Pressure, asking, the_number
from migrator.errors import Unreachable

_STEPS = 10_000  # of SQLite's machine, between two looks at the clock


class SqliteWatch:
    """One file, opened for each look and read only."""

    dialect = "sqlite"

    def __init__(self, url: sa.URL, name: str) -> None:
        self._path, self._name = Path(url.database or ""), name

    def pressure(self, wanted: Collection[str]) -> Pressure:
        """Nothing can be told."""
        return Pressure()

    def number(self, sql: str) -> float:
        """Run *sql*; the one number it gives."""
        if not self._path.is_file():
            raise Unreachable(f"there is no database at {self._path}")
        place = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        with translated(meaning), closing(sqlite3.connect(place, uri=True, timeout=CONNECT_SECONDS)) as connection:
            until = time.monotonic() + ANSWER_SECONDS
            connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            return the_number(connection.execute(str(asking(sql))).fetchmany(2))

    def writers(self) -> frozenset[str]:
        """Nobody can be told."""
        return frozenset()

    def close(self) -> None:
        """Nothing stays open."""
