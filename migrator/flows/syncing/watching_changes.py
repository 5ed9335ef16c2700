"""How each legacy table tells of its changes: the script for triggers, columns that may say it, and how far it was read."""

from __future__ import annotations

from typing import Any

from migrator.errors import NotFound
from migrator.flows.homes import legacy_lock
from migrator.flows.parts import Parts
from migrator.flows.syncing import capture
from migrator.flows.syncing.capture import SCAN, TRIGGER, UPDATED_AT
from migrator.mapping import ways
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Kind, Table
from migrator.store import changes, journal, plans

#: What a column is often called that says when its row was written last.
USUAL = (
    "updated_at", "modified_at", "changed_at", "last_updated", "last_modified", "date_modified", "date_updated",
    "updated", "modified", "changed", "update_time", "mtime", "lastupdate", "updated_on", "modified_on", "user_modified",
)  # fmt: skip
_TIMES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.INTEGER)


def named(parts: Parts, database: str | None) -> list[str]:
    """
    The legacy databases that are meant.

    Raises:
        NotFound: there is none of that name.
    """
    known = list(parts.capture.how)
    if database is not None and database not in known:
        raise NotFound(f'there is no legacy database "{database}"; there are {", ".join(known)}')
    return known if database is None else [database]


def scripts(parts: Parts, database: str | None, *, drop: bool = False) -> dict[str, str]:
    """The SQL for each, as text."""
    watched = capture.watched(parts, _set(parts))
    return {name: parts.capture.logs[name].script(watched[name], drop=drop) for name in named(parts, database)}


def install(parts: Parts, database: str | None, *, drop: bool = False) -> dict[str, int]:
    """Run it in each with our own account; how many statements."""
    watched = capture.watched(parts, _set(parts))
    done = {name: parts.capture.logs[name].install(watched[name], drop=drop) for name in named(parts, database)}
    with parts.control.write() as db:
        event = "drop triggers" if drop else "install triggers"
        for name, statements in done.items():
            journal.add(db, parts.now(), parts.actor, event, "legacy", name, statements=statements)
    return done


def lock_scripts(parts: Parts, database: str | None, *, drop: bool = False) -> dict[str, str]:
    """The SQL that lets each refuse writes to users who are frozen, as text."""
    trails = legacy_lock.trails(parts, _set(parts))
    return {name: parts.locks[name].script(trails[name], drop=drop) for name in named(parts, database)}


def install_lock(parts: Parts, database: str | None, *, drop: bool = False) -> dict[str, int]:
    """Run it in each with our own account; how many statements."""
    trails = legacy_lock.trails(parts, _set(parts))
    done = {name: parts.locks[name].install(trails[name], drop=drop) for name in named(parts, database)}
    with parts.control.write() as db:
        event = "drop lock" if drop else "install lock"
        for name, statements in done.items():
            journal.add(db, parts.now(), parts.actor, event, "legacy", name, statements=statements)
    return done


def unlocked(parts: Parts, database: str | None) -> dict[str, list[str]]:
    """Per database the tables that are read and whose rows no trigger can lock: it cannot tell there whose they are."""
    trails = legacy_lock.trails(parts, _set(parts))
    found = {name: sorted(table for table, ways in trails[name].items() if not ways) for name in named(parts, database)}
    return {name: tables for name, tables in found.items() if tables}


def status(parts: Parts) -> dict[str, Any]:
    """Per table how its changes are found, the logs, the last scan and the queue."""
    set_ = _set(parts)
    with parts.control.read() as db:
        plan = plans.current(db)
        scanned = changes.marked_at(db, plan.id, capture.ALL) if plan else None
        queue = changes.count(db, plan.id) if plan else 0
    return {
        "tables": [_table(parts, set_, table) for table in ways.ways(set_, parts.legacy_schema).tables],
        "logs": {
            name: {"installed": parts.capture.logs[name].installed()}
            for name, how in parts.capture.how.items()
            if how == TRIGGER
        },
        "locks": {name: {"installed": lock.installed()} for name, lock in parts.locks.items() if parts.cutting.lock},
        "scanned_at": scanned,
        "queue": queue,
    }


def _table(parts: Parts, set_: MappingSet, table: str) -> dict[str, Any]:
    name, own = capture.parted(parts, table)
    how, column = parts.capture.how[name], set_.set.changes.get(table)
    if how == UPDATED_AT and column is None:
        how = SCAN
    return {
        "database": name,
        "table": own,
        "found_by": how,
        "columns": list(ways.ways(set_, parts.legacy_schema).columns(table)),
        "column": column,
        "suggested": suggested(parts.legacy_schema.tables[table]),
    }


def suggested(table: Table) -> str | None:
    """A column that by its name and kind may say when a row was written last; a person must know whether it does."""
    there = {name.lower(): name for name, column in table.columns.items() if column.kind in _TIMES}
    return next((there[name] for name in USUAL if name in there), None)


def _set(parts: Parts) -> MappingSet:
    """That of the plan; before there is one, what is in the folder."""
    with parts.control.read() as db:
        plan = plans.current(db)
    return parts.stored_set(plan.set_hash) if plan else parts.folder_set
