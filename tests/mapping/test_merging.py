"""Users who merge: one row of them in the users' mapping, and what becomes of the rows that hang on each."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import groups, lookalikes, merging, shapes
from migrator.mapping.lint import lint
from migrator.mapping.lookalikes import Grouped, Likeness
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Mapped
from migrator.mapping.schema import ForeignKey, Schema
from tests.mapping.engine import PLAN, a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of

PERSON = a_table("person", id="integer", mail="text", phone="text", seen="integer", points="integer", vip="boolean")
ORDER = a_table("purchase", id="integer", person="integer")
WISH = a_table("wish", id="integer", person="integer", sku="text", qty="integer")
ACCOUNT = a_table("account", id="uuid not null", mail="text", points="integer", vip="boolean")
PROFILE = a_table("profile", primary="account_id", account_id="uuid not null", points="integer", phone="text")
SALE = a_table("sale", id="uuid not null", account_id="uuid")
LINE = a_table(
    "line", id="uuid not null", account_id="uuid", sku="text", qty="integer", uniques=[("account_id", "sku")]
)
TARGET = a_schema(ACCOUNT, PROFILE, SALE, LINE)
MERGE = "merge_duplicates: {match: [$mail], keep: {most_recent: seen}, fields: {points: sum, vip: any}}\n"
ACCOUNTS = (
    "mapping: accounts\nsource: {table: person, key: id, user: id}\ntarget: {table: account, id: {uuid5: id}}\n"
    "fields:\n  mail: {from: mail, transform: [lower]}\n  points: {from: points, transform: [{between: [0, 99]}]}\n  vip: vip\n"
)
PROFILES = (
    "mapping: profiles\nsource: {table: person, key: id, user: id}\n"
    "target: {table: profile, id: {lookup: accounts, by: id, as: account_id}}\n"
    "fields: {points: points, phone: phone}\nwhen_merged: {keep: survivor, points: sum, phone: first_not_null}\n"
)
SALES = (
    "mapping: sales\nsource: {table: purchase, key: id, user: person}\ntarget: {table: sale, id: {uuid5: id}}\n"
    "fields: {account_id: {lookup: accounts, by: person, required: true}}\n"
)
LINES = (
    "mapping: lines\nsource: {table: wish, key: id, user: person}\ntarget: {table: line, id: {uuid5: id}}\n"
    "fields: {account_id: {lookup: accounts, by: person, required: true}, sku: sku, qty: qty}\n"
    "when_merged: {qty: sum}\n"
)


def a_shop(*, accounts: str = ACCOUNTS + MERGE, profiles: str = PROFILES, lines: str = LINES) -> MappingSet:
    return a_set(accounts, profiles, SALES, lines)


def moved(rows: dict[str, list[dict[str, Any]]], together: dict[str, str], shop: MappingSet | None = None) -> Mapped:
    legacy = a_legacy(PERSON, ORDER, WISH, **rows)
    return mapped(shop or a_shop(), legacy, TARGET, context=replace(PLAN, groups=together))


ANNS = [
    {"id": 1, "mail": "ann@x", "seen": 5, "points": 10, "vip": False},
    {"id": 2, "mail": "ANN@x", "seen": 9, "points": 5, "vip": True, "phone": "2"},
    {"id": 3, "mail": "bob@x", "seen": 1, "points": 7, "vip": False},
]


def test_rows_of_both_arrive_at_the_account_of_the_one_who_survives() -> None:
    made = moved({"person": ANNS, "purchase": [{"id": n, "person": n} for n in (1, 2, 3)]}, {"1": "1", "2": "1"})

    assert rows_of(made, "accounts", "__user", "mail", "points", "vip") == [
        ("1", "ann@x", 15, True),
        ("3", "bob@x", 7, False),
    ]
    ann, bob = rows_of(made, "accounts", "id")
    assert rows_of(made, "sales", "__user", "account_id") == [("1", ann), ("2", ann), ("3", bob)]
    assert rows_of(made, "profiles", "__user", "account_id", "points", "phone") == [
        ("1", ann, 15, "2"),
        ("3", bob, 7, None),
    ]
    assert [(book.written, book.folded) for book in made.books.values()] == [(2, 1), (0, 0), (2, 1), (3, 0)]
    assert made.groups == {"1": "1", "2": "1"} and not made.held


def test_without_groups_nobody_merges_however_alike_they_are() -> None:
    made = moved({"person": ANNS}, {})

    assert len(rows_of(made, "accounts", "id")) == 3


def test_where_the_one_who_should_survive_has_no_row_the_next_does() -> None:
    made = moved({"person": ANNS[1:]}, groups.among({"1": "1", "2": "1", "3": "1"}, ["2", "3"]))

    assert rows_of(made, "accounts", "__user", "points") == [("2", 12)]


def test_a_row_that_is_rejected_holds_all_who_would_be_one_with_its_user() -> None:
    bad = [ANNS[0], ANNS[1] | {"points": 500}, ANNS[2]]

    made = moved({"person": bad, "purchase": [{"id": n, "person": n} for n in (1, 2, 3)]}, {"1": "1", "2": "1"})

    assert made.held == {"1", "2"}
    assert rows_of(made, "sales", "__user") == ["3"]
    assert [one for one in findings(made, "user", "mapping", "rule", "outcome") if one[3] == "review"] == [
        ("2", "accounts", "between", "review")
    ]


def test_a_row_that_only_one_of_them_has_is_kept_as_it_is() -> None:
    wishes = [{"id": 1, "person": 2, "sku": "a", "qty": 3}, {"id": 2, "person": 1, "sku": "b", "qty": 4}]

    made = moved({"person": ANNS, "wish": wishes}, {"1": "1", "2": "1"})

    assert rows_of(made, "lines", "__user", "sku", "qty") == [("2", "a", 3), ("1", "b", 4)]


def test_rows_that_would_share_a_unique_key_become_one_and_two_of_one_user_go_to_a_person() -> None:
    wishes = [
        {"id": 1, "person": 1, "sku": "a", "qty": 3},
        {"id": 2, "person": 2, "sku": "a", "qty": 4},
        {"id": 3, "person": 3, "sku": "a", "qty": 5},
    ]

    made = moved({"person": ANNS, "wish": wishes}, {"1": "1", "2": "1"})
    assert rows_of(made, "lines", "__key", "qty") == [("1", 7), ("3", 5)]

    twice = moved(
        {"person": ANNS, "wish": [*wishes, {"id": 4, "person": 2, "sku": "a", "qty": 6}]}, {"1": "1", "2": "1"}
    )
    assert [one[:3] for one in findings(twice, "key", "field", "rule") if one[2] == "unique"] == [
        ("1", "sku", "unique"), ("2", "sku", "unique"), ("4", "sku", "unique"),
    ]  # fmt: skip
    assert twice.held == {"1", "2"}


def test_duplicates_of_a_child_are_duplicates_over_all_who_merged() -> None:
    lines = LINES.replace(
        "when_merged: {qty: sum}\n",
        "merge_duplicates: {match: [$account_id, $sku], keep: {oldest: id}, fields: {qty: sum}}\n",
    )
    wishes = [{"id": n, "person": who, "sku": "a", "qty": n} for n, who in ((1, 2), (2, 1), (3, 1))]

    made = moved({"person": ANNS, "wish": wishes}, {"1": "1", "2": "1"}, a_shop(lines=lines))

    assert rows_of(made, "lines", "__key", "qty") == [("1", 6)]


# ---- who they are ------------------------------------------------------------------------------------------------


def found(people: list[dict[str, Any]], *merges: str, lots: int = 2) -> Grouped:
    texts = [ACCOUNTS.replace("accounts", f"accounts{n}", 1) + merge for n, merge in enumerate(merges)]
    shop, legacy = a_set(*texts), a_legacy(PERSON, person=people)
    keys = [str(one["id"]) for one in people]
    all_ = []
    for mapping in merging.merging(shop):
        parts = []
        for start in range(0, len(keys), lots):
            source = shapes.read(mapping, shop, legacy.schema, legacy.fetch, keys[start : start + lots], PLAN)
            parts.append(lookalikes.facts(shop, mapping, source, PLAN, ACCOUNT))
        all_.append((mapping, lookalikes.together(parts)))
    alike = [one for mapping, facts in all_ for one in lookalikes.likenesses(mapping, facts)]
    return lookalikes.grouped(lookalikes.ranks_of(all_, {user for one in alike for user in one.users}), alike, [], [])


BY_MAIL = "merge_duplicates: {match: [$mail], keep: {most_recent: seen}}\n"
BY_PHONE = "merge_duplicates: {match: [phone], keep: {oldest: seen}}\n"


def test_the_survivor_is_found_over_all_users_and_not_lot_by_lot() -> None:
    people = [{"id": n, "mail": "a@x", "seen": seen} for n, seen in ((1, 3), (2, None), (3, 9), (4, 9), (5, 1))]

    assert found(people, BY_MAIL).groups == (("3", "4", "1", "5", "2"),)
    assert found(people, BY_MAIL.replace("most_recent", "oldest")).groups == (("5", "1", "3", "4", "2"),)
    assert found(people, BY_MAIL.replace("{most_recent: seen}", "most_complete")).groups[0][0] == "1"


def test_nulls_never_match() -> None:
    assert found([{"id": 1}, {"id": 2}], BY_MAIL) == Grouped()


def test_what_a_person_decided_counts_for_these_users_and_for_fewer() -> None:
    alike = [Likeness("m", "v", ("1", "2", "3"), ("name",))]
    ranks = {"1": 0, "2": 1, "3": 2}
    said = [("m", frozenset({"1", "2", "3", "4"}))]

    assert lookalikes.grouped(ranks, alike, said, []).groups == (("1", "2", "3"),)
    assert lookalikes.grouped(ranks, alike, [], said).units == ()
    other = lookalikes.grouped(ranks, alike, [("m", frozenset({"1", "2"}))], [("n", frozenset(ranks))])
    assert (other.groups, other.units, set(other.unsure)) == ((), (("1", "2", "3"),), {"1", "2", "3"})


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b", "C", "c"]), st.sampled_from([None, "1", "2", "3"])), max_size=9
    ),
    st.integers(1, 5),
)
def test_groups_are_exactly_the_connected_components(rows: list[tuple[str | None, str | None]], lots: int) -> None:
    people = [{"id": n, "mail": mail, "phone": phone, "seen": n} for n, (mail, phone) in enumerate(rows)]

    grouped = found(people, BY_MAIL, BY_PHONE, lots=lots) if people else Grouped()

    reached = {n: {n} for n in range(len(rows))}
    for _ in rows:  # as far as one comes, step by step
        for one, other in itertools.permutations(range(len(rows)), 2):
            mails = {(rows[n][0] or "").lower() for n in (one, other)}
            phones = {rows[n][1] for n in (one, other)}
            if (len(mails) == 1 and mails != {""}) or (len(phones) == 1 and phones != {None}):
                reached[one] |= reached[other]
    expected = {frozenset(map(str, members)) for members in reached.values() if len(members) > 1}
    assert {frozenset(group) for group in grouped.groups} == expected
    assert sum(map(len, grouped.groups)) == len(grouped.leaders)
    assert grouped.units == grouped.groups
    assert all(group[0] == grouped.leaders[user] for group in grouped.groups for user in group)


# ---- lint --------------------------------------------------------------------------------------------------------


def codes(shop: MappingSet, target: Schema | None = TARGET) -> set[str]:
    legacy = a_schema(PERSON, ORDER, WISH)
    return {problem.code for problem in lint(shop, legacy, target, covering=False) if problem.level == "error"}


def test_a_set_that_merges_users_is_free_of_errors() -> None:
    assert codes(a_shop()) == set()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("when_merged: {keep: survivor, points: sum, phone: first_not_null}\n", "", "E506"),
        ("when_merged: {qty: sum}\n", "", "E506"),
        ("points: sum, phone", "pionts: sum, phone", "E301"),
        ("points: sum, phone", "account_id: min, phone", "E301"),
        ("points: sum, phone: first_not_null", "points: any, phone: sum", "E111"),
        ("{points: sum, vip: any}", "{points: append, vip: any}", "E111"),
        ("{points: sum, vip: any}", "{mail: any, vip: any}", "E111"),
        ("match: [$mail]", "match: [$mial]", "E201"),
    ],
)
def test_what_is_wrong_with_a_merge_is_said(old: str, new: str, code: str) -> None:
    texts = [text.replace(old, new) for text in (ACCOUNTS + MERGE, PROFILES, LINES)]
    assert texts != [ACCOUNTS + MERGE, PROFILES, LINES]

    assert codes(a_shop(accounts=texts[0], profiles=texts[1], lines=texts[2])) == {code}


def test_every_mistake_of_a_merge_has_its_place() -> None:
    lines = LINES.replace("{qty: sum}", "{keep: survivor, sku: sum, quantity: sum}")
    problems = lint(a_shop(lines=lines), a_schema(PERSON, ORDER, WISH), TARGET, covering=False)

    found_ = {(one.code, one.place.line, one.place.column) for one in problems if one.level == "error"}
    assert found_ == {("E111", 5, 31), ("E301", 5, 41)}


def test_when_merged_without_a_merge_has_no_meaning() -> None:
    assert codes(a_shop(accounts=ACCOUNTS)) == {"E506"}


def test_what_cannot_meet_needs_no_word_and_takes_none() -> None:
    sales = SALES + "when_merged: {keep: survivor}\n"

    assert codes(a_set(ACCOUNTS + MERGE, PROFILES, sales, LINES)) == {"E506"}
    assert codes(a_set(ACCOUNTS + MERGE, PROFILES, sales, LINES), None) == set()


def test_rows_that_hang_on_folded_rows_need_a_word_too() -> None:
    basket = a_table("basket", id="uuid not null", profile="uuid", uniques=[("profile",)])
    baskets = (
        "mapping: baskets\nsource: {table: purchase, key: id, user: person}\ntarget: {table: basket, id: {uuid5: id}}\n"
        "fields: {profile: {lookup: profiles, by: person}}\n"
    )
    target = a_schema(ACCOUNT, PROFILE, SALE, LINE, basket)

    assert codes(a_set(ACCOUNTS + MERGE, PROFILES, baskets), target) == {"E506"}
    assert codes(a_set(ACCOUNTS + MERGE, PROFILES, baskets + "when_merged: {keep: survivor}\n"), target) == set()


def test_a_key_that_holds_the_id_of_each_row_itself_is_nothing_to_meet_in() -> None:
    pointed_at = replace(SALE, uniques=(("id", "account_id"),))  # as a composite foreign key demands it
    target = a_schema(ACCOUNT, PROFILE, pointed_at, LINE)

    assert codes(a_set(ACCOUNTS + MERGE, PROFILES, SALES, LINES), target) == set()


def test_who_merges_is_known_before_any_row_is_made() -> None:
    sees = "  sale: {lookup: sales, by: id}\n"
    target = a_schema(
        a_table("account", id="uuid not null", mail="text", points="integer", vip="boolean", sale="uuid"),
        PROFILE,
        SALE,
        LINE,
    )
    sales = SALES.replace(
        "fields: {account_id: {lookup: accounts, by: person, required: true}}", "fields: {account_id: {value: null}}"
    )
    shop = a_set(ACCOUNTS + sees + MERGE.replace("$mail", "$sale"), sales)

    assert "E508" in codes(shop, target)


def test_owners_are_told_for_whole_columns() -> None:
    users = pl.Series(["1", "2", "3"])

    assert groups.owners(users, {"2": "1", "1": "1"}).to_list() == ["1", "1", "3"]
    assert groups.owners(users, {}).to_list() == ["1", "2", "3"]


def test_a_column_that_points_at_a_merged_row_must_look_it_up() -> None:
    kept = ACCOUNTS.replace("{uuid5: id}", "{keep: id}") + MERGE
    sales = SALES.replace("{lookup: accounts, by: person, required: true}", "person")
    account = a_table("account", id="integer not null", mail="text", points="integer", vip="boolean")
    sale = a_table("sale", id="uuid not null", account_id="integer")
    pointing = replace(sale, foreign_keys=(ForeignKey(("account_id",), "account", ("id",)),))

    assert codes(a_set(kept, sales), a_schema(account, pointing)) == {"E506"}
    assert codes(a_set(kept, sales), a_schema(account, sale)) == set()
    assert codes(a_set(kept, SALES), a_schema(account, pointing)) == set()
