"""The live data behind a schema, as far as lint asks: each table is looked at once, and only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrator.edges.databases.base import Legacy, LegacyReader
from migrator.mapping.facts import Listed, Seen
from migrator.mapping.people import EVERYBODY


class LiveFacts:
    """Facts of one open snapshot of a database; what was asked once is remembered."""

    def __init__(self, reader: LegacyReader) -> None:
        self._reader = reader
        self._seen: dict[str, dict[str, Seen]] = {}
        self._values: dict[tuple[str, str], Listed] = {}
        self._repeated: dict[tuple[str, tuple[str, ...]], bool] = {}

    def seen(self, table: str, column: str) -> Seen | None:
        """Look at one column; the first look at a table is at all of them."""
        if table not in self._seen:
            self._seen[table] = {} if table == EVERYBODY else self._reader.look(table)
        return self._seen[table].get(column)

    def values(self, table: str, column: str) -> Listed | None:
        """List the distinct values of one column."""
        if table == EVERYBODY:
            return None
        if (table, column) not in self._values:
            self._values[table, column] = self._reader.values(table, column)
        return self._values[table, column]

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool:
        """Whether two rows have the same values in *columns*."""
        if (table, columns) not in self._repeated:
            self._repeated[table, columns] = self._reader.repeated(table, columns)
        return self._repeated[table, columns]


@contextmanager
def of(database: Legacy) -> Iterator[LiveFacts]:
    """Open a read-only snapshot of *database* for the questions of one lint."""
    with database.reading() as reader:
        yield LiveFacts(reader)
