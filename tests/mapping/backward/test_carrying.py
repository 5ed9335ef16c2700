"""What the new system changed goes back to legacy so that it maps to the same, or its user stays."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from migrator.mapping.schema import Column, Kind
from tests.mapping.backward.looking_back import Round
from tests.mapping.engine import a_legacy, a_schema, a_set, a_table

ACCOUNTS = """
mapping: accounts
source: {table: person, key: id, user: id, null_if: ['']}
target: {table: accounts, id: {uuid5: id}}
fields:
  email: {from: mail, transform: [trim, lower], required: true, owner: target}
  status: {from: st, transform: [{map: {0: off, 1: on, 2: on}}]}
  born: {from: dob, transform: [{date: {format: '%d.%m.%Y'}}]}
  seen: {from: seen, transform: [{null_if: 0}, {epoch: s}]}
  total: {from: cents, transform: [{divide: 100}], default: 0}
  first: {from: name, transform: [trim, {split: {separator: ' ', take: first}}]}
  rest: {from: name, transform: [trim, {split: {separator: ' ', take: rest}}]}
  secret: {from: code, transform: [{hash: sha256}]}
  extra:
    object:
      theme: {from: theme, transform: [{map: {1: light, 2: dark}}], default: light}
      news: {from: news, transform: [boolean]}
"""
ORDERS = """
mapping: orders
source: {table: ord, key: oid, user: pid, where: {kind: shop}}
target: {table: orders, id: {uuid5: oid}}
fields:
  account: {lookup: accounts, by: pid, required: true}
  state:
    choose:
      - {when: {st: 5}, value: cancelled}
      - {else: {from: st, transform: [{map: {0: new, 1: paid}}]}}
  currency: {value: EUR}
  note: {from: note}
"""
LINES = """
mapping: lines
source: {table: line, key: lid, user: {through: ord, on: oid, take: pid}}
target: {table: lines, id: {uuid5: lid}}
fields:
  order_id: {lookup: orders, by: oid, required: true}
  pieces: {from: num, required: true}
