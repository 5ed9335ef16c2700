"""
Rows of the control database that have had their day: what was sent, asked for or decided long ago, and who is gone.

The journal keeps that it happened; it is never shortened, and neither is what says where a user is.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from migrator.rollout.states import Notice
from migrator.store.requests import OPEN
from migrator.store.tables import approvals, leases, notices, requests, workers

#: Notices that nothing more becomes of.
ENDED = tuple(one.value for one in Notice if one not in (Notice.QUEUED, Notice.CLAIMED, Notice.DEFERRED))


def count(db: sa.Connection, before: datetime) -> dict[str, int]:
    """How many there are of what, older than *before*."""
    return {
        table.name: int(db.scalar(sa.select(sa.func.count()).select_from(table).where(which)) or 0)
        for table, which in _outworn(before).items()
    }


def remove(db: sa.Connection, before: datetime, blank: bytes) -> dict[str, int]:
    """
    Take them out; how many of what. A notice stays, as it says that somebody was told: what it said of him goes.

    Args:
        blank: what is sealed in the place of what a notice said.
    """
    found: dict[str, int] = {}
    for table, which in _outworn(before).items():
        blanked = sa.update(table).where(which).values(address=None, variables=blank, error=None)
        found[table.name] = db.execute(blanked if table is notices else sa.delete(table).where(which)).rowcount
    return found


def _outworn(before: datetime) -> dict[sa.Table, sa.ColumnElement[bool]]:
    told_at = sa.func.coalesce(notices.c.sent_at, notices.c.queued_at)
    return {
        notices: sa.and_(notices.c.status.in_(ENDED), told_at < before, notices.c.address.is_not(None)),
        requests: sa.and_(requests.c.status != OPEN, requests.c.ended_at < before),
        approvals: approvals.c.expires_at < before,
        workers: workers.c.seen_at < before,
        leases: leases.c.until < before,
    }
