"""The target table and its columns: all there, none twice, none generated, none forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from migrator.mapping import walk
from migrator.mapping.identities import id_column
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import Mapping, Place, Reference
from migrator.mapping.pairs import ALL
from migrator.mapping.schema import Column, Schema, Table
from migrator.mapping.suggest import suggest

_OURS = {"__user", "__key"}


def check(ground: Ground) -> None:
    """Check all mappings against the target schema."""
    if ground.target is None:
        return
    for mapping in ground.set.mappings.values():
        table = ground.written(mapping)
        if table is None:
            _no_table(ground, ground.target, mapping.target.table, mapping.target.place)
            continue
        _check_undoable(ground, mapping, table)
        _check_ours(ground, mapping, table)
        for name, place in _named(mapping):
            _check_column(ground, table, name, place)
        _check_forgotten(ground, mapping, table)
    _check_nobody_sets(ground)
    _check_references(ground, ground.target)


def is_set(mapping: Mapping, table: Table) -> set[str]:
    """The columns that *mapping* gives a value."""
    own = id_column(mapping, table)
    return {*mapping.fields, *([own] if own else [])}


def _named(mapping: Mapping) -> Iterator[tuple[str, Place]]:
    for name, rule in mapping.fields.items():
        yield name, place_of(name, rule.place)
    target, merge = mapping.target, mapping.merge
    names: list[str] = []
    if target.on_conflict is not None:
        names += [*target.on_conflict.match, *(name for name in target.on_conflict.leave if name != ALL)]
        names += [target.on_conflict.newer] if target.on_conflict.newer else []
    if merge is not None:
        names += merge.fields
    names += [name for name in mapping.when_merged if name != "keep"]
    for name in names:
        yield name, place_of(name, target.place)


def _check_undoable(ground: Ground, mapping: Mapping, table: Table) -> None:
    """What is written must be taken back when the batch is: so no views, and no engines without transactions."""
    place = place_of(mapping.target.table, mapping.target.place)
    if table.view:
        ground.notes.add("E308", place, f"{table.name} is a view", "write the tables behind it")
    elif not table.transactional:
        text = f"{table.name} has no transactions: what was written there could not be taken back"
        ground.notes.add("E308", place, text, f"ALTER TABLE {table.name} ENGINE=InnoDB")


def _check_ours(ground: Ground, mapping: Mapping, table: Table) -> None:
    """Rows of the target go with whose they are beside them."""
    for name in _OURS & table.columns.keys() - mapping.fields.keys():
        text = f'{table.name} has a column "{name}", as migrator calls one that it adds to the rows of a table'
        place = place_of(mapping.target.table, mapping.target.place)
        ground.notes.add("E215", place, text, "call the column something else")


def _check_column(ground: Ground, table: Table, name: str, place: Place) -> None:
    column = table.columns.get(name)
    if name.startswith("__"):
        text = f'"{name}" begins as the columns do that migrator adds to the rows it writes'
        ground.notes.add("E215", place, text, "call the column something else, or leave it to the new system")
    elif column is None:
        ground.notes.add("E301", place, f'{table.name} has no column "{name}"', suggest(name, table.columns))
    elif column.generated:
        text = f'"{name}" is computed by the database and cannot be set'
        ground.notes.add("E304", place, text, "take the line out; it is not compared either")


def _check_forgotten(ground: Ground, mapping: Mapping, table: Table) -> None:
    done = is_set(mapping, table)
    left = [c.name for c in table.columns.values() if not c.nullable and not c.has_default and not c.generated]
    left = [name for name in left if name not in done]
    identity = mapping.target.id
    if id_column(mapping, table) is None and (identity.how != "fields" or not identity.columns):
        left = [name for name in left if name not in table.key]  # said already: by E305, or by whoever read the id
    if left:
        text = f"{table.name} needs a value in: {', '.join(left)} (NOT NULL, no default)"
        block = "\n".join(
            ["set it, for example:", "fields:", *(f"  {name}: {{from: ???, required: true}}" for name in left)]
        )
        ground.notes.add("E302", place_of(mapping.target.table, mapping.target.place), text, block)


def _check_nobody_sets(ground: Ground) -> None:
    by_table: dict[str, list[Mapping]] = defaultdict(list)
    for mapping in ground.set.mappings.values():
        by_table[mapping.target.table].append(mapping)
    for mappings in by_table.values():
        table = ground.written(mappings[0])
        if table is None:
            continue
        done = set().union(*(is_set(mapping, table) for mapping in mappings))
        left = [column.name for column in _may_stay_null(table.columns.values()) if column.name not in done]
        if left:
            place = place_of(mappings[0].target.table, mappings[0].target.place)
            ground.notes.add("W306", place, f"no mapping sets {', '.join(left)} of {table.name}; there will be null")


def _may_stay_null(columns: Iterable[Column]) -> Iterator[Column]:
    return (column for column in columns if column.nullable and not column.has_default and not column.generated)


def _check_references(ground: Ground, target: Schema) -> None:
    """Rules that look into a table of the target need that table and its columns."""
    for mapping in ground.set.mappings.values():
        for spot in walk.spots(mapping):
            source, args = spot.rule.source, [step.args for step in spot.rule.steps if step.name == "lookup"]
            if isinstance(source, Reference):
                _check_reference(
                    ground, target, source.table, [*(its for its, _ in source.match), source.take], spot.rule.place
                )
            for given in args:
                if isinstance(given, dict) and "table" in given:
                    names = [name for key in ("match", "take") if isinstance(name := given.get(key), str)]
                    _check_reference(ground, target, str(given["table"]), names, spot.rule.place)


def _check_reference(ground: Ground, target: Schema, name: str, columns: list[str], place: Place) -> None:
    table = target.tables.get(name)
    if table is None:
        _no_table(ground, target, name, place)
        return
    for column in filter(None, columns):
        if column not in table.columns:
            text = f'{name} has no column "{column}"'
            ground.notes.add("E301", place_of(column, place), text, suggest(column, table.columns))


def _no_table(ground: Ground, target: Schema, name: str, place: Place) -> None:
    if not name:
        return  # told already
    help = suggest(name, target.tables)
    ground.notes.add("E301", place_of(name, place), f'the target database has no table "{name}"', help)
