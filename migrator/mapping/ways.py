"""
From a row of legacy to the users it is read for: by the column that names the user, or by way of other tables.

Rather somebody too many than one too few: who turns out not to have changed costs a look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from migrator.mapping.model import Join, Mapping, MappingSet, Source
from migrator.mapping.people import EVERYBODY, main_name, named, of_mapping
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """
    A column of a table and where its value leads: to the user whose key it is (`whose` says of which people), or to the
    rows of `table` that have it in `to`.
    """

    column: str
    whose: str = ""
    table: str = ""
    to: str = ""


@dataclass(frozen=True)
class Ways:
    """
    Per legacy table that some mapping reads, or that lies on the way to a user, its links.

    `shared`: tables whose rows no user owns; a change there may concern everybody.
    """

    links: dict[str, tuple[Link, ...]] = field(default_factory=dict)
    shared: tuple[str, ...] = ()

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table whose values lead on."""
        return tuple(dict.fromkeys(link.column for link in self.links.get(table, ())))

    @property
    def tables(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(sorted({*self.links, *self.shared}))


def ways(set_: MappingSet, legacy: Schema) -> Ways:
    """Say how every row that *set_* reads leads to its users."""
    found: dict[str, set[Link]] = {}
    shared: set[str] = set()
    for table, link in _all(set_):
        known = legacy.tables.get(table)
        if known is None or table == EVERYBODY:
            continue
        leads = link is not None and link.column in known.columns
        if link is None or not leads or (link.table and not _has(legacy, link.table, link.to)):
            shared.add(table)
        else:
            found.setdefault(table, set()).add(link)
    reaching = _that_reach_users(found)
    shared |= {table for table in found if table not in reaching}
    links = {table: tuple(sorted(found[table])) for table in sorted(reaching)}
    return Ways(links, tuple(sorted(shared - set(links))))


def _has(legacy: Schema, table: str, column: str) -> bool:
    return table in legacy.tables and column in legacy.tables[table].columns


def _that_reach_users(found: dict[str, set[Link]]) -> set[str]:
    """Tables from which some way ends at a user."""
    reaching: set[str] = set()
    while True:
        more = {
            table
            for table, links in found.items()
            if table not in reaching and any(link.whose or link.table in reaching for link in links)
        }
        if not more:
            return reaching
        reaching |= more


def _all(set_: MappingSet) -> Iterator[tuple[str, Link | None]]:
    """Every table that is read, with a link of it; None where none of its columns leads on."""
    who = set_.set.users
    yield str(who.table), Link(str(who.key), whose=main_name(set_.set))
    for name, also in set_.set.also.items():
        yield str(also.who.table), Link(str(also.who.key), whose=name)
    for mapping in set_.mappings.values():
        yield from _of_source(set_, mapping)
        for join in mapping.source.joins.values():
            yield from _of_join(set_, mapping.source, join)
        pivots = [mapping.source.pivot, *(join.pivot for join in mapping.source.joins.values())]
        yield from ((str(pivot.names.table), None) for pivot in pivots if pivot and pivot.names.table)


def _of_source(set_: MappingSet, mapping: Mapping) -> Iterator[tuple[str, Link | None]]:
    """The user stands in the row itself, or behind one or more joins: then the row leads to theirs."""
    source = mapping.source
    for user in map(str, source.user):
        whose = of_mapping(set_.set, mapping)
        name, dot, column = user.partition(".")
        if not dot:
            yield str(source.table), Link(user, whose=whose)
            continue
        for table in source.joins[name].tables:
            yield str(table), Link(column, whose=whose)
        yield from _towards(source, source.joins[name])


def _towards(source: Source, join: Join) -> Iterator[tuple[str, Link]]:
    """From a row to the rows joined to it."""
    for theirs, ours in join.match:
        name, dot, column = str(ours).partition(".")
        for table in join.tables:
            if not dot:
                yield str(source.table), Link(str(ours), table=str(table), to=str(theirs))
                continue
            for between in source.joins[name].tables:
                yield str(between), Link(column, table=str(table), to=str(theirs))
        if dot:
            yield from _towards(source, source.joins[name])


def _of_join(set_: MappingSet, source: Source, join: Join) -> Iterator[tuple[str, Link | None]]:
    """From a joined row back to the rows that it stands beside."""
    for table in map(str, join.tables):
        if join.user is not None:
            yield table, Link(str(join.user), whose=named(set_.set, table, join.user_of))
        for theirs, ours in join.match:
            name, dot, column = str(ours).partition(".")
            if not dot:
                yield table, Link(str(theirs), table=str(source.table), to=str(ours))
                continue
            for between in source.joins[name].tables:
                yield table, Link(str(theirs), table=str(between), to=column)
