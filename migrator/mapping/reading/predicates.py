"""`{COLUMN: TEST, …, any: [PRED…]}` -> Predicate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from migrator.mapping.model import Predicate, Test, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form, choice, pairs, word
from migrator.mapping.reading.nodes import Items, Node, Pairs, Scalar, literal

TESTS = ("not", "is_null", "gt", "gte", "lt", "lte", "same_as", "matches", "since", "older_than", "unit", "unread")
_DAYS = re.compile(r"([0-9]{1,5})d")


def predicate(node: Node | None, what: str, notes: Notes) -> Predicate:
    """Read a condition; nothing is the condition that always holds."""
    if node is None:
        return Predicate()
    tests: list[Test] = []
    either: tuple[Predicate, ...] = ()
    for column, value in pairs(node, what, notes):
        if column == "any" and isinstance(value, Items):
            either = tuple(predicate(item, "any", notes) for item in value.items)
        else:
            tests += _tests(column, value, notes)
    return Predicate(tuple(tests), either)


def _tests(column: Word, node: Node, notes: Notes) -> Iterator[Test]:
    if not isinstance(node, Pairs):
        yield Test(column, "in", _values(node, notes), column.place)
        return
    form = Form.of(node, f"the test of {column}", TESTS, notes)
    if form is None or not any(key in form for key in TESTS if key != "unit"):
        notes.add("E102", node.place, f"the test of {column} says nothing", f"it takes: {', '.join(TESTS)}")
        return
    for op in TESTS:
        value = form.node(op)
        if value is not None and op != "unit":
            yield _test(column, op, value, form)
    if "unit" in form and "since" not in form and "older_than" not in form:
        text = "unit belongs to since or older_than"
        notes.add("E105", form.key_place("unit"), text, "write {since: 730d, unit: s}")


def _test(column: Word, op: str, node: Node, form: Form) -> Test:
    notes = form.notes
    if op == "not":
        return Test(column, "not_in", _values(node, notes), column.place)
    if op == "is_null":
        return Test(column, "null" if form.flag("is_null") else "not_null", None, column.place)
    if op == "unread":
        return Test(column, "unread", form.flag("unread"), column.place)
    if op == "same_as":
        return Test(column, op, word(node, op, notes), column.place)
    if op in ("since", "older_than"):
        unit = choice(unit_node, "unit", ("s", "ms", "us"), notes) if (unit_node := form.node("unit")) else None
        return Test(column, op, _days(op, node, notes), column.place, unit)
    if op == "matches":
        return Test(column, op, _pattern(node, notes), column.place)
    return Test(column, op, _bound(node, op, notes), column.place)


def _values(node: Node, notes: Notes) -> tuple[Any, ...]:
    return tuple(literal(item, notes) for item in (node.items if isinstance(node, Items) else (node,)))


def _bound(node: Node, op: str, notes: Notes) -> Any:
    value = literal(node, notes)
    if value is None or isinstance(value, bool | list | dict):
        notes.add("E105", node.place, f"{op} takes a number, a time or a text")
    return value


def _days(op: str, node: Node, notes: Notes) -> int:
    days = _DAYS.fullmatch(node.text) if isinstance(node, Scalar) else None
    if days is None:
        notes.add(
            "E105", node.place, f"{op} is a number of days", "write 730d for two years back from the plan's as_of"
        )
        return 0
    return int(days[1])


def _pattern(node: Node, notes: Notes) -> str:
    pattern = node.text if isinstance(node, Scalar) else ""
    if not is_pattern(pattern):
        notes.add("E105", node.place, "matches takes a regular expression, and this is none")
    return pattern


def is_pattern(pattern: str) -> bool:
    """Whether *pattern* is a regular expression that the engine accepts."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        return False
    return pattern != ""
