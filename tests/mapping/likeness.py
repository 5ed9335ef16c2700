"""How much of a mapping set a proposal has found: per target column, whether it reads what the real mapping reads."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping import walk
from migrator.mapping.model import (
    Choose,
    Collect,
    From,
    Lookup,
    Mapping,
    MappingSet,
    Number,
    Predicate,
    Reference,
    Rule,
)


def score(truth: MappingSet, proposed: MappingSet) -> dict[str, bool]:
    """
    Judge a proposal by every target column that the real set sets: ids, foreign keys and constants, too.

    A column is right when the proposal reads nothing that the real rule does not read and has its first column, or
    when at least half of all columns that either of them reads are read by both. A lookup counts as (table it leads
    to, column); a constant reads nothing, so no proposal can have it right.
    """
    theirs = {
        (mapping.target.table, name): read
        for mapping in proposed.mappings.values()
        for name, read in _columns(proposed, mapping)
    }
    return {
        f"{mapping.target.table}.{name}": _is_right(read, theirs.get((mapping.target.table, name), []))
        for mapping in truth.mappings.values()
        for name, read in _columns(truth, mapping)
    }


def _is_right(truth: list[str], proposed: list[str]) -> bool:
    if not truth or not proposed:
        return False
    ours, theirs = set(truth), set(proposed)
    return (theirs <= ours and truth[0] in theirs) or 2 * len(ours & theirs) >= len(ours | theirs)


def _columns(set_: MappingSet, mapping: Mapping) -> Iterator[tuple[str, list[str]]]:
    """(target column, what it reads, in order) of all fields, and of the id."""
    identity = mapping.target.id
    if identity.how != "fields":
        parent = f"{set_.mappings[identity.mapping].target.table}." if identity.mapping else ""
        yield identity.as_ or "id", [f"{parent}{_named(mapping, name)}" for name in identity.columns]
    for name, rule in mapping.fields.items():
        yield name, list(dict.fromkeys(_read(set_, mapping, rule)))


def _read(set_: MappingSet, mapping: Mapping, rule: Rule) -> Iterator[str]:
    for spot in walk.within("", rule):
        source = spot.rule.source
        of = source.of if isinstance(source, Collect) else spot.collect.of if spot.collect else None
        if isinstance(source, Lookup):
            table = set_.mappings[source.mapping].target.table
            yield from (f"{table}.{_named(mapping, name)}" for name in source.by)
        elif isinstance(source, Reference):
            yield from (_named(mapping, name, of) for _, name in source.match)
        elif isinstance(source, Number):
            yield from (_named(mapping, name) for name in source.order)
        elif isinstance(source, Choose):
            for branch in source.branches:
                yield from (_named(mapping, name) for name in _tested(branch.when))
        elif isinstance(source, From):
            for name in source.columns:
                if name.startswith("$") and name[1:] in mapping.vars:
                    yield from _read(set_, mapping, mapping.vars[name[1:]])
                else:
                    yield _named(mapping, name, of)


def _tested(when: Predicate | None) -> Iterator[str]:
    for test in when.tests if when else ():
        yield test.column
        if test.op == "same_as":
            yield str(test.value)


def _named(mapping: Mapping, name: str, of: str | None = None) -> str:
    """A COLUMN without the names that joins happen to have: by table, or by name where names stand in rows."""
    source = mapping.source
    join, dot, column = name.partition(".")
    if not dot and of is not None:
        join, column = of, name
    if join in source.joins:
        tables = source.joins[join].tables
        return f"names.{column}" if source.joins[join].pivot else f"{tables[0]}.{column}"
    if source.unnest is not None and name in (source.unnest.as_, source.unnest.position):
        return f"{source.table}.{source.unnest.column}#{'at' if name == source.unnest.position else 'part'}"
    return f"names.{name}" if source.pivot and name not in source.key else f"{source.table}.{name}"
