"""
Users who changed in legacy since they were moved: the queue of those to be brought over again, and who is on the way.

A user is in at most one batch at a time (`syncing`), and stays in the queue until a batch has brought over the newest
change that was found of him: whoever is found again meanwhile has a higher version than the batch took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store.among import among
from migrator.store.tables import batches, change_marks, changed_users, generations, syncing, users

VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Changed:
    """One user in the queue. `outcome` says why he still is: both · vanished · held · failed; None: not tried yet."""

    user_key: str
    version: int
    found_by: str
    found_at: datetime
    outcome: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Mover:
    """A moved user with the snapshot that holds him."""

    user_key: str
    wave_id: int
    batch_id: int
    fence: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A user whom a batch is bringing over again."""

    user_key: str
    batch_id: int
    version: int | None
    was_batch_id: int
    was_fence: int


# ---- the queue --------------------------------------------------------------------------------------------------


def note(db: sa.Connection, plan_id: int, keys: Iterable[str], found_by: str, now: datetime) -> int:
    """Put users into the queue, or say that they have changed once more; how many."""
    wanted = set(keys)
    known = _of(db, plan_id, wanted)
    again = sa.update(changed_users).where(_mine(db, plan_id, known))
    if known:
        found = {"version": changed_users.c.version + 1, "found_by": found_by, "found_at": now}
        db.execute(again.values(**found, outcome=None, reason=None))
    new = sorted(wanted - known)
    if new:
        row = {"plan_id": plan_id, "version": 1, "found_by": found_by, "found_at": now}
        db.execute(sa.insert(changed_users), [{**row, "user_key": key} for key in new])
    return len(wanted)


def queued(db: sa.Connection, plan_id: int, keys: Iterable[str] | None = None) -> list[Changed]:
    """Who is in the queue, in key order; only those among *keys* where given."""
    columns = [column for column in changed_users.c if column.name != "plan_id"]
    query = sa.select(*columns).where(changed_users.c.plan_id == plan_id)
    if keys is not None:
        query = query.where(among(db, changed_users.c.user_key, keys))
    return [Changed(**row) for row in db.execute(query.order_by(changed_users.c.user_key)).mappings()]


def count(db: sa.Connection, plan_id: int) -> int:
    """How long the queue is."""
    query = sa.select(sa.func.count()).select_from(changed_users).where(changed_users.c.plan_id == plan_id)
    return int(db.scalar(query) or 0)


def told(db: sa.Connection, plan_id: int, keys: Iterable[str], outcome: str, reason: str) -> None:
    """Say why users stay in the queue, although they were tried."""
    theirs = sa.update(changed_users).where(_mine(db, plan_id, keys))
    db.execute(theirs.values(outcome=outcome, reason=reason))


def forget(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> None:
    """Take users out of the queue: nothing is to be brought over."""
    db.execute(sa.delete(changed_users).where(_mine(db, plan_id, keys)))


def forget_who_went(db: sa.Connection, plan_id: int) -> int:
    """Take out of the queue whoever is not moved any more, or served by the target: his legacy rows are history."""
    # of who is moving now nobody knows whether he was read before the change or after it
    moving = sa.and_(users.c.plan_id == plan_id, users.c.status == Status.MOVING.value)
    there = sa.select(users.c.user_key).where(
        sa.or_(sa.and_(*_can_be_synced(plan_id)), moving, _half_taken_back(plan_id))
    )
    gone = (changed_users.c.plan_id == plan_id, changed_users.c.user_key.not_in(there))
    return db.execute(sa.delete(changed_users).where(*gone)).rowcount


def _half_taken_back(plan_id: int) -> sa.ColumnElement[bool]:
    """Who is gone from legacy and was being put back when that was cut off: the next time it is done to its end."""
    vanished = sa.select(changed_users.c.user_key).where(
        changed_users.c.plan_id == plan_id, changed_users.c.outcome == VANISHED
    )
    going = (users.c.plan_id == plan_id, users.c.status == Status.ROLLING_BACK.value)
    return sa.and_(*going, users.c.user_key.in_(vanished))


def to_be_taken_back(db: sa.Connection, plan_id: int) -> list[str]:
    """Users who are gone from legacy and not from the target, as far as the queue knows; some are half put back."""
    mine = (changed_users.c.plan_id == plan_id, changed_users.c.outcome == VANISHED)
    there = sa.select(users.c.user_key).where(sa.or_(sa.and_(*_can_be_synced(plan_id)), _half_taken_back(plan_id)))
    query = sa.select(changed_users.c.user_key).where(*mine, changed_users.c.user_key.in_(there))
    return list(db.scalars(query.order_by(changed_users.c.user_key)))


def movers(
    db: sa.Connection, plan_id: int, keys: Iterable[str] | None = None, wave_id: int | None = None
) -> list[Mover]:
    """Users who may be brought over again (moved, not served by the target), with the snapshot that holds each."""
    query = sa.select(*(users.c[name] for name in Mover.__slots__)).where(*_can_be_synced(plan_id))
    if keys is not None:
        query = query.where(among(db, users.c.user_key, keys))
    if wave_id is not None:
        query = query.where(users.c.wave_id == wave_id)
    return [Mover(*row) for row in db.execute(query.order_by(users.c.user_key))]


def moving(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> set[str]:
    """Those of *keys* whom a batch is moving now."""
    theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys), users.c.status == Status.MOVING.value)
    return set(db.scalars(sa.select(users.c.user_key).where(*theirs)))


def _can_be_synced(plan_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        users.c.plan_id == plan_id,
        users.c.status == Status.MOVED.value,
        users.c.home != "target",  # legacy, or frozen there by a cutover
        users.c.batch_id.is_not(None),
        users.c.fence.is_not(None),
    )


