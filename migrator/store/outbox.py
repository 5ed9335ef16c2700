"""Notices to users, written in the transaction of the change they tell of, and sent later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import Notice as Status
from migrator.store.among import among
from migrator.store.tables import notices

CLAIM = timedelta(minutes=5)  # a sender that died: the notice is sent again, with the same Message-ID


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice as stored; `address` and `variables` are sealed."""

    id: int
    plan_id: int
    wave_id: int | None
    user_key: str
    event: str
    channel: str
    locale: str
    template: str
    unique_key: str
    status: Status
    address: bytes | None
    variables: bytes
    content_hash: str | None
    not_before: datetime | None
    attempts: int
    error: str | None
    queued_at: datetime
    claimed_at: datetime | None
    sent_at: datetime | None


def _notice(row: Any) -> Notice:
    return Notice(**{**row, "status": Status(row["status"])})


def put(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Queue notices; one that was queued before (same unique key) is left alone. How many are new."""
    keys = [row["unique_key"] for row in rows]
    known = set(db.scalars(sa.select(notices.c.unique_key).where(among(db, notices.c.unique_key, keys))))
    new = [dict(row) for row in rows if row["unique_key"] not in known]
    for start in range(0, len(new), 5000):
        db.execute(sa.insert(notices), new[start : start + 5000])
    return len(new)


def claim(db: sa.Connection, now: datetime, limit: int) -> list[Notice]:
    """Take notices that are due, or whose sender died; they are ours for five minutes."""
    due = sa.or_(
        sa.and_(
            notices.c.status == Status.QUEUED.value,
            sa.or_(notices.c.not_before.is_(None), notices.c.not_before <= now),
        ),
        sa.and_(notices.c.status == Status.CLAIMED.value, notices.c.claimed_at < now - CLAIM),
    )
    query = sa.select(notices).where(due).order_by(notices.c.id).limit(limit)
    if db.dialect.name != "sqlite":  # SQLite has one writer at a time anyway
        query = query.with_for_update(skip_locked=True)
    rows = [_notice(row) for row in db.execute(query).mappings()]
    if rows:
        db.execute(
            sa.update(notices)
            .where(notices.c.id.in_([row.id for row in rows]))
            .values(status=Status.CLAIMED.value, claimed_at=now, attempts=notices.c.attempts + 1)
        )
    return rows


def settle(db: sa.Connection, notice_id: int, status: Status, **values: Any) -> None:
    """Write how sending ended."""
    db.execute(sa.update(notices).where(notices.c.id == notice_id).values(status=status.value, **values))


def cancel(db: sa.Connection, plan_id: int, user_keys: Iterable[str], events: Iterable[str]) -> int:
    """Unsent notices that are not true any more; how many."""
    theirs = sa.update(notices).where(
        notices.c.plan_id == plan_id,
        among(db, notices.c.user_key, user_keys),
        notices.c.event.in_(list(events)),
        notices.c.status == Status.QUEUED.value,
    )
    return db.execute(theirs.values(status=Status.CANCELLED.value)).rowcount


def select(
    db: sa.Connection, plan_id: int, *, user: str | None = None, status: str | None = None, limit: int = 200
) -> list[Notice]:
    """Notices of a plan, newest first, narrowed."""
    query = sa.select(notices).where(notices.c.plan_id == plan_id).order_by(notices.c.id.desc()).limit(limit)
    if user:
        query = query.where(notices.c.user_key == user)
    if status:
        query = query.where(notices.c.status == status)
    return [_notice(row) for row in db.execute(query).mappings()]


def get(db: sa.Connection, notice_id: int) -> Notice | None:
    """One notice, or None."""
    row = db.execute(sa.select(notices).where(notices.c.id == notice_id)).mappings().first()
    return _notice(row) if row else None


def told(db: sa.Connection, plan_id: int, user_keys: Sequence[str], event: str) -> set[str]:
    """Users to whom a notice of *event* was sent."""
    query = sa.select(notices.c.user_key).where(
        notices.c.plan_id == plan_id,
        among(db, notices.c.user_key, user_keys),
        notices.c.event == event,
        notices.c.status.in_([Status.SENT.value, Status.DELIVERED.value, Status.CLAIMED.value]),
    )
    return set(db.scalars(query))


def counts(db: sa.Connection, plan_id: int) -> list[tuple[str, str, int]]:
    """(event, status, notices)."""
    query = sa.select(notices.c.event, notices.c.status, sa.func.count()).where(notices.c.plan_id == plan_id)
    return [
        (event, status, count) for event, status, count in db.execute(query.group_by(notices.c.event, notices.c.status))
    ]


def claimed(db: sa.Connection) -> int:
    """How many notices a sender has in hand."""
    query = sa.select(sa.func.count()).where(notices.c.status == Status.CLAIMED.value)
    return int(db.scalar(query) or 0)


def due(db: sa.Connection, now: datetime) -> int:
    """How many notices could be sent now."""
    query = sa.select(sa.func.count()).where(
        notices.c.status == Status.QUEUED.value,
        sa.or_(notices.c.not_before.is_(None), notices.c.not_before <= now),
    )
    return int(db.scalar(query) or 0)
