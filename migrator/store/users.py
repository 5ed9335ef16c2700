"""One row per user and plan: where everybody is. Statuses change set-wise and only from what they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store import batches, bulk, tallies
from migrator.store.among import among
from migrator.store.batches import Batch
from migrator.store.tables import users

if TYPE_CHECKING:
    import polars as pl

_AT_ONCE = 10_000  # rows that are Python's own at a time
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
    found: Counter[tallies.Group] = Counter()
    bulk.insert(db, users, tallies.counting(lots, plan_id, found), plan_id=plan_id)
    tallies.add(db, found)


def filling(db: sa.Connection) -> AbstractContextManager[None]:
    """Within it all users of a plan are added."""
    return bulk.filling(db, users, ("ix_users_email_print",))  # the others are filled in their order


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


def first(db: sa.Connection, plan_id: int, count: int) -> list[str]:
    """Keys of some users of a plan, the first ones, whatever became of them."""
    mine = (users.c.plan_id == plan_id, users.c.kind == USER)
    return list(db.scalars(sa.select(users.c.user_key).where(*mine).order_by(users.c.user_key).limit(count)))


def of_batch(db: sa.Connection, batch_id: int, statuses: Iterable[Status] | None = None) -> list[str]:
    """Keys of the users of a batch, in their order; only those in *statuses* where given."""
    batch = batches.get(db, batch_id)
    theirs = [users.c.batch_id == batch_id] if batch is None or batch.from_place is None else _untaken(batch)
    query = sa.select(users.c.user_key).where(*theirs)
    if statuses is not None:
        query = query.where(users.c.status.in_([status.value for status in statuses]))
    return list(db.scalars(query.order_by(users.c.user_key)))


def any_of(db: sa.Connection, wave_id: int, status: Status) -> bool:
    """Whether somebody of a wave is in this status."""
    return any(group.status == status for group in tallies.of_wave(db, wave_id))


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


def placed(
    db: sa.Connection,
    plan_id: int,
    statuses: Iterable[Status],
    wave_id: int | None = None,
    keys: Sequence[str] | None = None,
) -> list[Placed]:
    """Where the users in *statuses* are who have a snapshot, of a plan, of one of its waves or of *keys*, in key order."""
    query = sa.select(*(users.c[name] for name in Placed._fields)).where(*_with_snapshot(plan_id, statuses, wave_id))
    if keys is not None:
        query = query.where(among(db, users.c.user_key, keys))
    return sorted(map(Placed._make, db.execute(query)))


def held(
    db: sa.Connection, plan_id: int, statuses: Iterable[Status], wave_id: int | None = None
) -> dict[tuple[int, int], pl.Series]:
    """The keys of the same users as `placed`, by batch and fence: a tenth of the memory, so that a million are few."""
    import polars as pl

    schema = {"user_key": pl.String, "batch_id": pl.Int64, "fence": pl.Int64}
    query = sa.select(*(users.c[name] for name in schema)).where(*_with_snapshot(plan_id, statuses, wave_id))
    found: dict[tuple[int, int], list[pl.Series]] = {}
    for lot in db.execute(query, execution_options={"yield_per": _AT_ONCE}).partitions():
        each = pl.DataFrame(lot, schema=schema, orient="row").partition_by("batch_id", "fence", as_dict=True)
        for (batch_id, fence), theirs in each.items():
            found.setdefault((batch_id, fence), []).append(theirs["user_key"])
    return {snapshot: pl.concat(keys).sort() for snapshot, keys in found.items()}


def _with_snapshot(plan_id: int, statuses: Iterable[Status], wave_id: int | None) -> list[sa.ColumnElement[bool]]:
    mine = [users.c.plan_id == plan_id, _still(statuses), users.c.batch_id.is_not(None), users.c.fence.is_not(None)]
    return mine if wave_id is None else [*mine, users.c.wave_id == wave_id]


def snapshots(db: sa.Connection, plan_id: int, statuses: Iterable[Status]) -> list[tuple[int, int]]:
    """Batch and fence of each snapshot that holds users in *statuses*, in order."""
    which = (users.c.batch_id, users.c.fence)
    query = sa.select(*which).where(
        users.c.plan_id == plan_id,
        users.c.status.in_([status.value for status in statuses]),
        *(column.is_not(None) for column in which),
    )
    return [(batch_id, fence) for batch_id, fence in db.execute(query.distinct().order_by(*which))]


def count(db: sa.Connection, plan_id: int, wave_id: int | None = None) -> int:
    """How many users a plan has, or one of its waves."""
    return sum((tallies.of_plan(db, plan_id) if wave_id is None else tallies.of_wave(db, wave_id)).values())


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
    theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys), _still(old))
    return _change(db, theirs, status=new.value, changed_at=now, **values)


def move_batch(
    db: sa.Connection, batch_id: int, old: Iterable[Status], new: Status, now: datetime, **values: Any
) -> int:
    """Change the status of all users of a batch who are in one of *old*; how many. They need not be named."""
    theirs = (users.c.batch_id == batch_id, _still(old))
    return _change(db, theirs, status=new.value, changed_at=now, **values)


def take(db: sa.Connection, plan_id: int, batch: Batch, now: datetime) -> list[str]:
    """The users of a batch that was claimed are moving, and named by it from now on; their keys, in order."""
    values = {"status": Status.MOVING.value, "home": "moving", "changed_at": now}
    if batch.from_place is None:
        _change(db, (users.c.batch_id == batch.id, _still((Status.PLANNED, Status.MOVING))), **values)
        return of_batch(db, batch.id, (Status.MOVING,))
    batches.forget_places(db, batch.id)
    taken = _taken(db, _untaken(batch), {**values, "batch_id": batch.id})
    before = {
        tallies.Group(plan_id, Status.PLANNED.value, kind, tier, batch.wave_id): len(keys) for kind, tier, keys in taken
    }
    tallies.add(db, tallies.changed(before, values))
    return sorted(chain.from_iterable(keys for _, _, keys in taken))


def _untaken(batch: Batch) -> list[sa.ColumnElement[bool]]:
    """The users of a batch that was cut and never claimed."""
    places = (users.c.place >= batch.from_place, users.c.place < batch.to_place)
    return [users.c.wave_id == batch.wave_id, *places, users.c.batch_id.is_(None), _still((Status.PLANNED,))]


def _taken(
    db: sa.Connection, free: Sequence[sa.ColumnElement[bool]], values: dict[str, Any]
) -> list[tuple[str, str, list[str]]]:
    """Write *values* to all who are *free*; their keys by kind and tier, which is cheaper than a row each."""
    theirs = sa.update(users).where(*free).values(**values)
    if db.dialect.name == "sqlite":  # whose writer is alone: between the two nobody else changes them
        by, all_keys = (users.c.kind, users.c.tier), sa.func.json_group_array(users.c.user_key)
        found = db.execute(sa.select(*by, all_keys).where(*free).group_by(*by))
        taken = [(kind, tier, json.loads(keys)) for kind, tier, keys in found]
        db.execute(theirs)
        return taken
    done = theirs.returning(users.c.kind, users.c.tier, users.c.user_key).cte("done")
    found = db.execute(
        sa.select(done.c.kind, done.c.tier, sa.func.array_agg(done.c.user_key)).group_by(done.c.kind, done.c.tier)
    )
    return [(kind, tier, keys) for kind, tier, keys in found]


def _still(statuses: Iterable[Status]) -> sa.ColumnElement[bool]:
    return users.c.status.in_([status.value for status in statuses])


def assign(db: sa.Connection, plan_id: int, keys: Iterable[str], **values: Any) -> None:
    """Write what is no status: wave, batch, generation, fence."""
    _change(db, (users.c.plan_id == plan_id, among(db, users.c.user_key, keys)), **values)


def _change(db: sa.Connection, theirs: Sequence[sa.ColumnElement[bool]], **values: Any) -> int:
    """Write *values* to all whom *theirs* is about, and count anew what is counted of them; how many they are."""
    if not values.keys() & set(tallies.Group._fields):
        return db.execute(sa.update(users).where(*theirs).values(**values)).rowcount
    found = (_changed if db.dialect.name == "sqlite" else _changed_at_once)(db, theirs, values)
    tallies.add(db, tallies.changed(found, values))
    return sum(found.values())


def _changed(
    db: sa.Connection, theirs: Sequence[sa.ColumnElement[bool]], values: dict[str, Any]
) -> dict[tallies.Group, int]:
    """What they were before, counted; between the two statements nobody else of SQLite writes."""
    by = [users.c[name] for name in tallies.Group._fields if name != "plan_id"]  # theirs is one: less to sort by
    plan_id = sa.func.max(users.c.plan_id)
    counted = db.execute(sa.select(plan_id, *by, sa.func.count()).where(*theirs).group_by(*by)).all()
    if counted:
        db.execute(sa.update(users).where(*theirs).values(**values))
    return {tallies.Group._make(row[:-1]): row[-1] for row in counted}


def _changed_at_once(
    db: sa.Connection, theirs: Sequence[sa.ColumnElement[bool]], values: dict[str, Any]
) -> dict[tallies.Group, int]:
    """The same in one statement, of users who are locked before they are looked at."""
    key = ("plan_id", "user_key")
    columns = dict.fromkeys((*key, *tallies.Group._fields))
    before = sa.select(*(users.c[name] for name in columns)).where(*theirs).with_for_update().cte("before")
    done = (
        sa.update(users)
        .where(*(users.c[name] == before.c[name] for name in key))
        .values(**values)
        .returning(*(before.c[name] for name in tallies.Group._fields))
        .cte("done")
    )
    rows = db.execute(sa.select(*done.c, sa.func.count()).group_by(*done.c))
    return {tallies.Group._make(row[:-1]): row[-1] for row in rows}


def statuses(db: sa.Connection, plan_id: int) -> dict[str, str]:
    """Every user of a plan, rows of nobody aside, with his status."""
    query = sa.select(users.c.user_key, users.c.status).where(users.c.plan_id == plan_id, users.c.kind == USER)
    return {key: status for key, status in db.execute(query)}


def known(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> set[str]:
    """Those of *keys* who are users of the plan."""
    theirs = (users.c.plan_id == plan_id, among(db, users.c.user_key, keys))
    return set(db.scalars(sa.select(users.c.user_key).where(*theirs)))


def groups(db: sa.Connection, plan_id: int, keys: Iterable[str]) -> dict[str, str]:
    """Those of *keys* who merge with others -> the key of the one who survives."""
    merging = (users.c.plan_id == plan_id, users.c.group_key.is_not(None))
    if db.execute(sa.select(users.c.user_key).where(*merging).limit(1)).first() is None:
        return {}  # as in most plans; to look for each of the keys costs far more
    query = sa.select(users.c.user_key, users.c.group_key).where(*merging, among(db, users.c.user_key, keys))
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
    """(kind, wave, tier, status, users) for every combination there is."""
    found = tallies.of_plan(db, plan_id)
    return [(of.kind, of.wave_id, of.tier, of.status, count) for of, count in found.items()]


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
