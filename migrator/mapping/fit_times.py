"""Times of day, and the longer ones that a server takes for such, as the databases print them."""

from __future__ import annotations

import re
from functools import partial

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.schema import Column
from migrator.mapping.values import Values

_USUAL = r"\A([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{0,5}[1-9])?\z"
_TIME = re.compile(r"(-?)([0-9]{2,3}):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6}))?)?", re.ASCII)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
#: The longest that a column may hold, where that is more than the midnight which ends a day; it may be negative.
_LONGEST = {"mysql": (838 * 3600 + 59 * 60 + 59) * _SECOND}


def time(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    """Text with seconds, and behind them only what is not zero and what the column keeps."""
    text = values.text
    made = columns.blank(text, ~columns.is_true(text.str.contains(_USUAL)))
    if made.null_count() > text.null_count():
        tidied = columns.per_distinct(columns.blank(text, made.is_not_null()), partial(_tidied, dialect=dialect))
        made = made.fill_null(tidied)
    if column.scale is None:
        return made, "it is no time of day"
    fine = made.str.extract(r"\.([0-9]+)\z", 1).str.len_bytes() > column.scale
    if not columns.is_true(fine).any():
        return made, "it is no time of day"
    return columns.blank(made, columns.is_true(fine)), f"{column.declared} keeps {column.scale} digits of a second"


def _tidied(text: str, *, dialect: str) -> str | None:
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    minus, hours, minutes, seconds, fraction = (part or "" for part in found.groups())
    micros = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)) * _SECOND + int(fraction.ljust(6, "0"))
    longest = _LONGEST.get(dialect)
    if micros > (longest or _DAY) or (minus and longest is None):
        return None
    behind = fraction.rstrip("0")
    sign = minus if micros else ""
    return f"{sign}{hours}:{minutes}:{seconds or '00'}{'.' if behind else ''}{behind}"
