"""Conditions of `where` and `when`: as masks over columns, and as far as a database answers the same, as its tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import moments, query
from migrator.mapping import values as columns
from migrator.mapping.model import Predicate, Test
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Kind, Table
from migrator.mapping.transforms.checks import within
from migrator.mapping.values import Values

_ORDER = ("gt", "gte", "lt", "lte")
_AS_BOOLEAN = {"0": "false", "1": "true"}
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}


class Columns(Protocol):
    """What a condition looks at."""

    @property
    def height(self) -> int:
        """How many rows there are."""

    def column(self, name: str) -> Values:
        """Say the values of a COLUMN."""


def mask(predicate: Predicate, rows: Columns, context: Context | None, read: Collection[str] = ()) -> pl.Series:
    """
    Say where *predicate* holds; never null.

    Args:
        read: The names that some mapping of the folder reads, for `unread`.
    """
    held = pl.Series([True], dtype=pl.Boolean).new_from_index(0, rows.height)
    for test in predicate.tests:
        held = held & columns.is_true(_tested(test, rows, context, read))
    if predicate.any:
        some = columns.none(rows.height)
        for one in predicate.any:
            some = some | mask(one, rows, context, read)
        held = held & some
    return held


def _tested(test: Test, rows: Columns, context: Context | None, read: Collection[str]) -> pl.Series:
    given = rows.column(test.column)
    if test.op in ("in", "not_in"):
        hit = _among(given, test.value)
        return hit if test.op == "in" else ~hit
    if test.op in ("null", "not_null"):
        return given.values.is_null() if test.op == "null" else given.values.is_not_null()
    if test.op in _ORDER:
        return within(given, test.op, _planned(test.value, context))
    if test.op in ("since", "older_than"):
        return _since(given, test, context)
    if test.op == "same_as":
        return given.text == rows.column(test.value).text
    if test.op == "matches":
        return given.text.str.contains(rf"\A(?:{test.value})\z")
    hit = given.text.is_in(list(read))
    return columns.is_true(hit) == (not test.value)


def _among(given: Values, literals: Sequence[Any]) -> pl.Series:
    texts = [columns.literal_text(item) for item in literals if item is not None]
    if given.kind is Kind.BOOLEAN:  # people write 0 and 1 for it, as the databases do
        texts = [_AS_BOOLEAN.get(text or "", text) for text in texts]
    hit = columns.is_true(given.text.is_in(texts))
    return hit | given.values.is_null() if None in literals else hit


def _planned(value: Any, context: Context | None) -> Any:
    if value in ("$plan.as_of", "$plan.id"):
        plan = _plan(context)
        return plan.as_of if value == "$plan.as_of" else plan.plan_id
    return value


def _plan(context: Context | None) -> Context:
    if context is None:
        raise WrongInput("a condition that counts back from the plan's cut-off needs a plan")
    return context


def _since(given: Values, test: Test, context: Context | None) -> pl.Series:
    """Whether a time lies after, or (`older_than`) before, the day that is meant; of no time neither is known."""
    start = _start(test, context)
    if test.unit:
        return within(given, "gte" if test.op == "since" else "lt", _ticks(start, test.unit))
    at, day = moments.as_instants(given.values), pl.Series([start]).cast(columns.INSTANT).new_from_index(0, len(given))
    return at >= day if test.op == "since" else at < day


def _start(test: Test, context: Context | None) -> datetime:
    return moments.instant(_plan(context).as_of) - timedelta(days=int(test.value))


def _ticks(moment: datetime, unit: str) -> int:
    return int(Decimal(moment.timestamp()) * _PER_SECOND[unit])


# ---- what the database may do beforehand -------------------------------------------------------------------------


def pushed(
    predicate: Predicate, table: Table, null_if: Sequence[Any], context: Context | None
) -> tuple[query.Test, ...]:
    """
    Say *predicate* as tests for the database, as far as they never drop a row that the mask would keep.

    The mask is always applied afterwards: this only saves reading. Text stays out, because databases ignore case and
    blanks; so does a test for null where `null_if` makes nulls that the database does not see.
    """
    told = [_pushed(test, table, bool(null_if), context) for test in predicate.tests]
    return tuple(test for test in told if test is not None)


def _pushed(test: Test, table: Table, nulls_made: bool, context: Context | None) -> query.Test | None:
    column = table.columns.get(str(test.column))
    if column is None:
        return None
    if test.op == "not_null":
        return query.Test(column.name, "not_null")
    if test.op == "null":
        return None if nulls_made else query.Test(column.name, "null")
    if column.kind is Kind.INTEGER:
        return _on_number(test, context)
    return None


def _on_number(test: Test, context: Context | None) -> query.Test | None:
    if test.op == "in" and all(type(item) is int for item in test.value):
        return query.Test(str(test.column), "in", tuple(test.value))
    if test.op in _ORDER and type(test.value) is int:
        # SQLite ranks text above every number: such a row may pass here, and is judged by the mask
        return query.Test(str(test.column), test.op, test.value)
    if test.op == "since" and test.unit:
        return query.Test(str(test.column), "gte", _ticks(_start(test, context), test.unit))
    return None
