"""
Find who changed in legacy: by what its databases keep of their own changes, and by reading everybody's rows again.

The scan is the backstop: it finds whatever the others miss, only later and at the price of a full read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import polars as pl
import sqlalchemy as sa

from migrator.edges.databases.change_scripts import LOG
from migrator.errors import Refused
from migrator.flows import portions
from migrator.flows.checking import verify
from migrator.flows.parts import Parts
from migrator.flows.syncing import cursors
from migrator.mapping import people, ways
from migrator.mapping import values as columns
from migrator.mapping.model import MappingSet
from migrator.mapping.query import Among, Query
from migrator.store import changes, plans, records
from migrator.store import users as user_rows

SCAN, TRIGGER, UPDATED_AT = "scan", "trigger", "updated_at"
LEGACY = "legacy"  # what a single database is called
Spot: TypeAlias = tuple[str, str]  # table, column
ALL = "everybody"  # the mark of the last scan


@dataclass
class Looked:
    """What a look found; `marks` are kept with it: source -> how far it was read."""

    changed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    found_by: dict[str, set[str]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    scanned: bool = False
    wants_scan: bool = False  # something changed that may concern everybody, or nothing was read before
    strangers: set[str] = field(default_factory=set)  # who was written to and is nobody of the plan
    remarks: list[str] = field(default_factory=list)

    def add(self, by: str, users: Iterable[str]) -> None:
        """Take in users who changed."""
        found = set(users)
        self.changed |= found
        self.found_by.setdefault(by, set()).update(found)


@dataclass(frozen=True, slots=True)
class Scanned:
    """Who has other rows in legacy than his snapshot holds, and who has none any more."""

    changed: frozenset[str]
    gone: frozenset[str]


def look(
    parts: Parts,
    plan: plans.Plan,
    movers: Sequence[changes.Mover],
    *,
    scan: bool | None,
    whole: bool,
    logs: bool = True,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Looked:
    """
    Look for changes of moved users; nothing is kept yet.

    Args:
        whole: Everybody is looked at: only then is it known how far legacy was read.
        logs: Also read what the databases tell of their own changes; that concerns everybody, whoever is looked at.
    """
    found = Looked()
    if logs:
        _read_logs(parts, plan, found)
    if not movers:
        return found
    if scan or (scan is None and (found.wants_scan or _scan_is_due(parts, plan.id))):
        result = scan_all(parts, plan.id, movers, workers=workers, progress=progress)
        found.add(SCAN, result.changed | result.gone)
        found.gone |= result.gone
        found.scanned = True
        if whole:
            found.marks[ALL] = SCAN
    return found


def keep(db: sa.Connection, plan_id: int, found: Looked, now: datetime) -> None:
    """Put those who changed into the queue, and note how far legacy was read: both or neither."""
    for by, users in found.found_by.items():
        changes.note(db, plan_id, users, by, now)
    for source, mark in found.marks.items():
        changes.keep_mark(db, plan_id, source, mark, now)


def scan_all(
    parts: Parts,
    plan_id: int,
    movers: Sequence[changes.Mover],
    *,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Scanned:
    """Read the rows of all these users again and hold them against their snapshots."""
    held = portions.keys_by_snapshot(movers)
    cut = portions.cut(sorted(held.items()), portions.processes(parts, len(movers), workers))
    jobs = [verify.Part(plan_id, snapshots, True) for snapshots in cut]
    changed, gone, done = set[str](), set[str](), 0
    progress("reading legacy", 0, len(movers))
    with closing(
        portions.share(parts, "scan", jobs, lambda job: scan_part(parts, job), users=len(movers), workers=workers)
    ) as going:
        for place, one_part in going:
            changed |= one_part.changed
            gone |= one_part.gone
            done += jobs[place].users
            progress("reading legacy", done, len(movers))
    return Scanned(frozenset(changed), frozenset(gone))


def scan_part(parts: Parts, job: verify.Part) -> Scanned:
    """The same of the users of one part."""
    changed, gone = set[str](), set[str]()
    for kept, set_ in verify.opened_together(parts, job):
        left, others = verify.drifted(parts, set_, kept)
        mine = {user for _, users in job.snapshots for user in users}
        gone |= left & mine
        changed |= (others & mine) - left
    return Scanned(frozenset(changed), frozenset(gone))


def watched(parts: Parts, set_: MappingSet) -> dict[str, dict[str, tuple[str, ...]]]:
    """Per legacy database the tables whose changes count, and in each the columns that lead to a user."""
    found = ways.ways(set_, parts.legacy_schema)
    by: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in parts.capture.how}
    for table in found.tables:
        name, own = parted(parts, table)
        if not parts.legacy_schema.tables[table].view:
            by[name][own] = found.columns(table)
    return by


def parted(parts: Parts, table: str) -> tuple[str, str]:
    """The database of a table and its name there."""
    if len(parts.capture.how) == 1 and LEGACY in parts.capture.how:
        return LEGACY, table
    name, _, own = table.partition(".")
    return name, own


def _whole_name(name: str, table: str) -> str:
    return table if name == LEGACY else f"{name}.{table}"


def _read_logs(parts: Parts, plan: plans.Plan, found: Looked) -> None:
    """What triggers noted since the last look, of whoever it is."""
    set_ = parts.stored_set(plan.set_hash)
    for name, how in parts.capture.how.items():
        if how == TRIGGER:
            _read_log(parts, plan, set_, name, found)
        elif how == UPDATED_AT:
            _read_columns(parts, plan, set_, name, found)


def _read_log(parts: Parts, plan: plans.Plan, set_: MappingSet, name: str, found: Looked) -> None:
    log, source = parts.capture.logs[name], f"{TRIGGER}:{name}"
    if not log.installed():
        raise Refused(
            f"[changes] says that triggers keep the changes of {name}, and there is no table {LOG} in it; "
            "run what `migrator changes script` prints there, or set capture to scan"
        )
    with parts.control.read() as db:
        mark = changes.mark(db, plan.id, source)
    noted = log.read(mark, parts.capture.overlap)
    found.marks[source] = noted.mark
    found.remarks += [noted.remark] if noted.remark else []
    found.wants_scan |= mark is None or any(one.column is None for one in noted.found)
    start: dict[Spot, set[str]] = {}
    for one in noted.found:
        if one.column is not None and one.value is not None:
            start.setdefault((_whole_name(name, one.table), one.column), set()).add(one.value)
    _concerns(parts, plan, TRIGGER, concerned(parts, set_, plan.id, start), found)


def _read_columns(parts: Parts, plan: plans.Plan, set_: MappingSet, name: str, found: Looked) -> None:
    """Rows whose column says that they were written since the last look, some time of it looked at again."""
    known = ways.ways(set_, parts.legacy_schema)
    tables = {table: column for table, column in set_.set.changes.items() if parted(parts, table)[0] == name}
    found.remarks.append(_unseen(name, known, tables))
    start: dict[Spot, set[str]] = {}
    for table, column in tables.items():
        source = f"{UPDATED_AT}:{table}"
        with parts.control.read() as db:
            mark = changes.mark(db, plan.id, source)
        rows, newest = cursors.since(parts, table, column, known.columns(table), mark, parts.capture.overlap)
        if newest is not None:
            found.marks[source] = newest
        found.wants_scan |= mark is None
        for leading in rows.columns:
            start.setdefault((table, leading), set()).update(columns.text(rows[leading]).drop_nulls())
    _concerns(parts, plan, UPDATED_AT, concerned(parts, set_, plan.id, start), found)


def _unseen(name: str, known: ways.Ways, tables: Mapping[str, str]) -> str:
    left = [table for table in known.tables if table not in tables and _of(name, table)]
    beside = f", nor what is changed in {', '.join(left)}" if left else ""
    return f"a column that says when a row was written sees no row that is removed{beside}: the next scan does"


def _of(name: str, table: str) -> bool:
    return name == LEGACY or table.startswith(f"{name}.")


def _concerns(parts: Parts, plan: plans.Plan, by: str, users: set[str], found: Looked) -> None:
    """Of those who were written to, whoever has other rows than his snapshot holds, and whoever is moving just now."""
    if not users:
        return
    with parts.control.read() as db:
        movers = changes.movers(db, plan.id, users)
        moving = changes.moving(db, plan.id, users)
        found.strangers |= users - user_rows.known(db, plan.id, users)
    if movers:
        scanned = scan_all(parts, plan.id, movers)
        found.add(by, scanned.changed | scanned.gone)
        found.gone |= scanned.gone
    found.add(by, moving)


def concerned(parts: Parts, set_: MappingSet, plan_id: int, start: Mapping[Spot, Iterable[str]]) -> set[str]:
    """
    Follow values from table to table to the users whose rows they are in.

    Args:
        start: (table, column) -> values that stand or stood there.
    """
    known = ways.ways(set_, parts.legacy_schema)
    users, seen = set[str](), dict[Spot, set[str]]()
    waiting = [(spot, set(values)) for spot, values in start.items()]
    with parts.legacy.reading() as reader:
        while waiting:
            (table, column), values = waiting.pop()
            values -= seen.setdefault((table, column), set())
            seen[table, column] |= values
            for link in known.links.get(table, ()) if values else ():
                if link.column != column:
                    continue
                if link.whose:
                    users |= _users_of(parts, set_, plan_id, link.whose, values)
                    continue
                leading = known.columns(link.table)
                asked = Among(link.to, pl.Series(sorted(values), dtype=pl.String))
                rows = reader.select(Query(link.table, leading, among=asked))
                waiting += [((link.table, name), set(columns.text(rows[name]).drop_nulls())) for name in leading]
    return users


def _users_of(parts: Parts, set_: MappingSet, plan_id: int, whose: str, keys: set[str]) -> set[str]:
    if not set_.set.also or people.is_users(set_.set, whose):
        return keys
    with parts.control.read() as db:
        return records.owners(db, plan_id, whose, sorted(keys))


def _scan_is_due(parts: Parts, plan_id: int) -> bool:
    """Always where a database is only scanned; else when the last scan is longer ago than it may be."""
    if parts.capture.only_scans:
        return True
    with parts.control.read() as db:
        last = changes.marked_at(db, plan_id, ALL)
    return last is None or parts.now() - last >= parts.capture.scan_every
