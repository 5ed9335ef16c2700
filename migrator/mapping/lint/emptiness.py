"""What is left behind because it is empty, or one value, must be so in the data: E206; and what only says so: W205."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from migrator.mapping import values as literals
from migrator.mapping.facts import Content, Seen, content
from migrator.mapping.lint.coverage import meant, read_columns
from migrator.mapping.lint.ground import Ground
from migrator.mapping.lint.patterns import matches
from migrator.mapping.model import Ignore, Mapping
from migrator.mapping.schema import Schema

_SHOWN = 8
_SAYS_EMPTY = re.compile(
    r"\b(?:is|are|was|always|all)?\s*(?:empty|never (?:filled|used|set)|unused|not (?:filled|used)|always null|no values?)\b",
    re.IGNORECASE,
)


def check(ground: Ground) -> None:
    """Check the ignored columns of all mappings, and the tables that nobody reads."""
    if ground.legacy is None:
        return
    read = read_columns(ground)
    for mapping in ground.set.mappings.values():
        blanks = {str(text) for value in mapping.source.null_if if (text := literals.literal_text(value)) is not None}
        for entry, columns in _covered(mapping, ground.legacy, read).items():
            _check_columns(ground, entry, columns, blanks)
    for table, entry in _tables(ground, ground.legacy):
        _check_table(ground, table, entry)


def _covered(mapping: Mapping, legacy: Schema, read: dict[str, set[str]]) -> dict[Ignore, list[tuple[str, str]]]:
    """The (table, column) pairs that each entry speaks of: the exact key wins, then the first pattern."""
    found: dict[Ignore, list[tuple[str, str]]] = defaultdict(list)
    taken: set[tuple[str, str]] = set()
    for entry in sorted(mapping.ignore, key=lambda entry: "*" in entry.pattern):
        for table, pattern in meant(mapping, entry):
            columns = legacy.tables[table].columns if table in legacy.tables else {}
            for column in columns:
                if column not in read[table] and (table, column) not in taken and matches(pattern, column):
                    taken.add((table, column))
                    found[entry].append((table, column))
    return found


def _check_columns(ground: Ground, entry: Ignore, columns: list[tuple[str, str]], blanks: set[str]) -> None:
    if entry.expect is None and not _SAYS_EMPTY.search(entry.reason):
        return
    wrong: list[str] = []
    for table, column in columns:
        held = content(ground.facts, table, column, blanks)
        seen = ground.facts.seen(table, column)
        if held is None or seen is None or held[0] in _allowed(entry):
            continue
        wrong.append(_said(table, column, held, seen))
    if wrong and entry.expect is not None:
        text = f"left behind because it is {_WORDS[entry.expect]}, and {_some(wrong)}"
        ground.notes.add("E206", entry.place, text, "map it, or leave it behind for another reason and without expect")
    elif wrong:
        text = f"the reason says that it is empty, and {_some(wrong)}"
        ground.notes.add("W205", entry.place, text, "map it, or say why its values may stay behind")


def _allowed(entry: Ignore) -> tuple[Content, ...]:
    return (Content.EMPTY, Content.CONSTANT) if entry.expect == "constant" else (Content.EMPTY,)


def _said(table: str, column: str, held: tuple[Content, int], seen: Seen) -> str:
    what = "several values" if held[0] is Content.VARIOUS else "a value"
    looked = f"{seen.rows}" if seen.whole else f"the {seen.rows} rows looked at"
    return f"{table}.{column} has {what} in {held[1]} of {looked}"


def _tables(ground: Ground, legacy: Schema) -> Iterator[tuple[str, Ignore]]:
    """The tables that no mapping reads, each with the entry that speaks of it."""
    read = read_columns(ground)
    entries = sorted(ground.set.set.tables, key=lambda entry: "*" in entry.pattern)
    for table in legacy.tables:
        entry = next((entry for entry in entries if matches(entry.pattern, table)), None)
        if table not in read and entry is not None:
            yield table, entry


def _check_table(ground: Ground, table: str, entry: Ignore) -> None:
    if entry.expect != "empty" and not _SAYS_EMPTY.search(entry.reason):
        return
    columns = ground.legacy.tables[table].columns if ground.legacy else {}
    seen = next(filter(None, (ground.facts.seen(table, column) for column in columns)), None)
    if seen is None or not seen.rows:
        return
    rows = f"{seen.rows} rows" if seen.whole else f"more than {seen.rows} rows"
    if entry.expect is not None:
        text = f"left behind because it is empty, and {table} has {rows}"
        ground.notes.add("E206", entry.place, text, "map it, or leave it behind for another reason and without expect")
    else:
        text = f"the reason says that it is empty, and {table} has {rows}"
        ground.notes.add("W205", entry.place, text, "map it, or say why its rows may stay behind")


def _some(said: Iterable[str]) -> str:
    listed = list(said)
    more = f"; and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return "; ".join(listed[:_SHOWN]) + more


_WORDS = {"empty": "empty", "constant": "one value in all rows"}
