"""The last step of every value: into the target column, and only if nothing is lost on the way."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import polars as pl

from migrator.mapping import fit_numbers, fit_times, jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.schema import Column, Kind
from migrator.mapping.transforms.times import days_of
from migrator.mapping.values import Values

_UUID = r"(?i)\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z"
_NUMBER_IN_JSON = r"\A\s*-?[0-9]"
_NUL_IN_JSON = r"(\A|[^\\])(\\\\)*\\u0000"

Fit = Callable[[Values, Column, str], tuple[pl.Series, str]]


def fit(values: Values, column: Column, dialect: str) -> Values:
    """
    Convert to the type of *column*; a value that would lose anything is null and marked `failed`, with the reason.

    Args:
        dialect: Of the target: SQLite holds decimals as binary floats.
    """
    made, complaint = _as_fine(*_FITS[column.kind](values, column, dialect), column)
    typed = made.cast(columns.dtype_of(column.kind)) if made.dtype == pl.Null else made
    kept = replace(values.only(), values=typed, kind=column.kind)
    if made.null_count() == values.values.null_count():  # no step makes a value of null
        return kept
    return kept.fails(values.values.is_not_null() & made.is_null(), complaint)


def _as_fine(made: pl.Series, complaint: str, column: Column) -> tuple[pl.Series, str]:
    """Keep the times that the column holds to the last microsecond; the database would round them."""
    if column.scale is None or not isinstance(made.dtype, pl.Datetime):
        return made, complaint
    coarse = columns.is_true(made.dt.microsecond() % 10 ** (6 - column.scale) != 0)
    if not coarse.any():
        return made, complaint
    return columns.blank(made, coarse), f"{column.declared} keeps {column.scale} digits of a second, and it has more"


def nothing(values: Values, column: Column) -> pl.Series | None:
    """Where a null would go into a column that takes none; None if nowhere."""
    if column.nullable or not values.values.null_count():
        return None
    return values.values.is_null()


def _boolean(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.values.dtype == pl.Boolean:
        return values.values, ""
    words = {"0": False, "1": True, "false": False, "true": True}
    made = values.text.replace_strict(list(words), list(words.values()), default=None, return_dtype=pl.Boolean)
    return made, "it is neither true nor false"


def _date(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    complaint = "it is no date; the step date makes one"
    if values.kind is Kind.DATE:
        return values.values, ""
    if values.kind in (Kind.DATETIME, Kind.TIMESTAMP):
        return days_of(values.values), "it has a time of day, and the column is a date"
    return moments.dates(values.text).fill_null(days_of(moments.naive(values.text))), complaint


def _datetime(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.TIMESTAMP:
        return values.values.dt.replace_time_zone(None), ""
    if values.kind is Kind.DATE:
        return values.values.cast(columns.MOMENT), ""
    if values.kind is Kind.DATETIME:
        return values.values, ""
    in_utc = moments.instants(values.text).dt.replace_time_zone(None)
    return moments.naive(values.text).fill_null(in_utc), "it is no date with time; the step datetime makes one"


def _timestamp(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.TIMESTAMP:
        return values.values, ""
    # a time without a zone is an instant only for who knows where it was written down
    return moments.instants(values.text), "it has no time zone; the step datetime with timezone gives it one"


def _text(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.BINARY:
        return _none(values), "it is binary, and the column is text"
    text = values.text
    made, complaint = text, "it holds a NUL character"
    if dialect == "postgresql" and "\x00" in (text.str.join("").item() or ""):  # one look at all of them together
        made = _only(text, ~text.str.contains("\x00", literal=True))
    if column.length is not None and columns.is_true(text.str.len_bytes() > column.length).any():
        long = text.str.len_chars() > column.length
        if long.any():
            made, complaint = columns.blank(made, long), f"it is longer than {column.length} characters"
    if column.declared.lower().startswith(("char(", "character(", "bpchar")):
        made = columns.blank(made, text.str.ends_with(" "))  # the database pads with blanks and gives back none
    return made, complaint


def _enum(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    return _only(values.text, values.text.is_in(list(column.values))), "the column does not know this value"


def _uuid(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    text = values.text
    return _only(text, text.str.contains(_UUID)).str.to_lowercase(), "it is no UUID"


def _inet(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    return columns.per_distinct(values.text, _address), "it is no internet address"


def _address(text: str) -> str:
    host, slash, _ = text.partition("/")
    if not slash:
        return str(ipaddress.ip_address(host))
    network = ipaddress.ip_interface(text)
    return str(network.ip) if network.network.prefixlen == network.max_prefixlen else str(network)


def _json(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind in (Kind.TEXT, Kind.OTHER, Kind.ENUM):
        text = columns.per_distinct(values.text, jsons.tidy)
    elif values.kind is Kind.BINARY:
        return _none(values), "it is binary, and the column is JSON"
    else:
        text = columns.json_text(values)
    if dialect == "postgresql":
        text = _only(text, ~text.str.contains(_NUL_IN_JSON))
    if dialect == "sqlite":  # keeps a document that is nothing but a number as one
        numbers = _only(text, text.str.contains(_NUMBER_IN_JSON))
        lost = numbers.is_not_null() & columns.per_distinct(numbers, _is_kept_by_a_float, pl.Boolean()).is_null()
        text = columns.blank(text, lost)
    return text, "it is no JSON that the database can hold"


def _is_kept_by_a_float(digits: str) -> bool | None:
    number = Decimal(digits)
    is_integer = digits.removeprefix("-").isdecimal() and -(2**63) <= number < 2**63
    return True if is_integer or Decimal(repr(float(digits))) == number else None


def _binary(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.BINARY:
        return values.values, ""
    return pl.Series([None], dtype=pl.Binary).new_from_index(0, len(values)), "it is not binary, and the column is"


def _only(series: pl.Series, good: pl.Series) -> pl.Series:
    return columns.blank(series, ~columns.is_true(good))


def _none(values: Values) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))


_FITS: dict[Kind, Fit] = {
    Kind.INTEGER: fit_numbers.whole,
    Kind.DECIMAL: fit_numbers.decimal,
    Kind.FLOAT: fit_numbers.float_,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.DATETIME: _datetime,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIME: fit_times.time,
    Kind.TEXT: _text,
    Kind.ENUM: _enum,
    Kind.UUID: _uuid,
    Kind.INET: _inet,
    Kind.JSON: _json,
    Kind.BINARY: _binary,
    Kind.OTHER: _text,
}
