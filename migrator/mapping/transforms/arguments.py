"""Checks of arguments: each gives None, or a sentence that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

Check = Callable[[Any], str | None]


def nothing(args: Any) -> str | None:
    """No arguments."""
    return None if args is None else "it takes no arguments"


def text(args: Any) -> str | None:
    """One text."""
    return None if isinstance(args, str) and args else "it takes a text"


def number(args: Any) -> str | None:
    """One number."""
    return None if _is_number(args) else "it takes a number"


def divisor(args: Any) -> str | None:
    """One number that is not zero."""
    return None if _is_number(args) and args != 0 else "it takes a number that is not zero"


def size(args: Any) -> str | None:
    """One whole number above zero."""
    return None if type(args) is int and args > 0 else "it takes a whole number above zero"


def digits(args: Any) -> str | None:
    """A whole number from zero to eighteen."""
    return None if type(args) is int and 0 <= args <= 18 else "it is a whole number from 0 to 18"


def flag(args: Any) -> str | None:
    """True or false."""
    return None if isinstance(args, bool) else "it is true or false"


def anything(args: Any) -> str | None:
    """Whatever there is."""
    return None


def listing(args: Any) -> str | None:
    """A list of literals that is not empty."""
    good = isinstance(args, list | tuple) and args and not any(isinstance(item, list | tuple | dict) for item in args)
    return None if good else "it takes a list of values"


def value_or_listing(args: Any) -> str | None:
    """One literal or a list of them."""
    return "it takes a value or a list of values" if isinstance(args, dict) else None


def regex(args: Any) -> str | None:
    """A pattern that the engine understands."""
    if not isinstance(args, str):
        return "it takes a pattern"
    try:
        pl.Series([""]).str.contains(args)
    except pl.exceptions.ComputeError as exc:
        cause = next((line for line in str(exc).splitlines() if line.startswith("error:")), "it cannot be read")
        return f"the pattern is not understood; {cause}"
    return None


def timezone(args: Any) -> str | None:
    """The name of a time zone."""
    try:
        ZoneInfo(args)
    except Exception:  # noqa: BLE001 - a bad name can be a missing key, a bad path or no text at all
        return f'there is no time zone "{args}"; write a name such as Europe/Berlin or UTC'
    return None


def choice(*options: str) -> Check:
    """One of *options*."""
    return lambda args: None if args in options else f"it is one of {', '.join(options)}"


def optional(check: Check) -> Check:
    """Nothing, or what *check* wants."""
    return lambda args: None if args is None else check(args)


def either(*checks: Check) -> Check:
    """What any of *checks* takes."""

    def check(args: Any) -> str | None:
        told = [one(args) for one in checks]
        return None if None in told else told[-1]

    return check


def options(needs: Mapping[str, Check] | None = None, **known: Check) -> Check:
    """A map of options; those of *needs* must be there."""
    needed = dict(needs or {})
    checks = needed | known

    def check(args: Any) -> str | None:
        if not isinstance(args, dict):
            return f"it takes a map of {', '.join(checks)}"
        for name in args:
            if name not in checks:
                return f'it has no option "{name}"; there is: {", ".join(checks)}'
        for name in needed:
            if name not in args:
                return f'it needs "{name}"'
        told = ((name, checks[name](value)) for name, value in args.items())
        return next((f"{name}: {wrong}" for name, wrong in told if wrong), None)

    return check


def _is_number(args: Any) -> bool:
    return isinstance(args, int | Decimal) and not isinstance(args, bool)
