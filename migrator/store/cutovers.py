"""Cutovers and whom they have frozen. A row of `frozen` is taken out by one only: it is he who decides about the user."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.store.among import among
from migrator.store.control import clock
from migrator.store.homes import LEGACY, MOVING
from migrator.store.tables import cutovers, frozen, users


@dataclass(frozen=True, slots=True)
class Cutover:
    """One cutover as stored; *step* is what it does, or did when it was cut off."""

    id: int
    plan_id: int
    wave_id: int | None
    actor: str
    step: str
    step_at: datetime
    started_at: datetime
    ended_at: datetime | None
    live: int
    undone: int
    longest: float | None


def begin(db: sa.Connection, plan_id: int, wave_id: int | None, actor: str, now: datetime) -> int:
    """Store a cutover; its id."""
    same = {"plan_id": plan_id, "wave_id": wave_id, "actor": actor}
    done = db.execute(sa.insert(cutovers).values(**same, step="begin", step_at=now, started_at=now))
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def get(db: sa.Connection, cutover_id: int) -> Cutover:
    """One cutover by its id."""
    return Cutover(**db.execute(sa.select(cutovers).where(cutovers.c.id == cutover_id)).mappings().one())


def latest(db: sa.Connection, plan_id: int, wave_id: int | None = None) -> Cutover | None:
    """The newest one of a plan, or of one of its waves."""
    query = sa.select(cutovers).where(cutovers.c.plan_id == plan_id).order_by(cutovers.c.id.desc()).limit(1)
    row = db.execute(query if wave_id is None else query.where(cutovers.c.wave_id == wave_id)).mappings().first()
    return Cutover(**row) if row else None


def step(db: sa.Connection, cutover_id: int, name: str, now: datetime) -> None:
    """Write down what it does now."""
    db.execute(sa.update(cutovers).where(cutovers.c.id == cutover_id).values(step=name, step_at=now))


def count(db: sa.Connection, cutover_id: int, *, live: int = 0, undone: int = 0, seconds: float = 0.0) -> None:
    """Add up what has come of it; *seconds* that somebody was frozen."""
    longest = sa.func.coalesce(cutovers.c.longest, 0.0)
    db.execute(
        sa.update(cutovers)
        .where(cutovers.c.id == cutover_id)
        .values(
            live=cutovers.c.live + live,
            undone=cutovers.c.undone + undone,
            longest=sa.case((longest < seconds, seconds), else_=longest),
        )
    )


def end(db: sa.Connection, cutover_id: int, now: datetime) -> None:
    """It is over."""
    done = {"step": "done", "step_at": now, "ended_at": now}
    db.execute(sa.update(cutovers).where(cutovers.c.id == cutover_id).values(**done))


def freeze(db: sa.Connection, cutover: Cutover, keys: Collection[str], budget: timedelta) -> list[str]:
    """
    Let those of the users who are moved and served by legacy be served read-only, for *budget* at most; who they are.

    Whoever else wants to freeze one of them meets the lock on his row, and then a home that is legacy no more.
    """
    now = clock(db)
    theirs = (users.c.plan_id == cutover.plan_id, among(db, users.c.user_key, keys))
    still = (sa.func.coalesce(users.c.status, "") == User.MOVED.value, users.c.home == LEGACY)
    changed = sa.update(users).where(*theirs, *still).values(home=MOVING).returning(users.c.user_key)
    found = sorted(db.scalars(changed))
    rows = [
        {"plan_id": cutover.plan_id, "user_key": key, "cutover_id": cutover.id, "since": now, "until": now + budget}
        for key in found
    ]
    if rows:
        db.execute(sa.insert(frozen), rows)
    return found


def take(db: sa.Connection, cutover: Cutover, keys: Collection[str]) -> list[str]:
    """Of the users those whose freeze still holds; it ends here, and what becomes of them is the caller's."""
    mine = (frozen.c.cutover_id == cutover.id, frozen.c.plan_id == cutover.plan_id, frozen.c.until > clock(db))
    held = among(db, frozen.c.user_key, keys)
    return sorted(db.scalars(sa.delete(frozen).where(*mine, held).returning(frozen.c.user_key)))


def thaw(db: sa.Connection, cutover: Cutover) -> list[str]:
    """Whoever it still has frozen is served by legacy again, and may write; who that was."""
    return _thaw(db, frozen.c.cutover_id == cutover.id, cutover.plan_id)


def reap(db: sa.Connection) -> dict[int, list[str]]:
    """Whose time is over is served by legacy again, whatever has become of his cutover: by cutover, who that was."""
    over = frozen.c.until <= clock(db)
    dead = db.execute(sa.select(frozen.c.cutover_id, frozen.c.plan_id).where(over).distinct()).all()
    found = {
        one.cutover_id: _thaw(db, sa.and_(over, frozen.c.cutover_id == one.cutover_id), one.plan_id) for one in dead
    }
    return {cutover_id: keys for cutover_id, keys in found.items() if keys}


def frozen_until(db: sa.Connection, plan_id: int, keys: Collection[str]) -> datetime | None:
    """When the last freeze of one of these users ends at the latest; None: nobody is frozen."""
    held = (frozen.c.plan_id == plan_id, among(db, frozen.c.user_key, keys))
    found: datetime | None = db.scalar(sa.select(sa.func.max(frozen.c.until)).where(*held))
    return found


def overdue(db: sa.Connection) -> int:
    """How many are frozen although their time is over: nobody is there who reaps."""
    return int(db.scalar(sa.select(sa.func.count()).select_from(frozen).where(frozen.c.until <= clock(db))) or 0)


def _thaw(db: sa.Connection, which: sa.ColumnElement[bool], plan_id: int) -> list[str]:
    keys = sorted(db.scalars(sa.delete(frozen).where(which).returning(frozen.c.user_key)))
    if keys:
        theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys), users.c.home == MOVING)
        # who is being put back or erased meanwhile is somebody else's
        still = sa.func.coalesce(users.c.status, "") == User.MOVED.value
        db.execute(sa.update(users).where(*theirs, still).values(home=LEGACY))
    return keys
