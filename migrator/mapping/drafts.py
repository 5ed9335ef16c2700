"""The target rows of one mapping are made: rules, merge, id, fit; nobody is left out yet."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import (
    cleaning,
    fitting,
    groups,
    identities,
    ids,
    merge,
    merging,
    outside,
    rules,
    secrecy,
    troubles,
)
from migrator.mapping import values as columns
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
    sheet = sheet_of(set_, mapping, source, context, lookups, table)
    results = {name: sheet.result(name) for name in (*mapping.vars, *mapping.fields)}
    found = [trouble for result in results.values() for trouble in result.troubles]
    links = [link for result in results.values() for link in result.links]
    found += _faults(mapping, sheet) + _decided_rows(mapping, sheet)
    found += cleaning.by_row(mapping, sheet)
    found += cleaning.by_result(mapping, sheet, found)
    fields = {name: results[name].values for name in mapping.fields}
    id_column, id_values = _id(mapping, sheet, table, found, links)
    stays = columns.none(sheet.height)
    if id_values is not None:
        id_values, stays = outside.given_way(sheet, id_values)
    fields, survivor, waiting, parted = _merged(set_, mapping, sheet, table, fields, id_column, id_values, found)
    frame = sheet.frame[["__user", "__key"]]
    draft = Draft(mapping, sheet, frame, found, links, id_values, survivor, waiting, stays, parted)
    fitting.fit_all(draft, fields, id_column, table, dialect)
    draft.troubles[:] = _said_once(draft.troubles, sheet)
    draft.troubles += cleaning.by_result(mapping, sheet, draft.troubles)
    return draft


def _said_once(found: list[Trouble], sheet: Sheet) -> list[Trouble]:
    """A row that could not be taken apart has no parts that could be wrong, too: one finding says it all."""
    whole = [trouble for trouble in found if trouble.rule == "unnest"]
    if not whole:
        return found
    apart = ~troubles.marked(whole, sheet.height, troubles.REVIEW)
    return whole + [part for trouble in found if trouble.rule != "unnest" and len(part := trouble.only(apart))]


def sheet_of(
    set_: MappingSet, mapping: Mapping, source: SourceRows, context: Context, lookups: Lookups, table: Table | None
) -> Sheet:
    """The rows of *mapping* with everything that a rule can name; nothing is computed yet."""
    scales = {column.name: column.scale for column in table.columns.values()} if table else {}
    return Sheet(
        mapping.name,
        mapping.source,
        source.frame,
        mapping.vars | mapping.fields,
        Env(context, set_.files, lookups, functions=set_.functions),
        rules.evaluate,
        overrides=tuple(override for override in context.overrides if override.mapping == mapping.name),
        scales=scales,
        kinds=source.kinds,
    )


def _faults(mapping: Mapping, sheet: Sheet) -> list[Trouble]:
    """What was wrong with the rows when they were read and shaped."""
    if "__faults" not in sheet.frame.columns:
        return []
    lists = sheet.frame.select("__faults").with_row_index("row").filter(pl.col("__faults").list.len() > 0)
    flat = lists.explode("__faults").unnest("__faults")
    found = []
    secret, sensitive = secrecy.columns(mapping)
    for (field, rule), part in flat.group_by("field", "rule", maintain_order=True):
        mask = columns.none(sheet.height).scatter(part["row"].unique(), True)
        for about, override in sheet.overriding(str(field)):
            mask = mask & ~about if override.action == "null" else mask
        told = part.unique("row", keep="first", maintain_order=True).sort("row")
        value, note = (_spread(told["row"], told[name], sheet.height) for name in ("value", "note"))
        shown = None if field in secret else value
        if mask.any():
            found.append(
                troubles.made(
                    mask,
                    troubles.REVIEW,
                    str(field),
                    str(rule),
                    mapping.source.place,
                    shown,
                    None,
                    note,
                    sensitive=field in sensitive,
                )
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


def _merged(
    set_: MappingSet,
    mapping: Mapping,
    sheet: Sheet,
    table: Table | None,
    fields: dict[str, Values],
    id_column: str | None,
    id_values: Values | None,
    found: list[Trouble],
) -> tuple[dict[str, Values], pl.Series, pl.Series, pl.Series]:
    """
    Fold what is one: duplicates as the mapping says, then rows of users who merged.

    Returns: fields, survivors, rows that wait, rows that could not become one.
    """
    survivor, waiting, parted = (
        pl.int_range(sheet.height, eager=True),
        columns.none(sheet.height),
        columns.none(sheet.height),
    )
    together = sheet.env.context.groups
    if mapping.merge and (together or not merging.merges_users(mapping)):
        way = merge.fold_users if merging.merges_users(mapping) else merge.fold
        folding = way(mapping.merge, sheet, fields, *_left_out(sheet, found))
        fields, survivor, waiting = folding.values, folding.survivor, folding.waiting
        parted = folding.parted
        sheet.env.context.watch.merged(sheet, fields)
        found += _unlike(mapping, sheet, folding) + _unmerged(mapping, folding)
    if mapping.when_merged and together:
        operations = {name: how for name, how in mapping.when_merged.items() if name != "keep"}
        keys = _meeting_keys(set_, mapping, sheet, table, fields, id_column, id_values)
        rejected, dropped = _left_out(sheet, found)
        gone = dropped | (survivor != pl.int_range(sheet.height, eager=True))
        folding = merge.fold_children(operations, sheet, fields, keys, rejected | waiting, gone)
        fields, survivor = folding.values, folding.survivor.gather(survivor)
        waiting, parted = waiting | folding.waiting, parted | folding.parted
        sheet.env.context.watch.merged(sheet, fields)
        found += _unmerged(mapping, folding)
    return fields, survivor, waiting, parted


def _left_out(sheet: Sheet, found: list[Trouble]) -> tuple[pl.Series, pl.Series]:
    """Rows that wait for a person, and rows that are not wanted."""
    rejected = troubles.marked(found, sheet.height, troubles.REVIEW, troubles.ABORT)
    dropped = troubles.marked(found, sheet.height, troubles.SKIP)
    return rejected & ~dropped, dropped


def _meeting_keys(
    set_: MappingSet,
    mapping: Mapping,
    sheet: Sheet,
    table: Table | None,
    fields: dict[str, Values],
    id_column: str | None,
    id_values: Values | None,
) -> list[pl.Series]:
    """In which texts rows of merged users are one: the user they are now, or a key of the target."""
    if merging.is_own(mapping):
        return [groups.owners(sheet.users, sheet.env.context.groups)]
    known = {**fields, **({id_column or merging.UNNAMED: id_values} if id_values is not None else {})}
    return [ids.key([known[name].text for name in key]) for key in merging.meetings(set_, mapping, table)]


def _unlike(mapping: Mapping, sheet: Sheet, folding: merge.Folding) -> list[Trouble]:
    assert mapping.merge is not None  # the only caller has looked
    secret, sensitive = (of | on for of, on in zip(secrecy.fields(mapping), secrecy.columns(mapping), strict=True))
    return [
        troubles.made(
            mask,
            troubles.REVIEW,
            name.removeprefix("$"),
            "merge_duplicates",
            mapping.merge.place,
            None if name.removeprefix("$") in secret else sheet.column(name).text,
            note="rows that look like one differ here",
            sensitive=name.removeprefix("$") in sensitive,
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
    if mapping.target.id.how == "fields":
        return None, None
    column = identities.id_column(mapping, table)
    name = str(column) if column else None
    parts = [sheet.column(column) for column in identities.known_by(mapping)]
    values = _id_values(mapping, sheet, parts)
    broken = _unspoilt(ids.is_broken([part.text for part in parts]), parts)
    place, field = mapping.target.place, name or "id"
    if broken.any():
        shown = ids.key([part.text.fill_null("") for part in parts])
        note = "a part of the key is null or holds U+001F"
        found.append(troubles.made(broken, troubles.REVIEW, field, "key", place, shown, note=note))
    if values.missing is not None and values.missing.any():
        asked = values.note if isinstance(values.note, pl.Series) else None
        note = "there is no such row, or it is somebody else's"
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
    if id_.how == "sequence":
        return outside.numbers(sheet)
    if id_.how == "uuid5":
        return Values(ids.uuid5(mapping.name, [part.text for part in parts]), Kind.TEXT)
    raise WrongInput(f"mapping {mapping.name}: ids by {id_.how} cannot be made here")


def _unspoilt(mask: pl.Series, parts: list[Values]) -> pl.Series:
    for part in parts:
        if part.bad is not None:
            mask = mask & ~part.bad
    return mask
