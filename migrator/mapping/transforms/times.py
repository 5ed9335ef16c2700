"""Steps to dates and instants. What is not exactly a date fails; nothing is guessed and no time of day is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from migrator.mapping import moments
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.numbers import whole_numbers
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

#: How many of each unit of `epoch` are a second.
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000}
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def date(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read a day; a time of day other than midnight fails unless `time: drop`.

    Example: {date: {format: '%d.%m.%Y'}} | 24.12.1999 -> '1999-12-24'
    """
    given, options = inputs[0], args or {}
    if given.kind is Kind.DATE:
        return given.only()
    days = _days(given, options)
    return Values(days, Kind.DATE).fails(given.values.is_not_null() & days.is_null(), "it is no date")


def _days(given: Values, options: dict[str, Any]) -> pl.Series:
    if given.kind in (Kind.DATETIME, Kind.TIMESTAMP):
        return days_of(given.values, drop_time=options.get("time") == "drop")
    text = given.text
    if "format" in options:
        untidy = text.str.contains(r"\A\s|\s\z")  # the parser would skip blanks without a word
        return moments.in_years(columns.blank(text, untidy).str.to_date(options["format"], strict=False))
    return moments.dates(text).fill_null(days_of(moments.naive(text), drop_time=options.get("time") == "drop"))


def days_of(clock: pl.Series, *, drop_time: bool = False) -> pl.Series:
    """The days of moments; null where there is a time of day that may not be dropped."""
    days = clock.dt.date()
    if drop_time:
        return days
    midnight = days.cast(columns.MOMENT) == clock.dt.replace_time_zone(None)
    return columns.blank(days, ~columns.is_true(midnight))


def datetime_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read a date with a time; with `timezone` it becomes an instant in UTC, and an hour that is not one fails.

    Example: {datetime: {timezone: Europe/Berlin}} | '2021-07-01 12:00:00' -> '2021-07-01T10:00:00Z'
    """
    given, options = inputs[0], args or {}
    zone = options.get("timezone")
    if given.kind is Kind.TIMESTAMP:
        return given.only()
    clock, instants = _clock(given, options)
    failed = given.values.is_not_null() & clock.is_null()
    if zone:
        moved = instants.fill_null(_moved(clock, zone, options))
        return Values(moved, Kind.TIMESTAMP).fails(
            given.values.is_not_null() & moved.is_null(), "it is no date with time"
        )
    if instants.null_count() == len(instants):
        return Values(clock, Kind.DATETIME).fails(failed, "it is no date with time")
    failed = failed & instants.is_null()
    if clock.null_count() == len(clock):
        return Values(instants, Kind.TIMESTAMP).fails(failed, "it is no date with time")
    # some have an offset and some have none: each is what it would be among its like
    said = moments.text(clock).fill_null(moments.text(instants))
    return Values(said, Kind.TEXT).fails(failed, "it is no date with time")


def _clock(given: Values, options: dict[str, Any]) -> tuple[pl.Series, pl.Series]:
    none = pl.Series([None], dtype=columns.INSTANT).new_from_index(0, len(given))
    if given.kind is Kind.DATETIME:
        return given.values, none
    if given.kind is Kind.DATE:
        return given.values.cast(columns.MOMENT), none
    text = given.text
    if "format" in options:
        return _by_format(text, options["format"]), none
    clock = moments.naive(text)
    if clock.null_count() == text.null_count():
        return clock, none
    return clock, moments.instants(text)


def _by_format(text: pl.Series, pattern: str) -> pl.Series:
    tidy = columns.blank(text, columns.is_true(text.str.contains(r"\A\s|\s\z")))
    if any(mark in pattern for mark in ("%H", "%I", "%T", "%R", "%X", "%s", "%c", "%r")):
        return moments.in_years(tidy.str.to_datetime(pattern, strict=False, time_unit="us"))
    return moments.in_years(tidy.str.to_date(pattern, strict=False)).cast(columns.MOMENT)


def _moved(clock: pl.Series, zone: str, options: dict[str, Any]) -> pl.Series:
    if zone == "UTC":
        return clock.dt.replace_time_zone("UTC")
    overlap = {"earlier": "earliest", "later": "latest"}.get(options.get("overlap", "review"), "null")
    placed = clock.dt.replace_time_zone(zone, ambiguous=overlap, non_existent="null")  # type: ignore[arg-type]  # a checked word
    moved = placed.dt.convert_time_zone("UTC")
    if options.get("gap") == "shift":
        gaps = columns.blank(clock, moved.is_not_null())
        moved = moved.fill_null(columns.per_distinct(gaps, lambda local: _shifted(local, zone), columns.INSTANT))
    return moments.in_years(moved)


def _shifted(local: datetime, zone: str) -> datetime | None:
    there = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    exists = there.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local
    return None if exists else there


def epoch(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read seconds, milliseconds or microseconds since 1970; `between` names the window that makes sense.

    Example: {epoch: s} | 1700000000 -> '2023-11-14T22:13:20Z'
    """
    options = args if isinstance(args, dict) else {"unit": args}
    given, factor = inputs[0], 1_000_000 // TICKS[options["unit"]]
    low, high = (
        _bound(env.literal(bound), usual)
        for bound, usual in zip(options.get("between", (None, None)), (_FIRST, _LAST), strict=True)
    )
    whole = whole_numbers(given)
    # compared before it is converted: a year 55840 raises for the whole column
    inside = (whole >= -(-_micros(low) // factor)) & (whole <= _micros(high) // factor)
    ticks = columns.blank(whole, ~columns.is_true(inside)) * factor
    instants = ticks.cast(columns.INSTANT)
    if instants.null_count() == given.values.null_count():
        return Values(instants, Kind.TIMESTAMP)
    failed = given.values.is_not_null() & instants.is_null()
    return Values(instants, Kind.TIMESTAMP).fails(failed, "it is no time in the window")


def _bound(text: str | None, usual: datetime) -> datetime:
    return moments.instant(text) if text else usual


def _micros(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


_UNIT = takes.choice(*TICKS)


@takes.shaped(
    {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"anyOf": [{"type": "null"}, {"const": "$plan.as_of"}, {"type": "string", "pattern": "^[0-9]{4}-"}]},
    }
)
def _window(args: Any) -> str | None:
    good = isinstance(args, list | tuple) and len(args) == 2
    good = good and all(bound in (None, "$plan.as_of") or moments.is_iso(bound) for bound in args)
    return None if good else "it takes two dates: ['2005-01-01', $plan.as_of]"


WORDS = (
    word(date, takes.optional(takes.options(format=takes.text, time=takes.choice("drop"))), fallible=True),
    word(
        datetime_,
        takes.optional(
            takes.options(
                format=takes.text,
                timezone=takes.timezone,
                overlap=takes.choice("review", "earlier", "later"),
                gap=takes.choice("review", "shift"),
            )
        ),
        fallible=True,
    ),
    word(epoch, takes.either(_UNIT, takes.options({"unit": _UNIT}, between=_window)), fallible=True),
)
