"""Steps on values that hold values: JSON and PHP's serialized text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from migrator.mapping import jsons, php
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values


def json(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read a JSON text; numbers keep their digits, a key that comes twice fails.

    Example: json | '{"a": 1.50}' -> {a: 1.50}
    """
    if inputs[0].kind is Kind.JSON:
        return inputs[0].only()
    return _parsed(inputs[0].values, jsons.tidy, "it is no JSON")


def php_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Read a text that PHP's serialize() wrote; objects and references fail.

    Example: php | 'a:1:{s:1:"k";i:5;}' -> {k: 5}
    """
    return _parsed(inputs[0].values, lambda text: jsons.write(php.read(text)), "it is no serialized PHP")


def _parsed(given: pl.Series, read: Callable[[str], str], complaint: str) -> Values:
    made = columns.per_distinct(columns.readable(given), read)
    return Values(made, Kind.JSON).fails(given.is_not_null() & made.is_null(), complaint)


def json_get(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Take what stands under a path such as `address.lines.0`; nothing there is null.

    Example: {json_get: a.b} | '{"a": {"b": 7}}' -> '7'
    """
    given = json(inputs, None, env)
    steps = str(args).split(".")
    found = columns.per_distinct(given.values, lambda text: _found(text, steps))
    return Values(found, Kind.TEXT, failed=given.failed, note=given.note)


def _found(text: str, steps: list[str]) -> str | None:
    value = jsons.read(text)
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    if isinstance(value, dict | list):
        return jsons.write(value)
    return columns.literal_text(value)


WORDS = (
    word(json, takes.nothing, fallible=True),
    word(php_, takes.nothing, fallible=True),
    word(json_get, takes.text, fallible=True),
)
