"""
Where users are served, since when, and every change of it.

A batch of a plan that cuts over at once changes the home of thousands in the statement that moves them; no row is
written for that here, as the batch says it all. Any other change has a row, and before a user leaves a home that a batch
gave him, that change gets its row, too (`change`): so the history is whole at every moment, and batches pay nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.store.among import among
from migrator.store.control import clock
from migrator.store.tables import batches, frozen, homes, plans, users

LEGACY, MOVING, TARGET = "legacy", "moving", "target"
ARRIVED = (User.MOVED.value, User.LIVE.value, User.SETTLED.value, User.ERASED.value)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of where a user is served."""

    version: int
    was: str
    home: str
    since: datetime
    wave_id: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Place:
    """The plan that says where users are served; no more of it is read, as every application asks."""

    plan_id: int
    created_at: datetime


def place(db: sa.Connection) -> Place | None:
    """The newest plan that was not replaced."""
    query = sa.select(plans.c.id, plans.c.created_at).where(plans.c.status != "superseded")
    row = db.execute(query.order_by(plans.c.id.desc()).limit(1)).first()
    return Place(row.id, row.created_at) if row else None


def begun(db: sa.Connection) -> datetime:
    """A time of the database that is not after anything which this transaction will read."""
    if db.dialect.name == "sqlite":
        return clock(db)  # it looks at no table, so nothing is fixed by it yet
    now: datetime | None = db.scalar(sa.select(sa.func.transaction_timestamp()))
    assert now is not None
    return now


def may_move(db: sa.Connection, plan_id: int, key: str) -> bool:
    """Whether the user is one who has not arrived in the target."""
    status = db.scalar(sa.select(users.c.status).where(users.c.plan_id == plan_id, users.c.user_key == key))
    return status is not None and status not in ARRIVED


def of(db: sa.Connection, plan_id: int, keys: Collection[str]) -> dict[str, str]:
    """Where these users are served now; who is not in the plan is left out."""
    query = sa.select(users.c.user_key, users.c.home).where(users.c.plan_id == plan_id)
    one = next(iter(keys)) if len(keys) == 1 else None
    query = query.where(among(db, users.c.user_key, keys) if one is None else users.c.user_key == one)
    return {key: home for key, home in db.execute(query)}


def change(db: sa.Connection, plan_id: int, keys: Collection[str], home: str, since: datetime, why: str) -> None:
    """
    Write down that these users are served by *home* from now on, where they were not before.

    To be called before `users.home` is changed. `moving` is on the way: it is written down by whoever set it.
    """
    _keep_what_batches_did(db, plan_id, keys)
    before = sa.case((users.c.home == MOVING, LEGACY), else_=users.c.home)
    query = sa.select(
        users.c.plan_id, users.c.user_key, _last(homes.c.version, 0) + 1, before, _text(home),
        sa.literal(since, homes.c.since.type), users.c.wave_id, _text(why),
    ).where(users.c.plan_id == plan_id, among(db, users.c.user_key, keys), before != home)  # fmt: skip
    db.execute(sa.insert(homes).from_select(list(homes.c.keys()), query))


def history(db: sa.Connection, plan_id: int, key: str) -> list[Change]:
    """Every change of where a user is served, oldest first; before the first he was served by legacy."""
    query = sa.select(homes).where(homes.c.plan_id == plan_id, homes.c.user_key == key).order_by(homes.c.version)
    found = [Change(row.version, row.was, row.home, row.since, row.wave_id, row.why) for row in db.execute(query)]
    derived = db.execute(_by_batches(users.c.plan_id == plan_id, users.c.user_key == key)).first()
    if derived is not None:
        found.append(Change(*derived[2:]))
    return found


def since(db: sa.Connection, plan_id: int, key: str) -> datetime | None:
    """Since when a user is served where he is served now; None for who is not in the plan."""
    until = sa.select(frozen.c.since).where(frozen.c.plan_id == plan_id, frozen.c.user_key == key)
    frozen_since: datetime | None = db.scalar(until)
    if frozen_since is not None:
        return frozen_since
    query = sa.select(users.c.home, users.c.changed_at, plans.c.created_at).join_from(users, plans)
    row = db.execute(query.where(users.c.plan_id == plan_id, users.c.user_key == key)).first()
    if row is None or row.home == MOVING:
        return row.changed_at if row else None
    changes = history(db, plan_id, key)
    found: datetime = changes[-1].since if changes else row.created_at
    return found


def _keep_what_batches_did(db: sa.Connection, plan_id: int, keys: Collection[str]) -> None:
    """Who came to the target by a batch gets the row of that now: later his batch may be another one."""
    query = _by_batches(users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    db.execute(sa.insert(homes).from_select(list(homes.c.keys()), query))


def _by_batches(*whose: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The changes of home that batches made and no row says yet, as rows of `homes`."""
    return (
        sa.select(
            users.c.plan_id, users.c.user_key, _last(homes.c.version, 0) + 1, _text(LEGACY), users.c.home,
            sa.func.coalesce(batches.c.finished_at, users.c.changed_at), users.c.wave_id, _text("moved and cut over at once"),
        )
        .join_from(users, batches, batches.c.id == users.c.batch_id, isouter=True)
        .where(*whose, users.c.home == TARGET, _last(homes.c.home, LEGACY) != TARGET)
    )  # fmt: skip


def _last(column: sa.Column[Any], otherwise: int | str) -> sa.ColumnElement[Any]:
    """A column of the newest change of the user whose row is looked at."""
    mine = sa.and_(homes.c.plan_id == users.c.plan_id, homes.c.user_key == users.c.user_key)
    newest = sa.select(column).where(mine).order_by(homes.c.version.desc()).limit(1).correlate(users)
    return sa.func.coalesce(newest.scalar_subquery(), sa.literal(otherwise))


def _text(value: str) -> sa.ColumnElement[str]:
    return sa.cast(sa.literal(value), sa.Text)
