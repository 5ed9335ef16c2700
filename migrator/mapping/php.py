"""Text made by PHP's `serialize()`, read as plain values. Objects and references are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def read(text: str) -> Any:
    """
    Parse one serialized value, all of it; lengths count bytes, keys 0 to n-1 in order make a list.

    Raises:
        ValueError: it is cut off, has something behind its end, or holds an object or a reference.
    """
    data = text.encode()
    value, end = _value(data, 0)
    if end != len(data):
        raise ValueError("there is something behind the end")
    return value


def _value(data: bytes, at: int) -> tuple[Any, int]:
    tag = data[at : at + 2]
    if tag == b"s:":
        return _text(data, at)
    if tag == b"i:":
        end = data.index(b";", at)
        return _whole(data[at + 2 : end]), end + 1
    if tag == b"a:":
        return _array(data, at)
    if tag == b"N;":
        return None, at + 2
    if tag == b"b:":
        return _flag(data, at), at + 4
    if tag == b"d:":
        end = data.index(b";", at)
        return _number(data[at + 2 : end]), end + 1
    raise ValueError("it holds an object, a reference or no PHP at all")


def _text(data: bytes, at: int) -> tuple[str, int]:
    colon = data.index(b":", at + 2)
    start = colon + 2
    end = start + _length(data[at + 2 : colon])
    if data[colon + 1 : start] != b'"' or data[end : end + 2] != b'";':
        raise ValueError("a text is not as long as it says")
    return data[start:end].decode(), end + 2


def _array(data: bytes, at: int) -> tuple[Any, int]:
    colon = data.index(b":", at + 2)
    count = _length(data[at + 2 : colon])
    if data[colon + 1 : colon + 2] != b"{":
        raise ValueError("an array has no opening brace")
    at = colon + 2
    made: dict[Any, Any] = {}
    for _ in range(count):
        key, at = _value(data, at)
        if type(key) is not int and type(key) is not str:
            raise ValueError("a key is neither number nor text")
        made[key], at = _value(data, at)
    if data[at : at + 1] != b"}" or len(made) != count:
        raise ValueError("an array does not hold what it says")
    if list(made) == list(range(count)):
        return list(made.values()), at + 1
    named = {str(key): value for key, value in made.items()}
    if len(named) != count:
        raise ValueError("two keys are one text")
    return named, at + 1


def _length(digits: bytes) -> int:
    if not digits.isdigit():
        raise ValueError("a length is no number")
    return int(digits)


def _whole(digits: bytes) -> int:
    if not digits.removeprefix(b"-").isdigit():
        raise ValueError("an integer is none")
    return int(digits)


def _flag(data: bytes, at: int) -> bool:
    if data[at + 2 : at + 4] not in (b"0;", b"1;"):
        raise ValueError("a flag is neither 0 nor 1")
    return data[at + 2 : at + 3] == b"1"


def _number(digits: bytes) -> Decimal:
    try:
        number = Decimal(digits.decode())
    except ArithmeticError as exc:
        raise ValueError("a number is none") from exc
    if not number.is_finite():
        raise ValueError("a number has no end")
    return number
