"""Checks of arguments: each gives None, or a sentence that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

Check = Callable[[Any], str | None]
_LITERAL = {"type": ["string", "number", "boolean", "null"]}


@dataclass(frozen=True, slots=True)
class Shaped:
    """A check that an editor knows, too: as JSON Schema, as far as that can say it."""

    says: Check
    schema: Mapping[str, Any]

    def __call__(self, args: Any) -> str | None:
        """Check arguments."""
        return self.says(args)


def shaped(schema: Mapping[str, Any]) -> Callable[[Check], Shaped]:
    """Give a check its JSON Schema."""
    return lambda says: Shaped(says, schema)


def schema_of(check: Check) -> dict[str, Any]:
    """Say what an editor may know of *check*; anything goes where it says nothing."""
    return dict(check.schema) if isinstance(check, Shaped) else {}


@shaped({"type": "null"})
def nothing(args: Any) -> str | None:
    """No arguments."""
    return None if args is None else "it takes no arguments"


@shaped({"type": "string"})
def text(args: Any) -> str | None:
    """One text."""
    return None if isinstance(args, str) and args else "it takes a text"


@shaped({"type": "number"})
def number(args: Any) -> str | None:
    """One number."""
    return None if _is_number(args) else "it takes a number"


@shaped({"type": "number", "not": {"const": 0}})
def divisor(args: Any) -> str | None:
    """One number that is not zero."""
    return None if _is_number(args) and args != 0 else "it takes a number that is not zero"


@shaped({"type": "integer", "minimum": 1})
def size(args: Any) -> str | None:
    """One whole number above zero."""
    return None if type(args) is int and args > 0 else "it takes a whole number above zero"


@shaped({"type": "integer", "minimum": 0, "maximum": 18})
def digits(args: Any) -> str | None:
    """A whole number from zero to eighteen."""
    return None if type(args) is int and 0 <= args <= 18 else "it is a whole number from 0 to 18"


@shaped({"type": "boolean"})
def flag(args: Any) -> str | None:
    """True or false."""
    return None if isinstance(args, bool) else "it is true or false"


@shaped({})
def anything(args: Any) -> str | None:
    """Whatever there is."""
    return None


@shaped({"type": "array", "minItems": 1, "items": _LITERAL})
def listing(args: Any) -> str | None:
    """A list of literals that is not empty."""
    good = isinstance(args, list | tuple) and args and not any(isinstance(item, list | tuple | dict) for item in args)
    return None if good else "it takes a list of values"


@shaped({"anyOf": [_LITERAL, {"type": "array", "items": _LITERAL}]})
def value_or_listing(args: Any) -> str | None:
    """One literal or a list of them."""
    return "it takes a value or a list of values" if isinstance(args, dict) else None


@shaped({"type": "string"})
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


@shaped({"type": "string"})
def timezone(args: Any) -> str | None:
    """The name of a time zone."""
    try:
        ZoneInfo(args)
    except Exception:  # noqa: BLE001 - a bad name can be a missing key, a bad path or no text at all
        return f'there is no time zone "{args}"; write a name such as Europe/Berlin or UTC'
    return None


def choice(*options: str) -> Shaped:
    """One of *options*."""
    allowed = shaped({"enum": list(options)})
    return allowed(lambda args: None if args in options else f"it is one of {', '.join(options)}")


def optional(check: Check) -> Shaped:
    """Nothing, or what *check* wants."""
    allowed = shaped({"anyOf": [{"type": "null"}, schema_of(check)]})
    return allowed(lambda args: None if args is None else check(args))


def either(*checks: Check) -> Shaped:
    """What any of *checks* takes."""

    @shaped({"anyOf": [schema_of(one) for one in checks]})
    def check(args: Any) -> str | None:
        told = [one(args) for one in checks]
        return None if None in told else told[-1]

    return check


def options(needs: Mapping[str, Check] | None = None, **known: Check) -> Shaped:
    """A map of options; those of *needs* must be there."""
    needed = dict(needs or {})
    checks = needed | known

    properties = {name: schema_of(one) for name, one in checks.items()}

    @shaped({"type": "object", "properties": properties, "required": [*needed], "additionalProperties": False})
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
