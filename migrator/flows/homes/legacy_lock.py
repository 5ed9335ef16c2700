"""
While users are frozen legacy itself refuses writes to their rows: for applications that do not ask the Router.

The lock is a help beside the freeze of the control database and never the other way round: it is put on after that freeze
and lasts at least as long, whoever ends the freeze takes it off, and where nobody does, its rows end by themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta

from migrator.errors import MigratorError, Refused
from migrator.flows.parts import Parts
from migrator.flows.syncing import capture
from migrator.mapping import people, trodden, ways
from migrator.mapping.model import MappingSet
from migrator.mapping.trodden import Trail
from migrator.store import plans, records

log = logging.getLogger("migrator.cutover")


def require(parts: Parts) -> None:
    """
    Look whether the lock is there, where it is asked for.

    Raises:
        Refused: `[cutover] lock` says that legacy refuses, and the table it goes by is not there.
    """
    missing = [name for name, lock in parts.locks.items() if parts.cutting.lock and not lock.installed()]
    if missing:
        raise Refused(
            f"[cutover] lock says that legacy refuses writes to users who are frozen, and {', '.join(missing)} cannot: "
            "run `migrator changes install --lock`, or what `migrator changes script --lock` prints; or set lock = false"
        )


def put_on(parts: Parts, plan: plans.Plan, keys: Collection[str], holder: str, lasting: timedelta) -> None:
    """Let every legacy database refuse writes to the rows of these users, for so long at most; *holder* takes it off."""
    if parts.cutting.lock and keys:
        theirs = _people(parts, plan, keys)
        for lock in parts.locks.values():
            lock.lock(theirs, holder, lasting)


def take_off(parts: Parts, plan: plans.Plan, keys: Collection[str], holder: str) -> None:
    """Let their rows be written again; where a database is away, the lock ends by itself."""
    if not parts.cutting.lock or not keys:
        return
    for name, lock in parts.locks.items():
        try:
            lock.unlock(_people(parts, plan, keys), holder)
        except MigratorError as away:
            log.warning(
                "rows of %s users stay locked in %s until their freeze would have ended: %s", len(keys), name, away
            )


def trails(parts: Parts, set_: MappingSet) -> dict[str, dict[str, tuple[Trail, ...]]]:
    """Per legacy database the tables that are read, and how a row of each leads to its users within it."""
    found = ways.ways(set_, parts.legacy_schema)
    of = {table: capture.parted(parts, table) for table in found.tables}
    by: dict[str, dict[str, tuple[Trail, ...]]] = {}
    for name in parts.capture.how:
        mine = {
            table: own
            for table, (source, own) in of.items()
            if source == name and not parts.legacy_schema.tables[table].view
        }
        by[name] = {mine[table]: _as_there(which, mine) for table, which in trodden.trails(found, mine).items()}
    return by


def _as_there(which: tuple[Trail, ...], names: Mapping[str, str]) -> tuple[Trail, ...]:
    """With tables called as their own database calls them."""
    return tuple(
        Trail(one.column, one.whose, tuple((names[table], to, on) for table, to, on in one.hops)) for one in which
    )


def _people(parts: Parts, plan: plans.Plan, keys: Collection[str]) -> list[tuple[str, str]]:
    """As whom the sources know these users."""
    set_ = parts.stored_set(plan.set_hash)
    if not set_.set.also:
        return [(people.main_name(set_.set), key) for key in sorted(keys)]
    with parts.control.read() as db:
        return sorted({(one.source, one.record_key) for one in records.of_users(db, plan.id, sorted(keys))})
