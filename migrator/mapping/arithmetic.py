"""
Exact arithmetic on columns of numbers with 20 digits before and 18 behind the point; what cannot be held is null.

Polars does most of it. It rounds without a word and raises for the whole column where one result is too large, so it
is asked only about values for which its answer is known to be exact; the few others are worked out one by one.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal

import polars as pl

from migrator.mapping import values as columns

#: Ways to round; each as Python's decimal calls it.
MODES = {"half_up": decimal.ROUND_HALF_UP, "half_even": decimal.ROUND_HALF_EVEN, "down": decimal.ROUND_DOWN}

_DIGITS = 18  # behind the point
_LIMIT = Decimal(10) ** 20
_WIDE = decimal.Context(prec=80)


def products(numbers: pl.Series, factor: Decimal) -> pl.Series:
    """Each number times *factor*."""

    def alone(number: Decimal) -> Decimal:
        return held(_WIDE.multiply(number, factor))

    if factor == 0 or _places(factor) > _DIGITS or abs(factor) >= _LIMIT:
        return columns.per_distinct(numbers, alone, columns.NUMBER)
    small = _below(numbers, _WIDE.divide(_LIMIT / 10, abs(factor)))
    easy = small & _has_places(numbers, _DIGITS - _places(factor))
    return _joined(numbers, easy, lambda some: some * _one(factor), alone)


def quotients(numbers: pl.Series, divisor: Decimal) -> pl.Series:
    """Each number divided by *divisor*, which is not zero; null where the result has no end or too many digits."""

    def alone(number: Decimal) -> Decimal:
        return held(_WIDE.divide(number, divisor))

    inverse = _WIDE.divide(Decimal(1), divisor)
    if _places(divisor) == 0 and abs(divisor) < _LIMIT:
        return _by_whole(numbers, divisor, alone)
    exact = _WIDE.multiply(inverse, divisor) == 1 and _places(inverse) <= _DIGITS
    return products(numbers, inverse) if exact else columns.per_distinct(numbers, alone, columns.NUMBER)


def _by_whole(numbers: pl.Series, divisor: Decimal, alone: Callable[[Decimal], Decimal]) -> pl.Series:
    def work(some: pl.Series) -> pl.Series:
        made = some / _one(divisor)
        return columns.blank(made, ~columns.is_true(made * _one(divisor) == some))

    return _joined(numbers, _below(numbers, _LIMIT / 100), work, alone)


def rounded(numbers: pl.Series, digits: int, mode: str) -> pl.Series:
    """Each number with *digits* behind the point."""
    unit = Decimal(1).scaleb(-digits)

    def alone(number: Decimal) -> Decimal:
        return held(number.quantize(unit, MODES[mode], _WIDE))

    def work(some: pl.Series) -> pl.Series:
        if mode == "half_even":
            return some.round(digits, mode="half_to_even")
        made = some.round(digits, mode="half_away_from_zero")
        return made if mode == "half_up" else _back(some, made, unit)

    return _joined(numbers, _below(numbers, _LIMIT / 100), work, alone)


def _back(before: pl.Series, made: pl.Series, unit: Decimal) -> pl.Series:
    """Towards zero: what was rounded away from it goes one unit back."""
    down = columns.pick(columns.is_true(made > before), made - _one(unit), made)
    up = columns.pick(columns.is_true(made < before), made + _one(unit), made)
    return columns.pick(columns.is_true(before < _one(Decimal(0))), up, down)


def held(number: Decimal) -> Decimal:
    """
    The same number, if a column of numbers can hold it.

    Raises:
        ArithmeticError: it cannot.
    """
    fixed = number.quantize(Decimal("1e-18"), context=_WIDE)
    if fixed != number or abs(number) >= _LIMIT:
        raise ArithmeticError("too many digits")
    return fixed


def has_places(numbers: pl.Series, places: int) -> pl.Series:
    """Where a number has at most *places* digits behind the point; null for null."""
    # by casts: round() raises for the whole column where a value next to the limit is rounded up
    return numbers.cast(pl.Decimal(38, places), strict=False).cast(columns.NUMBER, strict=False) == numbers


def _has_places(numbers: pl.Series, places: int) -> pl.Series:
    return columns.is_true(has_places(numbers, places)) if places < _DIGITS else numbers.is_not_null()


def _places(number: Decimal) -> int:
    exponent = number.normalize(_WIDE).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else _DIGITS + 1


def _below(numbers: pl.Series, limit: Decimal) -> pl.Series:
    limit = min(limit, _LIMIT / 10).quantize(Decimal(1), decimal.ROUND_FLOOR, _WIDE)
    return columns.is_true((numbers < _one(limit)) & (numbers > _one(-limit)))


def _one(number: Decimal) -> pl.Series:
    return pl.Series([number], dtype=columns.NUMBER)


def _joined(
    numbers: pl.Series,
    easy: pl.Series,
    work: Callable[[pl.Series], pl.Series],
    alone: Callable[[Decimal], Decimal],
) -> pl.Series:
    if easy.all():
        return work(numbers)
    made = work(columns.blank(numbers, ~easy))
    hard = columns.blank(numbers, easy)
    if hard.null_count() == len(hard):
        return made
    return made.fill_null(columns.per_distinct(hard, alone, columns.NUMBER))
