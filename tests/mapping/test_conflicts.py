"""Rows that meet rows already in the target: held by default, skipped or written over where the mapping says so."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from migrator.errors import Refused
from migrator.mapping import conflicts
from migrator.mapping.outcome import Mapped
from tests.mapping.engine import PLAN, a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of

PERSON = a_table("person", id="integer not null", email="text", name="text")
WISH = a_table("wish", id="integer not null", person_id="integer", sku="text")
ACCOUNT = a_table("account", uniques=[("email",)], id="integer not null", email="text", name="text")
WISHES = a_table("wishes", uniques=[("id", "sku")], id="integer not null", account_id="integer", sku="text")
TARGET = a_schema(ACCOUNT, WISHES)
BY_EMAIL = conflicts.Meeting("accounts", "account", ("email",))
LEGACY = a_legacy(
    PERSON,
    WISH,
    person=[{"id": n, "email": f"p{n}@x.org", "name": f"P{n}"} for n in (1, 2)],
    wish=[{"id": n * 10, "person_id": n, "sku": "A"} for n in (1, 2)],
)


def _set(conflict: str = ""):  # type: ignore[no-untyped-def]
    on_conflict = f", on_conflict: {conflict}" if conflict else ""
    accounts = (
        "mapping: accounts\nsource: {table: person, key: id, user: id}\n"
        f"target: {{table: account, id: {{keep: id}}{on_conflict}}}\n"
        "fields:\n  email: {from: email, sensitive: true}\n  name: name\n"
    )
    wishes = (
        "mapping: wishes\nsource: {table: wish, key: id, user: person_id}\n"
        "target: {table: wishes, id: {keep: id}}\n"
        "fields:\n  account_id: {lookup: accounts, by: person_id, required: true}\n  sku: sku\n"
    )
    return a_set(accounts, wishes)


def _there(rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.Int64, "email": pl.String, "name": pl.String})


def _decided(there: list[dict[str, object]], conflict: str = "", by: str = "email") -> Mapped:
    set_ = _set(conflict)
    made = mapped(set_, LEGACY, TARGET)
    done = conflicts.decide(set_, TARGET, made, {conflicts.Meeting("accounts", "account", (by,)): _there(there)})
    assert all(book.balanced for book in done.books.values()), done.books
    return done


def test_every_key_that_a_mapping_sets_is_looked_at_once() -> None:
    found = {(one.mapping, one.columns) for one in conflicts.meetings(_set(), TARGET)}

    # a unique key around the primary key, as that of wishes, can meet nothing else
    assert found == {("accounts", ("id",)), ("accounts", ("email",)), ("wishes", ("id",))}


def test_nothing_there_changes_nothing() -> None:
    assert rows_of(_decided([]), "accounts", "id") == [1, 2]


def test_a_row_that_is_there_holds_the_user_and_blocks_the_rest_of_his_rows() -> None:
    made = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}])

    assert made.held == {"1"}
    assert rows_of(made, "accounts", "id") == [2] and rows_of(made, "wishes", "id") == [20]
    assert findings(made, "user", "field", "rule", "value", "sensitive") == [
        ("1", "email", "on_conflict", "p1@x.org", True)
    ]
    assert (made.books["accounts"].review, made.books["wishes"].blocked) == (1, 1)


def test_skip_leaves_the_row_that_is_there() -> None:
    made = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}], "{match: [email], action: skip}")

    assert (made.held, rows_of(made, "accounts", "id"), made.books["accounts"].skipped) == (frozenset(), [2], 1)


def test_skip_if_equal_holds_where_the_row_that_is_there_says_something_else() -> None:
    rule = "{match: [email], action: skip_if_equal}"

    same = _decided([{"id": 77, "email": "p1@x.org", "name": "P1"}], rule)
    other = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}], rule)

    assert (same.held, same.books["accounts"].skipped) == (frozenset(), 1)
    assert other.held == {"1"}


THERE = [{"id": 1, "email": "p1@x.org", "name": "Old"}]


def test_update_writes_over_a_row_with_the_same_primary_key() -> None:
    made = _decided([{"id": 1, "email": "old@x.org", "name": "Old"}], "{match: [id], action: update}", by="id")

    assert (made.held, rows_of(made, "accounts", "id"), made.left) == (frozenset(), [1, 2], {})


def test_an_update_does_not_go_to_a_row_that_is_not_the_one_meant() -> None:
    by_mail = "{match: [email], action: update}"

    assert _decided(THERE, by_mail).held == frozenset()
    assert _decided([{"id": 1, "email": "other@x.org", "name": "Old"}], by_mail, by="id").held == {"1"}
    assert _decided([THERE[0], {"id": 3, "email": "p1@x.org", "name": "Old"}], by_mail).held == {"1"}


@pytest.mark.parametrize(("owner", "held"), [("1", frozenset()), ("2", frozenset({"1"}))])
def test_a_row_that_another_user_of_ours_wrote_is_held(owner: str, held: frozenset[str]) -> None:
    set_ = _set("{match: [email], action: update}")
    owners = {"account": pl.DataFrame({"key": ["1"], "user_key": [owner]})}

    made = conflicts.decide(set_, TARGET, mapped(set_, LEGACY, TARGET), {BY_EMAIL: _there(THERE)}, owners)

    assert made.held == held


@pytest.mark.parametrize(
    ("theirs", "written", "left"),
    [
        ("Old", [2], []),  # nothing to fill in: that row is not touched
        (None, [1, 2], [("1", "email")]),
    ],
)
def test_fill_nulls_writes_only_what_is_null_there(theirs: str | None, written: list[int], left: list[object]) -> None:
    made = _decided([{"id": 1, "email": "p1@x.org", "name": theirs}], "{match: [email], action: fill_nulls}")

    assert rows_of(made, "accounts", "id") == written
    assert [row[1:] for row in made.left["accounts"].rows()] == left
    assert made.books["accounts"].skipped == 2 - len(written)


@pytest.mark.parametrize(("theirs", "written"), [("P0", [1, 2]), ("P1", [2]), ("P2", [2]), (None, [1, 2])])
def test_an_update_if_newer_asks_the_column_that_says_so(theirs: str | None, written: list[int]) -> None:
    rule = "{match: [email], action: update_if_newer, newer: name}"

    made = _decided([{"id": 1, "email": "p1@x.org", "name": theirs}], rule)

    assert rows_of(made, "accounts", "id") == written


@pytest.mark.parametrize(
    ("leave", "left"),
    [
        ("[name]", ["name"]),
        ("{name: {name: Old}}", ["name"]),  # of the row that is there
        ("{name: {name: P1}}", []),
        ("{name: {id: {gt: 0}}, email: {name: {matches: 'O.*'}}}", None),
        ("['*']", None),
    ],
)
def test_what_is_left_to_the_target_depends_on_the_row_that_is_there(leave: str, left: list[str] | None) -> None:
    made = _decided(THERE, f"{{match: [email], action: update, leave: {leave}}}")

    assert rows_of(made, "accounts", "id") == ([2] if left is None else [1, 2])
    found = made.left.get("accounts")
    assert ([] if found is None else found["column"].to_list()) == (left or [])


def test_what_is_left_to_the_target_is_not_compared_either() -> None:
    made = _decided(THERE, "{match: [email], action: skip_if_equal, leave: [name]}")

    assert (made.held, made.books["accounts"].skipped) == (frozenset(), 1)


def test_the_id_that_is_there_is_that_of_the_row_and_of_its_children() -> None:
    set_ = _set("{match: [email], action: update}")
    found = {BY_EMAIL: _there([{"id": 77, "email": "p1@x.org", "name": "Old"}])}
    ways = conflicts.give_way(set_, TARGET, mapped(set_, LEGACY, TARGET), found, PLAN)
    assert ways["accounts"].rows() == [("1", "1", "77", False)]

    made = mapped(set_, LEGACY, TARGET, context=replace(PLAN, standing=ways))

    assert rows_of(made, "accounts", "id") == [77, 2]
    assert rows_of(made, "wishes", "account_id") == [77, 2]
    assert conflicts.give_way(set_, TARGET, made, found, PLAN) == {}


def test_two_rows_that_are_the_same_one_there_are_both_skipped_but_not_both_written() -> None:
    legacy = a_legacy(PERSON, WISH, person=[{"id": n, "email": "p@x.org", "name": f"P{n}"} for n in (1, 2)], wish=[])
    there = _there([{"id": 77, "email": "p@x.org", "name": "P1"}])
    target = a_schema(replace(ACCOUNT, uniques=()), WISHES)

    def made(action: str) -> Mapped:
        set_ = _set(f"{{match: [email], action: {action}}}")
        ways = conflicts.give_way(set_, target, mapped(set_, legacy, target), {BY_EMAIL: there}, PLAN)
        return mapped(set_, legacy, target, context=replace(PLAN, standing=ways))

    assert made("skip").held == frozenset()
    assert made("update").held == {"1", "2"}


def test_a_null_meets_nothing() -> None:
    set_ = _set()
    legacy = a_legacy(PERSON, WISH, person=[{"id": 1, "email": None, "name": "P"}], wish=[])
    there = _there([{"id": 7, "email": None, "name": "X"}])

    done = conflicts.decide(set_, TARGET, mapped(set_, legacy, TARGET), {BY_EMAIL: there})

    assert done.held == frozenset()


# ---- numbers -----------------------------------------------------------------------------------------------------

NUMBERED_ACCOUNTS = """
mapping: accounts
source: {table: person, key: id, user: id}
target: {table: account, id: {sequence: true}}
fields: {email: email, name: name}
"""
NUMBERED_WISHES = """
mapping: wishes
source: {table: wish, key: id, user: person_id}
target: {table: wishes, id: {sequence: true}}
fields:
  account_id: {lookup: accounts, by: person_id, required: true}
  sku: sku
