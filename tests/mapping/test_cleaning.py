"""Outdated, double and invalid rows go the way their rule says, are counted by rule, and the books stay even."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import MappingInvalid
from migrator.mapping import cleaning, lint
from migrator.mapping.outcome import Context, Mapped, Override
from tests.mapping.engine import PLAN, Legacy, a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of, sources

PERSON = a_table("person", id="integer")
LINE = a_table("line", id="integer", person_id="integer", sku="text", price="text", at="integer")
TARGET = a_schema(a_table("lines", id="integer", sku="text", price="decimal"))
STALE = "{name: stale, when: {at: {older_than: 30d, unit: s}}, action: drop, reason: nobody looks at them}"
DOUBLE = "{name: double, duplicates: [sku], keep: {most_recent: at}, action: archive, reason: clicked twice}"
UNPRICED = "{name: unpriced, when: {price: {is_null: true}}, action: hold, reason: somebody must say the price}"
BROKEN = "{name: broken, invalid: [price], action: drop, reason: never had a price}"
NEW, OLD = 1_703_900_000, 1_500_000_000  # the plan's cut-off is 2024-01-01


def lines(*rules: str) -> str:
    clean = f"clean: [{', '.join(rules)}]\n" if rules else ""
    return (
        "mapping: lines\nsource: {table: line, key: id, user: person_id}\ntarget: {table: lines, id: {keep: id}}\n"
        f"{clean}fields: {{sku: sku, price: {{from: price, transform: [decimal]}}}}\n"
    )


def a_shop(*rows: tuple[int, int, str | None, str | None, int | None]) -> Legacy:
    people = [{"id": n} for n in sorted({row[1] for row in rows})]
    return a_legacy(PERSON, LINE, person=people, line=[dict(zip(LINE.columns, row, strict=True)) for row in rows])


def cleaned(legacy: Legacy, *rules: str, context: Context = PLAN) -> Mapped:
    return mapped(a_set(lines(*rules)), legacy, TARGET, context=context)


def taken(made: Mapped) -> list[tuple[str, str, str]]:
    return made.cleaned.select("key", "rule", "action").sort("key").rows()


def test_what_is_outdated_is_dropped_and_counted_and_holds_nobody() -> None:
    made = cleaned(a_shop((1, 1, "a", "5", OLD), (2, 1, "b", "not a price", OLD), (3, 1, "c", "7", NEW)), STALE)

    assert rows_of(made, "lines", "id") == [3]
    assert taken(made) == [("1", "stale", "drop"), ("2", "stale", "drop")]
    assert made.books["lines"].skipped == 2
    assert (findings(made, "key"), made.held) == ([], frozenset())


def test_a_row_whose_age_nobody_knows_is_not_outdated() -> None:
    made = cleaned(a_shop((1, 1, "a", "5", None)), STALE)

    assert rows_of(made, "lines", "id") == [1]


def test_of_double_rows_the_last_stays_and_the_others_go_into_the_archive() -> None:
    rows = [
        (1, 1, "a", "5", 10),
        (2, 1, "a", "6", 30),
        (3, 1, "a", "7", 20),
        (4, 2, "a", "8", 5),
        (5, 1, None, "9", 1),
        (6, 1, None, "9", 1),
    ]
    legacy = a_shop(*rows)  # type: ignore[arg-type]

    made = cleaned(legacy, DOUBLE)

    assert rows_of(made, "lines", "id") == [2, 4, 5, 6]  # another user's is another; what is not known is like nothing
    kept = cleaning.archived(made.cleaned, {"lines": sources(a_set(lines(DOUBLE)), legacy, ["1", "2"])["lines"].frame})
    assert kept["lines"].select("rule", "id", "price").rows() == [("double", 1, "5"), ("double", 3, "7")]


def test_what_a_person_must_see_is_held_with_the_name_of_the_rule() -> None:
    made = cleaned(a_shop((1, 1, "a", None, NEW), (2, 2, "a", "5", NEW)), UNPRICED)

    assert findings(made, "key", "field", "rule", "note") == [("1", "unpriced", "clean", "somebody must say the price")]
    assert made.held == {"1"}


def test_a_row_whose_field_fails_goes_the_way_of_the_rule_instead_of_to_a_person() -> None:
    made = cleaned(a_shop((1, 1, "a", "free", NEW), (2, 1, "b", "5", NEW)), BROKEN)

    assert rows_of(made, "lines", "id") == [2]
    assert taken(made) == [("1", "broken", "drop")]
    assert made.held == frozenset()


def test_the_first_rule_that_takes_a_row_is_the_one_that_counts_it() -> None:
    made = cleaned(
        a_shop((1, 1, "a", "x", OLD), (2, 1, "a", "y", NEW), (3, 1, "a", "5", NEW + 1)), STALE, DOUBLE, BROKEN
    )

    assert taken(made) == [("1", "stale", "drop"), ("2", "double", "archive")]


def test_a_rule_that_was_taken_back_for_a_user_takes_nothing_of_his() -> None:
    spared = Override("lines", "1", None, cleaning.spared("stale"), "keep")
    context = Context(PLAN.plan_id, PLAN.as_of, overrides=(spared,))

    made = cleaned(a_shop((1, 1, "a", "5", OLD), (2, 2, "a", "5", OLD)), STALE, context=context)

    assert rows_of(made, "lines", "id") == [1]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["a", "b", None]), st.sampled_from(["5", "x", None]), st.sampled_from([OLD, NEW, NEW + 1, None])), max_size=12))  # fmt: skip
def test_no_row_is_taken_twice_and_none_is_lost(rows: list[tuple[int, str | None, str | None, int | None]]) -> None:
    legacy = a_shop(*((place, *row) for place, row in enumerate(rows)), (99, 1, "z", "1", NEW))

    made = cleaned(legacy, STALE, DOUBLE, UNPRICED, BROKEN)

    assert made.cleaned["key"].is_unique().all()
    dropped = made.cleaned.filter(pl.col("action") != "hold").height
    assert made.books["lines"].skipped == dropped  # and mapped() has seen that the books balance


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{name: x, action: drop, reason: r}", "E102"),
        ("{name: x, when: {at: 1}, action: delete, reason: r}", "E105"),
        ("{name: x, duplicates: [sku], action: drop, reason: r}", "E102"),
        ("{name: x, when: {at: 1}, invalid: [price], action: drop, reason: r}", "E105"),
        ("{name: x, when: {at: 1}, action: drop, reason: '???'}", "E209"),
        ("{name: x, when: {at: {older_than: long}}, action: drop, reason: r}", "E105"),
    ],
)
def test_a_rule_that_says_too_little_or_too_much_is_refused(rule: str, code: str) -> None:
    with pytest.raises(MappingInvalid, match=code):
        a_set(lines(rule))


def test_a_rule_about_a_field_or_column_that_is_not_there_is_told() -> None:
    wrong = a_set(
        lines(
            "{name: x, invalid: [prize], action: drop, reason: r}", "{name: y, when: {att: 1}, action: drop, reason: r}"
        )
    )

    told = {problem.code: problem.help for problem in lint.lint(wrong, a_schema(PERSON, LINE), None)}

    assert told["E105"] == 'did you mean "price"?'
    assert told["E201"] == 'did you mean "at"?'
