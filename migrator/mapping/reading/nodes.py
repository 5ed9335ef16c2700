"""
YAML text -> a small tree whose every node has a place.

Typing happens by slot, not by YAML's guesses: keys are always text, and only `literal` turns a plain word into
something else. Aliases, anchors, tags and merge keys are refused: each file must read alone, as it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any, TypeAlias

import yaml

from migrator.mapping.model import Place, Word
from migrator.mapping.problems import Notes

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MOST_BYTES = 1_000_000
_DEEPEST = 20
_MOST_NODES = 20_000  # of one file; a mapping of three hundred columns has a fifth of them
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,37})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,37})\.[0-9]{1,38}")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_AMBIGUOUS = {"Null", "NULL", "True", "TRUE", "False", "FALSE"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word or text; `plain` without quotes."""

    text: str
    place: Place
    plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map, in the order written."""

    entries: dict[Word, Node]
    place: Place


Node: TypeAlias = Scalar | Items | Pairs


class _Unreadable(Exception):
    """The rest of the file cannot be read; the reason is in the notes."""


def compose(text: str, file: str, notes: Notes) -> Node | None:
    """Read one YAML document; None when it cannot be read, with the reason in *notes*."""
    if len(text.encode(errors="replace")) > _MOST_BYTES:
        notes.add(
            "E106", Place(file, 1, 1), "the file is larger than 1 MB", "split it, or move tables of values to a CSV"
        )
        return None
    try:
        return _Composer(text, file, notes).document()
    except _Unreadable:
        return None
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        place = _place_at(text, file, mark.index) if mark else Place(file, 1, 1)
        context = f" {broken.context}" if broken.context else ""
        notes.add("E101", place, f"this is not YAML: {broken.problem}{context}", _syntax_help(str(broken.problem)))
    except yaml.reader.ReaderError as broken:
        notes.add("E101", _place_at(text, file, broken.position), f"this is not YAML: {broken.reason}")
    return None


def literal(node: Node, notes: Notes) -> Any:
    """
    Read a value: text, a whole number, Decimal for a number with a point, true, false, null; lists and maps of these.

    Quoted is always text, and so is a number that is not written the usual way (`010`, `1e5`, a date).
    """
    if isinstance(node, Items):
        return [literal(item, notes) for item in node.items]
    if isinstance(node, Pairs):
        return {str(key): literal(value, notes) for key, value in node.entries.items()}
    if not node.plain:
        return node.text
    if node.text in _WORDS:
        return _WORDS[node.text]
    if node.text in _AMBIGUOUS:
        lower = node.text.lower()
        notes.add(
            "E105", node.place, f"{node.text} may be a word or a value", f"write {lower}, or '{node.text}' for the word"
        )
    if _INTEGER.fullmatch(node.text):
        return int(node.text)
    return Decimal(node.text) if _DECIMAL.fullmatch(node.text) else node.text


def is_null(node: Node) -> bool:
    """Whether the node is a null: nothing, ~ or null, without quotes."""
    return isinstance(node, Scalar) and node.plain and node.text in {"", "~", "null"}


class _Composer:
    def __init__(self, text: str, file: str, notes: Notes) -> None:
        self.file, self.notes = file, notes
        self.lines = text.split("\n")
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines)]
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self.count = 0
        self.widths: dict[int, int] = {}  # of lines without the blanks at their ends

    def document(self) -> Node | None:
        root = None
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                if root is not None:
                    self.refuse(event, "one file holds one document", "move the part after --- to a file of its own")
                root = self.node(event, 1)
        if root is None:
            self.notes.add("E101", Place(self.file, 1, 1), "the file is empty")
        return root

    def node(self, event: Any, depth: int) -> Node:
        self.check(event, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(tuple(self.items(depth)), self.place(event))
        if isinstance(event, yaml.MappingStartEvent):
            return Pairs(self.entries(depth), self.place(event))
        return Scalar(event.value, self.place(event), event.style in (None, ""))

    def items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            yield self.node(event, depth + 1)

    def entries(self, depth: int) -> dict[Word, Node]:
        entries: dict[Word, Node] = {}
        seen: dict[str, Place] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, depth)
            value = self.node(next(self.events), depth + 1)
            if key in seen:
                first = seen[key].line
                self.notes.add(
                    "E104",
                    key.place,
                    f'"{key}" was already set on line {first}',
                    "YAML keeps only the last one, so the first would be lost without a word",
                )
            else:
                seen[key] = key.place
                entries[key] = value
        return entries

    def key(self, event: Any, depth: int) -> Word:
        node = self.node(event, depth + 1)
        if not isinstance(node, Scalar):
            self.refuse(event, "a key must be a word")
            raise _Unreadable
        if node.plain and node.text == "<<":
            self.refuse(event, "merge keys are not used in mappings", "write the keys out: each file reads alone")
        return Word(node.text, node.place)

    def check(self, event: Any, depth: int) -> None:
        self.count += 1
        if self.count > _MOST_NODES:
            self.refuse(event, f"more than {_MOST_NODES:,} words", "move tables of values to a CSV")
            raise _Unreadable
        if depth > _DEEPEST:
            self.refuse(event, f"nested deeper than {_DEEPEST} levels")
            raise _Unreadable
        if isinstance(event, yaml.AliasEvent):
            self.refuse(event, f"*{event.anchor} is an alias, and mappings use none", "write the value out")
            raise _Unreadable
        if event.anchor:
            self.refuse(
                event, f"&{event.anchor} is an anchor, and mappings use none", "write the value out where it is needed"
            )
        if event.tag:
            self.refuse(event, "tags such as !!str are not used in mappings", "quote what is to be text")

    def refuse(self, event: Any, text: str, help: str = "") -> None:
        self.notes.add("E106", self.place(event), text, help)

    def place(self, event: Any) -> Place:
        # by index: YAML knows more line ends than an editor shows
        start, end = event.start_mark.index, event.end_mark.index
        line = bisect_right(self.starts, start) - 1
        begin = self.starts[line]
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            if line not in self.widths:
                self.widths[line] = len(self.lines[line].rstrip())
            last = min(end, begin + self.widths[line])
            return Place(self.file, line + 1, start - begin + 1, max(1, last - start))
        return Place(self.file, line + 1, start - begin + 1)


def _place_at(text: str, file: str, position: int) -> Place:
    before = text[:position].split("\n")
    return Place(file, len(before), len(before[-1]) + 1)


def _syntax_help(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "quote a text that holds a colon and a blank"
    if "cannot start any token" in problem:
        return "indent with blanks, and quote a text that begins with @, `, % or a tab"
    if "did not find expected" in problem:
        return "is a bracket, a comma or the indentation missing here or in the line before?"
    return ""
