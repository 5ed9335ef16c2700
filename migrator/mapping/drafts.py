"""The target rows of one mapping are made: rules, merge, id, fit; nobody is left out yet."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import fitting, ids, merge, rules, troubles
from migrator.mapping.draft import Draft
from migrator.mapping.environment import Env, Lookups
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.schema import Kind, Table
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Trouble
from migrator.mapping.values import Link, Values


def make(
    set_: MappingSet,
    mapping: Mapping,
    source: SourceRows,
    context: Context,
    lookups: Lookups,
    table: Table | None,
    dialect: str,
) -> Draft:
    """
    Compute and fit all fields of *mapping* for all its source rows.

    Args:
        table: The target table; None leaves the values as they are before *fit*.

    Raises:
        Refused: *table* lacks a column that the mapping sets.
    """
    sheet = _sheet(set_, mapping, source, context, lookups, table)
    results = {name: sheet.result(name) for name in (*mapping.vars, *mapping.fields)}
    found = [trouble for result in results.values() for trouble in result.troubles]
    links = [link for result in results.values() for link in result.links]
    found += _faults(mapping, sheet) + _decided_rows(mapping, sheet)
    fields = {name: results[name].values for name in mapping.fields}
    survivor, waiting = pl.int_range(sheet.height, eager=True), _none(sheet)
    if mapping.merge:
        folding = _folded(mapping, sheet, fields, found)
        fields, survivor, waiting = folding.values, folding.survivor, folding.waiting
        found += _unlike(mapping, sheet, folding) + _unmerged(mapping, folding)
    id_column, id_values = _id(mapping, sheet, table, found, links)
    draft = Draft(mapping, sheet, sheet.frame.select("__user", "__key"), found, links, id_values, survivor, waiting)
    fitting.fit_all(draft, fields, id_column, table, dialect)
    return draft


def _sheet(
    set_: MappingSet, mapping: Mapping, source: SourceRows, context: Context, lookups: Lookups, table: Table | None
) -> Sheet:
    scales = {column.name: column.scale for column in table.columns.values()} if table else {}
    return Sheet(
        mapping.name,
        mapping.source,
        source.frame,
        mapping.vars | mapping.fields,
        Env(context, set_.files, lookups),
        rules.evaluate,
        overrides=tuple(override for override in context.overrides if override.mapping == mapping.name),
        scales=scales,
    )


def _none(sheet: Sheet) -> pl.Series:
    return pl.Series([False], dtype=pl.Boolean).new_from_index(0, sheet.height)


def _faults(mapping: Mapping, sheet: Sheet) -> list[Trouble]:
    """What was wrong with the rows when they were read and shaped."""
    if "__faults" not in sheet.frame.columns:
        return []
    lists = sheet.frame.select("__faults").with_row_index("row").filter(pl.col("__faults").list.len() > 0)
    flat = lists.explode("__faults").unnest("__faults")
    found = []
    for (field, rule), part in flat.group_by("field", "rule", maintain_order=True):
        mask = _none(sheet).scatter(part["row"].unique(), True)
        for about, override in sheet.overriding(str(field)):
            mask = mask & ~about if override.action == "null" else mask
        told = part.unique("row", keep="first", maintain_order=True).sort("row")
        value, note = (_spread(told["row"], told[name], sheet.height) for name in ("value", "note"))
        if mask.any():
            found.append(
                troubles.made(mask, troubles.REVIEW, str(field), str(rule), mapping.source.place, value, None, note)
            )
    return found


def _spread(rows: pl.Series, told: pl.Series, height: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, height).scatter(rows, told)


def _decided_rows(mapping: Mapping, sheet: Sheet) -> list[Trouble]:
    """Rows that a person said are not wanted, whatever was wrong with them (a part of a field is its rule's affair)."""
    found = []
    for override in sheet.overrides:
        if override.action == "skip" and "." not in override.field:
            about = next(mask for mask, one in sheet.overriding(override.field) if one is override)
            found.append(troubles.made(about, troubles.SKIP, override.field, "decision", mapping.place))
    return found


def _folded(mapping: Mapping, sheet: Sheet, fields: dict[str, Values], found: list[Trouble]) -> merge.Folding:
    assert mapping.merge is not None  # the only caller has looked
    rejected = troubles.marked(found, sheet.height, troubles.REVIEW, troubles.ABORT)
    dropped = troubles.marked(found, sheet.height, troubles.SKIP)
    return merge.fold(mapping.merge, sheet, fields, rejected & ~dropped, dropped)


def _unlike(mapping: Mapping, sheet: Sheet, folding: merge.Folding) -> list[Trouble]:
    assert mapping.merge is not None  # the only caller has looked
    return [
        troubles.made(
            mask,
            troubles.REVIEW,
            name.removeprefix("$"),
            "merge_duplicates",
            mapping.merge.place,
            sheet.column(name).text,
            note="rows that look like one differ here",
        )
        for name, mask in folding.differing.items()
        if mask.any()
    ]


def _unmerged(mapping: Mapping, folding: merge.Folding) -> list[Trouble]:
    return [
        troubles.made(
            values.failed, troubles.REVIEW, name, "merge_duplicates", mapping.fields[name].place, note=values.note
        )
        for name, values in folding.values.items()
        if values.failed is not None and values.failed.any()
    ]


# ---- ids --------------------------------------------------------------------------------------------------------


def _id(
    mapping: Mapping, sheet: Sheet, table: Table | None, found: list[Trouble], links: list[Link]
) -> tuple[str | None, Values | None]:
    id_ = mapping.target.id
    if id_.how == "fields":
        return None, None
    name = str(id_.as_) if id_.as_ else (table.key[0] if table and len(table.key) == 1 else None)
    parts = [sheet.column(column) for column in id_.columns]
    values = _id_values(mapping, sheet, parts)
    broken = _unspoilt(ids.is_broken([part.text for part in parts]), parts)
    place, field = mapping.target.place, name or "id"
    if broken.any():
        shown = ids.key([part.text.fill_null("") for part in parts])
        note = "a part of the key is null or holds U+001F"
        found.append(troubles.made(broken, troubles.REVIEW, field, "key", place, shown, note=note))
    if values.missing is not None and values.missing.any():
        asked = values.note if isinstance(values.note, pl.Series) else None
        note = "there is no such row"
        found.append(troubles.made(values.missing, troubles.REVIEW, field, "lookup", place, asked, note=note))
    if values.parent is not None:
        links.append(replace(values.parent, field=field))
    return name, values.only()


def _id_values(mapping: Mapping, sheet: Sheet, parts: list[Values]) -> Values:
    id_ = mapping.target.id
    if id_.how == "lookup" and id_.mapping and sheet.env.lookups:
        return sheet.env.lookups.parent(id_.mapping, parts)
    if id_.how == "keep":
        return parts[0].only()
    if id_.how == "uuid5":
        return Values(ids.uuid5(mapping.name, [part.text for part in parts]), Kind.TEXT)
    raise WrongInput(f"mapping {mapping.name}: ids by {id_.how} cannot be made; use uuid5, keep, lookup or fields")


def _unspoilt(mask: pl.Series, parts: list[Values]) -> pl.Series:
    for part in parts:
        if part.bad is not None:
            mask = mask & ~part.bad
    return mask
