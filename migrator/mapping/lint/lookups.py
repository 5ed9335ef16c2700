"""Parents exist (E501), wait for nobody in a circle (E502), have such a key (E503), and belong to the same user (E507)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from migrator.mapping import walk
from migrator.mapping.identities import known_by
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.uses import Scope, Sort
from migrator.mapping.model import From, Rule
from migrator.mapping.model import Mapping as Document
from migrator.mapping.people import parents_by_user
from migrator.mapping.schema import Kind, Schema
from migrator.mapping.suggest import suggest
from migrator.mapping.walk import Wait

FAMILIES = {
    Kind.INTEGER: "number",
    Kind.DECIMAL: "number",
    Kind.FLOAT: "number",
    Kind.DATE: "time",
    Kind.DATETIME: "time",
    Kind.TIMESTAMP: "time",
    Kind.UUID: "uuid",
    Kind.BOOLEAN: "boolean",
}


def check(ground: Ground) -> None:
    """Check lookups and `$` references of all mappings."""
    for mapping in ground.set.mappings.values():
        for wait in walk.waits(mapping):
            _check_wait(ground, mapping, wait)
        _check_values_cycle(ground, mapping)
    _check_lookup_cycle(ground)
    if ground.target is not None:
        _check_foreign_keys(ground, ground.target)


def belongs_to_user(mapping: Document, by: Sequence[str]) -> bool:
    """Whether *by* is the user column of *mapping*, as it stands or copied to a `$name`."""
    if len(by) != 1:
        return False
    if by[0] in mapping.source.user:
        return True
    rule = {**mapping.fields, **mapping.vars}.get(by[0].removeprefix("$")) if by[0].startswith("$") else None
    return rule is not None and isinstance(rule.source, From) and set(rule.source.columns) <= set(mapping.source.user)


def _check_wait(ground: Ground, mapping: Document, wait: Wait) -> None:
    parent = ground.set.mappings.get(wait.parent)
    if parent is None and not ground.whole:
        return  # it may be in a file that could not be read
    if parent is None:
        text = f'there is no mapping "{wait.parent}"'
        ground.notes.add("E501", wait.place, text, suggest(wait.parent, ground.set.mappings))
        return
    identity = parent.target.id
    if not wait.by or not mapping.source.user or (identity.how == "fields" and not identity.columns):
        return  # what is wrong with them is told already
    if identity.how == "fields":
        text = f'the key of "{parent.name}" is made of fields, so its rows cannot be looked up'
        ground.notes.add("E501", wait.place, text, "give the fields themselves")
        return
    keys = known_by(parent)
    if keys and wait.by and len(keys) != len(wait.by):
        text = f'"{parent.name}" is known by {len(keys)} column(s) ({", ".join(keys)}), not by {len(wait.by)}'
        ground.notes.add("E503", wait.place, text)
        return
    if wait.parent not in parents_by_user(ground.set, mapping):  # else found by the user, however he is called here
        _check_kinds(ground, mapping, parent, wait)
    if keys == parent.source.user and (wait.collect is not None or not belongs_to_user(mapping, wait.by)):
        _another_user(ground, mapping, parent, wait)


def _another_user(ground: Ground, mapping: Document, parent: Document, wait: Wait) -> None:
    if mapping.source.group is not None and belongs_to_user(mapping, wait.by):
        return  # the items of a group are rows of the source itself
    by, user = ", ".join(wait.by), ", ".join(mapping.source.user)
    text = f'"{parent.name}" is one row per user, and {by} is not the user of this row ({user})'
    ground.notes.add(
        "E507", wait.place, text, "look it up by the user column; a row of another user cannot be named yet"
    )


def _check_kinds(ground: Ground, mapping: Document, parent: Document, wait: Wait) -> None:
    here, there = uses.scope(mapping.source), uses.scope(parent.source)
    for mine, its in zip(wait.by, known_by(parent), strict=False):
        one, other = _family(ground, here, mine, wait), _family(ground, there, its, None)
        if one and other and one != other:
            text = f'{mine} is a {one}, and "{parent.name}" is known by {its}, a {other}'
            ground.notes.add("E503", wait.place, text)


def _family(ground: Ground, names: Scope, column: str, wait: Wait | None) -> str | None:
    use = names.use(column, wait.collect if wait else None)
    if use.sort is not Sort.COLUMN or len(use.tables) != 1:
        return None
    found = ground.legacy_column(use.tables[0], use.column)
    return FAMILIES.get(found.kind) if found else None


def _check_lookup_cycle(ground: Ground) -> None:
    waits = {name: {w.parent: w.place for w in walk.waits(mapping)} for name, mapping in ground.set.mappings.items()}
    circle = _circle({name: [p for p in parents if p in waits] for name, parents in waits.items()})
    if circle:
        place = waits[circle[0]][circle[1]]
        ground.notes.add("E502", place, f"these mappings wait for each other: {' -> '.join(circle)}")


def _check_values_cycle(ground: Ground, mapping: Document) -> None:
    rules = {**{f"${name}": rule for name, rule in mapping.fields.items()}}
    rules |= {f"${name}": rule for name, rule in mapping.vars.items()}
    names = uses.scope(mapping.source)
    circle = _circle({name: [used for used in _values(rule, names) if used in rules] for name, rule in rules.items()})
    if circle:
        place = rules[circle[0]].place
        ground.notes.add("E502", place, f"these values are made of each other: {' -> '.join(circle)}")


def _values(rule: Rule, names: Scope) -> list[str]:
    found = (use for spot in walk.within("", rule) for use in uses.of_rule(spot.rule, names, spot.collect))
    return [use.written for use in found if use.sort is Sort.VALUE]


def _check_foreign_keys(ground: Ground, target: Schema) -> None:
    written = {m.target.table: m for m in ground.set.mappings.values() if m.target.table in target.tables}
    needs = {name: [k.table for k in target.tables[name].foreign_keys if not k.deferrable] for name in written}
    circle = _circle({name: [t for t in tables if t in written and t != name] for name, tables in needs.items()})
    if circle:
        place = place_of(written[circle[0]].target.table, written[circle[0]].target.place)
        text = f"these tables point at each other: {' -> '.join(circle)}"
        ground.notes.add("E509", place, text, "make one of the foreign keys DEFERRABLE")


def _circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """One circle as a path that ends where it begins, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(reversed(found.args[1]))
    return []
