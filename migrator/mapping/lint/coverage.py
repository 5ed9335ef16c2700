"""Nothing is left behind without a reason: E202 columns, E207 tables, E203 reasons for what is not there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from migrator.mapping.lint import uses
from migrator.mapping.lint.columns import tables
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.patterns import any_match, matches
from migrator.mapping.model import Ignore, Mapping, Place
from migrator.mapping.people import EVERYBODY
from migrator.mapping.schema import Schema
from migrator.mapping.suggest import suggest

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a table is read first: there its ignored columns belong, under this prefix."""

    place: Place
    prefix: str


def check(ground: Ground) -> None:
    """Check coverage per legacy table over the whole folder."""
    if ground.legacy is None:
        return
    mappings = ground.set.mappings.values()
    _check_columns(ground, ground.legacy)
    _check_tables(ground, ground.legacy)
    for mapping in mappings:
        for ignored in mapping.ignore:
            _check_stale(ground, ground.legacy, mapping, ignored)


@dataclass(frozen=True, slots=True)
class Left:
    """Columns of a table, or tables, that nobody speaks of; they belong under *key* of the document at *place*."""

    key: str
    place: Place
    names: tuple[str, ...]
    table: str = ""


def left_columns(ground: Ground, legacy: Schema) -> Iterator[Left]:
    """Say which columns of the tables that are read are neither read nor ignored."""
    read = read_columns(ground)
    ignored = defaultdict(list)
    for mapping in ground.set.mappings.values():
        for entry in mapping.ignore:
            for table, pattern in meant(mapping, entry):
                ignored[table].append(pattern)
    for table, home in _homes(ground.set.mappings.values()).items():
        columns = legacy.tables[table].columns if table in legacy.tables else {}
        left = [
            name for name in columns if name not in read[table] and not any(matches(p, name) for p in ignored[table])
        ]
        if left:
            yield Left("ignore", home.place, tuple(f"{home.prefix}{name}" for name in left), table)


def left_tables(ground: Ground, legacy: Schema) -> Iterator[Left]:
    """Say which legacy tables no mapping reads and set.yaml does not name."""
    read = {table for mapping in ground.set.mappings.values() for table, _ in tables(mapping)}
    read |= {EVERYBODY, *(way.table for also in ground.set.set.also.values() for way in also.same)}
    named = ground.set.set.tables
    left = [
        table
        for table in sorted(legacy.stored.tables)
        if table not in read and not any(matches(n.pattern, table) for n in named)
    ]
    if left:
        yield Left("tables", ground.set.set.place, tuple(left))


def _check_columns(ground: Ground, legacy: Schema) -> None:
    for left in left_columns(ground, legacy):
        names = [name.rsplit(".", 1)[-1] if left.table else name for name in left.names]
        text = f"{len(names)} column(s) of {left.table} are neither mapped nor ignored: {_some(names)}"
        ground.notes.add("E202", left.place, text, _block(left.key, left.names))


def _check_tables(ground: Ground, legacy: Schema) -> None:
    for left in left_tables(ground, legacy):
        text = f"{len(left.names)} legacy table(s) are read by no mapping and not named here: {_some(left.names)}"
        ground.notes.add("E207", left.place, text, _block(left.key, left.names))
    for entry in ground.set.set.tables:
        if not any_match(entry.pattern, legacy.tables):
            text = f'no legacy table is called "{entry.pattern}"'
            ground.notes.add("E203", entry.place, text, _near(entry.pattern, legacy.tables))


def _check_stale(ground: Ground, legacy: Schema, mapping: Mapping, entry: Ignore) -> None:
    if mapping.source.pivot is not None and "." not in entry.pattern:
        return  # a name that stands in rows is not known from the schema
    known = [(legacy.tables[table], pattern) for table, pattern in meant(mapping, entry) if table in legacy.tables]
    if known and not any(any_match(pattern, table.columns) for table, pattern in known):
        table, pattern = known[0]
        text = f'{table.name} has no column "{pattern}"'
        ground.notes.add("E203", entry.place, text, _near(pattern, table.columns) or "take the line out")


def meant(mapping: Mapping, entry: Ignore) -> Iterator[tuple[str, str]]:
    """Say the (table, column pattern) pairs that *entry* speaks of; none for the names of a pivot."""
    name, dot, column = entry.pattern.partition(".")
    join = mapping.source.joins.get(name) if dot else None
    if join is None:
        yield mapping.source.table, entry.pattern
    elif join.pivot is None:
        for table in join.tables:
            yield table, column


def _homes(mappings: Iterable[Mapping]) -> dict[str, _Home]:
    """Tables whose columns must be covered; a pivoted join has names instead of columns."""
    homes: dict[str, _Home] = {}
    mappings = list(mappings)
    for mapping in mappings:
        source = mapping.source
        homes.setdefault(source.table, _Home(place_of(source.table, source.place), ""))
    for mapping in mappings:
        for join in mapping.source.joins.values():
            if join.pivot is None:
                for table in join.tables:
                    homes.setdefault(table, _Home(place_of(table, join.place), f"{join.name}."))
    return homes


def read_columns(ground: Ground) -> dict[str, set[str]]:
    """Say which columns of each legacy table the set reads anywhere."""
    read: dict[str, set[str]] = defaultdict(set)
    found = [*uses.of_set(ground.set.set)]
    for mapping in ground.set.mappings.values():
        found += uses.of_mapping(mapping)
    for use in found:
        for table in use.tables:
            read[table].add(use.column)
    return read


def _near(pattern: str, names: Iterable[str]) -> str:
    return "" if "*" in pattern else suggest(pattern, names)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _block(key: str, names: Sequence[str]) -> str:
    return "\n".join(["paste and give a reason:", f"{key}:", *(f"  {name}: ???" for name in names)])
