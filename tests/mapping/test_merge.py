from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping.outcome import Mapped
from tests.mapping.engine import a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of

PERSON = a_table("person", id="integer")
WISH = a_table(
    "wish",
    id="integer",
    person="integer",
    sku="text",
    qty="integer",
    at="text",
    note="text",
    flag="boolean",
    tags="text",
)
ROW = a_table(
    "row", id="uuid", account="text", sku="text", qty="integer", at="text", note="text", flag="boolean", tags="json"
)


def merging(merge: str, more: str = "", qty: str = "{from: qty}") -> str:
    return (
        "mapping: wishes\nsource: {table: wish, key: id, user: person}\ntarget: {table: row, id: {uuid5: id}}\non_reject: hold_row\n"
        f"fields:\n  account: {{from: person}}\n  sku: sku\n  qty: {qty}\n  at: at\n  note: note\n  flag: flag\n"
        f"  tags: {{from: tags, transform: [json]}}\nmerge_duplicates: {merge}\n{more}"
    )


def merged(merge: str, rows: list[dict[str, Any]], more: str = "", qty: str = "{from: qty}") -> Mapped:
    wishes = [{"id": place, "person": 1, "sku": "a"} | row for place, row in enumerate(rows, start=1)]
    legacy = a_legacy(PERSON, WISH, person=[{"id": 1}, {"id": 2}], wish=wishes)
    return mapped(a_set(merging(merge, more, qty)), legacy, a_schema(ROW))


MATCH = "match: [$account, $sku]"


def test_the_oldest_row_survives_and_the_others_are_folded_into_it() -> None:
    made = merged(f"{{{MATCH}, keep: {{oldest: at}}, fields: {{qty: sum, at: min}}}}", [
        {"qty": 2, "at": "2021"}, {"qty": 3, "at": "2020"}, {"qty": 5, "at": None}, {"qty": 7, "sku": "b"},
    ])  # fmt: skip

    assert rows_of(made, "wishes", "__key", "sku", "qty", "at") == [("2", "a", 10, "2020"), ("4", "b", 7, None)]
    assert (made.books["wishes"].written, made.books["wishes"].folded) == (2, 2)


def test_the_row_of_the_source_that_is_trusted_most_survives() -> None:
    rows = [{"qty": 3, "note": "till"}, {"qty": 1, "note": "web"}, {"qty": None, "note": "paper"}]

    made = merged(f"{{{MATCH}, keep: {{source_priority: qty}}, fields: {{}}}}", rows)

    assert rows_of(made, "wishes", "__key", "note") == [("2", "web")]


def test_the_most_recent_row_survives_and_keeps_its_own_other_fields() -> None:
    rows = [{"qty": 1, "at": "2021", "note": "new"}, {"qty": 2, "at": "2020", "note": "old"}]

    made = merged(f"{{{MATCH}, keep: {{most_recent: at}}, fields: {{qty: max}}}}", rows)

    assert rows_of(made, "wishes", "__key", "qty", "note") == [("1", 2, "new")]


@pytest.mark.parametrize(
    ("field", "how", "values", "result"),
    [
        ("qty", "min", [3, None, 2], 2),
        ("qty", "sum", [None, None], None),
        ("qty", "sum", [None, 4], 4),
        ("flag", "any", [False, True, None], True),
        ("flag", "all", [False, True], False),
        ("note", "first_not_null", [None, "b", "c"], "b"),
        ("note", "longest", ["a", "ccc", "bb"], "ccc"),
        ("tags", "append", ['["x"]', '["x","y"]', None], '["x","x","y"]'),
        ("tags", "union", ['["x"]', '["x",1.50]'], '["x",1.50]'),
    ],
)
def test_each_field_says_what_becomes_of_its_values(field: str, how: str, values: list[Any], result: Any) -> None:
    made = merged(
        f"{{{MATCH}, keep: {{oldest: id}}, fields: {{{field}: {how}}}}}", [{field: value} for value in values]
    )

    assert rows_of(made, "wishes", field) == [result]


def test_rows_of_two_users_and_rows_with_a_null_never_merge() -> None:
    rows = [{"person": 1}, {"person": 2}, {"sku": None}, {"sku": None}]

    made = merged("{match: [$sku], keep: {oldest: id}, fields: {}}", rows)

    assert made.books["wishes"].written == 4


def test_a_row_whose_partner_is_rejected_waits_because_the_sum_would_be_wrong() -> None:
    rows = [{"qty": 1}, {"qty": 99}, {"qty": 2}, {"qty": 3, "sku": "b"}]

    made = merged(
        f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: sum}}}}",
        rows,
        qty="{from: qty, transform: [{between: [0, 9]}]}",
    )

    assert rows_of(made, "wishes", "__key") == ["4"]
    assert (made.books["wishes"].review, made.books["wishes"].blocked, made.books["wishes"].folded) == (1, 2, 0)
    assert findings(made, "key", "outcome", "waits_for") == [("1", "blocked", "wishes"), ("2", "review", None)]


