"""Which legacy tables may be written to when changes go back, and how: what an account that carries must be allowed to."""

from __future__ import annotations

from collections.abc import Mapping

from migrator.mapping.backward.ways import Way, Ways
from migrator.mapping.schema import Schema

READ, INSERT, UPDATE, DELETE = "SELECT", "INSERT", "UPDATE", "DELETE"


def rights(found: Mapping[str, Ways], legacy: Schema) -> dict[str, tuple[str, ...]]:
    """Per legacy table what may happen to it; of those that point at rows that may go it is only asked whether they do."""
    wanted: dict[str, set[str]] = {}
    for one in found.values():
        for way in one.fields.values():
            for spot in way.spots if isinstance(way, Way) else ():
                wanted.setdefault(spot.table, set()).add(UPDATE)
        for what, no in ((INSERT, one.inserts), (DELETE, one.deletes)):
            if no is None:
                wanted.setdefault(one.source, set()).add(what)
    for table in legacy.stored.tables.values():
        if any(DELETE in wanted.get(key.table, ()) for key in table.foreign_keys):
            wanted.setdefault(table.name, set())
    order = (INSERT, UPDATE, DELETE)
    return {name: (READ, *(what for what in order if what in rights)) for name, rights in sorted(wanted.items())}
