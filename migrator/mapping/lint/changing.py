"""Columns that say when a row was written last: they must be there, and hold times. E201, E105."""

from __future__ import annotations

from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.schema import Kind
from migrator.mapping.suggest import suggest

#: What may hold a time: text does where a database has no other kind, whole numbers count from 1970.
_TIMES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.TEXT, Kind.OTHER, Kind.INTEGER)


def check(ground: Ground) -> None:
    """Check `changes` of set.yaml."""
    users = ground.set.set
    if ground.legacy is None:
        return
    for table, column in users.changes.items():
        known = ground.legacy.tables.get(table)
        if known is None:
            text = f'the legacy database has no table "{table}"'
            ground.notes.add("E201", place_of(table, users.place), text, suggest(table, ground.legacy.tables))
            continue
        found = known.columns.get(column)
        if found is None:
            text = f'{table} has no column "{column}"'
            ground.notes.add("E201", place_of(column, users.place), text, suggest(column, known.columns))
        elif found.kind not in _TIMES:
            text = f"{table}.{column} is {found.declared or found.kind}: it cannot say when a row was written last"
            ground.notes.add("E105", place_of(column, users.place), text)