def test_folded_rows_meet_nobody_in_the_target() -> None:
    table = a_table("row", primary=("account", "sku"), account="text", sku="text", qty="integer")
    text = merging(f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: sum}}}}").replace(
        "{uuid5: id}", "{fields: [account, sku]}"
    )
    for column in ("at", "note", "flag"):
        text = text.replace(f"  {column}: {column}\n", "")
    text = text.replace("  tags: {from: tags, transform: [json]}\n", "")
    wishes = [{"id": n, "person": 1, "sku": "a", "qty": n} for n in (1, 2)]

    made = mapped(a_set(text), a_legacy(PERSON, WISH, person=[{"id": 1}], wish=wishes), a_schema(table))

    assert rows_of(made, "wishes", "account", "sku", "qty") == [("1", "a", 3)]


def test_look_alikes_that_differ_go_to_a_person() -> None:
    made = merged(
        f"{{{MATCH}, keep: {{oldest: id}}, fields: {{}}, review_if_different: [$note]}}",
        [{"note": "x"}, {"note": "y"}, {"sku": "b", "note": "z"}, {"sku": "b", "note": "z"}],
    )

    assert findings(made, "key", "field", "rule", "value") == [
        ("1", "note", "merge_duplicates", "x"),
        ("2", "note", "merge_duplicates", "y"),
    ]
    assert rows_of(made, "wishes", "__key") == ["3"]


def test_a_sum_that_cannot_be_held_is_a_finding_and_not_an_overflow() -> None:
    made = merged(
        f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: sum}}}}",
        [{"qty": 2**62}, {"qty": 2**62}, {"qty": 1, "sku": "b"}],
    )

    assert rows_of(made, "wishes", "qty") == [1]
    assert findings(made, "key", "field", "rule", "note") == [
        ("1", "qty", "merge_duplicates", "it cannot be added up exactly")
    ]


def test_a_child_of_a_folded_row_hangs_on_the_row_that_survived() -> None:
    note = a_table("note", id="integer", person="integer", wish="integer")
    memo = a_table("memo", id="uuid", row_id="uuid")
    child = "mapping: notes\nsource: {table: note, key: id, user: person}\ntarget: {table: memo, id: {uuid5: id}}\nfields: {row_id: {lookup: wishes, by: wish, required: true}}\n"
    wishes = [{"id": n, "person": 1, "sku": "a", "qty": n} for n in (1, 2)]
    legacy = a_legacy(PERSON, WISH, note, person=[{"id": 1}], wish=wishes, note=[{"id": 1, "person": 1, "wish": 2}])

    made = mapped(
        a_set(merging(f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: sum}}}}"), child), legacy, a_schema(ROW, memo)
    )

    assert rows_of(made, "notes", "row_id") == rows_of(made, "wishes", "id")
    assert rows_of(made, "wishes", "__key") == ["1"]


@pytest.mark.parametrize(
    ("field", "how", "values", "note"),
    [
        ("note", "any", ["perhaps", "true"], "it is neither true nor false"),
        ("note", "append", ["[1]", "{bad"], "it is no JSON"),
    ],
)
def test_a_value_that_cannot_be_merged_so_is_a_finding(field: str, how: str, values: list[str], note: str) -> None:
    rows = [{field: value} for value in values] + [{"sku": "b", field: "[2]"}]

    made = merged(f"{{{MATCH}, keep: {{oldest: id}}, fields: {{{field}: {how}}}}}", rows)

    assert findings(made, "key", "field", "rule", "note") == [("1", field, "merge_duplicates", note)]
    assert rows_of(made, "wishes", "__key") == ["3"]


def test_flags_that_are_numbers_or_words_are_merged_as_what_they_say() -> None:
    rows = [{"qty": 0, "note": "true"}, {"qty": 1, "note": "false"}, {"qty": None, "note": None}]

    made = merged(f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: any, note: all}}}}", rows)

    assert rows_of(made, "wishes", "qty", "note") == [(1, "false")]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 50), st.integers(1, 2)), max_size=12))
def test_nothing_is_lost_or_doubled_by_merging(rows: list[tuple[str | None, int, int]]) -> None:
    given_rows = [{"sku": sku, "qty": qty, "person": person} for sku, qty, person in rows]

    made = merged(f"{{{MATCH}, keep: {{oldest: id}}, fields: {{qty: sum}}}}", given_rows)

    assert sum(rows_of(made, "wishes", "qty")) == sum(qty for _, qty, _ in rows)
    groups = {(sku, person) for sku, _, person in rows if sku} | {
        (None, n) for n, (sku, _, _) in enumerate(rows) if not sku
    }
    assert made.books["wishes"].written == len(groups)