# ---- on the way -------------------------------------------------------------------------------------------------


def begin(db: sa.Connection, plan_id: int, batch_id: int, taken: Sequence[Mover], versions: Mapping[str, int]) -> None:
    """Put users into a batch that brings them over; nobody of them is in another one (see `busy`)."""
    db.execute(
        sa.insert(syncing),
        [
            {
                "plan_id": plan_id,
                "user_key": one.user_key,
                "batch_id": batch_id,
                "version": versions.get(one.user_key),
                "was_batch_id": one.batch_id,
                "was_fence": one.fence,
            }
            for one in taken
        ],
    )


def busy(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> set[str]:
    """Those of *keys* whom a batch is bringing over."""
    query = sa.select(syncing.c.user_key).where(syncing.c.plan_id == plan_id, among(db, syncing.c.user_key, keys))
    return set(db.scalars(query))


def begun(db: sa.Connection, batch_id: int) -> list[Begun]:
    """Whom a batch is bringing over."""
    query = sa.select(*(syncing.c[name] for name in Begun.__slots__)).where(syncing.c.batch_id == batch_id)
    return [Begun(*row) for row in db.execute(query.order_by(syncing.c.user_key))]


def open_batches(db: sa.Connection, plan_id: int, wave_ids: Iterable[int] | None = None) -> list[int]:
    """Batches that are bringing users over, or were when their process died."""
    query = sa.select(syncing.c.batch_id).where(syncing.c.plan_id == plan_id).distinct()
    if wave_ids is not None:
        query = query.join(batches, batches.c.id == syncing.c.batch_id).where(batches.c.wave_id.in_(list(wave_ids)))
    return sorted(db.scalars(query))


def arrive(
    db: sa.Connection, plan_id: int, batch_id: int, fence: int, arrived: Mapping[int, Sequence[str]], now: datetime
) -> None:
    """
    Users were brought over: the new snapshot holds them, whatever their status is by now.

    Args:
        arrived: Users by the generation of the ledger they are at.
    """
    for generation, keys in arrived.items():
        still = _still_there(batch_id).where(among(db, syncing.c.user_key, keys))
        columns = [column.name for column in generations.c]
        former = still.with_only_columns(
            syncing.c.plan_id, syncing.c.user_key, syncing.c.was_batch_id, syncing.c.was_fence, users.c.generation,
            sa.literal(now, generations.c.replaced_at.type),
        )  # fmt: skip
        db.execute(sa.insert(generations).from_select(columns, former))
        theirs = (users.c.plan_id == plan_id, users.c.user_key.in_(still.with_only_columns(syncing.c.user_key)))
        db.execute(sa.update(users).where(*theirs).values(batch_id=batch_id, fence=fence, generation=generation))
        newest = sa.select(syncing.c.user_key).where(
            syncing.c.batch_id == batch_id,
            syncing.c.user_key == changed_users.c.user_key,
            syncing.c.version == changed_users.c.version,
        )
        db.execute(sa.delete(changed_users).where(_mine(db, plan_id, keys), newest.exists()))


def _still_there(batch_id: int) -> sa.Select[Any]:
    """Users on the way whom no other snapshot holds than the one they were taken from."""
    same = sa.and_(users.c.plan_id == syncing.c.plan_id, users.c.user_key == syncing.c.user_key)
    held = (users.c.batch_id == syncing.c.was_batch_id, users.c.fence == syncing.c.was_fence)
    return sa.select(syncing.c.user_key).join(users, same).where(syncing.c.batch_id == batch_id, *held)


def end(db: sa.Connection, batch_id: int, keys: Iterable[str] | None = None) -> None:
    """Users of a batch are on the way no more; all of them, or some."""
    query = sa.delete(syncing).where(syncing.c.batch_id == batch_id)
    db.execute(query if keys is None else query.where(among(db, syncing.c.user_key, keys)))


def generations_of(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> list[dict[str, Any]]:
    """The snapshots that held users before they were brought over again, oldest first."""
    mine = (generations.c.plan_id == plan_id, among(db, generations.c.user_key, keys))
    query = sa.select(generations).where(*mine).order_by(generations.c.user_key, generations.c.generation)
    return [dict(row) for row in db.execute(query).mappings()]


# ---- marks ------------------------------------------------------------------------------------------------------


def mark(db: sa.Connection, plan_id: int, source: str) -> str | None:
    """How far a source was read; None: never."""
    query = sa.select(change_marks.c.mark).where(change_marks.c.plan_id == plan_id, change_marks.c.source == source)
    return db.scalar(query)


def marked_at(db: sa.Connection, plan_id: int, source: str) -> datetime | None:
    """When a source was read last."""
    query = sa.select(change_marks.c.at).where(change_marks.c.plan_id == plan_id, change_marks.c.source == source)
    return db.scalar(query)


def keep_mark(db: sa.Connection, plan_id: int, source: str, text: str, now: datetime) -> None:
    """Note how far a source was read."""
    mine = (change_marks.c.plan_id == plan_id, change_marks.c.source == source)
    if not db.execute(sa.update(change_marks).where(*mine).values(mark=text, at=now)).rowcount:
        db.execute(sa.insert(change_marks).values(plan_id=plan_id, source=source, mark=text, at=now))


def _of(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> set[str]:
    return set(db.scalars(sa.select(changed_users.c.user_key).where(_mine(db, plan_id, keys))))


def _mine(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.and_(changed_users.c.plan_id == plan_id, among(db, changed_users.c.user_key, keys))
