"""Review cases: what a mapping could not decide, for whom, and what a person decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound
from migrator.rollout.states import Case as Status
from migrator.rollout.states import User
from migrator.store.among import among
from migrator.store.tables import case_users, cases, users

_WAITING = (User.PLANNED, User.MOVING, User.HELD, User.FAILED)
IDENTITY = ("plan_id", "mapping", "source_key", "item_key", "field", "rule")


@dataclass(frozen=True, slots=True)
class Case:
    """One case as stored; `value` and `resolution` are sealed."""

    id: int
    plan_id: int
    mapping: str
    source_key: str
    item_key: str
    field: str
    rule: str
    cause: str
    value: bytes | None
    sensitive: bool
    note: str | None
    file: str | None
    line: int | None
    position: int | None
    holds: bool
    status: Status
    action: str | None
    resolution: bytes | None
    resolution_user: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    attempts: int
    first_seen: datetime
    last_seen: datetime
    users: tuple[str, ...] = ()


def _case(row: Any, named: Sequence[str] = ()) -> Case:
    return Case(**{**row, "status": Status(row["status"])}, users=tuple(named))


def open_all(db: sa.Connection, found: Sequence[Mapping[str, Any]], now: datetime) -> int:
    """
    Open cases, or open them again; how many are new.

    Args:
        found: one map per case: the columns of the table and `users`, the keys concerned.
    """
    new = 0
    for values in found:
        users = values["users"]
        columns = {name: value for name, value in values.items() if name != "users"}
        same = [cases.c[name] == columns[name] for name in IDENTITY]
        known = db.execute(sa.select(cases.c.id, cases.c.attempts).where(*same)).first()
        if known is None:
            inserted = db.execute(
                sa.insert(cases).values(**columns, status=Status.OPEN.value, first_seen=now, last_seen=now)
            ).inserted_primary_key
            assert inserted is not None
            case_id = int(inserted[0])
            new += 1
        else:
            case_id = known.id
            again = {"status": Status.OPEN.value, "last_seen": now, "attempts": known.attempts + 1}
            db.execute(sa.update(cases).where(cases.c.id == case_id).values(**columns, **again))
            db.execute(sa.delete(case_users).where(case_users.c.case_id == case_id))
        db.execute(sa.insert(case_users), [{"case_id": case_id, "user_key": key} for key in sorted(set(users))])
    return new


def get(db: sa.Connection, case_id: int) -> Case:
    """One case with its users."""
    row = db.execute(sa.select(cases).where(cases.c.id == case_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no case {case_id}; `migrator review list` shows all")
    return _case(row, _users(db, [case_id]).get(case_id, []))


def select(
    db: sa.Connection,
    plan_id: int,
    *,
    statuses: Iterable[Status] = (),
    cause: str | None = None,
    user: str | None = None,
) -> list[Case]:
    """Cases of a plan, narrowed; oldest first."""
    query = sa.select(cases).where(cases.c.plan_id == plan_id).order_by(cases.c.id)
    wanted = [status.value for status in statuses]
    if wanted:
        query = query.where(cases.c.status.in_(wanted))
    if cause:
        query = query.where(cases.c.cause == cause)
    if user:
        query = query.where(cases.c.id.in_(sa.select(case_users.c.case_id).where(case_users.c.user_key == user)))
    rows = db.execute(query).mappings().all()
    named = _users(db, [row["id"] for row in rows])
    return [_case(row, named.get(row["id"], [])) for row in rows]


def count(db: sa.Connection, plan_id: int, status: Status) -> int:
    """How many cases of a plan are in this status."""
    mine = (cases.c.plan_id == plan_id, cases.c.status == status.value)
    return int(db.scalar(sa.select(sa.func.count()).where(*mine)) or 0)


def decided_for(db: sa.Connection, plan_id: int, user_keys: Sequence[str]) -> list[Case]:
    """Resolved and replayed cases of these users: the decisions that every later run applies."""
    mine = sa.select(case_users.c.case_id).where(among(db, case_users.c.user_key, user_keys))
    query = sa.select(cases).where(
        cases.c.plan_id == plan_id,
        cases.c.status.in_([Status.RESOLVED.value, Status.REPLAYED.value]),
        cases.c.id.in_(mine),
    )
    rows = db.execute(query).mappings().all()
    named = _users(db, [row["id"] for row in rows])
    return [_case(row, named.get(row["id"], [])) for row in rows]


def decided(db: sa.Connection, plan_id: int, rule: str) -> list[Case]:
    """Resolved and replayed cases of one rule, oldest first."""
    statuses = [Status.RESOLVED.value, Status.REPLAYED.value]
    query = sa.select(cases).where(cases.c.plan_id == plan_id, cases.c.rule == rule, cases.c.status.in_(statuses))
    rows = db.execute(query.order_by(cases.c.id)).mappings().all()
    named = _users(db, [row["id"] for row in rows])
    return [_case(row, named.get(row["id"], [])) for row in rows]


def open_of(db: sa.Connection, plan_id: int, rule: str) -> list[Case]:
    """Open cases of one rule, without their users."""
    mine = (cases.c.plan_id == plan_id, cases.c.rule == rule, cases.c.status == Status.OPEN.value)
    return [_case(row) for row in db.execute(sa.select(cases).where(*mine).order_by(cases.c.id)).mappings()]


def resolved_by(db: sa.Connection, plan_id: int, actor: str) -> bool:
    """Whether a case that *actor* decided was not replayed yet."""
    mine = (cases.c.plan_id == plan_id, cases.c.resolved_by == actor, cases.c.status == Status.RESOLVED.value)
    return db.execute(sa.select(cases.c.id).where(*mine).limit(1)).first() is not None


def resolve(
    db: sa.Connection,
    case_id: int,
    action: str,
    resolution: bytes | None,
    actor: str,
    now: datetime,
    *,
    user: str | None = None,
) -> bool:
    """Store a decision; False if the case is not open or resolved any more."""
    done = db.execute(
        sa.update(cases)
        .where(cases.c.id == case_id, cases.c.status.in_([Status.OPEN.value, Status.RESOLVED.value]))
        .values(
            status=Status.RESOLVED.value,
            action=action,
            resolution=resolution,
            resolution_user=user,
            resolved_by=actor,
            resolved_at=now,
        )
    )
    return done.rowcount == 1


def replayed(db: sa.Connection, case_ids: Sequence[int]) -> None:
    """Resolved cases whose users are on their way again."""
    for start in range(0, len(case_ids), 5000):
        db.execute(
            sa.update(cases)
            .where(cases.c.id.in_(case_ids[start : start + 5000]), cases.c.status == Status.RESOLVED.value)
            .values(status=Status.REPLAYED.value)
        )


def lapse(db: sa.Connection, plan_id: int, user_keys: Iterable[str]) -> None:
    """Close open cases of these users that nobody waits for any more: whom they concern arrived, or stays in legacy."""
    open_ = (cases.c.plan_id == plan_id, cases.c.status == Status.OPEN.value)
    if db.execute(sa.select(cases.c.id).where(*open_).limit(1)).first() is None:
        return
    concerned = case_users.alias()
    waiting = (  # asked case by case: all who wait may be a million
        sa.exists()
        .where(concerned.c.case_id == cases.c.id)
        .where(users.c.plan_id == plan_id, users.c.user_key == concerned.c.user_key)
        .where(sa.func.coalesce(users.c.status, "").in_([one.value for one in _WAITING]))
    )
    undecided = dict.fromkeys(("action", "resolution", "resolution_user", "resolved_by", "resolved_at"))
    theirs = sa.select(case_users.c.case_id).where(among(db, case_users.c.user_key, user_keys))
    db.execute(
        sa.update(cases)
        .where(*open_, cases.c.id.in_(theirs), ~waiting)
        .values(status=Status.REPLAYED.value, **undecided)
    )


def open_rows(db: sa.Connection, wave_id: int) -> dict[str, int]:
    """Per mapping, how many source rows of a wave's users wait for a decision."""
    query = (
        sa.select(cases.c.mapping, sa.func.count(cases.c.source_key.distinct()))
        .join(case_users, case_users.c.case_id == cases.c.id)
        .join(users, sa.and_(users.c.plan_id == cases.c.plan_id, users.c.user_key == case_users.c.user_key))
        .where(users.c.wave_id == wave_id, cases.c.status == Status.OPEN.value)
        .group_by(cases.c.mapping)
    )
    return {mapping: count for mapping, count in db.execute(query)}


