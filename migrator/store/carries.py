"""Carries, and whom they have frozen: users whom the target served, and who are served read-only until they are back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.store.among import among
from migrator.store.control import clock
from migrator.store.homes import MOVING, TARGET
from migrator.store.retention import DEPENDENT
from migrator.store.tables import batches, carries, returners, snapshot_holds, users


@dataclass(frozen=True, slots=True)
class Carry:
    """One of them as stored; its id names the sealed file, which is of its batch and mapping set."""

    id: int
    plan_id: int
    batch_id: int
    policy: str
    actor: str
    set_hash: str
    users: int
    counts: dict[str, Any] | None
    kept_at: datetime | None
    begun_at: datetime
    ended_at: datetime | None
    expired_at: datetime | None


def begin(
    db: sa.Connection, plan_id: int, batch_id: int, set_hash: str, policy: str, actor: str, users_: int, now: datetime
) -> int:
    """Store one; its id."""
    done = db.execute(
        sa.insert(carries).values(
            plan_id=plan_id,
            batch_id=batch_id,
            set_hash=set_hash,
            policy=policy,
            actor=actor,
            users=users_,
            begun_at=now,
        )
    )
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def get(db: sa.Connection, carry_id: int) -> Carry | None:
    """One by its id, or None."""
    row = db.execute(sa.select(carries).where(carries.c.id == carry_id)).mappings().first()
    return Carry(**row) if row else None


def kept(db: sa.Connection, plan_id: int) -> list[Carry]:
    """Those of a plan whose sealed file is there, oldest first."""
    query = sa.select(carries).where(
        carries.c.plan_id == plan_id, carries.c.kept_at.is_not(None), carries.c.expired_at.is_(None)
    )
    return [Carry(**row) for row in db.execute(query.order_by(carries.c.id)).mappings()]


def outworn(db: sa.Connection, before: datetime) -> list[Carry]:
    """Those with a file, begun before a time, of batches that nobody who may go back depends on, nor are held."""
    depends = (
        sa.select(users.c.batch_id)
        .where(users.c.batch_id == carries.c.batch_id)
        .where(users.c.status.in_([one.value for one in DEPENDENT]))
    )
    holding = sa.select(batches.c.id).join(snapshot_holds, snapshot_holds.c.wave_id == batches.c.wave_id)
    held = holding.where(batches.c.id == carries.c.batch_id, snapshot_holds.c.released_at.is_(None))
    query = sa.select(carries).where(
        carries.c.kept_at.is_not(None),
        carries.c.expired_at.is_(None),
        carries.c.begun_at <= before,
        ~depends.exists(),
        ~held.exists(),
    )
    return [Carry(**row) for row in db.execute(query.order_by(carries.c.id)).mappings()]


def keep(db: sa.Connection, carry_id: int, now: datetime) -> None:
    """Its sealed file is there."""
    db.execute(sa.update(carries).where(carries.c.id == carry_id).values(kept_at=now))


def expire(db: sa.Connection, carry_id: int, now: datetime) -> None:
    """Its sealed file is there no more."""
    db.execute(sa.update(carries).where(carries.c.id == carry_id).values(expired_at=now))


def end(db: sa.Connection, carry_id: int, counts: Mapping[str, Any], now: datetime) -> None:
    """It is over; what came of it."""
    db.execute(sa.update(carries).where(carries.c.id == carry_id).values(counts=dict(counts), ended_at=now))


def freeze(db: sa.Connection, carry: int, plan_id: int, keys: Collection[str], budget: timedelta) -> list[str]:
    """
    Let those of the users whom the target serves be served read-only, for *budget* at most; who they are.

    Who was frozen by a carry before is frozen by this one from now on: that one sees it before it writes.
    """
    now = clock(db)
    theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    going = sa.func.coalesce(users.c.status, "") == User.ROLLING_BACK.value
    served = users.c.home.in_((TARGET, MOVING))
    changed = sa.update(users).where(*theirs, going, served).values(home=MOVING).returning(users.c.user_key)
    found = sorted(db.scalars(changed))
    if found:
        mine = (returners.c.plan_id == plan_id, among(db, returners.c.user_key, found))
        db.execute(sa.delete(returners).where(*mine))
        row = {"plan_id": plan_id, "carry_id": carry, "since": now, "until": now + budget}
        db.execute(sa.insert(returners), [{**row, "user_key": key} for key in found])
    return found


def holds(db: sa.Connection, carry: int, keys: Collection[str]) -> bool:
    """Whether all of the users are still frozen by this one."""
    mine = (returners.c.carry_id == carry, returners.c.until > clock(db), among(db, returners.c.user_key, keys))
    return db.scalar(sa.select(sa.func.count()).select_from(returners).where(*mine)) == len(set(keys))


def thaw(db: sa.Connection, plan_id: int, keys: Collection[str], carry: int | None = None) -> list[str]:
    """The target serves these users again as before, unless somebody decides otherwise now; who was frozen."""
    mine = [returners.c.plan_id == plan_id, among(db, returners.c.user_key, keys)]
    mine += [] if carry is None else [returners.c.carry_id == carry]
    found = sorted(db.scalars(sa.delete(returners).where(*mine).returning(returners.c.user_key)))
    if found:
        theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, found), users.c.home == MOVING)
        db.execute(sa.update(users).where(*theirs).values(home=TARGET))
    return found


def overdue(db: sa.Connection) -> dict[int, list[str]]:
    """Per plan who is frozen although his time is over: whoever was at it is dead."""
    found: dict[int, list[str]] = {}
    query = sa.select(returners.c.plan_id, returners.c.user_key).where(returners.c.until <= clock(db))
    for plan_id, key in db.execute(query.order_by(returners.c.plan_id, returners.c.user_key)):
        found.setdefault(plan_id, []).append(key)
    return found