"""


def _numbers(*ids: int) -> pl.DataFrame:
    keys = [str(n) for n in range(1, len(ids) + 1)]
    return pl.DataFrame({"__user": keys, "__key": keys, "id": ids})


def test_rows_have_the_numbers_that_were_taken_and_children_find_them() -> None:
    wishes = pl.DataFrame({"__user": ["1", "2"], "__key": ["10", "20"], "id": [5, 6]})
    context = replace(PLAN, numbers={"accounts": _numbers(70, 80), "wishes": wishes})

    made = mapped(a_set(NUMBERED_ACCOUNTS, NUMBERED_WISHES), LEGACY, TARGET, context=context)

    assert rows_of(made, "accounts", "id") == [70, 80]
    assert rows_of(made, "wishes", "id", "account_id") == [(5, 70), (6, 80)]


def test_a_row_without_a_number_is_refused_when_rows_are_to_be_written() -> None:
    for numbers in ({}, {"accounts": _numbers(70)}):
        with pytest.raises(Refused, match="no number was taken"):
            mapped(a_set(NUMBERED_ACCOUNTS, NUMBERED_WISHES), LEGACY, TARGET, context=replace(PLAN, numbers=numbers))


def test_where_nothing_is_written_any_numbers_will_do() -> None:
    made = mapped(a_set(NUMBERED_ACCOUNTS, NUMBERED_WISHES), LEGACY, TARGET)

    assert rows_of(made, "wishes", "account_id") == rows_of(made, "accounts", "id")
    assert made.held == frozenset()
