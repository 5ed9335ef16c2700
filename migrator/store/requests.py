"""Users whom somebody wants moved ahead of their wave: one row each, however often it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import Batch, User
from migrator.store.tables import Utc, batches, requests, users

OPEN, DONE, REFUSED = "open", "done", "refused"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as stored; `reason`: why it waits, or what came of it."""

    plan_id: int
    user_key: str
    asked_by: str
    asked_at: datetime
    cut_over: bool
    status: str
    reason: str | None
    batch_id: int | None
    taken_at: datetime | None
    rung_at: datetime | None
    ended_at: datetime | None


def ask(db: sa.Connection, plan_id: int, key: str, by: str, now: datetime, *, cut_over: bool = False) -> Request:
    """Write it down, or take up again what was refused or done; asked twice is asked once."""
    found = get(db, plan_id, key)
    mine = (requests.c.plan_id == plan_id, requests.c.user_key == key)
    if found is None:
        try:
            with db.begin_nested():
                values = {"plan_id": plan_id, "user_key": key, "asked_by": by, "asked_at": now}
                db.execute(sa.insert(requests).values(**values, cut_over=cut_over, status=OPEN))
        except sa.exc.IntegrityError:  # somebody else asked at the same moment
            return ask(db, plan_id, key, by, now, cut_over=cut_over)
    elif found.status != OPEN:
        fresh: dict[str, Any] = dict.fromkeys(("reason", "batch_id", "taken_at", "rung_at", "ended_at"))
        again = {"asked_by": by, "asked_at": now, "cut_over": cut_over, "status": OPEN}
        db.execute(sa.update(requests).where(*mine).values(**again, **fresh))
    elif cut_over and not found.cut_over:
        db.execute(sa.update(requests).where(*mine).values(cut_over=True))
    asked = get(db, plan_id, key)
    assert asked is not None
    return asked


def get(db: sa.Connection, plan_id: int, key: str) -> Request | None:
    """What was asked for one user."""
    query = sa.select(requests).where(requests.c.plan_id == plan_id, requests.c.user_key == key)
    row = db.execute(query).mappings().first()
    return Request(**row) if row else None


def any_open(db: sa.Connection) -> bool:
    """Whether anything is to be done: asked at every tick of the dispatcher, and mostly it is not."""
    return db.execute(sa.select(requests.c.user_key).where(requests.c.status == OPEN).limit(1)).first() is not None


def open_(db: sa.Connection, plan_id: int) -> list[Request]:
    """What is to be done, the longest waiting first."""
    query = sa.select(requests).where(requests.c.status == OPEN, requests.c.plan_id == plan_id)
    return [Request(**row) for row in db.execute(query.order_by(requests.c.asked_at, requests.c.user_key)).mappings()]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many are to be moved ahead of their wave, since when the first of them waits, and how many for what reason."""

    users: int
    since: datetime | None
    reasons: dict[str | None, int]


def waiting(db: sa.Connection, plan_id: int) -> Waiting:
    """Count what is to be done, by what it waits for; the most frequent reason first."""
    count = sa.func.count().label("users")
    query = sa.select(requests.c.reason, count, sa.func.min(requests.c.asked_at, type_=Utc))
    query = query.where(requests.c.status == OPEN, requests.c.plan_id == plan_id).group_by(requests.c.reason)
    rows = [(reason, int(users), since) for reason, users, since in db.execute(query)]
    reasons = {reason: users for reason, users, _ in sorted(rows, key=lambda row: (-row[1], row[0] or ""))}
    return Waiting(sum(reasons.values()), min((row[2] for row in rows), default=None), reasons)


def taken_since(db: sa.Connection, moment: datetime) -> int:
    """How many were given a batch since then."""
    return int(db.scalar(sa.select(sa.func.count()).where(requests.c.taken_at > moment)) or 0)


def note(db: sa.Connection, plan_id: int, keys: Sequence[str], **values: Any) -> None:
    """Write what has become of the requests of these users."""
    mine = (requests.c.plan_id == plan_id, requests.c.user_key.in_(keys))
    db.execute(sa.update(requests).where(*mine).values(**values))


def put(db: sa.Connection, plan_id: int, keys: Sequence[str], batch_id: int, left: Collection[int]) -> int:
    """Users who wait, in no batch or in one of those *left*, are in this one from now on; how many."""
    free = sa.or_(users.c.batch_id.is_(None), users.c.batch_id.in_(list(left)))
    waiting = (users.c.plan_id == plan_id, users.c.user_key.in_(keys), users.c.status == User.PLANNED.value, free)
    return db.execute(sa.update(users).where(*waiting).values(batch_id=batch_id)).rowcount


def asked_for(db: sa.Connection, batch_id: int) -> bool:
    """Whether a batch was made for a request."""
    query = sa.select(requests.c.user_key).where(requests.c.batch_id == batch_id, requests.c.status == OPEN)
    return db.execute(query.limit(1)).first() is not None


def batches_under_way(wave_id: int) -> sa.Select[Any]:
    """The batches of a wave that were made for requests and have not ended."""
    open_batch = batches.c.status.in_([Batch.READY.value, Batch.RUNNING.value])
    made = sa.exists().where(requests.c.batch_id == batches.c.id)
    return sa.select(batches.c.id).where(batches.c.wave_id == wave_id, open_batch, made)
