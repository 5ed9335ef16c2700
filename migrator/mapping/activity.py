"""
Signs of life and payments of all users, as `set.yaml` names them: what R, F and M are measured from.

Reads whole tables, no batches: tiers are found once per plan. Windows and thresholds are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from migrator.mapping.query import Query, Test
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Schema
from migrator.mapping.values import Values

DAYS = pl.Schema([("user", pl.String()), ("day", pl.Date())])
MONEY = pl.Schema(
    [("user", pl.String()), ("at", columns.INSTANT), ("amount", columns.NUMBER), ("currency", pl.String())]
)
#: Steps of `at` see no plan: its cut-off follows from what is read here.
_ROWS_AT_ONCE = 250_000
_NO_PLAN = Context(plan_id="", as_of="")


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """
    What all users did.

    `days`: `user`, `day`: a row per user and UTC day with a sign of life, or several. `money`: `user`, `at`, `amount`,
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
        One query per table (or condition on it) and join; the rows of one table in memory at once, of all entries the
        days and payments.
    """
    reading = Reading(legacy, fetch, mappings.set.null_if, context=None)
    people = People(mappings.set, records)
    entries = (*mappings.set.activity, *mappings.set.paid)
    tables, parts = _Tables(reading, entries), dict[int, _Part]()
    for place in sorted(range(len(entries)), key=lambda place: str(entries[place].table)):
        parts[place] = _read(entries[place], mappings, tables, people)
    both = [parts[place] for place in range(len(entries))]
    seen, paid = both[: len(mappings.set.activity)], both[len(mappings.set.activity) :]
    return Activity(
        days=pl.concat([DAYS.to_frame(), *(part.days for part in seen)]),
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


@dataclass(eq=False)
class _Tables:
    """The tables that entries name: what several of them want of one is read once."""

    reading: Reading
    entries: Sequence[Entry]
    last: tuple[Query, pl.DataFrame] | None = None

    def rows(self, entry: Entry) -> pl.DataFrame:
        """Columns of one table as *entry* uses them, nothing of it missing for which its `where` holds."""
        query = self._query(entry)
        if self.last is None or not _are_alike(self.last[0], query):
            self.last = query, self.reading.nulled(self.reading.fetch(query))
        return self.last[1].select(_plain(entry))

    def _query(self, entry: Entry) -> Query:
        """What is asked for all entries that can be answered together: where one wants all rows, they all can."""
        beside = [one for one in self.entries if one.table == entry.table]
        asked = [self._tests(one) for one in beside]
        tests = () if () in asked else self._tests(entry)
        alike = [one for one, its in zip(beside, asked, strict=True) if not tests or its == tests]
        return Query(str(entry.table), tuple(dict.fromkeys(name for one in alike for name in _plain(one))), tests)

    def _tests(self, entry: Entry) -> tuple[Test, ...]:
        reading = self.reading
        table = reading.legacy.tables[str(entry.table)]
        return predicates.pushed(entry.where, table, reading.null_if, reading.context)


def _are_alike(one: Query, other: Query) -> bool:
    return (one.table, one.columns, one.tests) == (other.table, other.columns, other.tests)


def _plain(entry: Entry) -> list[str]:
    return [column for column in _used(entry) if "." not in column]


def _read(entry: Entry, mappings: MappingSet, tables: _Tables, people: People) -> _Part:
    """Some rows at a time, for on the way they are wider than what comes of them."""
    frame = _rows(entry, tables).frame
    parts = [_part(entry, OfFrame(rows), mappings, people) for rows in frame.iter_slices(_ROWS_AT_ONCE)]
    parts = parts or [_part(entry, OfFrame(frame), mappings, people)]
    return _Part(
        days=pl.concat([part.days for part in parts]),
        money=pl.concat([part.money for part in parts]),
        latest=_latest(parts),
        unreadable=sum(part.unreadable for part in parts),
    )


def _part(entry: Entry, rows: OfFrame, mappings: MappingSet, people: People) -> _Part:
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
        days=known.select("user", day=pl.col("at").dt.date()).unique(maintain_order=True),
        money=known.filter(pl.col("amount").is_not_null()),
        latest=at.max(),  # type: ignore[arg-type]  # of instants it is one, or None
        unreadable=int(lost.sum()),
    )


def _rows(entry: Entry, tables: _Tables) -> OfFrame:
    """Read the rows for which `where` holds and that name a user, joins beside them."""
    reading, used = tables.reading, _used(entry)
    frame = tables.rows(entry).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
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
