"""Counted numbers that status, gates and the report read. SQL only; decides nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.mapping.books import Book
from migrator.rollout.states import User as Status
from migrator.store import tallies
from migrator.store.tables import batches, books, case_users, cases, users, verifications, warnings, waves
from migrator.store.users import ROWS, USER, tally

MOVED = (Status.MOVED.value, Status.LIVE.value, Status.SETTLED.value)
BOOK = tuple(Book.__slots__)


@dataclass(frozen=True, slots=True)
class WaveNumbers:
    """
    What one wave has come to. None: not measured.

    `users` is the sum of all numbers of users below it; `moved` counts moved, live and settled ones. `differences` and
    `drift` are those of the last verification since the wave began to be checked.
    """

    users: int
    planned: int
    moving: int
    moved: int
    held: int
    failed: int
    excluded: int
    rolled_back: int
    batches: dict[str, int]
    verified: bool
    differences: int | None
    drift: int | None
    books_even: bool | None
    rolling_back: int = 0
    erased: int = 0


@dataclass(frozen=True, slots=True)
class TierNumbers:
    """One tier of a plan: its users by status and the middle one's recency, frequency and money."""

    tier: str
    users: int
    statuses: dict[str, int] = field(default_factory=dict)
    recency_days: int | None = None
    frequency_days: int | None = None
    money: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """All review cases that have one cause."""

    cause: str
    mapping: str
    field: str
    rule: str
    file: str | None
    line: int | None
    holds: bool
    cases: int
    users: int
    open: int
    rows: int = 0  # of nobody


def user_counts(db: sa.Connection, plan_id: int, kind: str = USER) -> dict[str, int]:
    """
    How many users of a plan are in each status; every status is named, and their sum is the plan.

    Args:
        kind: `rows` counts rows of nobody instead, which are no users.
    """
    return by_status(tally(db, plan_id), kind)


def by_status(tallied: Iterable[tuple[str, int | None, str, str, int]], kind: str = USER) -> dict[str, int]:
    """The same of what `users.tally` gave."""
    found = {status.value: 0 for status in Status}
    for of, _, _, status, count in tallied:
        if of == kind:
            found[status] += count
    return found


def wave_numbers(db: sa.Connection, wave_id: int) -> WaveNumbers:
    """What one wave has come to, for its gate and for people."""
    counted = _wave_users(db, wave_id)
    compared = _verification(db, wave_id)
    return WaveNumbers(
        users=sum(counted.values()),
        planned=counted[Status.PLANNED],
        moving=counted[Status.MOVING],
        moved=sum(counted[status] for status in MOVED),
        held=counted[Status.HELD],
        failed=counted[Status.FAILED],
        excluded=counted[Status.EXCLUDED],
        rolled_back=counted[Status.ROLLED_BACK],
        rolling_back=counted[Status.ROLLING_BACK],
        erased=counted[Status.ERASED],
        batches=_wave_batches(db, wave_id),
        verified=compared is not None,
        differences=compared[0] if compared else None,
        drift=compared[1] if compared else None,
        books_even=books_even(db, wave_id),
    )


def _wave_users(db: sa.Connection, wave_id: int) -> dict[str, int]:
    found = {status.value: 0 for status in Status}
    for group, count in tallies.of_wave(db, wave_id).items():
        found[group.status] += count
    return found


def _wave_batches(db: sa.Connection, wave_id: int) -> dict[str, int]:
    moves = (batches.c.wave_id == wave_id, batches.c.op == "move")
    query = sa.select(batches.c.status, sa.func.count()).where(*moves)
    return {status: count for status, count in db.execute(query.group_by(batches.c.status))}


def _verification(db: sa.Connection, wave_id: int) -> tuple[int, int] | None:
    # one from before the last check tells nothing of users who were moved since
    since = sa.select(waves.c.checking_at).where(waves.c.id == wave_id).scalar_subquery()
    query = (
        sa.select(verifications.c.differences, verifications.c.drift)
        .where(verifications.c.wave_id == wave_id, sa.or_(since.is_(None), verifications.c.at >= since))
        .order_by(verifications.c.id.desc())
        .limit(1)
    )
    row = db.execute(query).first()
    return (row.differences, row.drift) if row else None


