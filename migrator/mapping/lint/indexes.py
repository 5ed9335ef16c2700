"""Rows are fetched by the user and by the columns of a join: without an index each fetch reads the table. W208."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import Mapping, Place

_SMALL = 10_000  # rows that are read at once anyway


def check(ground: Ground) -> None:
    """Check what all mappings read by."""
    if ground.legacy is None:
        return
    told: set[tuple[str, tuple[str, ...]]] = set()
    for mapping in ground.set.mappings.values():
        for table, columns, place in _read_by(mapping):
            if (table, columns) not in told and not _is_quick(ground, table, columns):
                told.add((table, columns))
                text = f"{table} is read by {', '.join(columns)}, and no index begins with that"
                ground.notes.add("W208", place, text, f"create index on {table} ({', '.join(columns)}), if you may")


def _read_by(mapping: Mapping) -> Iterator[tuple[str, tuple[str, ...], Place]]:
    """The columns by which each table is read in slices, and the place that says so."""
    source = mapping.source
    owner = tuple(column for column in source.user if "." not in column)
    if len(source.user) == 1 and owner:
        yield source.table, owner, place_of(owner[0], source.place)
    for join in source.joins.values():
        columns = tuple(its for its, _ in join.match)
        for table in join.tables:
            if columns:
                yield table, columns, place_of(columns[0], join.place)


def _is_quick(ground: Ground, name: str, columns: tuple[str, ...]) -> bool:
    table = ground.legacy.tables.get(name) if ground.legacy else None
    if table is None or not set(columns) <= table.columns.keys():
        return True  # said elsewhere
    if any(index and index[0] in columns for index in (table.key, *table.uniques, *table.indexes)):
        return True
    seen = ground.facts.seen(name, columns[0])
    return seen is not None and seen.whole and seen.rows <= _SMALL
