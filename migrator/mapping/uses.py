"""Which COLUMNs a mapping needs: only these are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    Rest,
    RuleSource,
    Source,
)
from migrator.mapping.schema import Schema


def columns(mapping: Mapping, legacy: Schema) -> list[str]:
    """
    List the COLUMNs of the source that *mapping* needs, those of joins as `join.column`, each once and sorted.

    Names that only exist once rows are shaped (pivoted names, parts of an unnest) are among them.
    """
    source, id_ = mapping.source, mapping.target.id
    found = {*source.key, *source.user, *predicate(source.where)}
    found |= set(id_.columns) if id_.how != "fields" else set()  # those are of the target
    found |= {column for join in source.joins.values() for _, column in join.match}
    for spot in walk.spots(mapping):
        found |= {_qualified(name, spot.collect, source, legacy) for name in _of(spot.rule.source)}
    if mapping.merge:
        found |= {*mapping.merge.match, mapping.merge.keep[1], *mapping.merge.review_if_different}
    for rule in mapping.clean:
        found |= {*predicate(rule.when), *rule.duplicates, *(rule.keep[1:] if rule.duplicates else ())}
    found |= set(_shaping(source))
    return sorted(str(name) for name in found if name and not name.startswith("$"))


def predicate(where: Predicate) -> Iterator[str]:
    """Every COLUMN that a condition looks at."""
    for test in where.tests:
        yield test.column
        if test.op == "same_as":
            yield test.value
    for one in where.any:
        yield from predicate(one)


def asks_unread(source: Source) -> bool:
    """Whether `where` asks for the names that no mapping reads."""
    tests = [test for one in (source.where, *source.where.any) for test in one.tests]
    return any(test.op == "unread" for test in tests)


def wants_rest(mapping: Mapping) -> bool:
    """Whether the names nobody mapped are wanted, too."""
    return any(isinstance(spot.rule.source, Rest) for spot in walk.spots(mapping))


def of_join(used: Iterable[str], name: str) -> list[str]:
    """The columns, or pivoted names, of one join among *used*."""
    return [column.partition(".")[2] for column in used if column.partition(".")[0] == name and "." in column]


def names_read(set_: MappingSet, legacy: Schema) -> frozenset[str]:
    """Every name of a pivot that some mapping of the folder reads."""
    found: set[str] = set()
    for mapping in set_.mappings.values():
        used = columns(mapping, legacy)
        if mapping.source.pivot:
            found |= {name for name in used if "." not in name}
        for join in mapping.source.joins.values():
            if join.pivot:
                found |= set(of_join(used, join.name))
    return frozenset(found)


def _of(source: RuleSource) -> Iterator[str]:
    if isinstance(source, From):
        yield from source.columns
    elif isinstance(source, Lookup):
        yield from source.by
    elif isinstance(source, Reference):
        yield from (column for _, column in source.match)
    elif isinstance(source, Number):
        yield from (*source.within, *source.order)
    elif isinstance(source, Choose):
        for branch in source.branches:
            if branch.when is not None:
                yield from predicate(branch.when)


def _shaping(source: Source) -> Iterator[str]:
    for name, join in source.joins.items():
        if join.many and join.item_key:
            yield f"{name}.{join.item_key}"
    if source.group:
        yield from (column for column in (source.group.by, source.group.order, source.group.item_key) if column)
    if source.unnest:
        yield source.unnest.column


def _qualified(name: str, collect: Collect | None, source: Source, legacy: Schema) -> str:
    """Inside a collect a name is a column of the items; if they have none such, one of the row around them."""
    join = source.joins.get(collect.of) if collect and collect.of else None
    if join is None or "." in name or name.startswith("$"):
        return name
    table = legacy.tables.get(str(join.tables[0]))
    of_items = name in table.columns if table else name not in (*source.key, *source.user)
    return f"{join.name}.{name}" if of_items else name