def carry(db: sa.Connection, before_id: int, plan_id: int, now: datetime) -> int:
    """What was decided under an earlier plan is decided under the next one, too; how many decisions."""
    decided = [Status.RESOLVED.value, Status.REPLAYED.value]
    query = sa.select(cases).where(
        cases.c.plan_id == before_id, cases.c.status.in_(decided), cases.c.action.is_not(None)
    )
    found = db.execute(query.order_by(cases.c.id)).mappings().all()
    named = _users(db, [row["id"] for row in found])
    for row in found:
        values = {name: value for name, value in row.items() if name != "id"}
        again = {"plan_id": plan_id, "status": Status.REPLAYED.value, "last_seen": now}
        inserted = db.execute(sa.insert(cases).values(**values | again)).inserted_primary_key
        assert inserted is not None
        people = [{"case_id": int(inserted[0]), "user_key": key} for key in named.get(row["id"], [])]
        if people:
            db.execute(sa.insert(case_users), people)
    return len(found)


def open_users(db: sa.Connection, plan_id: int) -> set[str]:
    """Users whom an open case holds."""
    query = (
        sa.select(case_users.c.user_key)
        .join(cases, cases.c.id == case_users.c.case_id)
        .where(cases.c.plan_id == plan_id, cases.c.status == Status.OPEN.value, cases.c.holds)
    )
    return set(db.scalars(query))


def _users(db: sa.Connection, case_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for start in range(0, len(case_ids), 5000):
        query = sa.select(case_users).where(case_users.c.case_id.in_(case_ids[start : start + 5000]))
        for case_id, key in db.execute(query.order_by(case_users.c.user_key)):
            found.setdefault(case_id, []).append(key)
    return found
