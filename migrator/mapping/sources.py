"""Where a rule's value comes from, before its first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import aggregates, predicates, trees, troubles
from migrator.mapping import values as columns
from migrator.mapping.environment import Lookups
from migrator.mapping.model import (
    Branch,
    Choose,
    Collect,
    From,
    Lookup,
    Number,
    Object,
    Place,
    Reference,
    Rest,
    RuleSource,
    Value,
)
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Result, Trouble
from migrator.mapping.values import Link, Values


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What a source gives: one column or several, and what was wrong on the way. `rule` names it in findings."""

    inputs: tuple[Values, ...]
    labels: tuple[str, ...] = ()
    rule: str = "lookup"
    troubles: tuple[Trouble, ...] = ()
    links: tuple[Link, ...] = ()


def take(source: RuleSource, path: str, sheet: Sheet) -> Taken:
    """Take the values that *source* names for all rows of *sheet*."""
    return _TAKERS[type(source)](source, path, sheet)


def _from(source: From, path: str, sheet: Sheet) -> Taken:
    if source.aggregate:
        return Taken((aggregates.over(sheet, source.columns[0], source.aggregate),), source.columns, source.aggregate)
    return Taken(tuple(sheet.column(name) for name in source.columns), source.columns)


def _value(source: Value, path: str, sheet: Sheet) -> Taken:
    return Taken((columns.literal(source.literal, sheet.height),))


def _lookup(source: Lookup, path: str, sheet: Sheet) -> Taken:
    parts = [sheet.column(name) for name in source.by]
    return Taken((_spoilt(_lookups(sheet).parent(source.mapping, parts), parts),))


def _reference(source: Reference, path: str, sheet: Sheet) -> Taken:
    parts = [sheet.column(name) for _, name in source.match]
    names = [name for name, _ in source.match]
    return Taken((_spoilt(_lookups(sheet).reference(source.table, names, source.take, parts), parts),))


def _lookups(sheet: Sheet) -> Lookups:
    if sheet.env.lookups is None:
        raise WrongInput(f"mapping {sheet.name} looks up rows, and there are none around it")
    return sheet.env.lookups


def _spoilt(found: Values, parts: list[Values]) -> Values:
    bad = [part.bad for part in parts if part.bad is not None]
    if not bad:
        return found
    return replace(found, bad=reduce(lambda one, other: one | other, bad))


def _object(source: Object, path: str, sheet: Sheet) -> Taken:
    results = {name: sheet.evaluate(rule, f"{path}.{name}", sheet) for name, rule in source.rules.items()}
    texts = {name: columns.json_text(result.values) for name, result in results.items()}
    made = Values(
        trees.objects(texts, sheet.height, omit_nulls=source.omit_nulls),
        Kind.JSON,
        bad=_any_bad(list(results.values())),
    )
    return _with(made, list(results.values()))


def _choose(source: Choose, path: str, sheet: Sheet) -> Taken:
    open_ = pl.Series([True], dtype=pl.Boolean).new_from_index(0, sheet.height)
    taken: list[tuple[Branch, pl.Series, Values]] = []
    parts: list[Result] = []
    for number, branch in enumerate(source.branches):
        here = open_ if branch.when is None else open_ & predicates.mask(branch.when, sheet, sheet.env.context)
        open_ = open_ & ~here
        sheet.env.context.watch.branch(number, here)
        if branch.rule is None:
            taken.append((branch, here, columns.literal(None, sheet.height)))
            continue
        # an error counts only in the branch that is taken; the kind of the value is that of all branches, taken or not
        result = sheet.evaluate(branch.rule, path, sheet).only(here)
        taken.append((branch, here, result.values.only()))
        parts.append(Result(_spoilt_where(result.values, here), result.troubles, result.links))
    made = columns.literal(None, sheet.height)
    for _, here, values in sorted(taken, key=lambda one: one[2].constant):
        made = columns.choose(here, values, made)
    for branch, here, _ in taken:
        parts += _remarks(branch, here, made, branch.rule.place if branch.rule else _place(source, sheet, path), path)
    return _with(Values(made.values, made.kind, bad=_any_bad(parts)), parts)


def _remarks(branch: Branch, here: pl.Series, made: Values, place: Place, path: str) -> list[Result]:
    """What a branch says of itself: that a person must look, or that somebody should know."""
    found = []
    for outcome, note in ((troubles.REVIEW, branch.review), (troubles.WARNING, branch.warn)):
        if note and here.any():
            trouble = troubles.made(here, outcome, path, "choose", place, None, made.text, note)
            bad = here if outcome == troubles.REVIEW else None
            found.append(Result(Values(made.values, made.kind, bad=bad), (trouble,)))
    return found


