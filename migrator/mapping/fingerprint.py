"""What a mapping set was approved against: the tables and columns it uses, in both schemas; and what changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migrator.mapping import walk
from migrator.mapping.lint import columns as reads
from migrator.mapping.lint import targets, uses
from migrator.mapping.model import MappingSet, Reference
from migrator.mapping.schema import Column, Kind, Schema, Table


@dataclass(frozen=True, slots=True)
class Change:
    """One difference to what was approved. `database`: legacy | target."""

    database: str
    table: str
    column: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.database}: {self.table}{f'.{self.column}' if self.column else ''} {self.what}"


def of(set_: MappingSet, legacy: Schema, target: Schema) -> dict[str, Any]:
    """
    Write down what *set_* uses of both schemas, as plain data.

    Returns:
        `legacy`: per table `read` (column -> type) and `known` (all columns there are: those that nobody reads were left
        behind for a reason, and one that comes later was not). `target`: per table `used` (column -> type), and whether
        it is `written` or only looked into.
    """
    written = {mapping.target.table for mapping in set_.mappings.values()}
    return {
        "legacy": {
            name: {"read": {c: _type(table.columns[c]) for c in sorted(read)}, "known": sorted(table.columns)}
            for name, (table, read) in _read(set_, legacy).items()
        },
        "target": {
            name: {
                "used": {column: _type(table.columns[column], target=True) for column in sorted(used)},
                "written": name in written,
            }
            for name, (table, used) in _used(set_, target).items()
        },
    }


def changes(approved: Mapping[str, Any], legacy: Schema, target: Schema) -> list[Change]:
    """Say what is not as it was approved; what the set does not use may change as it likes."""
    found: list[Change] = []
    for name, about in approved["legacy"].items():
        table = legacy.tables.get(name)
        if table is None:
            found.append(Change("legacy", name, None, "is gone"))
            continue
        found += _altered("legacy", table, about["read"])
        for column in sorted(table.columns.keys() - set(about["known"])):
            what = f"was added ({_type(table.columns[column])}), and nobody has said what becomes of it"
            found.append(Change("legacy", name, column, what))
    for name, about in approved["target"].items():
        table = target.tables.get(name)
        if table is None:
            found.append(Change("target", name, None, "is gone"))
            continue
        found += _altered("target", table, about["used"])
        found += _demanding(table, about["used"]) if about["written"] else ()
    return found


def _altered(database: str, table: Table, approved: Mapping[str, str]) -> Iterator[Change]:
    for name, before in approved.items():
        column = table.columns.get(name)
        if column is None:
            yield Change(database, table.name, name, f"is gone; it was {before}")
        elif (now := _type(column, target=database == "target")) != before:
            yield Change(database, table.name, name, f"was {before}, and is {now}")


def _demanding(table: Table, used: Mapping[str, str]) -> Iterator[Change]:
    """Columns that nobody sets and that want a value."""
    for column in table.columns.values():
        if column.name not in used and not column.nullable and not column.has_default and not column.generated:
            yield Change("target", table.name, column.name, f"takes no null ({_type(column)}), and no mapping sets it")


def _type(column: Column, *, target: bool = False) -> str:
    """The type in words that every look at the database repeats."""
    sizes = [str(size) for size in (column.length, column.precision, column.scale) if size is not None]
    bits = f" {column.bits}" if column.kind is Kind.INTEGER else ""
    size = f"({', '.join(sizes)})" if sizes else ""
    values = f" of {', '.join(column.values)}" if column.values else ""
    declared = f" {column.declared}" if column.kind is Kind.OTHER and column.declared else ""
    null = " not null" if target and not column.nullable else ""
    return f"{column.kind}{bits}{size}{values}{declared}{null}{' generated' if column.generated else ''}"


def _read(set_: MappingSet, legacy: Schema) -> dict[str, tuple[Table, set[str]]]:
    used: dict[str, set[str]] = defaultdict(set)
    found = [*uses.of_set(set_.set)]
    for mapping in set_.mappings.values():
        found += uses.of_mapping(mapping)
        for table, _ in reads.tables(mapping):
            used[table] |= set()
    for use in found:
        for table in use.tables:
            used[table].add(use.column)
    known = {name: legacy.tables[name] for name in sorted(used) if name in legacy.tables}
    return {name: (table, {c for c in used[name] if c in table.columns}) for name, table in known.items()}


def _used(set_: MappingSet, target: Schema) -> dict[str, tuple[Table, set[str]]]:
    used: dict[str, set[str]] = defaultdict(set)
    for mapping in set_.mappings.values():
        table = target.tables.get(mapping.target.table)
        if table is not None:
            used[table.name] |= targets.is_set(mapping, table) | set(table.key)
        for spot in walk.spots(mapping):
            for name, columns in _referenced(spot):
                used[name] |= columns
    known = {name: target.tables[name] for name in sorted(used) if name in target.tables}
    return {name: (table, {c for c in used[name] if c in table.columns}) for name, table in known.items()}


def _referenced(spot: walk.Spot) -> Iterator[tuple[str, set[str]]]:
    source = spot.rule.source
    if isinstance(source, Reference):
        yield str(source.table), {*(str(its) for its, _ in source.match), str(source.take)}
    for step in spot.rule.steps:
        if step.name == "lookup" and isinstance(step.args, dict) and "table" in step.args:
            names = (step.args.get("match"), step.args.get("take"))
            yield str(step.args["table"]), {name for name in names if isinstance(name, str)}
