"""
Cutting batches off a wave while it runs: the users that have none yet stand in `place` order, and a mark says how far.

A cut is a few statements however large the wave is, and touches no user: the batch has the places of its users until it
is taken (`users.take`). The mark moves only from where it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from migrator.rollout.pace import LOOK_BACK, Ended
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches as batch_rows
from migrator.store import requests
from migrator.store.tables import batches, users, waves
from migrator.store.waves import Wave as WaveRow


def planned(db: sa.Connection, wave_id: int) -> list[tuple[str, str, int | None]]:
    """Key, the one with whom he travels (himself, where alone) and place of all planned users of a wave."""
    leader = sa.func.coalesce(users.c.group_key, users.c.user_key)
    query = sa.select(users.c.user_key, leader, users.c.place).where(*_planned(wave_id), _not_asked_for(wave_id))
    return [(key, with_, place) for key, with_, place in db.execute(query)]


def place(db: sa.Connection, plan_id: int, places: Mapping[str, int]) -> None:
    """Note in which order users are cut."""
    statement = (
        sa.update(users)
        .where(users.c.plan_id == plan_id, users.c.user_key == sa.bindparam("key"))
        .values(place=sa.bindparam("at"))
    )
    if places:
        db.execute(statement, [{"key": key, "at": at} for key, at in places.items()])


def take_apart(db: sa.Connection, wave_id: int) -> None:
    """Planned users of a wave are in no batch any more."""
    mine = (*_planned(wave_id), users.c.batch_id.is_not(None), _not_asked_for(wave_id))
    db.execute(sa.update(users).where(*mine).values(batch_id=None))


def begin(db: sa.Connection, wave_id: int) -> None:
    """From here on batches are cut from the first place."""
    db.execute(sa.update(waves).where(waves.c.id == wave_id).values(uncut_from=0, batch_size=None, measured=0))


def next_batch(db: sa.Connection, wave: WaveRow, size: int) -> int | None:
    """
    Cut one batch of *size* users off a running wave; its id, None where nothing is left or somebody else was faster.

    Who must stay together is never parted: a batch is larger than *size* only where that takes it.
    """
    if wave.uncut_from is None:
        return None
    uncut = (*_planned(wave.id), users.c.place >= wave.uncut_from, users.c.batch_id.is_(None))
    piece = _piece(db, wave, uncut, size)
    if not _move_mark(db, wave, piece.next) or not piece.users:
        return None
    ordinal = batch_rows.last_ordinal(db, wave.id) + 1
    return batch_rows.add_places(db, wave.id, ordinal, piece.users, wave.uncut_from, piece.end)


def left(db: sa.Connection, wave: WaveRow) -> int:
    """How many users of a running wave stand behind the mark, about: some may have been moved ahead of it."""
    last = db.scalar(sa.select(sa.func.max(users.c.place)).where(users.c.wave_id == wave.id))
    return 0 if last is None or wave.uncut_from is None else int(last) + 1 - wave.uncut_from


def keep_size(db: sa.Connection, wave_id: int, size: int, measured: int) -> None:
    """The next batch has this size, by what so many ended batches took."""
    db.execute(sa.update(waves).where(waves.c.id == wave_id).values(batch_size=size, measured=measured))


def ended(db: sa.Connection, wave_id: int) -> tuple[int, list[Ended]]:
    """
    How many batches of a wave were done at the first try, and what the last of them took, oldest first.

    One that was tried again says nothing: its time is that of outages and pauses.
    """
    done = (batches.c.status == Batch.DONE.value, batches.c.fence == 1, batches.c.op == batch_rows.MOVE)
    mine = (batches.c.wave_id == wave_id, *done)
    count = int(db.scalar(sa.select(sa.func.count()).where(*mine)) or 0)
    query = sa.select(batches.c.users, batches.c.started_at, batches.c.finished_at, batches.c.memory).where(*mine)
    newest = db.execute(query.order_by(batches.c.finished_at.desc(), batches.c.id.desc()).limit(LOOK_BACK)).all()
    return count, [
        Ended(row.users, (row.finished_at - row.started_at).total_seconds(), row.memory) for row in reversed(newest)
    ]


def _not_asked_for(wave_id: int) -> sa.ColumnElement[bool]:
    """Who is to be moved ahead of his wave stays in the batch that was made for him."""
    return sa.or_(users.c.batch_id.is_(None), users.c.batch_id.not_in(requests.batches_under_way(wave_id)))


def _planned(wave_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (users.c.wave_id == wave_id, users.c.status == User.PLANNED.value)


class _Piece(NamedTuple):
    """How many users the next batch has, the place before which it ends, and where the one after it begins, if any."""

    users: int
    end: int
    next: int | None


def _piece(db: sa.Connection, wave: WaveRow, uncut: Sequence[sa.ColumnElement[bool]], size: int) -> _Piece:
    in_order = sa.select(users.c.place, users.c.group_key).where(*uncut).order_by(users.c.place)
    beyond = db.execute(in_order.offset(size).limit(1)).first()
    if beyond is not None and beyond.group_key is None:
        return _Piece(size, beyond.place, beyond.place)
    following = None if beyond is None else _beside(db, wave, uncut, beyond.group_key)
    mine = uncut if following is None else (*uncut, users.c.place < following)
    count, last = db.execute(sa.select(sa.func.count(), sa.func.max(users.c.place)).where(*mine)).one()
    return _Piece(count, 0 if last is None else last + 1, following)


def _beside(db: sa.Connection, wave: WaveRow, uncut: Sequence[sa.ColumnElement[bool]], group: str) -> int:
    """The place before which a batch ends that this group reaches beyond: it stays behind, unless nobody is before it."""
    together = sa.select(users.c.place).where(users.c.plan_id == wave.plan_id, users.c.group_key == group, *uncut)
    places = sorted(db.scalars(together))
    first = db.scalar(sa.select(users.c.place).where(*uncut).order_by(users.c.place).limit(1))
    return int(places[0]) if places[0] != first else int(places[-1]) + 1


def _move_mark(db: sa.Connection, wave: WaveRow, end: int | None) -> bool:
    still = (waves.c.id == wave.id, waves.c.status == Wave.RUNNING.value, waves.c.uncut_from == wave.uncut_from)
    done: Any = db.execute(sa.update(waves).where(*still).values(uncut_from=end))
    return bool(done.rowcount == 1)
