"""The last step of every value: into the target column, and only if nothing is lost on the way."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import polars as pl

from migrator.mapping import jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.arithmetic import has_places
from migrator.mapping.schema import Column, Kind
from migrator.mapping.transforms.times import days_of
from migrator.mapping.values import Values

_WHOLE = r"\A-?(0|[1-9][0-9]*)\z"
_NUMBER = r"\A-?(0|[1-9][0-9]*)(\.[0-9]+)?\z"
_UUID = r"(?i)\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z"
_TIME = r"\A([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?\z"
_NUL_IN_JSON = r"(\A|[^\\])(\\\\)*\\u0000"
_GREATEST = 2**63 - 1  # of our own whole numbers, also where the column would take greater ones
_FLOAT_DIGITS = 15  # of any number, a binary float of 64 bits gives so many back unchanged
_OF_32_BITS = ("real", "float")  # how a server declares those; SQLite knows none

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


def _whole(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.INTEGER:
        number = values.values
    elif values.kind in (Kind.DECIMAL, Kind.BOOLEAN, Kind.FLOAT):
        exact = columns.numbers(values)
        number = exact.cast(pl.Int64, strict=False)
        number = columns.blank(number, ~columns.is_true(number.cast(columns.NUMBER) == exact))
    else:
        text = values.text
        number = columns.blank(text, ~columns.is_true(text.str.contains(_WHOLE))).cast(pl.Int64, strict=False)
    if column.unsigned or column.bits < 64:
        least, most = (
            (0, 2**column.bits - 1) if column.unsigned else (-(2 ** (column.bits - 1)), 2 ** (column.bits - 1) - 1)
        )
        within = (number >= least) & (number <= min(most, _GREATEST))
        number = columns.blank(number, ~columns.is_true(within))
    if column.unsigned and column.bits == 64:
        return number, f"it is no whole number from 0 to {_GREATEST}"
    return number, f"it is no whole number of {column.bits} bits{' without a sign' if column.unsigned else ''}"


def _decimal(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    number = _exact(values)
    good = pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(number))
    scale = 0 if column.scale is None and column.precision is not None else column.scale
    if scale is not None and scale < 18:
        good = good & has_places(number, scale)
    if column.precision is not None:
        before = column.precision - (scale or 0)
        good = (
            good & (number.abs() < pl.Series([10 ** min(before, 20)]).cast(pl.Decimal(38, 0))[0])
            if before < 20
            else good
        )
    if dialect == "sqlite":
        good = good & _survives_float(number)
    declared = column.declared or "the column"
    return columns.blank(number, ~columns.is_true(good)), f"it does not fit into {declared} without losing digits"


def _float(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    number = _exact(values)
    good = _survives_float(number)
    if not good.all() and not (dialect != "sqlite" and column.declared.lower().startswith(_OF_32_BITS)):
        good = good | _says_a_float(number)
    kept = columns.blank(number, ~columns.is_true(good))
    return kept.cast(pl.Float64), "it has more digits than a binary float keeps"


def _says_a_float(number: pl.Series) -> pl.Series:
    """Which numbers are the shortest text of a float of 64 bits, with up to 17 digits: it is copied as it is."""
    said = columns.text(number)
    return columns.per_distinct(said, lambda text: Decimal(repr(float(text))) == Decimal(text), pl.Boolean())


def _exact(values: Values) -> pl.Series:
    if values.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN):
        return columns.numbers(values)
    text = values.text
    return columns.parse_numbers(columns.blank(text, ~columns.is_true(text.str.contains(_NUMBER))))


def _survives_float(number: pl.Series) -> pl.Series:
    largest = number.abs().max()
    if largest is None or (largest < 10**10 and has_places(number, 4).all()):  # type: ignore[operator]  # a Decimal
        return pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(number))
    digits = columns.text(number).str.replace_all(r"[-.]", "").str.strip_chars("0")
    return digits.str.len_bytes() <= _FLOAT_DIGITS


def _boolean(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.BOOLEAN:
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


def _time(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    return _only(values.text, values.text.str.contains(_TIME)), "it is no time of day"


def _text(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.BINARY:
        return _none(values), "it is binary, and the column is text"
    text = values.text
    good, complaint = ~_has_nul(text), "it holds a NUL character"
    if column.length is not None and columns.is_true(text.str.len_bytes() > column.length).any():
        long = text.str.len_chars() > column.length
        if long.any():
            good, complaint = good & ~long, f"it is longer than {column.length} characters"
    if column.declared.lower().startswith(("char(", "character(", "bpchar")):
        good = good & ~text.str.ends_with(" ")  # the database pads with blanks and gives back none
    return _only(text, good), complaint


def _has_nul(text: pl.Series) -> pl.Series:
    """Where a text holds a NUL; almost never, so that one look at all texts together is enough."""
    if not columns.is_true(text.str.join("").str.contains("\x00", literal=True)).any():
        return columns.none(len(text))
    return text.str.contains("\x00", literal=True)


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
    return _only(text, ~text.str.contains(_NUL_IN_JSON)), "it is no JSON that the database can hold"


def _binary(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    if values.kind is Kind.BINARY:
        return values.values, ""
    return pl.Series([None], dtype=pl.Binary).new_from_index(0, len(values)), "it is not binary, and the column is"


def _only(series: pl.Series, good: pl.Series) -> pl.Series:
    return columns.blank(series, ~columns.is_true(good))


def _none(values: Values) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))


_FITS: dict[Kind, Fit] = {
    Kind.INTEGER: _whole,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT: _float,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.DATETIME: _datetime,
    Kind.TIMESTAMP: _timestamp,
    Kind.TIME: _time,
    Kind.TEXT: _text,
    Kind.ENUM: _enum,
    Kind.UUID: _uuid,
    Kind.INET: _inet,
    Kind.JSON: _json,
    Kind.BINARY: _binary,
    Kind.OTHER: _text,
}
