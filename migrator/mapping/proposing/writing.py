"""Words of YAML, as a person would write them: plain where that is safe, in flow style where it fits the line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

WIDTH = 118
GAP = "???"  # what a person must put in
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$@./-]*( [A-Za-z0-9_@./-]+)*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TAKEN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"}


def word(text: object) -> str:
    """One scalar."""
    if text is None:
        return "null"
    if isinstance(text, bool):
        return "true" if text else "false"
    if isinstance(text, int):
        return str(text)
    if isinstance(text, Decimal):
        return format(text, "f")
    said = str(text)
    if not said.isprintable():
        return '"' + "".join(_escaped(letter) for letter in said) + '"'
    if _PLAIN.fullmatch(said) and said.lower() not in _TAKEN:
        return said
    return "'" + said.replace("'", "''") + "'"


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def key(text: object) -> str:
    """A key of a map: digits may stand as they are, keys are text always."""
    said = str(text)
    return said if re.fullmatch(r"[0-9]+", said) and str(int(said)) == said else word(said)


def flow(value: object) -> str:
    """A value in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(name)}: {flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    return word(value)  # a gap is quoted here: within braces a question mark means something


def block(name: str, value: object, *, indent: int = 0, comment: str = "") -> list[str]:
    """`name: value`, on one line where it fits, else one line per key."""
    blanks = " " * indent
    tail = f"    # {comment}" if comment else ""
    single = f"{blanks}{key(name)}: {GAP if value == GAP else flow(value)}"
    if isinstance(value, list) and len(single) > WIDTH:
        return [f"{blanks}{key(name)}:{tail}", *(line for one in value for line in _item(one, indent=indent + 2))]
    if len(single) + len(tail) <= WIDTH or not isinstance(value, Mapping):
        if len(single) + len(tail) <= WIDTH or not comment:
            return [single + tail]
        return [f"{blanks}# {comment}", single]
    head = f"{blanks}{key(name)}:{tail}"
    return [head, *nested(value, indent=indent + 2)]


def _item(value: object, *, indent: int) -> list[str]:
    """One entry of a list; a map that is too long for the line goes under its dash."""
    blanks = " " * indent
    single = f"{blanks}- {flow(value)}"
    if len(single) <= WIDTH or not isinstance(value, Mapping):
        return [single]
    first, *more = nested(value, indent=indent + 2)
    return [f"{blanks}- {first.lstrip()}", *more]


def nested(values: Mapping[str, object], *, indent: int) -> list[str]:
    """The lines of a map, one or more per key."""
    return [line for name, value in values.items() for line in block(name, value, indent=indent)]


def comments(lines: Iterable[str], *, indent: int = 0) -> list[str]:
    """Lines for people only."""
    return [f"{' ' * indent}# ? {line}" for line in lines]
