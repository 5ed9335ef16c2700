"""
The legacy rows joined to a user's rows that are nobody else's, as each points at one row that is his: his address, his
values in rows. What several may point at, such as a product, is not among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from migrator.edges.databases.base import LegacyReader
from migrator.mapping import ids, joins
from migrator.mapping import values as columns
from migrator.mapping.joins import Reading
from migrator.mapping.model import Join, MappingSet, Source
from migrator.mapping.outcome import Context
from migrator.mapping.people import People, named
from migrator.mapping.query import Among
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a table: the columns that tell them apart, and a frame with these as texts."""

    table: str
    by: tuple[str, ...]
    keys: pl.DataFrame


@dataclass(frozen=True)
class Hanging:
    """Looks for them in one read-only snapshot, for users of one plan."""

    reader: LegacyReader
    set_: MappingSet
    legacy: Schema
    context: Context
    users: Sequence[str]

    def of(self, source: Source, keys: pl.Series) -> Iterator[Rows]:
        """
        The rows of all joins of *source*, for its rows under these keys.

        Args:
            keys: as `__key` has them.
        """
        rows: dict[
            str, tuple[str, pl.DataFrame]
        ] = {}  # by join, "" for the source: its table, what others are matched by
        if source.joins and len(source.key) == 1:
            looked = self._reading(source).rows(
                source.table, _met(source, ""), source.where, Among(str(source.key[0]), keys)
            )
            rows[""] = (source.table, looked)
        for name, join in source.joins.items():
            if join.user is not None or self._hangs(join, rows):
                parts = [self._rows(source, join, table, rows) for table in join.tables]
                for table, part in zip(join.tables, parts, strict=True):
                    yield self._told(table, join, part)
                rows[name] = (join.tables[0], joins.stacked([part.select(_met(source, name)) for part in parts]))

    def _hangs(self, join: Join, rows: Mapping[str, tuple[str, pl.DataFrame]]) -> bool:
        """Whether a joined row is matched by what tells a row of the user from all others."""
        met: dict[str, set[str]] = {}
        for _, ours in join.match:
            name, column = _parted(ours)
            met.setdefault(name, set()).add(column)
        return any(name in rows and self._tell_apart(rows[name][0], mine) for name, mine in met.items())

    def _tell_apart(self, table: str, met: set[str]) -> bool:
        known = self.legacy.tables[table]
        return any(set(key) <= met for key in (known.key, *known.uniques) if key)

    def _rows(
        self, source: Source, join: Join, table: str, rows: Mapping[str, tuple[str, pl.DataFrame]]
    ) -> pl.DataFrame:
        wanted = [*self._by(table, join), *(str(theirs) for theirs, _ in join.match), *_met(source, join.name)]
        if join.user is not None:
            mine = People.of(self.set_, self.context)
            whose = named(self.set_.set, table, join.user_of)
            records = mine.records_of(whose, pl.Series(list(self.users), dtype=pl.String))
            return self._reading(source).rows(table, wanted, join.where, Among(str(join.user), records))
        theirs, ours = next(pair for pair in join.match if _parted(pair[1])[0] in rows)
        among = Among(str(theirs), columns.text(_column(rows, ours)).drop_nulls().unique())
        found = self._reading(source).rows(table, wanted, join.where, among)
        return found.filter(_matching(join, found, rows)) if len(join.match) > 1 else found

    def _by(self, table: str, join: Join) -> tuple[str, ...]:
        """What tells rows of *table* apart; without a key, whose they are."""
        return self.legacy.tables[table].key or ((join.user,) if join.user else tuple(name for name, _ in join.match))

    def _told(self, table: str, join: Join, part: pl.DataFrame) -> Rows:
        by = tuple(map(str, self._by(table, join)))
        return Rows(table, by, part.select(columns.text(part[name]).alias(name) for name in by).unique().drop_nulls())

    def _reading(self, source: Source) -> Reading:
        return Reading(self.legacy, self.reader.select, source.null_if, self.context)


def _matching(join: Join, found: pl.DataFrame, rows: Mapping[str, tuple[str, pl.DataFrame]]) -> pl.Series:
    """Which rows match in all columns at once, of a row of the user; columns of rows that are not his are left out."""
    pairs = [(str(theirs), ours) for theirs, ours in join.match if _parted(ours)[0] in rows]
    first = _parted(pairs[0][1])[0]
    pairs = [(theirs, ours) for theirs, ours in pairs if _parted(ours)[0] == first]
    theirs = ids.key([columns.text(found[name]) for name, _ in pairs])
    return columns.is_true(theirs.is_in(ids.key([columns.text(_column(rows, ours)) for _, ours in pairs]).implode()))


def _column(rows: Mapping[str, tuple[str, pl.DataFrame]], ours: str) -> pl.Series:
    name, column = _parted(ours)
    return rows[name][1][column]


def _met(source: Source, name: str) -> list[str]:
    """The columns of a join's rows, or ("") of the source's, that joins are matched by."""
    met = [_parted(ours) for join in source.joins.values() for _, ours in join.match]
    return list(dict.fromkeys(column for whose, column in met if whose == name))


def _parted(ours: str) -> tuple[str, str]:
    """The join that a COLUMN is of ("": the source), and its name there."""
    name, dot, column = str(ours).partition(".")
    return (name, column) if dot else ("", name)
