"""Steps that let a value through or send it to a person."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import moments
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values


def null_if(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Make null of a value, or of any in a list.

    Example: {null_if: ['', n/a]} | n/a -> null
    """
    given = inputs[0].only()
    meant = [columns.literal_text(item) for item in (args if isinstance(args, list | tuple) else [args])]
    hit = columns.is_true(given.text.is_in([item for item in meant if item is not None]))
    return Values(columns.blank(given.values, hit), given.kind)


def matches(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Let through what a pattern matches as a whole.

    Example: {matches: '[A-Z]{2}'} | Deu -> review
    """
    given = inputs[0].only()
    return given.fails(~given.text.str.contains(rf"\A(?:{args})\z"), "it does not match")


def one_of(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Let through what is in a list.

    Example: {one_of: [a, b]} | c -> review
    """
    given = inputs[0].only()
    allowed = [columns.literal_text(item) for item in args if item is not None]
    return given.fails(~given.text.is_in(allowed), "it is not in the list")


def between(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Let through what lies between two bounds, both included; null as a bound is open.

    Example: {between: [0, 100]} | 101 -> review
    """
    given = inputs[0].only()
    low, high = (env.literal(bound) for bound in args)
    at_least = within(given, "gte", low) if low is not None else None
    at_most = within(given, "lte", high) if high is not None else None
    inside = at_least if at_most is None else at_most if at_least is None else at_least & at_most
    if inside is None:
        return given
    return given.fails(given.values.is_not_null() & ~inside, "it is out of bounds")


def within(given: Values, op: str, bound: Any) -> pl.Series:
    """
    Compare with a literal in the type of the values: gt, gte, lt or lte; false where a value cannot be compared.

    A text is compared as a number with a number, as a time with an ISO time, else by code point.
    """
    if isinstance(bound, int | Decimal) and not isinstance(bound, bool):
        return _compared(columns.numbers(given), op, pl.lit(bound, dtype=columns.NUMBER))
    if given.kind in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP) or moments.is_iso(bound):
        if not moments.is_iso(bound):
            return pl.Series([False]).new_from_index(0, len(given))
        return _compared(moments.as_instants(given.values), op, pl.lit(moments.instant(bound), dtype=columns.INSTANT))
    if given.kind in (Kind.INTEGER, Kind.DECIMAL):
        number = columns.parse_numbers(pl.Series([str(bound)]))
        return _compared(columns.numbers(given), op, pl.lit(number.item(), dtype=columns.NUMBER))
    return _compared(given.text, op, pl.lit(str(bound)))


def _compared(series: pl.Series, op: str, bound: pl.Expr) -> pl.Series:
    column = pl.lit(series)
    tests = {"gt": column > bound, "gte": column >= bound, "lt": column < bound, "lte": column <= bound}
    return columns.is_true(pl.select(tests[op]).to_series())


def email(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Let through what is an e-mail address.

    Example: email | ann@ -> review
    """
    given = Values(inputs[0].text, Kind.TEXT)
    good = columns.per_distinct(given.values, _is_email, pl.Boolean())
    return given.fails(given.values.is_not_null() & ~columns.is_true(good), "it is no e-mail address")


def _is_email(address: str) -> bool:
    from email_validator import validate_email

    # addresses inside a company (…@intranet.local) are somebody's address too; nothing is asked of the network
    found = validate_email(address, check_deliverability=False, globally_deliverable=False)
    return "." in found.domain and address == address.strip()


def phone(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Write a phone number of a region, or with its country code, as `+4930123456` (E.164).

    Example: {phone: CN} | 138 1234 5678 -> '+8613812345678'
    """
    given = inputs[0].text
    written = columns.per_distinct(given, lambda number: _e164(number, args))
    return Values(written, Kind.TEXT).fails(given.is_not_null() & written.is_null(), "it is no phone number")


def _e164(number: str, region: str) -> str | None:
    import phonenumbers

    parsed = phonenumbers.parse(number, region)
    if not phonenumbers.is_valid_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


@takes.shaped({"type": "array", "minItems": 2, "maxItems": 2})
def _bounds(args: Any) -> str | None:
    good = isinstance(args, list | tuple) and len(args) == 2 and not any(isinstance(a, list | dict) for a in args)
    return None if good else "it takes two bounds: [lowest, highest]"


@takes.shaped({"type": "string", "pattern": "^[A-Z]{2}$"})
def _region(args: Any) -> str | None:
    good = isinstance(args, str) and len(args) == 2 and args.isalpha() and args.isupper()
    return None if good else "it takes a region of two capital letters, such as CN or DE"


WORDS = (
    word(null_if, takes.value_or_listing),
    word(matches, takes.regex, fallible=True),
    word(one_of, takes.listing, fallible=True),
    word(between, _bounds, fallible=True),
    word(email, takes.nothing, fallible=True),
    word(phone, _region, fallible=True),
)
