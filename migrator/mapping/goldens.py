"""A real source row as an example: what is given, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import examples, jsons, troubles, walk
from migrator.mapping import values as columns
from migrator.mapping.model import Example, Lookup, Mapping, MappingSet, Reference, Rest, Rule
from migrator.mapping.schema import Kind, Schema
from migrator.mapping.values import Values

_OURS = ("__user", "__key", "__rest", "__faults")


def given(mapping: Mapping, row: pl.DataFrame) -> dict[str, Any]:
    """Say one row of a source frame as `given` holds it; what is null is left out."""
    found: dict[str, Any] = {}
    for name in row.columns:
        if name in _OURS:
            continue
        value = _plain(row[name])
        join, dot, column = name.partition(".")
        if value is None or value == []:
            continue
        if dot and join in mapping.source.joins:
            found.setdefault(join, {})[column] = value
        else:
            found[name] = value
    return found


def _plain(series: pl.Series) -> Any:
    """The one value of a series, as YAML can say it."""
    if isinstance(series.dtype, pl.List):
        items = series.explode(empty_as_null=False) if series.list.len().item() else None
        if items is None:
            return []
        if isinstance(items.dtype, pl.Struct):
            frame = items.struct.unnest()
            rows = [{name: _plain(frame[name].slice(at, 1)) for name in frame.columns} for at in range(frame.height)]
            return [{name: value for name, value in row.items() if value is not None} for row in rows]
        return [_plain(items.slice(at, 1)) for at in range(len(items))]
    value = series.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    text = columns.text(series).item()
    return Decimal(text) if isinstance(value, Decimal | float) else text


def outcome(
    set_: MappingSet, mapping: Mapping, row: MappingOf[str, Any], legacy: Schema, target: Schema
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """
    Say what becomes of a given row: (`expect`, `expect_review`), one of the two; (None, []) where it is skipped.

    Fields that are looked up are left out: in an example their rows are only thought of.
    """
    example = Example("", dict(row), mapping.place)
    draft = examples.play(set_, mapping, example, legacy, target)
    reviews = [_review(finding) for finding in examples.reviews(draft)]
    if reviews:
        return None, reviews
    if troubles.marked(draft.troubles, draft.sheet.height, troubles.SKIP).any():
        return None, []
    made = examples.values(draft)
    told = {name: _said(made[name]) for name, rule in mapping.fields.items() if name in made and _is_own(rule, mapping)}
    return told, []


def _review(finding: MappingOf[str, Any]) -> dict[str, Any]:
    told = {"field": finding["field"], "rule": finding["rule"]}
    value = finding["value"]
    return told if value is None or finding["sensitive"] else {**told, "value": value}


def _is_own(rule: Rule, mapping: Mapping) -> bool:
    """Whether a value comes from the row alone."""
    every = mapping.vars | mapping.fields
    for spot in walk.within("", rule):
        if isinstance(spot.rule.source, Lookup | Reference | Rest):
            return False
        if any(step.name == "lookup" and not _is_file(step.args) for step in spot.rule.steps):
            return False
        for name in getattr(spot.rule.source, "columns", ()):
            used = every.get(str(name)[1:]) if str(name).startswith("$") else None
            if used is not None and not _is_own(used, mapping):
                return False
    return True


def _is_file(args: Any) -> bool:
    return isinstance(args, dict) and "file" in args


def _said(values: Values) -> Any:
    value = values.values.item(0) if len(values) else None
    if value is None:
        return None
    if values.kind is Kind.JSON:
        return jsons.read(str(value))
    return value if isinstance(value, bool | int) else values.text.item(0)
