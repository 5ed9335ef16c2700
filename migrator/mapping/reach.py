"""Which tables a mapping set touches: what its accounts must be allowed to, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migrator.mapping import walk
from migrator.mapping.model import Join, MappingSet, Pivot, Reference
from migrator.mapping.people import EVERYBODY
from migrator.mapping.schema import Schema


def read(set_: MappingSet) -> list[str]:
    """The legacy tables that are read, sorted; where there are several databases, as `database.table`."""
    people = [set_.set.users, *(also.who for also in set_.set.also.values())]
    found = {table for one in people for table in (one.table, *_joined(one.joins.values()))}
    found |= {way.table for also in set_.set.also.values() for way in also.same if way.table}
    for sign in (*set_.set.activity, *set_.set.paid):
        found |= {sign.table, *_joined(sign.joins.values())}
    for mapping in set_.mappings.values():
        source = mapping.source
        found |= {source.table, *_joined(source.joins.values()), *_of_names(source.pivot)}
    return sorted(str(table) for table in found if table and table != EVERYBODY)


def written(set_: MappingSet) -> list[str]:
    """The target tables that get rows, sorted."""
    return sorted({str(mapping.target.table) for mapping in set_.mappings.values()})


def looked_at(set_: MappingSet, target: Schema) -> list[str]:
    """The target tables that are read and not written: lists of values, and what points at rows that may go again."""
    ours = written(set_)
    found = {
        str(spot.rule.source.table)
        for mapping in set_.mappings.values()
        for spot in walk.spots(mapping)
        if isinstance(spot.rule.source, Reference)
    }
    for name, table in target.stored.tables.items():
        if any(key.table in ours for key in table.foreign_keys):
            found.add(name)
    return sorted(found - set(ours))


def _joined(joins: Iterable[Join]) -> Iterator[str]:
    for join in joins:
        yield from join.tables
        yield from _of_names(join.pivot)


def _of_names(pivot: Pivot | None) -> Iterator[str]:
    if pivot and pivot.names.table:
        yield pivot.names.table
