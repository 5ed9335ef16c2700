"""Which record of which legacy source is which user of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from migrator.store import bulk
from migrator.store.tables import records

if TYPE_CHECKING:
    import polars as pl

CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a person, and how it is known whose it is: own · id · email · link · person · doubtful · excluded."""

    plan_id: int
    source: str
    record_key: str
    user_key: str
    rule: str


def add(db: sa.Connection, plan_id: int, rows: pl.DataFrame) -> None:
    """Store the records of a new plan, in bulk: source, record_key, user_key, rule."""
    bulk.insert(db, records, [rows], plan_id=plan_id)


def of_users(db: sa.Connection, plan_id: int, users: Sequence[str]) -> list[Record]:
    """The records of these users."""
    found: list[Record] = []
    for start in range(0, len(users), CHUNK):
        query = sa.select(records).where(
            records.c.plan_id == plan_id, records.c.user_key.in_(list(users[start : start + CHUNK]))
        )
        found += [Record(**row) for row in db.execute(query.order_by(*records.primary_key)).mappings()]
    return found


def known(db: sa.Connection, plan_id: int, source: str, keys: Sequence[str]) -> set[str]:
    """Those of *keys* that are records of *source*."""
    found: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        query = sa.select(records.c.record_key).where(
            records.c.plan_id == plan_id,
            records.c.source == source,
            records.c.record_key.in_(list(keys[start : start + CHUNK])),
        )
        found |= set(db.scalars(query))
    return found


def owners(db: sa.Connection, plan_id: int, source: str, keys: Sequence[str]) -> set[str]:
    """The users who have these records of *source*."""
    found: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        mine = (records.c.plan_id == plan_id, records.c.source == source)
        some = records.c.record_key.in_(list(keys[start : start + CHUNK]))
        found |= set(db.scalars(sa.select(records.c.user_key).where(*mine, some)))
    return found


def get(db: sa.Connection, plan_id: int, source: str, key: str) -> Record | None:
    """One record, or None."""
    query = sa.select(records).where(
        records.c.plan_id == plan_id, records.c.source == source, records.c.record_key == key
    )
    row = db.execute(query).mappings().first()
    return Record(**row) if row else None


def decide(db: sa.Connection, plan_id: int, source: str, key: str, user: str, rule: str) -> None:
    """Write whose one record is after all."""
    mine = sa.and_(records.c.plan_id == plan_id, records.c.source == source, records.c.record_key == key)
    db.execute(sa.update(records).where(mine).values(user_key=user, rule=rule))


def follow(db: sa.Connection, plan_id: int, before: str, after: str) -> None:
    """Records of a user who turned out to be another are the other's."""
    mine = sa.and_(records.c.plan_id == plan_id, records.c.user_key == before)
    db.execute(sa.update(records).where(mine).values(user_key=after))
