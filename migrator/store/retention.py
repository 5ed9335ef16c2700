"""Which snapshots are recorded, who still depends on each, and which waves are held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.rollout.states import Wave as Status
from migrator.store.tables import Utc, batches, snapshot_holds, snapshots, users, waves

#: Users who can still be put back, or of whom nobody has said yet whether they were written.
DEPENDENT = (User.MOVING, User.MOVED, User.LIVE, User.ROLLING_BACK)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One snapshot; `dependents` users of its batch need it, `left_at` is when the last one changed."""

    plan_id: int
    wave: str
    wave_id: int
    wave_status: Status
    ended_at: datetime | None  # of the wave
    batch_id: int
    fence: int
    set_hash: str
    users: int
    kept_at: datetime
    expired_at: datetime | None
    dependents: int
    left_at: datetime | None


def recorded(db: sa.Connection) -> list[Recorded]:
    """All of all plans, in the order of plans, waves and batches."""
    depends = sa.case((users.c.status.in_([one.value for one in DEPENDENT]), 1), else_=0)
    of_batch = (
        sa.select(
            users.c.batch_id,
            sa.func.sum(depends).label("dependents"),
            sa.func.max(users.c.changed_at, type_=Utc).label("left_at"),
        )
        .where(users.c.batch_id.is_not(None))
        .group_by(users.c.batch_id)
        .subquery()
    )
    query = (
        sa.select(
            waves.c.plan_id,
            waves.c.name.label("wave"),
            waves.c.id.label("wave_id"),
            waves.c.status.label("wave_status"),
            waves.c.ended_at,
            snapshots.c.batch_id,
            snapshots.c.fence,
            snapshots.c.set_hash,
            snapshots.c.users,
            snapshots.c.kept_at,
            snapshots.c.expired_at,
            sa.func.coalesce(of_batch.c.dependents, 0).label("dependents"),
            of_batch.c.left_at,
        )
        .join(batches, batches.c.id == snapshots.c.batch_id)
        .join(waves, waves.c.id == batches.c.wave_id)
        .outerjoin(of_batch, of_batch.c.batch_id == snapshots.c.batch_id)
        .order_by(waves.c.plan_id, waves.c.ordinal, snapshots.c.batch_id, snapshots.c.fence)
    )
    return [
        Recorded(**{**row, "wave_status": Status(row["wave_status"]), "dependents": int(row["dependents"])})
        for row in db.execute(query).mappings()
    ]


def expire(db: sa.Connection, some: Iterable[Recorded], now: datetime) -> None:
    """Their time is over; from now on nobody looks for them."""
    for one in some:
        mine = (snapshots.c.batch_id == one.batch_id, snapshots.c.fence == one.fence)
        db.execute(sa.update(snapshots).where(*mine).values(expired_at=now))


def expired(db: sa.Connection, plan_id: int) -> set[tuple[int, int]]:
    """(batch, fence) of the snapshots of a plan that are gone on purpose."""
    query = (
        sa.select(snapshots.c.batch_id, snapshots.c.fence)
        .join(batches, batches.c.id == snapshots.c.batch_id)
        .join(waves, waves.c.id == batches.c.wave_id)
        .where(waves.c.plan_id == plan_id, snapshots.c.expired_at.is_not(None))
    )
    return {(batch, fence) for batch, fence in db.execute(query)}


def idle(db: sa.Connection, batch_ids: Iterable[int]) -> set[int]:
    """Those of some batches that will never run again, or that there are not."""
    wanted = sorted(set(batch_ids))
    open_ = sa.select(batches.c.id).where(batches.c.status.in_(["ready", "running"]))
    return set(wanted) - set(db.scalars(open_.where(batches.c.id.in_(wanted))))


def users_of(db: sa.Connection, batch_id: int, fence: int | None = None) -> list[str]:
    """The users of a batch who need its snapshot; those of one fence."""
    query = sa.select(users.c.user_key).where(
        users.c.batch_id == batch_id, users.c.status.in_([one.value for one in DEPENDENT])
    )
    if fence is not None:
        query = query.where(users.c.fence == fence)
    return list(db.scalars(query.order_by(users.c.user_key)))


def hold(db: sa.Connection, wave_id: int, reason: str, by: str, now: datetime) -> None:
    """Keep the snapshots of a wave whatever their age."""
    db.execute(sa.insert(snapshot_holds).values(wave_id=wave_id, reason=reason, held_by=by, held_at=now))


def release(db: sa.Connection, wave_id: int, by: str, now: datetime) -> int:
    """End the holds of a wave; how many there were."""
    mine = (snapshot_holds.c.wave_id == wave_id, snapshot_holds.c.released_at.is_(None))
    return db.execute(sa.update(snapshot_holds).where(*mine).values(released_by=by, released_at=now)).rowcount


def holds(db: sa.Connection) -> dict[int, str]:
    """Waves that are held, and why."""
    query = sa.select(snapshot_holds.c.wave_id, snapshot_holds.c.reason).where(snapshot_holds.c.released_at.is_(None))
    found: dict[int, str] = {}
    for wave_id, reason in db.execute(query.order_by(snapshot_holds.c.id)):
        found[wave_id] = f"{found[wave_id]}; {reason}" if wave_id in found else reason
    return found
