"""Batches, their leases and fences. Every change of status is conditional; time is the database's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import Batch as Status
from migrator.store.control import clock
from migrator.store.tables import batches, users

MOVE, SYNC = "move", "sync"  # what a batch does: the dispatcher, gates and paces know those of a move only
_OF_A_MOVE = batches.c.op == MOVE


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as stored."""

    id: int
    wave_id: int
    ordinal: int
    ramp: bool
    users: int
    status: Status
    fence: int
    owner: str | None
    lease_until: datetime | None
    progress_at: datetime | None
    attempts: int
    interruptions: int
    not_before: datetime | None
    dispatch_no: int
    rung_at: datetime | None
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    rows: int | None
    memory: int | None = None
    op: str = "move"
    from_place: int | None = None
    to_place: int | None = None


def _batch(row: Any) -> Batch:
    return Batch(**{**row, "status": Status(row["status"])})


def add(
    db: sa.Connection,
    wave_id: int,
    ordinal: int,
    user_keys: Sequence[str],
    plan_id: int,
    *,
    ramp: bool,
    attempts: int = 0,
    interruptions: int = 0,
) -> int:
    """Store a ready batch and put its users into it; its id. A part of another inherits what that has used up."""
    inserted = db.execute(
        sa.insert(batches).values(
            wave_id=wave_id,
            ordinal=ordinal,
            ramp=ramp,
            users=len(user_keys),
            status=Status.READY.value,
            attempts=attempts,
            interruptions=interruptions,
        )
    ).inserted_primary_key
    assert inserted is not None
    batch_id = int(inserted[0])
    assign = (
        sa.update(users)
        .where(users.c.plan_id == plan_id, users.c.user_key == sa.bindparam("key"))
        .values(batch_id=batch_id)
    )
    if user_keys:
        db.execute(assign, [{"key": key} for key in user_keys])
    return batch_id


def add_places(db: sa.Connection, wave_id: int, ordinal: int, users: int, from_place: int, to_place: int) -> int:
    """Store a ready batch of the users who stand there and have no batch; its id."""
    values = {"users": users, "from_place": from_place, "to_place": to_place, "status": Status.READY.value}
    stored = db.execute(sa.insert(batches).values(wave_id=wave_id, ordinal=ordinal, ramp=False, **values))
    return int(stored.inserted_primary_key[0])  # type: ignore[index]


def get(db: sa.Connection, batch_id: int) -> Batch | None:
    """One batch, or None."""
    row = db.execute(sa.select(batches).where(batches.c.id == batch_id)).mappings().first()
    return _batch(row) if row else None


def of_wave(db: sa.Connection, wave_id: int, statuses: Iterable[Status] | None = None) -> list[Batch]:
    """Batches of a wave in their order; only those in *statuses* where given."""
    mine = (batches.c.wave_id == wave_id, _OF_A_MOVE)
    query = sa.select(batches).where(*mine).order_by(batches.c.ordinal, batches.c.id)
    if statuses is not None:
        query = query.where(batches.c.status.in_([status.value for status in statuses]))
    return [_batch(row) for row in db.execute(query).mappings()]


def begin_sync(db: sa.Connection, wave_id: int, users_: int, owner: str, lease: timedelta) -> Batch:
    """
    Store a batch that is leased from the start and brings over users of a wave again: nobody else hands it out.

    Its users stay in the batch that moved them until it is done.
    """
    now = clock(db)
    inserted = db.execute(
        sa.insert(batches).values(
            wave_id=wave_id,
            ordinal=last_ordinal(db, wave_id) + 1,
            ramp=False,
            users=users_,
            status=Status.RUNNING.value,
            op=SYNC,
            fence=1,
            owner=owner,
            lease_until=now + lease,
            progress_at=now,
            started_at=now,
        )
    ).inserted_primary_key
    assert inserted is not None
    begun = get(db, int(inserted[0]))
    assert begun is not None
    return begun


def last_ordinal(db: sa.Connection, wave_id: int) -> int:
    """The highest ordinal used in a wave, 0 for none."""
    return int(db.scalar(sa.select(sa.func.max(batches.c.ordinal)).where(batches.c.wave_id == wave_id)) or 0)


