"""A map and the data it is for: values that it misses, and values in it that nobody has. W404."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from migrator.mapping import secrecy
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.facts import Listed
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground
from migrator.mapping.lint.uses import Scope, Sort, Use
from migrator.mapping.model import Choose, From, Predicate, Rule, Step
from migrator.mapping.model import Mapping as Document
from migrator.mapping.outcome import Context
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Column, Kind
from migrator.mapping.walk import spots, within

_SHOWN = 5
_BEFORE = Env(Context("lint", "2100-01-01T00:00:00Z"))
_PURE = frozenset(
    {
        "trim",
        "collapse_spaces",
        "lower",
        "upper",
        "null_if",
        "normalize",
        "strip_control",
        "integer",
        "decimal",
        "truncate",
    }
)


def check(ground: Ground) -> None:
    """Check every map of all mappings whose input is a column as it was read, or little more."""
    for mapping in ground.set.mappings.values():
        names = uses.scope(mapping.source)
        chosen = _within_choose(mapping)
        for spot in spots(mapping):
            for place, step in enumerate(spot.rule.steps):
                if step.name == "map" and isinstance(step.args, dict):
                    use = _input(spot.rule, spot.rule.steps[:place], names)
                    if use is not None:
                        _check(ground, mapping, spot.rule, step, use, chosen=id(spot.rule) in chosen)


def _within_choose(mapping: Document) -> set[int]:
    """The rules that only some rows come to."""
    choices = [spot.rule for spot in spots(mapping) if isinstance(spot.rule.source, Choose)]
    return {id(inner.rule) for rule in choices for inner in within("", rule) if inner.rule is not rule}


def _input(rule: Rule, before: tuple[Step, ...], names: Scope) -> Use | None:
    source = rule.source
    if not isinstance(source, From) or len(source.columns) != 1 or source.aggregate:
        return None
    use = names.use(source.columns[0])
    plain = use.sort is Sort.COLUMN and len(use.tables) == 1 and all(step.name in _PURE for step in before)
    return use if plain else None


def _check(ground: Ground, mapping: Document, rule: Rule, step: Step, use: Use, *, chosen: bool) -> None:
    table, column = use.tables[0], ground.legacy_column(use.tables[0], use.column)
    listed, seen = ground.facts.values(table, use.column), ground.facts.seen(table, use.column)
    if column is None or listed is None or listed.more or seen is None:
        return
    steps = rule.steps[: rule.steps.index(step)]
    counts = _arriving(mapping, column, listed, steps, use)
    keys = {str(key) for key in step.args if key != "else"}
    missed = {value: rows for value, rows in counts.items() if value not in keys}
    if missed and "else" not in step.args and not chosen:
        what = (
            f"{len(missed)} values" if secrecy.is_sensitive("", rule, mapping.vars | mapping.fields) else _said(missed)
        )
        text = f"the map has no entry for what {table}.{use.column} holds: {what}"
        ground.notes.add("W404", step.place, text, "such rows go to review: add the values, or an else")
    unseen = [str(key) for key in step.args if key != "else" and str(key) not in counts]
    if unseen and seen.whole and seen.rows:
        text = f"no row of {table} has the {use.column} {', '.join(unseen[:_SHOWN])}{_more(unseen)}"
        ground.notes.add("W404", step.place, text, "is the value spelled as legacy spells it?")


def _arriving(mapping: Document, column: Column, listed: Listed, steps: Iterable[Step], use: Use) -> dict[str, int]:
    """The values as they come to the map, with their rows."""
    blanks = {columns.literal_text(value) for value in mapping.source.null_if}
    kept = {value: rows for value, rows in listed.counts.items() if value not in blanks}
    if "." not in use.written:
        kept = {value: rows for value, rows in kept.items() if _passes(mapping.source.where, use.column, value)}
    made = columns.of(_typed(list(kept), column))
    for step in steps:
        made = TRANSFORMS[step.name].apply((made,), step.args, _BEFORE).only()
    arriving: dict[str, int] = {}
    for text, rows in zip(made.text.to_list(), kept.values(), strict=True):
        if text is not None:
            arriving[text] = arriving.get(text, 0) + rows
    return arriving


def _typed(values: list[str], column: Column) -> pl.Series:
    texts = pl.Series(values, dtype=pl.String)
    if column.kind is not Kind.INTEGER:
        return texts
    numbers = texts.cast(pl.Int64, strict=False)
    return texts if numbers.null_count() else numbers


def _passes(where: Predicate, column: str, value: str) -> bool:
    """Whether the tests of *column* by lists of values let *value* pass; other tests are not asked."""
    for test in where.tests:
        if test.column == column and test.op in ("in", "not_in"):
            among = value in {columns.literal_text(literal) for literal in test.value}
            if among is not (test.op == "in"):
                return False
    return True


def _said(missed: Mapping[str, int]) -> str:
    most = sorted(missed.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{value} ({rows} rows)" for value, rows in most[:_SHOWN]) + _more(list(missed))


def _more(values: list[str]) -> str:
    return f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
