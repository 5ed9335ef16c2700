"""
Signs of life and payments of all users, as `set.yaml` names them: what R, F and M are measured from.

Reads whole tables, no batches: tiers are found once per plan. Windows and thresholds are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from migrator.mapping import joins, moments, predicates, uses
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.joins import Fetch, OfFrame, Reading
from migrator.mapping.model import Activity as Entry
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.people import People, named
from migrator.mapping.query import Query
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Schema
from migrator.mapping.values import Values

DAYS = pl.Schema([("user", pl.String()), ("day", pl.Date())])
MONEY = pl.Schema(
    [("user", pl.String()), ("at", columns.INSTANT), ("amount", columns.NUMBER), ("currency", pl.String())]
)
#: Steps of `at` see no plan: its cut-off follows from what is read here.
_NO_PLAN = Context(plan_id="", as_of="")


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """
    What all users did.

    `days`: `user`, `day`: one row per user and UTC day with a sign of life. `money`: `user`, `at`, `amount`,
    `currency`: one row per payment, refunds negative. `latest` is the last sign of life, or where none are named the
    last payment; None without any. `unreadable` counts rows of a user whose time or amount says nothing.
    """

    days: pl.DataFrame
    money: pl.DataFrame
    latest: datetime | None
    unreadable: int


def days(mappings: MappingSet, legacy: Schema, fetch: Fetch, records: pl.DataFrame | None = None) -> Activity:
    """
    Read what all users did.

    Args:
        mappings: The set; its `activity`, `paid`, `at` and `null_if` count.
        legacy: The legacy schema now.
        fetch: Reads one query from legacy.
        records: Which record is which user, where there are several sources.

    Raises:
        WrongInput: a condition counts back from the plan's cut-off, which follows from what is read here.

    Cost:
        One query per entry and join; the rows of one entry in memory at once, of all entries the days and payments.
    """
    reading = Reading(legacy, fetch, mappings.set.null_if, context=None)
    people = People(mappings.set, records)
    seen = [_read(entry, mappings, reading, people) for entry in mappings.set.activity]
    paid = [_read(entry, mappings, reading, people) for entry in mappings.set.paid]
    return Activity(
        days=pl.concat([DAYS.to_frame(), *(part.days for part in seen)]).unique().sort("user", "day"),
        money=pl.concat([MONEY.to_frame(), *(part.money for part in paid)]),
        latest=_latest(seen) or _latest(paid),
        unreadable=sum(part.unreadable for part in seen + paid),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What one entry gives."""

    days: pl.DataFrame
    money: pl.DataFrame
    latest: datetime | None
    unreadable: int


def _read(entry: Entry, mappings: MappingSet, reading: Reading, people: People) -> _Part:
    rows = _rows(entry, reading)
    users = people.users_of(named(mappings.set, entry.table, entry.user_of), rows.column(entry.user).text)
    at = _instants(rows.column(entry.at), mappings)
    amount = _amounts(rows, entry)
    frame = pl.DataFrame(
        [
            users.alias("user"),
            at.alias("at"),
            amount.alias("amount"),
            _currencies(rows, entry).alias("currency"),
        ],
        schema=MONEY,
    )
    lost = at.is_null()
    if entry.amount:
        lost = lost | (amount.is_null() & rows.column(entry.amount).values.is_not_null())
    known = frame.filter(pl.col("at").is_not_null() & pl.col("user").is_not_null())
    return _Part(
        days=known.select("user", day=pl.col("at").dt.date()).unique(),
        money=known.filter(pl.col("amount").is_not_null()),
        latest=at.max(),  # type: ignore[arg-type]  # of instants it is one, or None
        unreadable=int(lost.sum()),
    )


def _rows(entry: Entry, reading: Reading) -> OfFrame:
    """Read the rows for which `where` holds and that name a user, joins beside them."""
    table, used = reading.legacy.tables[str(entry.table)], _used(entry)
    tests = predicates.pushed(entry.where, table, reading.null_if, reading.context)
    plain = tuple(column for column in used if "." not in column)
    frame = reading.nulled(reading.fetch(Query(table.name, plain, tests)))
    frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
    for join in entry.joins.values():
        frame, _ = joins.attach(frame, join, uses.of_join(used, join.name), reading, everything=True)
    return OfFrame(frame.filter(reading.mask(entry.where, frame) & frame[str(entry.user)].is_not_null()))


def _used(entry: Entry) -> list[str]:
    said = [column for column in (entry.user, entry.at, entry.amount, entry.currency) if column]
    matched = [column for join in entry.joins.values() for _, column in join.match]
    return list(dict.fromkeys(str(column) for column in (*said, *matched, *uses.predicate(entry.where))))


def _instants(at: Values, mappings: MappingSet) -> pl.Series:
    for step in mappings.set.at:
        at = TRANSFORMS[step.name].apply([at], step.args, Env(_NO_PLAN, mappings.files)).only()
    return moments.as_instants(at.values)


def _amounts(rows: OfFrame, entry: Entry) -> pl.Series:
    if not entry.amount:
        return _nothing(rows, columns.NUMBER)
    amounts = columns.numbers(rows.column(entry.amount))
    return -amounts if entry.minus else amounts


def _currencies(rows: OfFrame, entry: Entry) -> pl.Series:
    return rows.column(entry.currency).text if entry.currency else _nothing(rows, pl.String())


def _nothing(rows: OfFrame, dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype).new_from_index(0, rows.height)


def _latest(parts: list[_Part]) -> datetime | None:
    return max((part.latest for part in parts if part.latest), default=None)
