"""Steps to and on exact numbers. No value ever passes through binary floating point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.arithmetic import MODES, products, quotients, rounded
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_TRUE = ("1", "true", "t", "yes", "y", "on")
_FALSE = ("0", "false", "f", "no", "n", "off")


def integer(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read a whole number; digits behind the point must be zeros.

    Example: integer | '7.0' -> 7
    """
    given = inputs[0]
    if given.values.dtype.is_integer():
        return given.only()
    whole = whole_numbers(given)
    return Values(whole, Kind.INTEGER).fails(given.values.is_not_null() & whole.is_null(), "it is no whole number")


def whole_numbers(given: Values) -> pl.Series:
    """Each value as Int64; null where it is no whole number or too large for one."""
    if given.values.dtype.is_integer():
        return given.values
    if given.values.dtype == pl.String:
        digits = given.values.str.contains(r"\A[+-]?[0-9]+(\.0*)?\z")
        plain = columns.blank(given.values, ~digits).str.replace(r"\.0*\z", "").str.strip_prefix("+")
        return plain.cast(pl.Int64, strict=False)
    number = columns.numbers(given)
    whole = number.cast(pl.Int64, strict=False)
    return columns.blank(whole, ~columns.is_true(whole.cast(columns.NUMBER) == number))


def decimal_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read an exact number; `thousands` names the mark to leave out, `rounding` what to do with digits too many.

    Example: {decimal: {thousands: ','}} | '1,234.50' -> 1234.5
    """
    options = args or {}
    given = inputs[0]
    if options.get("thousands") and given.values.dtype == pl.String:
        given = Values(_without_marks(given.values, options["thousands"]), Kind.TEXT)
    number = columns.numbers(given)
    read = Values(number, Kind.DECIMAL).fails(inputs[0].values.is_not_null() & number.is_null(), "it is no number")
    mode, scale = options.get("rounding", "review"), options.get("scale", env.scale)
    return read if mode == "review" or scale is None else _rounded(read, scale, mode)


def _without_marks(series: pl.Series, mark: str) -> pl.Series:
    # 1,23 is a comma for a point and no thousand: only whole groups of three count
    grouped = series.str.contains(rf"\A[+-]?[0-9]{{1,3}}(?:[{_escaped(mark)}][0-9]{{3}})+(?:\.[0-9]+)?\z")
    return columns.pick(columns.is_true(grouped), series.str.replace_all(mark, "", literal=True), series)


def _escaped(mark: str) -> str:
    return "".join(rf"\x{{{ord(letter):x}}}" for letter in mark)


def boolean(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read yes or no; the words for each may be given as lists `true` and `false`.

    Example: boolean | 'Yes' -> true
    """
    given = inputs[0]
    if given.values.dtype == pl.Boolean:
        return given.only()
    text = given.text if args else given.text.str.to_lowercase()
    yes, no = words(args)
    is_yes, is_no = text.is_in(yes), text.is_in(no)
    said = columns.blank(is_yes, ~columns.is_true(is_yes | is_no))
    return Values(said, Kind.BOOLEAN).fails(given.values.is_not_null() & said.is_null(), "it is neither yes nor no")


def words(args: Any) -> tuple[list[str], list[str]]:
    """What `boolean` takes for yes, and what for no; the usual ones in pairs."""
    options = args or {}
    return _words(options.get("true"), _TRUE), _words(options.get("false"), _FALSE)


def _words(given: Any, usual: tuple[str, ...]) -> list[str]:
    if given is None:
        return list(usual)
    return [str(columns.literal_text(item)) for item in (given if isinstance(given, list | tuple) else [given])]


def multiply(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Multiply exactly.

    Example: {multiply: 1.19} | 10 -> 11.9
    """
    return _worked(inputs[0], lambda number: products(number, Decimal(args)))


def divide(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Divide exactly; a result with more digits than can be held fails.

    Example: {divide: 100} | 1999 -> 19.99
    """
    return _worked(inputs[0], lambda number: quotients(number, Decimal(args)))


def _worked(given: Values, work: Callable[[pl.Series], pl.Series]) -> Values:
    number = columns.numbers(given)
    made = work(number)
    if made.null_count() == given.values.null_count():
        return Values(made, Kind.DECIMAL)
    failed = given.values.is_not_null() & made.is_null()
    return Values(made, Kind.DECIMAL).fails(failed, "the result is no number that can be held exactly")


def round_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Round to a number of digits behind the point, half up unless `mode` says otherwise.

    Example: {round: {digits: 1}} | '2.25' -> 2.3
    """
    number = columns.numbers(inputs[0])
    read = Values(number, Kind.DECIMAL).fails(inputs[0].values.is_not_null() & number.is_null(), "it is no number")
    return _rounded(read, args.get("digits", 0), args.get("mode", "half_up"))


def _rounded(read: Values, digits: int, mode: str) -> Values:
    made = Values(rounded(read.values, digits, mode), Kind.DECIMAL, failed=read.failed, note=read.note)
    large = read.values.is_not_null() & made.values.is_null()
    if not large.any():
        return made
    failed = large if read.failed is None else large | read.failed
    return made.fails(failed, "it is no number that can be rounded and held")


_ROUNDING = takes.choice("review", *MODES)

WORDS = (
    word(integer, takes.nothing, fallible=True),
    word(
        decimal_,
        takes.optional(takes.options(thousands=takes.text, rounding=_ROUNDING, scale=takes.digits)),
        fallible=True,
    ),
    word(
        boolean, takes.optional(takes.options(true=takes.value_or_listing, false=takes.value_or_listing)), fallible=True
    ),
    word(multiply, takes.number, fallible=True),
    word(divide, takes.divisor, fallible=True),
    word(round_, takes.options({"digits": takes.digits}, mode=takes.choice(*MODES)), fallible=True),
)
