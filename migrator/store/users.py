"""One row per user and plan: where everybody is. Statuses change set-wise and only from what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store.tables import users

CHUNK = 5000
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


def _user(row: Any) -> User:
    return User(**{**row, "status": Status(row["status"])})


def add(db: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store users of a new plan, in bulk."""
    for start in range(0, len(rows), CHUNK):
        db.execute(sa.insert(users), [dict(row) for row in rows[start : start + CHUNK]])


def get(db: sa.Connection, plan_id: int, key: str) -> User | None:
    """One user, or None."""
    row = db.execute(sa.select(users).where(users.c.plan_id == plan_id, users.c.user_key == key)).mappings().first()
    return _user(row) if row else None


def by_email(db: sa.Connection, plan_id: int, email_print: str) -> list[User]:
    """Users with this keyed hash of an e-mail address."""
    query = sa.select(users).where(users.c.plan_id == plan_id, users.c.email_print == email_print)
    return [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]


def some(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> list[User]:
    """These users, in key order."""
    wanted, found = sorted(keys), []
    for start in range(0, len(wanted), CHUNK):
        query = sa.select(users).where(users.c.plan_id == plan_id, users.c.user_key.in_(wanted[start : start + CHUNK]))
        found += [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]
    return found


def of_batch(db: sa.Connection, batch_id: int, statuses: Iterable[Status] | None = None) -> list[User]:
    """Users of a batch, in key order; only those in *statuses* where given."""
    query = sa.select(users).where(users.c.batch_id == batch_id)
    if statuses is not None:
        query = query.where(users.c.status.in_([status.value for status in statuses]))
    return [_user(row) for row in db.execute(query.order_by(users.c.user_key)).mappings()]


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
    wanted, moved = list(keys), 0
    for start in range(0, len(wanted), CHUNK):
        done = db.execute(
            sa.update(users)
            .where(
                users.c.plan_id == plan_id,
                users.c.user_key.in_(wanted[start : start + CHUNK]),
                users.c.status.in_([status.value for status in old]),
            )
            .values(status=new.value, changed_at=now, **values)
        )
        moved += done.rowcount
    return moved


def set_generations(db: sa.Connection, plan_id: int, generations: Mapping[str, int]) -> None:
    """Write which generation of the ledger each user is at; set-wise, as most share one."""
    grouped: dict[int, list[str]] = {}
    for key, generation in generations.items():
        grouped.setdefault(generation, []).append(key)
    for generation, keys in grouped.items():
        assign(db, plan_id, keys, generation=generation)


def assign(db: sa.Connection, plan_id: int, keys: Iterable[str], **values: Any) -> None:
    """Write what is no status: wave, batch, generation, fence."""
    wanted = list(keys)
    for start in range(0, len(wanted), CHUNK):
        db.execute(
            sa.update(users)
            .where(users.c.plan_id == plan_id, users.c.user_key.in_(wanted[start : start + CHUNK]))
            .values(**values)
        )


def groups(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> dict[str, str]:
    """Those of *keys* who merge with others -> the key of the one who survives."""
    wanted, found = sorted(keys), dict[str, str]()
    for start in range(0, len(wanted), CHUNK):
        query = sa.select(users.c.user_key, users.c.group_key).where(
            users.c.plan_id == plan_id,
            users.c.user_key.in_(wanted[start : start + CHUNK]),
            users.c.group_key.is_not(None),
        )
        found |= {key: leader for key, leader in db.execute(query.order_by(users.c.user_key))}
    return found


def with_groups(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> list[User]:
    """These users, and all who merge with one of them; in key order."""
    asked = set(keys)
    leaders = sorted(set(groups(db, plan_id, asked).values()))
    for start in range(0, len(leaders), CHUNK):
        query = sa.select(users.c.user_key).where(
            users.c.plan_id == plan_id, users.c.group_key.in_(leaders[start : start + CHUNK])
        )
        asked |= set(db.scalars(query))
    return some(db, plan_id, asked)


def counts(db: sa.Connection, plan_id: int, kind: str = USER) -> list[tuple[int | None, str, str, int]]:
    """(wave, tier, status, users) for every combination there is; or the same of rows of nobody."""
    query = (
        sa.select(users.c.wave_id, users.c.tier, users.c.status, sa.func.count())
        .where(users.c.plan_id == plan_id, users.c.kind == kind)
        .group_by(users.c.wave_id, users.c.tier, users.c.status)
    )
    return [(wave, tier, status, count) for wave, tier, status, count in db.execute(query)]


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