def claim(db: sa.Connection, batch_id: int, dispatch_no: int | None, owner: str, lease: timedelta) -> Batch | None:
    """
    Take a free batch: fence + 1, lease until now + *lease*. None when somebody else has it or it is not wanted.

    Args:
        dispatch_no: The number the message carried; an older message is not heeded. None takes it without one.
    """
    now = clock(db)
    free = sa.or_(
        batches.c.status == Status.READY.value,
        sa.and_(batches.c.status == Status.RUNNING.value, batches.c.lease_until < now),
    )
    expected = () if dispatch_no is None else (batches.c.dispatch_no == dispatch_no,)
    done = db.execute(
        sa.update(batches)
        .where(batches.c.id == batch_id, free, *expected)
        .values(
            status=Status.RUNNING.value,
            fence=batches.c.fence + 1,
            owner=owner,
            lease_until=now + lease,
            progress_at=now,
            started_at=sa.func.coalesce(batches.c.started_at, now),
            error=None,
        )
    )
    return get(db, batch_id) if done.rowcount == 1 else None


def end_lease(db: sa.Connection, batch: Batch) -> None:
    """Whoever holds the batch is gone: whoever wants it may take it."""
    _mine(db, batch, lease_until=clock(db) - timedelta(seconds=1))


def forget_places(db: sa.Connection, batch_id: int) -> None:
    """The users of a batch know it now."""
    db.execute(sa.update(batches).where(batches.c.id == batch_id).values(from_place=None, to_place=None))


def refence(db: sa.Connection, batch_id: int) -> int:
    """Raise the fence of a batch that is not running (for a rollback); the new one."""
    db.execute(sa.update(batches).where(batches.c.id == batch_id).values(fence=batches.c.fence + 1))
    return int(db.scalar(sa.select(batches.c.fence).where(batches.c.id == batch_id)) or 0)


def renew(db: sa.Connection, batch: Batch, lease: timedelta, *, progressed: bool) -> bool:
    """Keep the lease; False when it is lost."""
    now = clock(db)
    values: dict[str, Any] = {"lease_until": now + lease}
    if progressed:
        values["progress_at"] = now
    return _mine(db, batch, **values)


def finish(db: sa.Connection, batch: Batch, rows: int, memory: int | None = None) -> bool:
    """The batch is done, if it still is ours; its worker held so many megabytes then."""
    return _mine(db, batch, status=Status.DONE.value, finished_at=clock(db), lease_until=None, rows=rows, memory=memory)


def give_back(db: sa.Connection, batch: Batch, error: str, delay: timedelta) -> bool:
    """Ready again after *delay*; one attempt is used."""
    return _mine(
        db,
        batch,
        status=Status.READY.value,
        lease_until=None,
        owner=None,
        error=error,
        attempts=batch.attempts + 1,
        not_before=clock(db) + delay,
        rung_at=None,
    )


def fail(db: sa.Connection, batch: Batch, error: str) -> bool:
    """No more attempts."""
    return _mine(db, batch, status=Status.FAILED.value, lease_until=None, error=error, finished_at=clock(db))


def close_split(db: sa.Connection, batch: Batch) -> bool:
    """The batch lives on in its parts."""
    return _mine(db, batch, status=Status.SPLIT.value, lease_until=None, finished_at=clock(db))


def forget_ring(db: sa.Connection, batch_ids: Iterable[int]) -> None:
    """A message that could not be sent is due again at once."""
    lost = list(batch_ids)
    for start in range(0, len(lost), 5000):
        db.execute(sa.update(batches).where(batches.c.id.in_(lost[start : start + 5000])).values(rung_at=None))


def forget_rings(db: sa.Connection, wave_id: int) -> None:
    """No message for a waiting batch of this wave counts any more: each is rung for again."""
    ready = (batches.c.wave_id == wave_id, batches.c.status == Status.READY.value)
    db.execute(sa.update(batches).where(*ready).values(rung_at=None, dispatch_no=batches.c.dispatch_no + 1))


def _mine(db: sa.Connection, batch: Batch, **values: Any) -> bool:
    """Write only under our own fence."""
    done = db.execute(
        sa.update(batches)
        .where(batches.c.id == batch.id, batches.c.fence == batch.fence, batches.c.status == Status.RUNNING.value)
        .values(**values)
    )
    return done.rowcount == 1


