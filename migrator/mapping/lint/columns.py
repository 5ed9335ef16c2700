"""Every COLUMN must be there: E201; and be one value where one is wanted: E112."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migrator.mapping import walk
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.uses import Sort, Use
from migrator.mapping.model import Activity, From, Join, Mapping, Place, Users
from migrator.mapping.people import EVERYBODY, database
from migrator.mapping.reading.clocks import HELP, is_clock
from migrator.mapping.suggest import suggest

_PLAN = ("$plan.as_of", "$plan.id")


def check(ground: Ground) -> None:
    """Check set.yaml and all mappings."""
    named = [(table, place) for mapping in ground.set.mappings.values() for table, place in tables(mapping)]
    for table, place in {*named, *_tables_of_set(ground)}:
        _check_table(ground, table, place)
    _check(ground, uses.of_set(ground.set.set), (), ())
    for mapping in ground.set.mappings.values():
        values = [f"${name}" for name in (*mapping.vars, *mapping.fields)]
        _check(ground, uses.of_mapping(mapping), values, list(mapping.source.joins), mapping.source.table)
        _check_single(ground, mapping)


def tables(mapping: Mapping) -> Iterator[tuple[str, Place]]:
    """Every legacy table that *mapping* reads, with the place that names it."""
    source = mapping.source
    yield source.table, place_of(source.table, source.place)
    if source.pivot and source.pivot.names.table:
        yield source.pivot.names.table, place_of(source.pivot.names.table, source.place)
    yield from _joined(source.joins.values())


def _joined(joins: Iterable[Join]) -> Iterator[tuple[str, Place]]:
    for join in joins:
        for table in join.tables:
            yield table, place_of(table, join.place)
        if join.pivot and join.pivot.names.table:
            yield join.pivot.names.table, place_of(join.pivot.names.table, join.place)


def _tables_of_set(ground: Ground) -> Iterator[tuple[str, Place]]:
    users = ground.set.set
    silos = users.also.values()
    parts: list[Users | Activity] = [users.users, *(also.who for also in silos), *users.activity, *users.paid]
    for also in silos:
        yield from ((way.table, place_of(way.table, way.place)) for way in also.same if way.how == "link")
    for part in parts:
        yield part.table, place_of(part.table, part.place)
        yield from _joined(part.joins.values())


def _check_table(ground: Ground, table: str, place: Place) -> None:
    if table and ground.legacy is not None and table not in ground.legacy.tables:
        ours, known = database(table), {database(name) for name in ground.legacy.tables if name != EVERYBODY}
        if "" not in known and ours not in known:
            text = f'there are several legacy databases, and none is called "{ours}"' if ours else (
                f'there are several legacy databases, and "{table}" does not say in which it is'
            )  # fmt: skip
            ground.notes.add("E201", place, text, suggest(ours or table, known if ours else ground.legacy.tables))
            return
        help = suggest(table, ground.legacy.tables)
        ground.notes.add("E201", place, f'the legacy database has no table "{table}"', help)


def _check(ground: Ground, found: Iterable[Use], values: Iterable[str], joins: Iterable[str], table: str = "") -> None:
    for use in found:
        if _is_ours(use):
            text = f'"{use.written}" begins as the columns do that migrator adds to the rows it reads'
            ground.notes.add("E215", use.place, text, "read a view that gives the column another name")
            continue
        made = use.sort is Sort.VALUE and use.written in values
        if use.sort in (Sort.VALUE, Sort.PLAN) and not made and is_clock(use.written):
            ground.notes.add("E601", use.place, f"{use.written} would be another value in every run", HELP)
        elif use.sort is Sort.VALUE and use.written not in values:
            ground.notes.add(
                "E201", use.place, f'there is no field or variable "{use.written}"', suggest(use.written, values)
            )
        elif use.sort is Sort.PLAN and use.written not in _PLAN:
            ground.notes.add("E201", use.place, f'there is no "{use.written}"', suggest(use.written, _PLAN))
        elif use.sort is Sort.STRANGER and _has(ground, table, use.written):
            text = f'"{use.written}" is a column of {table}, but a dot parts a join from its column'
            ground.notes.add("E215", use.place, text, "read a view that gives the column a name without a dot")
        elif use.sort is Sort.STRANGER:
            ground.notes.add("E201", use.place, f'there is no join "{use.column}"', suggest(use.column, joins))
        elif use.sort in (Sort.COLUMN, Sort.MANY) and ground.legacy is not None:
            _check_column(ground, use)


def _is_ours(use: Use) -> bool:
    return use.sort not in (Sort.VALUE, Sort.PLAN) and (use.column or use.written).startswith("__")


def _has(ground: Ground, table: str, column: str) -> bool:
    known = ground.legacy.tables.get(table) if ground.legacy is not None else None
    return known is not None and column in known.columns


def _check_column(ground: Ground, use: Use) -> None:
    known = [ground.legacy.tables[table] for table in use.tables if ground.legacy and table in ground.legacy.tables]
    for table in known if use.column else ():  # a name that is missing is told already
        if use.column not in table.columns:
            text = f'{table.name} has no column "{use.column}"'
            ground.notes.add("E201", use.place, text, suggest(use.column, table.columns))
            return


def _check_single(ground: Ground, mapping: Mapping) -> None:
    names, group = uses.scope(mapping.source), mapping.source.group
    single = {group.by, *mapping.source.key, *mapping.source.user} if group else set()
    for spot in walk.spots(mapping):
        source = spot.rule.source
        aggregated = isinstance(source, From) and source.aggregate is not None
        for use in uses.of_rule(spot.rule, names, spot.collect):
            listed = group is not None and spot.collect is None and use.sort is Sort.COLUMN
            several = use.sort is Sort.MANY or (listed and use.written not in single)
            if several and not aggregated:
                help = "take one with aggregate: or all of them with collect:"
                ground.notes.add("E112", use.place, f'"{use.written}" has many values here', help)
            elif aggregated and not several and not listed:
                text = f'"{use.written}" has one value; aggregate needs a group or a join with many'
                ground.notes.add("E112", use.place, text)
