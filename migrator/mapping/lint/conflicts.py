"""`on_conflict`: columns that can be looked for (E307), conditions on what is there (E301), others who write it (W604)."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping.conflicts import WRITES_OVER
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.targets import is_set
from migrator.mapping.model import Mapping, OnConflict, Place, Predicate
from migrator.mapping.pairs import ALL
from migrator.mapping.schema import Table
from migrator.mapping.suggest import suggest


def check(ground: Ground) -> None:
    """Check what all mappings say about rows that are in the target already."""
    for mapping in ground.set.mappings.values():
        rule, table = mapping.target.on_conflict, ground.written(mapping)
        if rule is None:
            continue
        if table is not None:
            _check_set(ground, mapping, rule, table)
            _check_conditions(ground, rule, table)
            _check_key(ground, mapping, rule, table)
        _check_others(ground, mapping, rule)


def _check_set(ground: Ground, mapping: Mapping, rule: OnConflict, table: Table) -> None:
    """What the mapping does not set cannot be compared with what is there."""
    done = is_set(mapping, table)
    wanted = [("match", name) for name in rule.match]
    wanted += [("newer", rule.newer)] if rule.newer else []
    wanted += [("leave", name) for name in rule.leave if name != ALL]
    for key, name in wanted:
        if name in table.columns and name not in done:
            text = f'{key} names "{name}", which this mapping does not set'
            ground.notes.add("E307", place_of(name, mapping.target.place), text, suggest(name, done))


def _check_conditions(ground: Ground, rule: OnConflict, table: Table) -> None:
    """The conditions of `leave` are asked of the row that is there: they name columns of the target."""
    for condition in rule.leave.values():
        for name, place in _tested(condition):
            if name not in table.columns:
                text = f'leave asks the row that is there, and {table.name} has no column "{name}"'
                ground.notes.add("E301", place_of(name, place), text, suggest(name, table.columns))


def _tested(condition: Predicate | None) -> Iterator[tuple[str, Place]]:
    if condition is None:
        return
    for test in condition.tests:
        yield test.column, test.place
        if test.op == "same_as":
            yield test.value, test.place
    for one in condition.any:
        yield from _tested(one)


def _check_key(ground: Ground, mapping: Mapping, rule: OnConflict, table: Table) -> None:
    if rule.action in WRITES_OVER and not table.key:
        text = f"{table.name} has no primary key, so no row of it can be written over"
        ground.notes.add("E305", mapping.target.place, text, "use action: review or skip")


def _check_others(ground: Ground, mapping: Mapping, rule: OnConflict) -> None:
    if rule.action not in WRITES_OVER:
        return
    table = mapping.target.table
    others = [
        other.name
        for other in ground.set.mappings.values()
        if other is not mapping and str(other.target.table) == str(table)
    ]
    if others:
        text = f"{rule.action} writes over rows of {table}, and so may {', '.join(others)}, which writes it, too"
        help = "what another user of ours wrote is held for review; say action: review where no row should be there"
        ground.notes.add("W604", place_of(table, mapping.target.place), text, help)
