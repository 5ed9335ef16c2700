from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from migrator.errors import WrongInput
from migrator.mapping import activity
from migrator.mapping.activity import Activity
from tests.mapping.engine import PEOPLE, a_legacy, a_set, a_table

PERSON = a_table("person", id="integer")
VISIT = a_table("visit", id="integer", who="integer", at="datetime", kind="text", place="integer")
ORDER = a_table(
    "sale", id="integer", who="integer", at="datetime", total="decimal", currency="text", owner_id="integer"
)
OWNER = a_table("owner", id="integer", who="integer", at="datetime", active="integer")
MAPPING = """
mapping: people
source: {table: person, key: id, user: id}
target: {table: people, id: {uuid5: id}}
fields: {name: id}
"""
VISITS = "activity: [{table: visit, user: who, at: at}]\n"
SALES = "paid: [{table: sale, user: who, at: at, amount: total}]\n"
AT_UTC = "at: [{datetime: {timezone: UTC}}]\n"


def found(set_yaml: str, at: str = AT_UTC, **rows: list[dict[str, Any]]) -> Activity:
    legacy = a_legacy(PERSON, VISIT, ORDER, OWNER, **rows)
    return activity.days(a_set(MAPPING, people=PEOPLE + at + set_yaml), legacy.schema, legacy.fetch)


def a_visit(at: str | None, who: int | None = 7, **more: Any) -> dict[str, Any]:
    return {"who": who, "at": at, **more}


def a_sale(total: str | None, at: str = "2026-05-01 10:00:00", who: int = 7, **more: Any) -> dict[str, Any]:
    return {"who": who, "at": at, "total": None if total is None else Decimal(total), **more}


def test_a_day_with_several_signs_of_life_is_one_day() -> None:
    visits = [a_visit("2026-05-01 10:00:00"), a_visit("2026-05-01 11:00:00"), a_visit("2026-05-02 00:00:00")]

    made = found(VISITS, visit=[*visits, a_visit("2026-05-01 10:00:00", who=8)])

    assert sorted(made.days.rows()) == [("7", date(2026, 5, 1)), ("7", date(2026, 5, 2)), ("8", date(2026, 5, 1))]
    assert made.days.schema == activity.DAYS
    assert made.latest == datetime(2026, 5, 2, tzinfo=UTC)


def test_signs_of_life_of_several_tables_are_put_together() -> None:
    both = "activity: [{table: visit, user: who, at: at}, {table: sale, user: who, at: at}]\n"

    made = found(both, visit=[a_visit("2026-05-01 09:00:00")], sale=[a_sale("1"), a_sale("1", "2026-05-03 10:00:00")])

    assert set(made.days["day"]) == {date(2026, 5, 1), date(2026, 5, 3)}


def test_the_day_is_that_of_utc() -> None:
    made = found(VISITS, "at: [{datetime: {timezone: Asia/Shanghai}}]\n", visit=[a_visit("2026-05-02 07:59:59")])

    assert made.days["day"].to_list() == [date(2026, 5, 1)]


def test_a_time_in_seconds_is_read_by_the_steps_of_the_set() -> None:
    made = found(
        "activity: [{table: visit, user: who, at: place}]\n", "at: [{epoch: s}]\n", visit=[{"who": 1, "place": 0}]
    )

    assert made.latest == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_time_that_cannot_be_read_is_counted_and_not_used() -> None:
    dirty = ["0000-00-00 00:00:00", "yesterday", None]

    made = found(
        "null_if: ['0000-00-00 00:00:00']\n" + VISITS, visit=[*map(a_visit, dirty), a_visit("2026-05-01 10:00:00")]
    )

    assert (made.unreadable, made.days.height) == (3, 1)


def test_rows_of_nobody_are_not_read_as_anybody() -> None:
    made = found(VISITS, visit=[a_visit("2026-05-01 10:00:00", who=None), a_visit("nonsense", who=None)])

    assert (made.days.height, made.latest, made.unreadable) == (0, None, 0)


def test_a_user_that_the_set_calls_null_is_nobody() -> None:
    made = found("null_if: [0]\n" + VISITS, visit=[a_visit("2026-05-01 10:00:00", who=who) for who in (0, 7)])

    assert made.days["user"].to_list() == ["7"]


@pytest.mark.parametrize(
    ("where", "days"),
    [
        ("{place: 1}", [1]),
        ("{kind: login}", [2]),
        ("{any: [{place: 1}, {kind: login}]}", [1, 2]),
        ("{kind: Login}", []),
    ],
)
def test_only_the_rows_that_where_wants_are_signs_of_life(where: str, days: list[int]) -> None:
    visits = [a_visit("2026-05-01 10:00:00", place=1), a_visit("2026-05-02 10:00:00", kind="login", place=2)]

    made = found(f"activity: [{{table: visit, user: who, at: at, where: {where}}}]\n", visit=visits)

    assert [day.day for day in made.days["day"]] == days


