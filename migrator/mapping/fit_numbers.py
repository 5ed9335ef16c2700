"""Numbers into number columns, and only if no digit is lost on the way."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.arithmetic import has_places
from migrator.mapping.schema import Column, Kind
from migrator.mapping.values import Values

_WHOLE = r"\A-?(0|[1-9][0-9]*)\z"
_NUMBER = r"\A-?(0|[1-9][0-9]*)(\.[0-9]+)?\z"
_FLOAT_DIGITS = 15  # of any number, a binary float of 64 bits gives so many back unchanged
_OF_32_BITS = ("real", "float")  # how a server declares those; SQLite knows none
_NO_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: Which of them a binary float may be.
_HELD = {"postgresql": frozenset(_NO_NUMBERS), "sqlite": frozenset(_NO_NUMBERS) - {"NaN"}}


def whole(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    """Int64, or UInt64 where the column takes no sign and a value needs the room."""
    number = _whole(values)
    if column.unsigned and column.bits == 64:
        return _of_64_bits(values, number), f"it is no whole number from 0 to {2**64 - 1}"
    if column.unsigned or column.bits < 64:
        least, most = (
            (0, 2**column.bits - 1) if column.unsigned else (-(2 ** (column.bits - 1)), 2 ** (column.bits - 1) - 1)
        )
        number = columns.blank(number, ~columns.is_true((number >= least) & (number <= most)))
    return number, f"it is no whole number of {column.bits} bits{' without a sign' if column.unsigned else ''}"


def _whole(values: Values, dtype: type[pl.Int64 | pl.UInt64] = pl.Int64) -> pl.Series:
    if values.values.dtype.is_integer():
        return values.values.cast(dtype, strict=False)
    if values.kind in (Kind.DECIMAL, Kind.BOOLEAN, Kind.FLOAT):
        exact = columns.numbers(values)
        number = exact.cast(dtype, strict=False)
        return columns.blank(number, ~columns.is_true(number.cast(columns.NUMBER) == exact))
    text = values.text
    return columns.blank(text, ~columns.is_true(text.str.contains(_WHOLE))).cast(dtype, strict=False)


def _of_64_bits(values: Values, number: pl.Series) -> pl.Series:
    if number.null_count() > values.values.null_count():
        number = _whole(values, pl.UInt64)
        largest = number.max()
        if largest is not None and largest >= 2**63:  # type: ignore[operator]  # an int
            return number
        number = number.cast(pl.Int64)
    return columns.blank(number, columns.is_true(number < 0))


def decimal(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    """Decimal(38, 18), or canonical text where the column takes more than that and a value needs it."""
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
    made = columns.blank(number, ~columns.is_true(good))
    if dialect != "sqlite" and number.null_count() > values.values.null_count():
        made = _with_larger(made, values, column, scale, dialect)
    return made, f"it does not fit into {column.declared or 'the column'} without losing digits"


def _with_larger(made: pl.Series, values: Values, column: Column, scale: int | None, dialect: str) -> pl.Series:
    """Add what the column holds and our own decimals do not: then all are text, as they are when they are read back."""
    rest = columns.blank(values.text, made.is_not_null())
    larger = columns.per_distinct(rest, partial(_larger, precision=column.precision, scale=scale, dialect=dialect))
    return made if larger.null_count() == len(larger) else columns.text(made).fill_null(larger)


def _larger(text: str, *, precision: int | None, scale: int | None, dialect: str) -> str | None:
    number = Decimal(text)
    if not number.is_finite():
        says = dialect == "postgresql" and text in _NO_NUMBERS and (text == "NaN" or precision is None)
        return text if says else None
    plain = columns.plain_number(number)
    before, _, behind = plain.lstrip("-").partition(".")
    fits = precision is None or len(before.lstrip("0")) <= precision - (scale or 0)
    return plain if fits and (scale is None or len(behind) <= scale) and _is_plain(text) else None


def _is_plain(text: str) -> bool:
    whole_part, _, behind = text.removeprefix("-").partition(".")
    return f"{whole_part}{behind}".isdecimal() and text.isascii()


def float_(values: Values, column: Column, dialect: str) -> tuple[pl.Series, str]:
    """Float64; a number that the float does not give back by its shortest text fails."""
    single = dialect != "sqlite" and column.declared.lower().startswith(_OF_32_BITS)
    number = _exact(values)
    good = _survives_float(number)
    made = columns.blank(number, ~columns.is_true(good)).cast(pl.Float64)
    if made.null_count() > values.values.null_count():
        rest = columns.blank(values.text, made.is_not_null())
        held = _HELD.get(dialect, frozenset())
        made = made.fill_null(columns.per_distinct(rest, partial(_as_float, held=held), pl.Float64()))
    if single:
        shortest = made.cast(pl.Float32).cast(pl.String).cast(pl.Float64)
        made = columns.blank(made, ~columns.is_true(shortest.eq_missing(made)))
    return made, f"it has more digits than a binary float{' of 32 bits' if single else ''} keeps"


def _as_float(text: str, *, held: frozenset[str]) -> float | None:
    """Read the shortest text of a float of 64 bits, with up to 17 digits: it is copied as it is."""
    if text in _NO_NUMBERS:
        return _NO_NUMBERS[text] if text in held else None
    made = float(text)
    return made if _is_plain(text) and math.isfinite(made) and Decimal(repr(made)) == Decimal(text) else None


def _exact(values: Values) -> pl.Series:
    if (values.values.dtype.is_numeric() and values.kind is not Kind.FLOAT) or values.kind is Kind.BOOLEAN:
        return columns.numbers(values)
    text = values.text
    return columns.parse_numbers(columns.blank(text, ~columns.is_true(text.str.contains(_NUMBER))))


def _survives_float(number: pl.Series) -> pl.Series:
    largest = number.abs().max()
    if largest is None or (largest < 10**10 and has_places(number, 4).all()):  # type: ignore[operator]  # a Decimal
        return pl.Series([True], dtype=pl.Boolean).new_from_index(0, len(number))
    digits = columns.text(number).str.replace_all(r"[-.]", "").str.strip_chars("0")
    return digits.str.len_bytes() <= _FLOAT_DIGITS