def expired(db: sa.Connection) -> list[Batch]:
    """Running batches of a move whose lease has run out."""
    dead = (batches.c.status == Status.RUNNING.value, batches.c.lease_until < clock(db))
    query = sa.select(batches).where(*dead, _OF_A_MOVE)
    return [_batch(row) for row in db.execute(query).mappings()]


def leased(db: sa.Connection, wave_id: int | None = None) -> int:
    """How many batches (of a wave) a worker holds right now."""
    held = (batches.c.status == Status.RUNNING.value, batches.c.lease_until >= clock(db))
    mine = () if wave_id is None else (batches.c.wave_id == wave_id,)
    return int(db.scalar(sa.select(sa.func.count()).where(*mine, *held)) or 0)


def reap(db: sa.Connection, batch: Batch) -> bool:
    """Take a dead lease back: ready again, one interruption more."""
    return _mine(
        db,
        batch,
        status=Status.READY.value,
        lease_until=None,
        owner=None,
        interruptions=batch.interruptions + 1,
        rung_at=None,
        error="the worker was lost",
    )


def ring(db: sa.Connection, batch: Batch) -> int | None:
    """Count up the dispatch number of a ready batch; the number to send, None if it is ready no more."""
    done = db.execute(
        sa.update(batches)
        .where(
            batches.c.id == batch.id,
            batches.c.status == Status.READY.value,
            batches.c.dispatch_no == batch.dispatch_no,
        )
        .values(dispatch_no=batch.dispatch_no + 1, rung_at=clock(db))
    )
    return batch.dispatch_no + 1 if done.rowcount == 1 else None


def drop_ready(db: sa.Connection, wave_id: int, why: str, *, but: sa.Select[Any] | None = None) -> int:
    """
    Waiting batches that nobody ever took fail without having run, *but* those; how many.

    One that was taken before may have been committed in the target by a worker that died: only the ledger knows.
    """
    spared = sa.false() if but is None else batches.c.id.in_(but)
    done = db.execute(
        sa.update(batches)
        .where(batches.c.wave_id == wave_id, batches.c.status == Status.READY.value, batches.c.fence == 0, ~spared)
        .values(status=Status.FAILED.value, error=why, finished_at=clock(db))
    )
    return done.rowcount


def hold(db: sa.Connection, batch_id: int, users_: int) -> None:
    """So many users are in the batch now."""
    db.execute(sa.update(batches).where(batches.c.id == batch_id).values(users=users_))


def leave(db: sa.Connection, batch_id: int, users_: int) -> bool:
    """
    Some users leave a batch for another one; False where they may not, as it was taken, or ends just now.

    Whoever wants to take it waits until the caller's transaction is over, and then finds them gone.
    """
    waiting = sa.and_(batches.c.status == Status.READY.value, batches.c.fence == 0)
    over = batches.c.status.in_([Status.DONE.value, Status.SPLIT.value, Status.FAILED.value])
    fewer = sa.case((over, batches.c.users), else_=batches.c.users - users_)
    mine = (batches.c.id == batch_id, sa.or_(waiting, over))
    return db.execute(sa.update(batches).where(*mine).values(users=fewer)).rowcount == 1


def leave_place(db: sa.Connection, wave_id: int, place: int) -> None:
    """The same of one user who stands there, where a waiting batch holds its users by their places."""
    there = (batches.c.from_place <= place, batches.c.to_place > place)
    mine = (batches.c.wave_id == wave_id, batches.c.status == Status.READY.value, *there)
    db.execute(sa.update(batches).where(*mine).values(users=batches.c.users - 1))


def counts(db: sa.Connection, wave_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Per wave, how many batches are in each status."""
    query = (
        sa.select(batches.c.wave_id, batches.c.status, sa.func.count())
        .where(batches.c.wave_id.in_(list(wave_ids)), _OF_A_MOVE)
        .group_by(batches.c.wave_id, batches.c.status)
    )
    result: dict[int, dict[str, int]] = {}
    for wave_id, status, count in db.execute(query):
        result.setdefault(wave_id, {})[status] = count
    return result


def held_users(db: sa.Connection, wave_id: int) -> dict[str, int]:
    """How many users the batches of a wave hold, by their status."""
    mine = (batches.c.wave_id == wave_id, _OF_A_MOVE)
    query = sa.select(batches.c.status, sa.func.sum(batches.c.users)).where(*mine)
    return {status: int(held) for status, held in db.execute(query.group_by(batches.c.status))}
