"""JSON text in and out without losing a digit: numbers with a point are decimals, never floats."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_SORTED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True)


def read(text: str) -> Any:
    """
    Parse one JSON text, all of it.

    Raises:
        ValueError: it is no JSON, names a key twice, or holds NaN or half of a character.
    """
    value = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_object)
    if "\\u" in text:
        write(value).encode()  # half of a surrogate pair cannot be written anywhere
    return value


def write(value: Any, *, sort: bool = False) -> str:
    """Write compact JSON; decimals keep their digits."""
    try:
        return (_SORTED if sort else _PLAIN).encode(value)
    except TypeError:
        return _written(value, sort)


def tidy(text: str) -> str:
    """Parse and write again: compact, the same digits, the same order."""
    return write(read(text))


def canonical(text: str) -> str:
    """Say a JSON text in the one way in which equal values are equal texts: keys sorted, numbers by their value."""
    try:
        return write(json.loads(text, parse_float=_number), sort=True)
    except (ValueError, RecursionError):
        return text


def _number(digits: str) -> Any:
    number = Decimal(digits)
    if number == number.to_integral_value() and abs(number.adjusted()) < 400:
        return int(number)
    return number.normalize()


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key comes twice")
    return made


def _written(value: Any, sort: bool) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        items = sorted(value.items()) if sort else value.items()
        return "{" + ",".join(f"{write(str(key))}:{write(item, sort=sort)}" for key, item in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(write(item, sort=sort) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)
