"""`target.id`: a column that takes it (E305), set once (E303); merges that stay within one user (E508)."""

from __future__ import annotations

from migrator.mapping import merging
from migrator.mapping.identities import id_column
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.lookups import belongs_to_user
from migrator.mapping.model import Lookup, Mapping, Merge
from migrator.mapping.schema import Kind, Table


def check(ground: Ground) -> None:
    """Check ids and merges of all mappings."""
    for mapping in ground.set.mappings.values():
        table = ground.written(mapping)
        if mapping.target.id.how == "fields":
            _check_fields(ground, mapping, table)
        elif table is not None:
            _check_column(ground, mapping, table)
        if mapping.merge is not None:
            _check_merge(ground, mapping, mapping.merge)


def _check_column(ground: Ground, mapping: Mapping, table: Table) -> None:
    column, place = id_column(mapping, table), mapping.target.place
    if column is None:
        key = (
            f"the key of {table.name} is ({', '.join(table.key)})" if table.key else f"{table.name} has no primary key"
        )
        ground.notes.add("E305", place, f"{key}, so the id has no column", "say as: COLUMN, or id: {fields: [COLUMN…]}")
    elif column not in table.columns:
        ground.notes.add("E301", place_of(column, place), f'{table.name} has no column "{column}"')
    elif column in mapping.fields:
        rule = mapping.fields[column]
        ground.notes.add("E303", rule.place, f'"{column}" is set by target.id already', "take one of the two out")
    elif mapping.target.id.how == "sequence":
        _check_sequence(ground, mapping, table, column)


def _check_sequence(ground: Ground, mapping: Mapping, table: Table, name: str) -> None:
    """Numbers come from what the column itself counts by."""
    column, place = table.columns[name], place_of(name, mapping.target.place)
    if table.key != (name,):
        text = f'numbers are given to the primary key of {table.name}, and "{name}" is not it'
        ground.notes.add("E305", place, text, "use another id, or leave as: out")
    elif column.kind is not Kind.INTEGER or not column.has_default:
        text = f"nothing counts {table.name}.{name} ({column.declared or column.kind}): it has no sequence or identity"
        ground.notes.add("E305", place, text, "make it an identity (auto-increment) column, or use uuid5 or keep")


def _check_fields(ground: Ground, mapping: Mapping, table: Table | None) -> None:
    columns = mapping.target.id.columns
    if not columns:
        return  # what was wrong with it is said already
    for column in columns:
        if column not in mapping.fields:
            place = place_of(column, mapping.target.place)
            ground.notes.add(
                "E305", place, f'the id is made of fields, and no field sets "{column}"', "add it under fields:"
            )
    if table is not None and table.key and set(columns) not in [set(table.key), *map(set, table.uniques)]:
        text = f"{table.name} has no key of ({', '.join(columns)}); its primary key is ({', '.join(table.key)})"
        ground.notes.add("E305", place_of(columns[0], mapping.target.place) if columns else mapping.target.place, text)


def _check_merge(ground: Ground, mapping: Mapping, merge: Merge) -> None:
    if merging.merges_users(mapping):
        return
    rules = [mapping.fields.get(column.removeprefix("$")) for column in merge.match if column.startswith("$")]
    by_user = any(r and isinstance(r.source, Lookup) and belongs_to_user(mapping, r.source.by) for r in rules)
    if not by_user and not set(merge.match) & set(mapping.source.user):
        text = "rows of different users could become one"
        ground.notes.add("E508", merge.place, text, "put a field into match that is looked up by the user column")
