"""Golden rows: what a mapping makes of a row that its author wrote down."""

from __future__ import annotations

import hmac
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import compile as compiler
from migrator.mapping import drafts, jsons, moments, troubles
from migrator.mapping import values as columns
from migrator.mapping.draft import Draft
from migrator.mapping.given import rows_of
from migrator.mapping.lookups import Present
from migrator.mapping.model import Example, Mapping, MappingSet, Place
from migrator.mapping.outcome import FINDINGS, Context
from migrator.mapping.schema import Kind, Schema
from migrator.mapping.values import Values
from migrator.mapping.watch import NOBODY, Watch


def example_hash(purpose: str, text: str) -> str:
    """The keyed hash of examples: they know no project's key, and `expect` must be the same everywhere."""
    return hmac.digest(b"example", f"{len(purpose)}:{purpose}{text}".encode(), "sha256").hex()


#: Examples belong to no plan; whatever they say lies before this.
_CONTEXT = Context("example", "2100-01-01T00:00:00Z", keyed=example_hash)


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """How one example went; `diff` says field by field what is not as expected, and is empty when it passed."""

    name: str
    mapping: str
    passed: bool
    diff: str
    place: Place


def run(set_: MappingSet, legacy: Schema | None, target: Schema | None) -> list[ExampleResult]:
    """
    Run the examples of all mappings.

    Args:
        legacy: Types what is given; without it types are guessed from the literals. target: *fit* is part of the test.

    Returns:
        One result per example. Rows that are looked up count as present; `where` is not asked.
    """
    return [
        _run(set_, mapping, example, legacy, target)
        for mapping in set_.mappings.values()
        for example in mapping.examples
    ]


def play(
    set_: MappingSet,
    mapping: Mapping,
    example: Example,
    legacy: Schema | None,
    target: Schema | None,
    watch: Watch = NOBODY,
) -> Draft:
    """Carry out one example as far as *fit*; *watch* looks on."""
    table = compiler.table_of(target, mapping) if target else None
    source, context = rows_of(mapping, example, legacy), replace(_CONTEXT, watch=watch)
    return drafts.make(set_, mapping, source, context, Present(set_), table, target.dialect if target else "")


def _run(
    set_: MappingSet, mapping: Mapping, example: Example, legacy: Schema | None, target: Schema | None
) -> ExampleResult:
    draft = play(set_, mapping, example, legacy, target)
    skipped = troubles.marked(draft.troubles, draft.sheet.height, troubles.SKIP).any()
    found = reviews(draft)
    lines = _against_reviews(example, found) + _against_row(example, draft, skipped=bool(skipped), reviews=found)
    return ExampleResult(example.name, mapping.name, not lines, "\n".join(lines), example.place)


# ---- reviews ----------------------------------------------------------------------------------------------------


def reviews(draft: Draft) -> list[dict[str, Any]]:
    """What of an example a person would have to look at, as rows of FINDINGS."""
    sheet, name = draft.sheet, draft.mapping.name
    told = [troubles.findings(trouble, name, sheet.users, sheet.keys) for trouble in draft.troubles]
    findings = pl.concat(told or [pl.DataFrame(schema=FINDINGS)])
    return findings.filter(pl.col("outcome") == "review").to_dicts()


def _against_reviews(example: Example, reviews: list[dict[str, Any]]) -> list[str]:
    left = list(reviews)
    lines = []
    for expected in example.expect_review:
        found = next((review for review in left if _is(expected, review)), None)
        if found is None:
            lines.append(f"expected review  {_said(expected)}")
        else:
            left.remove(found)
    return lines + [f"found review     {_finding(review)}" for review in left]


def _is(expected: MappingOf[str, Any], review: MappingOf[str, Any]) -> bool:
    return all(review.get(name) == columns.literal_text(value) for name, value in expected.items())


def _said(expected: MappingOf[str, Any]) -> str:
    return ", ".join(f"{name}: {columns.literal_text(value) or 'null'}" for name, value in expected.items())


def _finding(review: MappingOf[str, Any]) -> str:
    value = "null" if review["value"] is None else review["value"]
    return f"field: {review['field']}, rule: {review['rule']}, value: {value} ({review['note'] or 'no note'})"


# ---- the row ----------------------------------------------------------------------------------------------------


def _against_row(example: Example, draft: Draft, *, skipped: bool, reviews: list[dict[str, Any]]) -> list[str]:
    if example.expect is None or reviews:
        return []
    if skipped:
        return ["the row was skipped"]
    made = values(draft)
    lines = []
    for name, wanted in example.expect.items():
        if name not in made:
            lines.append(f"{name}: the mapping makes no such field")
            continue
        found = made[name]
        if not _equal(wanted, found):
            lines.append(f"{name}: expected {_shown(wanted)}, found {_shown_value(found)}")
    return lines


def values(draft: Draft) -> dict[str, Values]:
    """Each field's value: in the words of the mapping where it is JSON, else as it would be written."""
    made = {}
    for name in draft.frame.columns:
        if name in ("__user", "__key"):
            continue
        written = columns.of(draft.frame[name].head(1))
        meant = draft.sheet.result(name).values if name in draft.mapping.fields else written
        as_json = meant.kind is Kind.JSON and written.kind is Kind.TEXT
        made[name] = Values(written.values, Kind.JSON) if as_json else written
    return made


def _equal(wanted: Any, found: Values) -> bool:
    value = found.values.item(0) if len(found) else None
    if wanted is None or value is None:
        return wanted is None and (value is None or value == "null")
    if found.kind is Kind.JSON or isinstance(wanted, list | dict):
        return _same_json(wanted, jsons.read(str(value)))
    text, expected = found.text.item(0), columns.literal_text(wanted)
    if text == expected:
        return True
    return _same_number(text, expected) or _same_moment(text, expected)


def _same_json(wanted: Any, found: Any) -> bool:
    """Exactly the same tree; numbers by value, a text is no number."""
    return jsons.canonical(jsons.write(wanted)) == jsons.canonical(jsons.write(found))


def _same_number(one: str, other: str | None) -> bool:
    try:
        return other is not None and Decimal(one) == Decimal(other)
    except ArithmeticError:
        return False


def _same_moment(one: str, other: str | None) -> bool:
    return moments.is_iso(one) and moments.is_iso(other) and moments.instant(one) == moments.instant(str(other))


def _shown(wanted: Any) -> str:
    return "null" if wanted is None else jsons.write(wanted)


def _shown_value(found: Values) -> str:
    value = found.text.item(0) if len(found) else None
    if value is None:
        return "null"
    return value if found.kind is not Kind.TEXT else jsons.write(value)
