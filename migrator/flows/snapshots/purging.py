"""
What is removed once a day by itself: snapshots whose time is over, and rows of the control database that had their day.

The dispatcher rings for it, a worker does it, the journal says what went. `migrator store purge` does the same by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from migrator.crashpoints import crash_point
from migrator.flows.parts import Parts
from migrator.flows.snapshots import keeping
from migrator.flows.snapshots.keeping import Expired
from migrator.store import chores, journal, leases, outworn

HOLD = timedelta(minutes=15)  # somebody who died at it is not waited for any longer


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed, or (dry run) would be: snapshots, and rows by table; of a notice what it said of somebody."""

    snapshots: Expired
    rows: dict[str, int]
    dry_run: bool

    @property
    def anything(self) -> bool:
        """Whether there is something to be removed."""
        return bool(self.snapshots.snapshots or self.snapshots.orphans or any(self.rows.values()))


def look(parts: Parts) -> Purged:
    """Say what a purge would remove now."""
    before = parts.now() - parts.keeping.rows
    with parts.control.read() as db:
        rows = outworn.count(db, before)
    return Purged(keeping.expire(parts, parts.keeping.snapshots, dry_run=True), rows, dry_run=True)


def purge(parts: Parts, owner: str) -> Purged | None:
    """
    Remove it. None: somebody else is at it.

    Cut off anywhere, the next one removes what is left.
    """
    with parts.control.write() as db:
        if not leases.acquire(db, "purge", owner, HOLD):
            return None
    snapshots = keeping.expire(parts, parts.keeping.snapshots)
    crash_point("purge-snapshots-expired")
    with parts.control.write() as db:
        now = parts.now()
        rows = outworn.remove(db, now - parts.keeping.rows, parts.key.seal("{}"))
        chores.done(db, chores.PURGE, now)
        leases.release(db, "purge", owner)
        journal.add(
            db, now, parts.actor, "purge", "project", "all",
            snapshots=snapshots.snapshots, orphans=snapshots.orphans, bytes=snapshots.bytes, rows=rows,
        )  # fmt: skip
        crash_point("purge-rows-removed")
    return Purged(snapshots, rows, dry_run=False)