"""

NUMBERED = Column("id", Kind.INTEGER, nullable=False, has_default=True)


def numbered(name: str) -> Column:
    return Column(name, Kind.INTEGER, nullable=False, has_default=True, bits=32)


def a_round() -> Round:
    legacy = a_legacy(
        a_table(
            "person", id=numbered("id"), mail="text", st="integer", dob="text", seen="integer not null",
            cents="integer", name="text", code="text", theme="text", news="integer",
        ),
        a_table("ord", primary="oid", oid=numbered("oid"), pid="integer", st="integer", note="text", kind="text"),
        a_table("line", primary="lid", lid=numbered("lid"), oid="integer not null", num="integer"),
        person=[
            {"id": 1, "mail": " Ann@X ", "st": 0, "dob": "24.12.1999", "seen": 0, "cents": 1999, "name": "Ann Mary Lee",
             "code": "a", "theme": "1", "news": 1},
            {"id": 2, "mail": "bob@x", "st": 1, "seen": 100, "name": "Bob", "code": "b"},
        ],
        ord=[
            {"oid": 7, "pid": 1, "st": 5, "note": "x", "kind": "shop"},
            {"oid": 8, "pid": 2, "st": 0, "note": None, "kind": "shop"},
        ],
        line=[{"lid": 70, "oid": 7, "num": 2}, {"lid": 80, "oid": 8, "num": 3}],
    )  # fmt: skip
    target = a_schema(
        a_table(
            "accounts", id="uuid not null", email="text", status="text", born="date", seen="timestamp", total="decimal",
            first="text", rest="text", secret="text", extra="json",
        ),
        a_table("orders", id="uuid not null", account="uuid", state="text", currency="text", note="text"),
        a_table("lines", id="uuid not null", order_id="uuid", pieces="integer"),
    )  # fmt: skip
    return Round(a_set(ACCOUNTS, ORDERS, LINES), legacy, target, ["1", "2"])


CHANGES = {
    "a text that is cleaned": ("accounts", {"email": "new@x"}, {"mail": "new@x"}),
    "a value of a map": ("accounts", {"status": None}, {"st": None}),
    "a date in a format": ("accounts", {"born": date(2000, 1, 2)}, {"dob": "02.01.2000"}),
    "seconds since 1970": ("accounts", {"seen": datetime(2020, 1, 1, tzinfo=UTC)}, {"seen": 1577836800}),
    "cents": ("accounts", {"total": Decimal("12.5")}, {"cents": 1250}),
    "nothing becomes the default": ("accounts", {"total": Decimal(0)}, {"cents": 0}),
    "the first of several parts": ("accounts", {"first": "Eva"}, {"name": "Eva Mary Lee"}),
    "the other parts": ("accounts", {"rest": None}, {"name": "Ann"}),
    "all parts": ("accounts", {"first": "Eva", "rest": "Li"}, {"name": "Eva Li"}),
    "a part of a document": ("accounts", {"extra": '{"theme": "dark", "news": true}'}, {"theme": "2"}),
    "two parts of a document": ("accounts", {"extra": '{"news":false,"theme":"dark"}'}, {"theme": "2", "news": 0}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_goes_back_and_comes_out_again(what: str) -> None:
    mapping, change, cells = CHANGES[what]
    round_ = a_round()
    before = [dict(row) for row in round_.legacy.rows["person"]]
    round_.sets(mapping, "1", **change)

    done = round_.carried()
    round_.write(done)

    assert not done.refused
    assert round_.legacy.rows["person"] == [before[0] | cells, before[1]]  # and nothing else was touched
    assert not round_.unlike()


def test_what_is_there_by_default_stays_nothing_in_legacy() -> None:
    round_ = a_round()
    round_.sets("accounts", "2", extra='{"theme":"light","news":true}')

    round_.write(round_.carried())

    assert (round_.legacy.rows["person"][1]["news"], round_.legacy.rows["person"][1].get("theme")) == (1, None)
    assert not round_.unlike()


REFUSED = {
    "several old values for one new": ("accounts", "1", {"status": "on"}, "accounts.status: legacy has several values"),
    "a value that no map has": ("accounts", "1", {"status": "?"}, "accounts.status: legacy has no value for it"),
    "a value that the steps would change": ("accounts", "1", {"email": "New@X"}, "the step lower would make something"),
    "digits that legacy does not keep": ("accounts", "1", {"total": Decimal("1.005")}, "person.cents cannot hold it"),
    "a part that has no place": ("accounts", "1", {"extra": '{"theme":"dark","more":1}'}, "a part that legacy has no"),
    "a hash": ("accounts", "1", {"secret": "x"}, "accounts.secret: a hash cannot be undone"),
    "what is the same for every row": ("orders", "7", {"currency": "USD"}, "it is the same for every row"),
    "whose a row is": ("orders", "7", {"account": None}, "ord.pid says whose the row is"),
    "the default for nothing": ("accounts", "1", {"total": None}, "null would become the default"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_go_back_keeps_its_user_and_says_why(what: str) -> None:
    mapping, key, change, why = REFUSED[what]
    round_ = a_round()
    round_.sets(mapping, key, **change)
    round_.sets("accounts", "2", email="two@x")

    done = round_.carried()

    assert done.refused.keys() == {"1"}
    assert why in done.refused["1"]
    assert done.users == {"2"}


def test_a_value_leads_into_the_branch_that_gives_it() -> None:
    round_ = a_round()
    round_.sets("orders", "7", state="paid")
    round_.sets("orders", "8", state="cancelled", note="hi")

    round_.write(round_.carried())

    assert [(row["st"], row["note"]) for row in round_.legacy.rows["ord"]] == [(1, "x"), (5, "hi")]
    assert not round_.unlike()


def test_nobody_is_written_whose_rows_did_not_change() -> None:
    done = a_round().carried()

    assert (done.updates, done.inserts, done.deletes, done.refused) == ({}, {}, {}, {})


def test_what_legacy_says_already_is_not_written_again() -> None:
    round_ = a_round()
    round_.sets("accounts", "1", email="new@x")
    round_.write(round_.carried())

    done = round_.carried()

    assert not done.users
    assert not done.refused


def test_a_value_that_legacy_changed_meanwhile_is_nobodys_to_decide() -> None:
    round_ = a_round()
    round_.sets("accounts", "1", email="new@x")
    round_.legacy.rows["person"][0]["mail"] = "other@x"

    assert round_.carried().refused == {"1": "accounts.email: legacy changed the same value meanwhile"}


def test_another_value_that_legacy_changed_stays_as_legacy_has_it() -> None:
    round_ = a_round()
    round_.sets("accounts", "1", email="new@x")
    round_.legacy.rows["person"][0]["cents"] = 5

    done = round_.carried()
    round_.write(done)

    assert not done.refused
    assert (round_.legacy.rows["person"][0]["mail"], round_.legacy.rows["person"][0]["cents"]) == ("new@x", 5)


def test_merge_carries_what_the_new_system_owns_and_lists_the_rest() -> None:
    round_ = a_round()
    round_.sets("accounts", "1", email="new@x", total=Decimal(1))
    round_.sets("orders", "8", note="given up")
    round_.removes("lines", "80")

    done = round_.carried(merge=True)
    round_.write(done)

    assert round_.legacy.rows["person"][0] | {"mail": "new@x", "cents": 1999} == round_.legacy.rows["person"][0]
    assert sorted(done.given_up.rows()) == [
        ("1", "accounts", "1", "total", "changed"),
        ("2", "lines", "80", "", "removed"),
        ("2", "orders", "8", "note", "changed"),
    ]
    assert not done.refused


def test_a_row_that_was_removed_is_removed_with_what_hangs_on_it() -> None:
    round_ = a_round()
    round_.removes("orders", "7")
    round_.removes("lines", "70")

    done = round_.carried()
    round_.write(done)

    assert not done.refused
    assert [row["oid"] for row in round_.legacy.rows["ord"]] == [8]
    assert [row["lid"] for row in round_.legacy.rows["line"]] == [80]


def test_a_row_on_which_others_hang_is_not_removed_alone() -> None:
    round_ = a_round()
    round_.removes("orders", "7")

    assert "it hangs on a row of orders that was removed" in round_.carried().refused["1"]


def test_a_new_order_and_its_lines_become_rows_of_legacy() -> None:
    round_ = a_round()
    account = round_.written["accounts"]["id"][0]
    order = "6f1c0a52-0000-4000-8000-000000000001"
    round_.makes("orders", "1", id=order, account=account, state="paid", currency="EUR", note="new")
    round_.makes("lines", "1", id="6f1c0a52-0000-4000-8000-000000000002", order_id=order, pieces=4)

    done = round_.carried()
    round_.write(done)

    assert not done.refused
    assert done.inserts["line"][0].select("oid", "__of oid").rows() == [(None, f"orders\x1f{order}")]
    assert round_.legacy.rows["ord"][-1] == {"oid": 9, "pid": 1, "st": 1, "note": "new", "kind": "shop"}
    assert round_.legacy.rows["line"][-1] == {"lid": 81, "oid": 9, "num": 4}


def test_a_new_row_with_a_value_that_legacy_would_not_give_is_not_made() -> None:
    round_ = a_round()
    account = round_.written["accounts"]["id"][0]
    round_.makes("orders", "1", id="6f1c0a52-0000-4000-8000-000000000001", account=account, state="new", currency="USD")

    assert round_.carried().refused == {"1": "orders.currency: it cannot go back"}


def test_a_new_row_of_somebody_elses_is_not_made() -> None:
    round_ = a_round()
    account = round_.written["accounts"]["id"][1]
    round_.makes("orders", "1", id="6f1c0a52-0000-4000-8000-000000000001", account=account, state="new", currency="EUR")

    assert "no row of this user in accounts has this id" in round_.carried().refused["1"]


def test_people_are_neither_made_nor_removed() -> None:
    round_ = a_round()
    round_.removes("accounts", "1")

    assert "its rows are the people themselves" in round_.carried().refused["1"]


# ---- other shapes -----------------------------------------------------------------------------------------------


def a_house(fields: str, join: str = "", **target: str) -> Round:
    """People with a home in another table; `fields` of their accounts."""
    text = (
        f"mapping: accounts\nsource:\n  table: person\n  key: id\n  user: id\n{join}"
        f"target: {{table: accounts, id: {{keep: id}}}}\nfields:\n{fields}"
    )
    people = [
        {"id": 1, "first": "Ann", "last": "Lee", "nick": None, "home": 5},
        {"id": 2, "first": "Bob", "last": None, "nick": "bo", "home": None},
    ]
    legacy = a_legacy(
        a_table("person", id="integer not null", first="text", last="text", nick="text", home="integer"),
        a_table("home", person="integer not null", town="text", uniques=[["person"]], id="integer not null"),
        person=people,
        home=[{"id": 5, "person": 1, "town": "Ulm"}],
    )
    return Round(a_set(text), legacy, a_schema(a_table("accounts", id="integer not null", **target)), ["1", "2"])


HOME = "  join: {home: {table: home, match: {person: id}}}\n"


def test_a_column_of_a_joined_row_goes_into_that_row() -> None:
    round_ = a_house("  town: home.town\n", HOME, town="text")
    round_.sets("accounts", "1", town="Bonn")
    round_.sets("accounts", "2", town="Rom")

    done = round_.carried()
    round_.write(done)

    assert round_.legacy.rows["home"] == [{"id": 5, "person": 1, "town": "Bonn"}]
    assert done.refused == {"2": "accounts.town: legacy has no row of home for it"}


def test_a_row_that_others_may_share_is_not_changed_for_one_of_them() -> None:
    round_ = a_house("  town: home.town\n", HOME.replace("person: id", "id: home"), town="text")
    round_.sets("accounts", "1", town="Bonn")

    done = round_.carried()

    assert done.refused == {
        "1": "accounts.town: mapping accounts reads home.town for rows that may be of several users"
    }


def test_a_row_that_is_one_users_here_and_anothers_there_is_not_changed_for_one_of_them() -> None:
    sent = "mapping: sent\nsource: {table: letter, key: id, user: by}\ntarget: {table: sent, id: {uuid5: id}}\nfields: {text: text}\n"
    got = (
        sent.replace("mapping: sent", "mapping: got")
        .replace("table: sent", "table: got")
        .replace("user: by", "user: to")
    )
    letter = a_table("letter", id="integer not null", by="integer", to="integer", text="text")
    target = a_schema(*(a_table(name, id="uuid not null", text="text") for name in ("sent", "got")))
    legacy = a_legacy(
        a_table("person", id="integer not null"),
        letter,
        person=[{"id": 1}, {"id": 2}],
        letter=[{"id": 7, "by": 1, "to": 2, "text": "hi"}],
    )
    round_ = Round(a_set(sent, got), legacy, target, ["1", "2"])
    round_.sets("sent", "7", text="ho")

    assert "letter.text for rows that may be of several users" in round_.carried().refused["1"]


def test_parts_that_are_told_apart_go_into_their_columns() -> None:
    round_ = a_house("  name: {from: [first, last], transform: [{concat: {separator: ' '}}]}\n", name="text")
    round_.sets("accounts", "1", name="Eva Maria Lee")
    round_.sets("accounts", "2", name="Rob Roy")

    done = round_.carried()
    round_.write(done)

    assert round_.legacy.rows["person"][1]["last"] == "Roy"
    assert "which part of it belongs to which of 2 columns" in done.refused["1"]


def test_the_first_of_several_columns_takes_the_value() -> None:
    round_ = a_house(
        "  name: {from: [nick, first], transform: [coalesce, trim]}\n  first: first\n", name="text", first="text"
    )
    round_.sets("accounts", "1", name="annie")
    round_.sets("accounts", "2", name=None)

    done = round_.carried()
    round_.write(done)

    assert round_.legacy.rows["person"][0] == {"id": 1, "first": "Ann", "last": "Lee", "nick": "annie", "home": 5}
    assert "another column would be taken instead of null" in done.refused["2"]


def test_a_value_goes_back_through_what_is_computed_on_the_way() -> None:
    text = "  upper: {from: $tidy, transform: [upper]}\nvars:\n  tidy: {from: first, transform: [trim]}\n"
    round_ = a_house(text, upper="text")
    round_.sets("accounts", "1", upper="EVA")

    round_.write(round_.carried())

    assert round_.legacy.rows["person"][0]["first"] == "EVA"


def test_one_value_in_two_columns_changes_in_both_or_in_none() -> None:
    round_ = a_house("  first: first\n  called: {from: first, transform: [trim]}\n", first="text", called="text")
    round_.sets("accounts", "1", first="Eva", called="Eva")
    round_.sets("accounts", "2", called="Rob")

    done = round_.carried()
    round_.write(done)

    assert [row["first"] for row in round_.legacy.rows["person"]] == ["Eva", "Bob"]
    assert done.refused == {"2": "accounts.first: it would change with another value"}
