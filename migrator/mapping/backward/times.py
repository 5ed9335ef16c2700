"""Back through steps to dates and instants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from migrator.mapping import moments
from migrator.mapping import values as columns
from migrator.mapping.backward.lens import Around
from migrator.mapping.schema import Kind
from migrator.mapping.transforms.times import TICKS
from migrator.mapping.values import Values


def date(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The day in the format of legacy; a time of day that was dropped stays."""
    options = args or {}
    days = _days(wanted)
    if "format" in options:
        return (Values(days.dt.strftime(options["format"]), Kind.TEXT),)
    clock = moments.naive(before[0].text)
    if options.get("time") != "drop" or clock.null_count() == len(clock):
        return (Values(days, Kind.DATE),)
    of_day = (clock - clock.dt.truncate("1d")).fill_null(pl.duration())
    return (Values(days.cast(columns.MOMENT) + of_day, Kind.DATETIME),)


def _days(wanted: Values) -> pl.Series:
    if wanted.kind is Kind.DATE:
        return wanted.values
    return moments.as_instants(wanted.values).dt.date()


def datetime_(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The time on the clock of the zone, in the format of legacy."""
    options = args or {}
    zone = options.get("timezone")
    if around.kind is Kind.TIMESTAMP:
        return (Values(moments.as_instants(wanted.values), Kind.TIMESTAMP),)
    if wanted.kind is Kind.TIMESTAMP and not zone and "format" not in options:
        return (wanted.only(),)  # whoever wrote it said the zone, too
    clock = moments.as_instants(wanted.values).dt.convert_time_zone(zone or "UTC").dt.replace_time_zone(None)
    if "format" in options:
        return (Values(clock.dt.strftime(options["format"]), Kind.TEXT),)
    if around.kind is Kind.TEXT:
        return (Values(_printed(clock, before[0].text), Kind.TEXT),)
    return (Values(clock, Kind.DATETIME),)


def _printed(clock: pl.Series, before: pl.Series) -> pl.Series:
    """With a T where legacy writes one."""
    text = moments.text(clock)
    return columns.pick(columns.is_true(before.str.contains("T", literal=True)), text, text.str.replace("T", " "))


def epoch(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """Seconds, milliseconds or microseconds since 1970, where there is no fraction of one."""
    factor = 1_000_000 // TICKS[args["unit"] if isinstance(args, dict) else args]
    micros = moments.as_instants(wanted.values).cast(pl.Int64)
    return (Values(micros // factor, Kind.INTEGER).fails(micros % factor != 0, "legacy keeps no fraction of it"),)