def books_even(db: sa.Connection, wave_id: int) -> bool | None:
    """Whether every book of every batch of a wave balances by itself; None where nothing was counted."""
    into = books.c.read + books.c.expanded
    out = books.c.written + books.c.folded + books.c.filtered + books.c.skipped + books.c.review + books.c.blocked
    # looked at one by one: a row too many here must not make up for one too few there
    uneven = sa.func.sum(sa.case((into == out, 0), else_=1))
    query = sa.select(sa.func.count(), uneven).join(batches, batches.c.id == books.c.batch_id)
    counted, odd = db.execute(query.where(batches.c.wave_id == wave_id)).one()
    return odd == 0 if counted else None


def plan_books(db: sa.Connection, plan_id: int) -> dict[str, Book]:
    """
    The books of a plan per mapping, over batches that still have a user.

    A batch whose users were all put back counts no more; who left one where others stayed took his share along
    (`flows/parting`).
    """
    inhabited = sa.select(users.c.batch_id).where(users.c.plan_id == plan_id, users.c.batch_id.is_not(None))
    query = (
        sa.select(books.c.mapping, *(sa.func.sum(books.c[name]) for name in BOOK))
        .where(books.c.batch_id.in_(inhabited))
        .group_by(books.c.mapping)
        .order_by(books.c.mapping)
    )
    return {row[0]: Book(*(int(number) for number in row[1:])) for row in db.execute(query)}


def tier_numbers(db: sa.Connection, plan_id: int) -> list[TierNumbers]:
    """Every tier of a plan with its users and its middle user's numbers; largest tier first."""
    counted: dict[str, dict[str, int]] = {}
    query = sa.select(users.c.tier, users.c.status, sa.func.count())
    query = query.where(users.c.plan_id == plan_id, users.c.kind == USER)
    for tier, status, count in db.execute(query.group_by(users.c.tier, users.c.status)):
        counted.setdefault(tier, {})[status] = count
    recency, frequency = _medians(db, plan_id, users.c.r), _medians(db, plan_id, users.c.f)
    money = _medians(db, plan_id, users.c.m, order=sa.cast(users.c.m, sa.Numeric()))
    found = [
        TierNumbers(tier, sum(of.values()), of, recency.get(tier), frequency.get(tier), money.get(tier))
        for tier, of in counted.items()
    ]
    return sorted(found, key=lambda tier: (-tier.users, tier.tier))


