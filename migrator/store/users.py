"""One row per user and plan: where everybody is. Statuses change set-wise and only from what they are."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store import bulk
from migrator.store.among import among
from migrator.store.tables import users

if TYPE_CHECKING:
    import polars as pl

USER, ROWS = "user", "rows"  # kinds: a person, or a row of nobody that is its own owner


@dataclass(frozen=True, slots=True)
class User:
    """One user as stored."""

    plan_id: int
    user_key: str
    kind: str
    group_key: str | None
    tier: str
    code: str
    r: int | None
    f: int
    m: str
    wave_id: int | None
    batch_id: int | None
    status: Status
    home: str
    reason: str | None
    locale: str | None
    email_print: str | None
    contact: bytes | None
    fence: int | None
    generation: int | None
    changed_at: datetime
    place: int | None = None


class Placed(NamedTuple):
    """Where one user is who is in the target, or was on the way there."""

    user_key: str
    home: str
    wave_id: int | None
    batch_id: int
    fence: int

    @classmethod
    def of(cls, user: User) -> Placed | None:
        """The same of a user as stored; None without a snapshot."""
        if user.batch_id is None or user.fence is None:
            return None
        return cls(user.user_key, user.home, user.wave_id, user.batch_id, user.fence)


def _user(row: Any) -> User:
    return User(**{**row, "status": Status(row["status"])})


def add(db: sa.Connection, plan_id: int, lots: Iterable[pl.DataFrame]) -> None:
    """Store users of a plan, in bulk: columns of the table, the same in all *lots*; those left out stay empty."""
    bulk.insert(db, users, lots, plan_id=plan_id)


def filling(db: sa.Connection) -> AbstractContextManager[None]:
    """Within it all users of a plan are added."""
    return bulk.filling(db, users, ("ix_users_counts", "ix_users_email_print"))  # the others are filled in their order


def get(db: sa.Connection, plan_id: int, key: str) -> User | None:
    """One user, or None."""
    row = db.execute(sa.select(users).where(users.c.plan_id == plan_id, users.c.user_key == key)).mappings().first()
    return _user(row) if row else None


def by_email(db: sa.Connection, plan_id: int, email_print: str) -> list[User]:
    """Users with this keyed hash of an e-mail address."""
    query = sa.select(users).where(users.c.plan_id == plan_id, users.c.email_print == email_print)
    found = [_user(row) for row in db.execute(query).mappings()]  # asked for in order, SQLite would take another index
    return sorted(found, key=lambda one: one.user_key)


def some(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> list[User]:
    """These users, in key order."""
    query = sa.select(users).where(users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    return [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]


def of_batch(db: sa.Connection, batch_id: int, statuses: Iterable[Status] | None = None) -> list[str]:
    """Keys of the users of a batch, in their order; only those in *statuses* where given."""
    query = sa.select(users.c.user_key).where(users.c.batch_id == batch_id)
    if statuses is not None:
        query = query.where(users.c.status.in_([status.value for status in statuses]))
    return list(db.scalars(query.order_by(users.c.user_key)))


def any_of(db: sa.Connection, wave_id: int, status: Status) -> bool:
    """Whether somebody of a wave is in this status."""
    some = sa.select(users.c.user_key).where(users.c.wave_id == wave_id, users.c.status == status.value).limit(1)
    return db.execute(some).first() is not None


def of_wave(db: sa.Connection, wave_id: int, statuses: Iterable[Status] | None = None) -> list[User]:
    """Users of a wave; only those in *statuses* where given."""
    query = sa.select(users).where(users.c.wave_id == wave_id)
    if statuses is not None:
        query = query.where(users.c.status.in_([status.value for status in statuses]))
    return [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]


def of_plan(db: sa.Connection, plan_id: int, statuses: Iterable[Status]) -> list[User]:
    """Users of a plan in *statuses*."""
    query = sa.select(users).where(
        users.c.plan_id == plan_id, users.c.status.in_([status.value for status in statuses])
    )
    return [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]


def placed(db: sa.Connection, plan_id: int, statuses: Iterable[Status], wave_id: int | None = None) -> list[Placed]:
    """Where the users in *statuses* are who have a snapshot, of a plan or of one of its waves, in key order."""
    query = sa.select(*(users.c[name] for name in Placed._fields)).where(
        users.c.plan_id == plan_id,
        users.c.status.in_([status.value for status in statuses]),
        users.c.batch_id.is_not(None),
        users.c.fence.is_not(None),
    )
    if wave_id is not None:
        query = query.where(users.c.wave_id == wave_id)
    return sorted(map(Placed._make, db.execute(query)))


def count(db: sa.Connection, plan_id: int, wave_id: int | None = None) -> int:
    """How many users a plan has, or one of its waves."""
    query = sa.select(sa.func.count()).where(users.c.plan_id == plan_id)
    return int(db.scalar(query if wave_id is None else query.where(users.c.wave_id == wave_id)) or 0)


def move(
    db: sa.Connection,
    plan_id: int,
    keys: Iterable[str],
    old: Iterable[Status],
    new: Status,
    now: datetime,
    **values: Any,
) -> int:
    """Change the status of those users who still are in one of *old*; how many."""
    theirs = sa.update(users).where(users.c.plan_id == plan_id, among(db, users.c.user_key, keys), _still(old))
    return db.execute(theirs.values(status=new.value, changed_at=now, **values)).rowcount


def move_batch(
    db: sa.Connection, batch_id: int, old: Iterable[Status], new: Status, now: datetime, **values: Any
) -> int:
    """Change the status of all users of a batch who are in one of *old*; how many. They need not be named."""
    theirs = sa.update(users).where(users.c.batch_id == batch_id, _still(old))
    return db.execute(theirs.values(status=new.value, changed_at=now, **values)).rowcount


def _still(statuses: Iterable[Status]) -> sa.ColumnElement[bool]:
    """Looked at user by user: by an index, SQLite would walk through all of the plan who are in one of *statuses*."""
    return sa.func.coalesce(users.c.status, "").in_([status.value for status in statuses])


def assign(db: sa.Connection, plan_id: int, keys: Iterable[str], **values: Any) -> None:
    """Write what is no status: wave, batch, generation, fence."""
    theirs = sa.update(users).where(users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    db.execute(theirs.values(**values))


def groups(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> dict[str, str]:
    """Those of *keys* who merge with others -> the key of the one who survives."""
    query = sa.select(users.c.user_key, users.c.group_key).where(
        users.c.plan_id == plan_id, among(db, users.c.user_key, keys), users.c.group_key.is_not(None)
    )
    return {key: leader for key, leader in db.execute(query.order_by(users.c.user_key))}


def with_groups(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> list[User]:
    """These users, and all who merge with one of them; in key order."""
    asked = set(keys)
    leaders = set(groups(db, plan_id, asked).values())
    query = sa.select(users.c.user_key).where(users.c.plan_id == plan_id, among(db, users.c.group_key, leaders))
    return some(db, plan_id, asked | set(db.scalars(query)))


def counts(db: sa.Connection, plan_id: int, kind: str = USER) -> list[tuple[int | None, str, str, int]]:
    """(wave, tier, status, users) for every combination there is; or the same of rows of nobody."""
    found = tally(db, plan_id)
    return [(wave, tier, status, count) for of, wave, tier, status, count in found if of == kind]


def tally(db: sa.Connection, plan_id: int) -> list[tuple[str, int | None, str, str, int]]:
    """(kind, wave, tier, status, users) for every combination there is: one look at one index, in its order."""
    by = (users.c.status, users.c.kind, users.c.tier, users.c.wave_id)
    query = sa.select(*by, sa.func.count()).where(users.c.plan_id == plan_id).group_by(*by)
    return [(kind, wave, tier, status, count) for status, kind, tier, wave, count in db.execute(query)]


def of_batches(db: sa.Connection, plan_id: int, statuses: Iterable[Status]) -> dict[tuple[int, int], list[str]]:
    """Users in *statuses* by the snapshot that holds them: (batch, fence) -> keys."""
    query = sa.select(users.c.batch_id, users.c.fence, users.c.user_key).where(
        users.c.plan_id == plan_id,
        users.c.status.in_([status.value for status in statuses]),
        users.c.fence.is_not(None),
    )
    found: dict[tuple[int, int], list[str]] = {}
    for batch_id, fence, key in db.execute(query.order_by(users.c.batch_id, users.c.user_key)):
        found.setdefault((batch_id, fence), []).append(key)
    return found
