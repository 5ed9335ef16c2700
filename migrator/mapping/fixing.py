"""What lint can mend by itself in the text of a document: the order of keys, and lines that ask for a reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.mapping.lint.coverage import Left, left_columns, left_tables
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import MappingSet, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading import mappings, sets, sources, targets
from migrator.mapping.reading.nodes import Node, Pairs, compose, literal
from migrator.mapping.schema import Schema

_ORDERS: dict[bool, dict[tuple[str, ...], Sequence[str]]] = {
    False: {(): mappings.KEYS, ("source",): sources.SOURCE, ("target",): targets.TARGET},
    True: {(): sets.KEYS, ("users",): sets.USERS},
}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_REASON = "???"


def fixed(set_: MappingSet, legacy: Schema | None) -> dict[str, str]:
    """
    Mend the texts of a set.

    Args:
        legacy: None leaves columns and tables that nobody speaks of as they are.

    Returns:
        File name -> new text, of the files that change. Each says what it said before, but for the lines that were
        added with ??? for a reason, which lint refuses until a person gives one.
    """
    ground = Ground(set_, legacy, None, Notes())
    left = [*left_columns(ground, legacy), *left_tables(ground, legacy)] if legacy else []
    made = {}
    for name, text in set_.texts.items():
        if not name.endswith((".yaml", ".yml")):
            continue
        here = [one for one in left if one.place.file == name or one.place.file.endswith(f"/{name}")]
        new = _mended(text, here)
        if new != text:
            made[name] = new
    return made


def _mended(text: str, left: Sequence[Left]) -> str:
    """The text in order and with the lines that are missing; as it was where that would say something else."""
    before = _said(text)
    if before is None:
        return text
    added = _added(text, left)
    ordered = _in_order(added)
    for new in (ordered, added):
        if _said(new) == _with_missing(before, left):
            return new
    return text


def _said(text: str) -> Any:
    """What the document says, without the order of its keys; None where it cannot be read."""
    notes = Notes()
    node = compose(text, "", notes)
    return None if node is None or notes.found else literal(node, notes)


def _with_missing(said: Any, left: Sequence[Left]) -> Any:
    for one in left:
        said = {**said, one.key: {**(said.get(one.key) or {}), **dict.fromkeys(one.names, _REASON)}}
    return said


# ---- lines that are missing -------------------------------------------------------------------------------------


def _added(text: str, left: Sequence[Left]) -> str:
    wanted: dict[str, list[str]] = {}
    for one in left:
        wanted.setdefault(one.key, []).extend(one.names)
    for key, names in wanted.items():
        text = _add(text, key, names)
    return text


def _add(text: str, key: str, names: Iterable[str]) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    block = next((block for block in _blocks(text, ()) if block.key == key), None)
    entries = [f"{name if _PLAIN.fullmatch(name) else _quoted(name)}: {_REASON}" for name in names]
    if block is None:
        return text.rstrip("\r\n") + end + end + end.join([f"{key}:", *(f"  {entry}" for entry in entries)]) + end
    lines = text.split("\n")
    if isinstance(block.node, Pairs) and block.node.place.line > block.line + 1:
        inner = next(iter(block.node.entries))
        indent = " " * (inner.place.column - 1)
        new = [indent + entry + end.removesuffix("\n") for entry in entries]
        return "\n".join([*lines[: block.last + 1], *new, *lines[block.last + 1 :]])
    return _into_flow(
        lines, block, [entry.replace(_REASON, f"'{_REASON}'") for entry in entries]
    )  # ? means a key there


def _into_flow(lines: list[str], block: _Block, entries: Sequence[str]) -> str:
    """Before the bracket that closes `{…}`: the last one of the block that is not in a comment."""
    for number in range(block.last, block.line - 1, -1):
        code = lines[number].split(" #", 1)[0]
        if "}" in code:
            at = code.rindex("}")
            before = code[:at].rstrip()
            comma = "" if before.endswith(("{", ",")) else ","
            lines[number] = f"{before}{comma} {', '.join(entries)}" + lines[number][at:]
            break
    return "\n".join(lines)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


# ---- order ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """One key of a block map with its lines, from 0: comments right above it, itself, and what is under it."""

    key: Word
    node: Node
    start: int
    line: int
    last: int


def _in_order(text: str) -> str:
    for path, order in _ORDERS[_is_set(text)].items():
        text = _sorted(text, path, order)
    return text


def _is_set(text: str) -> bool:
    root = compose(text, "", Notes())
    return isinstance(root, Pairs) and "set" in root.entries and "mapping" not in root.entries


def _sorted(text: str, path: tuple[str, ...], order: Sequence[str]) -> str:
    blocks, lines = _blocks(text, path), text.split("\n")
    ranks: Mapping[str, int] = {key: number for number, key in enumerate(order)}
    wanted = sorted(blocks, key=lambda block: ranks.get(block.key, len(ranks)))
    if wanted == blocks:
        return text
    first, last = blocks[0].start, blocks[-1].last
    made = [line for block in wanted for line in _with_gap(lines, block, leads=block is wanted[0])]
    return "\n".join([*lines[:first], *made, *lines[last + 1 :]])


def _with_gap(lines: list[str], block: _Block, *, leads: bool) -> list[str]:
    """The lines of a block with the empty lines above it, which the first block does without."""
    above = block.start
    while not leads and above > 0 and not lines[above - 1].strip():
        above -= 1
    return lines[above : block.last + 1]


def _blocks(text: str, path: tuple[str, ...]) -> list[_Block]:
    """The keys of the block map under *path*; none where it is written in one line."""
    node = compose(text, "", Notes())
    for key in path:
        node = node.entries.get(Word(key, node.place)) if isinstance(node, Pairs) else None
    if not isinstance(node, Pairs) or len({key.place.line for key in node.entries}) < len(node.entries):
        return []
    lines, keys = text.split("\n"), list(node.entries)
    starts = [_start(lines, key) for key in keys]
    if not path and keys:
        starts[0] = keys[0].place.line - 1  # what stands above the first key is about the file
    ends = [*(start - 1 for start in starts[1:]), _end(lines, keys[-1]) if keys else 0]
    return [
        _Block(key, node.entries[key], start, key.place.line - 1, _content(lines, key.place.line - 1, end))
        for key, start, end in zip(keys, starts, ends, strict=True)
    ]


def _start(lines: list[str], key: Word) -> int:
    """The first of the comment lines right above *key* that are indented as it is."""
    start, indent = key.place.line - 1, " " * (key.place.column - 1)
    while start > 0 and lines[start - 1].startswith(f"{indent}#") and "yaml-language-server" not in lines[start - 1]:
        start -= 1
    return start


def _end(lines: list[str], key: Word) -> int:
    """The last line that belongs to *key*: those below it that are indented deeper, or begin a list at its column."""
    indent, end = key.place.column - 1, key.place.line - 1
    for number in range(end + 1, len(lines)):
        line = lines[number]
        deep = len(line) - len(line.lstrip(" "))
        if line.strip() and deep <= indent and not line[indent:].startswith(("- ", "#")):
            break
        end = number
    return end


def _content(lines: list[str], first: int, last: int) -> int:
    """The last line of the block that is not empty."""
    while last > first and not lines[last].strip():
        last -= 1
    return last
