"""Several legacy databases as one: a table is `NAME.table`, and every read sees one snapshot of each database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import polars as pl

from migrator.edges.databases.base import Asked, Concern, Legacy, LegacyReader
from migrator.errors import Refused
from migrator.mapping.facts import Listed, Seen
from migrator.mapping.query import Query
from migrator.mapping.schema import ForeignKey, Schema, Table

SEPARATOR = "."


class SeveralDatabases:
    """The databases of `[legacy.NAME]`, read only, each under its name."""

    dialect = "several"

    def __init__(self, named: Mapping[str, Legacy]) -> None:
        self.named = dict(named)

    def schema(self) -> Schema:
        """What all of them hold now."""
        found = {name: database.schema() for name, database in self.named.items()}
        tables = [_named(name, table) for name, schema in found.items() for table in schema.tables.values()]
        return Schema(self.dialect, {table.name: table for table in tables})

    @contextmanager
    def reading(self) -> Iterator[SeveralReader]:
        """Open a read-only snapshot of each, one right after the other."""
        with ExitStack() as open_:
            yield SeveralReader(
                {name: open_.enter_context(database.reading()) for name, database in self.named.items()}
            )

    def mark(self) -> str:
        """A text that changes with every commit in any of them."""
        return json.dumps({name: database.mark() for name, database in self.named.items()})

    def ping(self) -> str:
        """Server names and versions, or Unreachable."""
        return ", ".join(f"{name}: {database.ping()}" for name, database in self.named.items())

    def powers(self) -> list[Concern]:
        """Those of each."""
        return [power for database in self.named.values() for power in database.powers()]

    def concerns(self) -> list[Concern]:
        """What should be known of each."""
        return [concern for database in self.named.values() for concern in database.concerns()]

    def close(self) -> None:
        """Give back all connections."""
        for database in self.named.values():
            database.close()


class SeveralReader:
    """One short read-only transaction in each database; a query goes to the one its table names."""

    def __init__(self, readers: Mapping[str, LegacyReader]) -> None:
        self._readers = readers

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query*."""
        reader, own = self._of(query)
        return reader.select(own)

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        reader, own = self._of(query)
        return reader.count(own)

    def tally(self, query: Query, by: str) -> pl.DataFrame:
        """How many rows *query* has per value of *by*."""
        reader, own = self._of(query)
        return reader.tally(own, by)

    def unchanged(self, asked: Sequence[Asked], mark: str) -> bool:
        """Each of them is asked for its own."""
        marks, by_name = json.loads(mark), dict[str, list[Asked]]()
        for query, rows in asked:
            by_name.setdefault(_parted(query.table)[0], []).append((self._of(query)[1], rows))
        return all(self._readers[name].unchanged(mine, marks[name]) for name, mine in by_name.items())

    def look(self, table: str) -> dict[str, Seen]:
        """What lint may know of each column's data."""
        reader, own = self._of(Query(table, ()))
        return reader.look(own.table)

    def values(self, table: str, column: str) -> Listed:
        """The distinct values of one column."""
        reader, own = self._of(Query(table, ()))
        return reader.values(own.table, column)

    def repeated(self, table: str, columns: Sequence[str]) -> bool:
        """Whether two rows have the same values in *columns*, none of them null."""
        reader, own = self._of(Query(table, ()))
        return reader.repeated(own.table, columns)

    def _of(self, query: Query) -> tuple[LegacyReader, Query]:
        name, table = _parted(query.table)
        if name not in self._readers:
            raise Refused(f"there is no legacy database [legacy.{name}] for the table {query.table}")
        if query.via is None:
            return self._readers[name], replace(query, table=table)
        other, behind = _parted(query.via.table)
        if other != name:
            raise Refused(f"{query.table} and {query.via.table} are in different databases; no SELECT joins them")
        return self._readers[name], replace(query, table=table, via=replace(query.via, table=behind))


def _parted(table: str) -> tuple[str, str]:
    name, _, own = table.partition(SEPARATOR)
    return name, own


def _named(name: str, table: Table) -> Table:
    """The table under its full name, and so what its foreign keys point at."""
    keys = tuple(_pointing(name, key) for key in table.foreign_keys)
    return replace(table, name=f"{name}{SEPARATOR}{table.name}", foreign_keys=keys)


def _pointing(name: str, key: ForeignKey) -> ForeignKey:
    return replace(key, table=f"{name}{SEPARATOR}{key.table}")