def _place(source: Choose, sheet: Sheet, path: str) -> Place:
    tests = next((branch.when.tests for branch in source.branches if branch.when and branch.when.tests), ())
    return tests[0].place if tests else sheet.source.place


def _spoilt_where(values: Values, here: pl.Series) -> Values:
    return Values(values.values, values.kind, bad=None if values.bad is None else values.bad & here)


def _collect(source: Collect, path: str, sheet: Sheet) -> Taken:
    row_of, frame = sheet.items(source.of)
    items = _item_sheet(sheet, row_of, frame, sheet.item_kinds(source.of))
    key = sheet.item_key(source.of)
    keys = items.column(key).text if key and key in frame.columns else _positions(row_of)
    results = {name: items.evaluate(rule, f"{path}.{name}", items) for name, rule in source.rules.items()}
    found = [trouble for result in results.values() for trouble in result.troubles]
    waiting = troubles.marked(found, frame.height, troubles.REVIEW, troubles.ABORT)
    dropped = troubles.marked(found, frame.height, troubles.SKIP)
    alone = source.on_item_error == "review_item"
    texts = trees.objects(
        {name: columns.json_text(result.values) for name, result in results.items()},
        frame.height,
        omit_nulls=source.omit_nulls,
    )
    kept = ~(dropped | waiting) if alone else ~dropped
    made = trees.lists(texts.filter(kept), row_of.filter(kept), row_of.unique(), sheet.height)
    lifted = tuple(_lifted(trouble, row_of, keys, alone) for trouble in found if trouble.outcome != troubles.SKIP)
    bad = None if alone else troubles.marked(lifted, sheet.height, troubles.REVIEW, troubles.ABORT)
    links = tuple(
        Link(link.mapping, row_of.gather(link.rows), link.parents, link.field)
        for r in results.values()
        for link in r.links
    )
    return Taken((Values(made, Kind.JSON, bad=bad),), troubles=lifted, links=links)


def _item_sheet(sheet: Sheet, row_of: pl.Series, frame: pl.DataFrame, kinds: Mapping[str, Kind]) -> Sheet:
    owned = frame.with_columns(sheet.users.gather(row_of).alias("__user"), sheet.keys.gather(row_of).alias("__key"))
    lookups = sheet.env.lookups
    env = replace(sheet.env, lookups=lookups and lookups.of(owned["__user"]))
    return Sheet(
        sheet.name,
        sheet.source,
        owned,
        {},
        env,
        sheet.evaluate,
        overrides=sheet.overrides,
        kinds=kinds,
        outer=(sheet, row_of),
    )


def _positions(row_of: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"row": row_of})
    return frame.select(pl.int_range(pl.len()).over("row").cast(pl.String)).to_series()


def _lifted(trouble: Trouble, row_of: pl.Series, keys: pl.Series, alone: bool) -> Trouble:
    up = trouble.lifted(row_of, keys)
    return replace(up, outcome=troubles.ITEM) if alone and up.outcome == troubles.REVIEW else up


def _number(source: Number, path: str, sheet: Sheet) -> Taken:
    within = [sheet.column(name).text.alias(f"within {name}") for name in source.within]
    order = [sheet.column(name).values.alias(f"order {name}") for name in source.order]
    ties = [sheet.column(name).values.alias(f"tie {name}") for name in sheet.source.key]
    frame = pl.DataFrame([*within, *order, *ties]).with_row_index("row")
    by = [series.name for series in (*order, *ties)]
    placed = columns.in_order(frame, by).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).over([series.name for series in within] or pl.lit(0)).alias("place")
    )
    return Taken((Values(placed.sort("row")["place"] + source.start, Kind.INTEGER),))


def _rest(source: Rest, path: str, sheet: Sheet) -> Taken:
    return Taken((Values(sheet.frame["__rest"], Kind.JSON),))


def _any_bad(results: list[Result]) -> pl.Series | None:
    bad = [result.values.bad for result in results if result.values.bad is not None]
    return reduce(lambda one, other: one | other, bad) if bad else None


def _with(made: Values, results: list[Result]) -> Taken:
    return Taken(
        (made,),
        troubles=tuple(trouble for result in results for trouble in result.troubles),
        links=tuple(link for result in results for link in result.links),
    )


_TAKERS: dict[type, Callable[[Any, str, Sheet], Taken]] = {
    From: _from,
    Value: _value,
    Lookup: _lookup,
    Reference: _reference,
    Object: _object,
    Choose: _choose,
    Collect: _collect,
    Number: _number,
    Rest: _rest,
}