def test_a_condition_that_counts_from_the_cut_off_is_refused_because_the_cut_off_follows_from_activity() -> None:
    with pytest.raises(WrongInput, match="needs a plan"):
        found("activity: [{table: visit, user: who, at: at, where: {at: {since: 30d}}}]\n", visit=[a_visit(None)])


def test_payments_are_exact_and_refunds_stay_negative() -> None:
    made = found(SALES, sale=[a_sale("0.10"), a_sale("-0.30", currency="EUR")])

    assert made.money["amount"].to_list() == [Decimal("0.1"), Decimal("-0.3")]
    assert made.money["currency"].to_list() == [None, None]  # nobody named the column
    assert made.money.schema == activity.MONEY
    assert made.latest == datetime(2026, 5, 1, 10, tzinfo=UTC)  # no sign of life is named, so payments tell it


def test_an_entry_may_be_one_of_refunds_and_may_name_its_currency() -> None:
    refunds = "paid: [{table: sale, user: who, at: at, amount: total, currency: currency, minus: true}]\n"

    made = found(refunds, sale=[a_sale("5", currency="EUR")])

    assert made.money.select("amount", "currency").rows() == [(Decimal(-5), "EUR")]


def test_signs_of_life_say_when_the_latest_was_even_if_somebody_paid_later() -> None:
    made = found(VISITS + SALES, visit=[a_visit("2026-04-01 10:00:00")], sale=[a_sale("1")])

    assert made.latest == datetime(2026, 4, 1, 10, tzinfo=UTC)
    assert made.money.height == 1


def test_an_amount_that_is_no_number_is_counted_and_one_that_is_missing_is_nothing() -> None:
    made = found(SALES, sale=[{**a_sale(None), "total": "many"}, a_sale(None), a_sale("5")])

    assert (made.money["amount"].to_list(), made.unreadable) == ([Decimal(5)], 1)


def test_user_time_and_condition_may_stand_in_a_joined_row() -> None:
    joined = (
        "paid: [{table: sale, user: owner.who, at: owner.at, amount: total, where: {owner.active: 1},"
        " join: {owner: {table: owner, match: {id: owner_id}}}}]\n"
    )
    owners = [
        {"id": 1, "who": 70, "at": "2026-05-05 10:00:00", "active": 1},
        {"id": 2, "who": 80, "at": "2026-05-05 10:00:00", "active": 0},
    ]

    made = found(joined, owner=owners, sale=[a_sale("1", owner_id=owner) for owner in (1, 2, 3, None)])

    assert made.money.select("user", "at").rows() == [("70", datetime(2026, 5, 5, 10, tzinfo=UTC))]


def test_a_set_that_names_nothing_finds_nothing() -> None:
    made = found("", at="")

    assert (made.days.height, made.money.height, made.latest, made.unreadable) == (0, 0, None, 0)


def test_a_table_that_several_entries_name_is_read_once_and_each_sees_its_own_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activity, "_ROWS_AT_ONCE", 2)
    said = "activity: [{table: sale, user: who, at: at}, {table: visit, user: who, at: at}]\n"
    said += "paid: [{table: sale, user: who, at: at, amount: total, where: {owner_id: [1, 2]}}]\n"
    sales = [a_sale(str(n), f"2026-05-0{n} 10:00:00", owner_id=n) for n in range(1, 6)]
    legacy = a_legacy(PERSON, VISIT, ORDER, OWNER, sale=sales, visit=[a_visit("2026-05-09 10:00:00")])
    set_ = a_set(MAPPING, people=PEOPLE + AT_UTC + said)

    made = activity.days(set_, legacy.schema, legacy.fetch)

    assert [query.table for query in legacy.asked] == ["sale", "visit"]
    assert sorted(made.days["day"]) == [date(2026, 5, day) for day in (1, 2, 3, 4, 5, 9)]
    assert made.money["amount"].to_list() == [Decimal(1), Decimal(2)]
    assert made.latest == datetime(2026, 5, 9, 10, tzinfo=UTC)


def test_entries_of_one_table_that_want_different_rows_ask_for_them_apart() -> None:
    said = "activity: [{table: sale, user: who, at: at, where: {owner_id: 1}}]\n"
    said += "paid: [{table: sale, user: who, at: at, amount: total, where: {owner_id: [1, 2]}}]\n"
    legacy = a_legacy(PERSON, VISIT, ORDER, OWNER, sale=[a_sale("1", owner_id=1), a_sale("2", owner_id=2)])

    made = activity.days(a_set(MAPPING, people=PEOPLE + AT_UTC + said), legacy.schema, legacy.fetch)

    assert len(legacy.asked) == 2
    assert (made.days.height, made.money.height) == (1, 2)
