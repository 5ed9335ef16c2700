"""Users who left a batch whose books go on: until they are counted anew, this says which books they were in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store.among import among
from migrator.store.tables import batches, leavers, users


class Leaver(NamedTuple):
    """A user, the batch he left, and whether he took his share of its books along when he went."""

    user_key: str
    batch_id: int
    parted: bool


def note_held(db: sa.Connection, plan_id: int, keys: Collection[str]) -> None:
    """Held users are sent again: what their batch counted of them counts until they are read anew."""
    forget(db, plan_id, keys)
    mine = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    held = (users.c.status == Status.HELD.value, users.c.batch_id.is_not(None))
    columns = ("plan_id", "user_key", "batch_id", "parted")
    found = sa.select(users.c.plan_id, users.c.user_key, users.c.batch_id, sa.false()).where(*mine, *held)
    db.execute(sa.insert(leavers).from_select(columns, found))


def note_parted(db: sa.Connection, plan_id: int, batch_id: int, keys: Iterable[str]) -> None:
    """Users have gone back, and their share with them."""
    gone = list(keys)
    forget(db, plan_id, gone)
    if gone:
        same = {"plan_id": plan_id, "batch_id": batch_id, "parted": True}
        db.execute(sa.insert(leavers), [{**same, "user_key": key} for key in gone])


def parted(db: sa.Connection, plan_id: int, batch_id: int) -> set[str]:
    """Whose share was taken out of the books of a batch."""
    mine = (leavers.c.plan_id == plan_id, leavers.c.batch_id == batch_id, leavers.c.parted.is_(True))
    return set(db.scalars(sa.select(leavers.c.user_key).where(*mine)))


def gone_from(db: sa.Connection, wave_id: int) -> dict[int, int]:
    """How many have gone back from each batch of a wave that still has books, and were not read anew yet."""
    theirs = (batches.c.id == leavers.c.batch_id, batches.c.wave_id == wave_id, leavers.c.parted.is_(True))
    query = sa.select(leavers.c.batch_id, sa.func.count()).where(*theirs).group_by(leavers.c.batch_id)
    return {batch_id: int(count) for batch_id, count in db.execute(query)}


def of_batch(db: sa.Connection, batch_id: int) -> list[Leaver]:
    """Those of a batch who were in another one before; nearly always there is nobody in the whole plan."""
    if db.execute(sa.select(leavers.c.user_key).limit(1)).first() is None:
        return []
    same = (users.c.plan_id == leavers.c.plan_id, users.c.user_key == leavers.c.user_key)
    query = sa.select(leavers.c.user_key, leavers.c.batch_id, leavers.c.parted).where(*same)
    query = query.where(users.c.batch_id == batch_id).order_by(leavers.c.batch_id, leavers.c.user_key)
    return [Leaver(*row) for row in db.execute(query)]


def forget(db: sa.Connection, plan_id: int, keys: Collection[str]) -> None:
    """They are counted where they are now."""
    db.execute(sa.delete(leavers).where(leavers.c.plan_id == plan_id, among(db, leavers.c.user_key, keys)))
