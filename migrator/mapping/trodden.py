"""
The shortest ways from a row of legacy to the users it belongs to, within one database: what a trigger can follow.

Ways that lead out of the database, and rows that nobody owns, are left out; a way never leads away from the users.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from migrator.mapping.ways import Link, Ways


@dataclass(frozen=True, slots=True, order=True)
class Trail:
    """From `column` of a row: it holds the key of one of `whose` people, or by `hops` (table, its column, next column)."""

    column: str
    whose: str
    hops: tuple[tuple[str, str, str], ...] = ()


def trails(ways: Ways, tables: Collection[str]) -> dict[str, tuple[Trail, ...]]:
    """Of each of *tables* (those of one database) the trails; none where it cannot be told there whose its rows are."""
    near = {table: _links(ways, table, tables) for table in tables}
    far = _distances(near)
    return {table: tuple(sorted(_of(table, near, far))) if table in far else () for table in sorted(near)}


def _links(ways: Ways, table: str, tables: Collection[str]) -> tuple[Link, ...]:
    return tuple(link for link in ways.links.get(table, ()) if link.whose or link.table in tables)


def _distances(near: Mapping[str, tuple[Link, ...]]) -> dict[str, int]:
    """How many rows lie between a row of each table and the user's key."""
    far = {table: 0 for table, links in near.items() if any(link.whose for link in links)}
    while True:
        further = {
            table: 1 + min(far[link.table] for link in links if link.table in far)
            for table, links in near.items()
            if table not in far and any(link.table in far for link in links)
        }
        if not further:
            return far
        far |= further


def _of(table: str, near: Mapping[str, tuple[Link, ...]], far: Mapping[str, int]) -> set[Trail]:
    found = {Trail(link.column, link.whose) for link in near[table] if link.whose}
    for link in near[table]:
        if link.table and far.get(link.table, far[table]) < far[table]:
            for on in _of(link.table, near, far):
                hop = (link.table, link.to, on.column)
                found.add(Trail(link.column, on.whose, (hop, *on.hops)))
    return found