def _medians(
    db: sa.Connection, plan_id: int, column: sa.ColumnElement[Any], order: sa.ColumnElement[Any] | None = None
) -> dict[str, Any]:
    """The lower median per tier; users without a value are left out."""
    by = column if order is None else order
    ranked = (
        sa.select(
            users.c.tier,
            column.label("value"),
            sa.func.row_number().over(partition_by=users.c.tier, order_by=by).label("place"),
            sa.func.count().over(partition_by=users.c.tier).label("all"),
        )
        .where(users.c.plan_id == plan_id, users.c.kind == USER, column.is_not(None))
        .subquery()
    )
    middle = sa.select(ranked.c.tier, ranked.c.value).where(ranked.c.place == (ranked.c.all + 1) // 2)
    return {tier: value for tier, value in db.execute(middle)}


def progress(db: sa.Connection, plan_id: int) -> list[tuple[datetime, int]]:
    """When how many users arrived: the end of each batch and the users of it who are moved now, oldest first."""
    query = (
        sa.select(batches.c.finished_at, sa.func.count())
        .join(users, users.c.batch_id == batches.c.id)
        .where(users.c.plan_id == plan_id, users.c.kind == USER, users.c.status.in_(MOVED))
        .where(batches.c.finished_at.is_not(None))
        .group_by(batches.c.id, batches.c.finished_at)
        .order_by(batches.c.finished_at, batches.c.id)
    )
    return [(at, count) for at, count in db.execute(query)]


@dataclass(frozen=True, slots=True)
class Pace:
    """What finished batches took: their users and rows, and the seconds in which any of them was at work."""

    batches: int
    users: int
    rows: int
    seconds: float


def pace(db: sa.Connection, wave_ids: Iterable[int]) -> Pace:
    """How fast finished batches were; times in which no batch ran do not count."""
    query = sa.select(batches.c.users, batches.c.rows, batches.c.started_at, batches.c.finished_at).where(
        batches.c.wave_id.in_(list(wave_ids)),
        batches.c.op == "move",
        batches.c.status == "done",
        batches.c.finished_at.is_not(None),
    )
    done = db.execute(query.order_by(batches.c.started_at, batches.c.id)).all()
    busy, until = 0.0, None
    for batch in done:
        begin = batch.started_at if until is None or batch.started_at > until else until
        busy += max((batch.finished_at - begin).total_seconds(), 0.0)
        until = batch.finished_at if until is None else max(until, batch.finished_at)
    return Pace(len(done), sum(batch.users for batch in done), sum(batch.rows or 0 for batch in done), busy)


def causes(db: sa.Connection, plan_id: int) -> list[Cause]:
    """Review cases by cause, the one with most users first; nobody is named."""
    whose = sa.and_(users.c.plan_id == cases.c.plan_id, users.c.user_key == case_users.c.user_key)
    kind = sa.func.coalesce(users.c.kind, USER)
    named = (
        sa.select(cases.c.cause, kind, sa.func.count(case_users.c.user_key.distinct()))
        .join(case_users, case_users.c.case_id == cases.c.id)
        .join(users, whose, isouter=True)
        .where(cases.c.plan_id == plan_id)
        .group_by(cases.c.cause, kind)
    )
    held = {(cause, of): count for cause, of, count in db.execute(named)}
    query = (
        sa.select(
            cases.c.cause,
            *(sa.func.min(cases.c[name]).label(name) for name in ("mapping", "field", "rule", "file", "line")),
            sa.func.max(sa.cast(cases.c.holds, sa.Integer)).label("holds"),
            sa.func.count().label("cases"),
            sa.func.sum(sa.case((cases.c.status == "open", 1), else_=0)).label("open"),
        )
        .where(cases.c.plan_id == plan_id)
        .group_by(cases.c.cause)
    )
    found = [
        Cause(
            **{**row, "holds": bool(row["holds"]), "open": int(row["open"])},
            users=held.get((row["cause"], USER), 0),
            rows=held.get((row["cause"], ROWS), 0),
        )
        for row in db.execute(query).mappings()
    ]
    return sorted(found, key=lambda cause: (-cause.users - cause.rows, cause.mapping, cause.field, cause.cause))


def warning_counts(db: sa.Connection, plan_id: int) -> list[tuple[str, str, str, int]]:
    """(mapping, field, rule, values changed with a warning), most frequent first."""
    total = sa.func.sum(warnings.c.count)
    query = (
        sa.select(warnings.c.mapping, warnings.c.field, warnings.c.rule, total)
        .join(batches, batches.c.id == warnings.c.batch_id)
        .join(waves, waves.c.id == batches.c.wave_id)
        .where(waves.c.plan_id == plan_id)
        .group_by(warnings.c.mapping, warnings.c.field, warnings.c.rule)
        .order_by(total.desc(), warnings.c.mapping, warnings.c.field, warnings.c.rule)
    )
    return [(mapping, name, rule, int(count)) for mapping, name, rule, count in db.execute(query)]


def excluded_reasons(db: sa.Connection, plan_id: int) -> dict[str, int]:
    """Users who stay in legacy, by the reason stored with them."""
    query = (
        sa.select(sa.func.coalesce(users.c.reason, "no reason stored"), sa.func.count())
        .where(users.c.plan_id == plan_id, users.c.kind == USER, users.c.status == Status.EXCLUDED.value)
        .group_by(users.c.reason)
        .order_by(sa.func.count().desc())
    )
    return {reason: count for reason, count in db.execute(query)}


def verifications_of(db: sa.Connection, plan_id: int) -> list[dict[str, Any]]:
    """The newest verification of each wave and of the whole plan (wave None), oldest first."""
    newest = (
        sa.select(sa.func.max(verifications.c.id))
        .where(verifications.c.plan_id == plan_id)
        .group_by(verifications.c.wave_id)
    )
    query = sa.select(verifications).where(verifications.c.id.in_(newest)).order_by(verifications.c.id)
    return [dict(row) for row in db.execute(query).mappings()]
