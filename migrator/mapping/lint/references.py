"""Tables of the target that rules look into: one row per value (W504), of a type that can be equal (E503)."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping import walk
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.lookups import FAMILIES
from migrator.mapping.lint.uses import Sort
from migrator.mapping.model import From, Mapping, Place, Reference
from migrator.mapping.schema import Table
from migrator.mapping.walk import Spot


def check(ground: Ground) -> None:
    """Check the reference tables of all mappings."""
    if ground.target is None:
        return
    told: set[tuple[str, tuple[str, ...]]] = set()
    for mapping in ground.set.mappings.values():
        for spot in walk.spots(mapping):
            for name, pairs, place in _looked_up(spot):
                table = ground.target.tables.get(name)
                columns = tuple(its for its, _ in pairs)
                if table is None or not set(columns) <= table.columns.keys():
                    continue  # said elsewhere
                _check_kinds(ground, mapping, spot, table, pairs)
                if (name, columns) not in told:
                    told.add((name, columns))
                    _check_unique(ground, table, columns, place)


def _looked_up(spot: Spot) -> Iterator[tuple[str, list[tuple[str, str | None]], Place]]:
    """The tables with (its column, COLUMN) pairs; in a step the column is known where nothing was done to it before."""
    source = spot.rule.source
    if isinstance(source, Reference):
        yield source.table, [*source.match], place_of(source.table, spot.rule.place)
    for number, step in enumerate(spot.rule.steps):
        if step.name != "lookup" or not isinstance(step.args, dict) or "table" not in step.args:
            continue
        match = step.args.get("match")
        alone = isinstance(source, From) and len(source.columns) == 1 and number == 0 and not source.aggregate
        if isinstance(match, str):
            column = source.columns[0] if alone and isinstance(source, From) else None
            yield str(step.args["table"]), [(match, column)], step.place


def _check_unique(ground: Ground, table: Table, columns: tuple[str, ...], place: Place) -> None:
    if any(key and set(key) <= set(columns) for key in (table.key, *table.uniques)):
        return
    repeated = ground.target_facts.repeated(table.name, columns)
    if repeated is None:
        text = f"nothing keeps ({', '.join(columns)}) of {table.name} unique; where it comes twice, rows go to review"
        ground.notes.add("W504", place, text, "make it unique, or match more columns")
    elif repeated:
        text = f"({', '.join(columns)}) comes twice in {table.name}, and such rows go to review"
        ground.notes.add("W504", place, text, "match more columns")


def _check_kinds(
    ground: Ground, mapping: Mapping, spot: Spot, table: Table, pairs: list[tuple[str, str | None]]
) -> None:
    names = uses.scope(mapping.source)
    for its, mine in pairs:
        use = names.use(mine, spot.collect) if mine else None
        if use is None or use.sort is not Sort.COLUMN or len(use.tables) != 1:
            continue
        column = ground.legacy_column(use.tables[0], use.column)
        here, there = FAMILIES.get(column.kind) if column else None, FAMILIES.get(table.columns[its].kind)
        if here and there and here != there:
            text = f"{use.written} is a {here}, and {table.name}.{its} a {there}: they are never equal"
            ground.notes.add("E503", place_of(its, spot.rule.place), text)
