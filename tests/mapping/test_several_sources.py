"""Mappings over several sources: what set.yaml and a mapping may say of them, read, shaped and looked up."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from migrator.errors import MappingInvalid, Refused
from migrator.mapping import examples, shapes, silos
from migrator.mapping.lint import lint
from migrator.mapping.model import MappingSet
from migrator.mapping.people import named
from migrator.mapping.problems import errors
from tests.mapping.engine import PLAN, Legacy, a_legacy, a_schema, a_set, a_table, mapped, rows_of, sources

PEOPLE = """
set: spread
users: {table: shop.person, key: id, email: mail, verified: {ok: 1}}
also:
  crm: {table: crm.contact, key: code, email: mail, verified: {ok: 1}, same: [{id: person_id}, email]}
"""
ACCOUNTS = """
mapping: accounts
source:
  table: $users
  key: user
  user: user
  join:
    shop: {table: shop.person, user: id}
    crm: {table: crm.contact, user: code}
    calls: {table: crm.call, user: code, many: {order: id, item_key: id}}
    last: {table: crm.call, user: code, keep: {most_recent: id}}
    facts: {table: crm.fact, user: code, pivot: {names: name, values: value, duplicates: {oldest: id}}}
target: {table: accounts, id: {uuid5: user}}
fields:
  mail: {from: [shop.mail, crm.mail], transform: [coalesce]}
  size: {from: facts.size}
  calls: {of: calls, collect: {subject: {from: subject}}, default: []}
  last: {from: last.subject}
"""
CALLS = """
mapping: calls
source: {table: crm.call, key: id, user: code}
target: {table: calls, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: code, required: true}
  also_by_step: {from: code, transform: [{lookup: accounts}]}
  subject: {from: subject}
"""
TARGET = a_schema(
    a_table("accounts", id="uuid not null", mail="text", size="text", calls="json", last="text"),
    a_table("calls", id="uuid not null", account_id="uuid not null", also_by_step="uuid", subject="text"),
)
RECORDS = pl.DataFrame(
    [("shop", "1", "1"), ("crm", "A", "1"), ("crm", "B", "crm:B"), ("shop", "2", "2")],
    schema={"source": pl.String, "record_key": pl.String, "user_key": pl.String},
    orient="row",
)
KNOWN = replace(PLAN, records=RECORDS)
EVERYBODY = ["1", "2", "crm:B"]


def a_world() -> Legacy:
    return a_legacy(
        a_table("shop.person", id="integer not null", mail="text", ok="integer"),
        a_table("crm.contact", code="text not null", person_id="integer", mail="text", ok="integer", primary="code"),
        a_table("crm.call", id="integer not null", code="text", subject="text"),
        a_table("crm.fact", id="integer not null", code="text", name="text", value="text"),
        **{
            "shop.person": [{"id": 1, "mail": "ann@x", "ok": 1}, {"id": 2, "mail": "bob@x", "ok": 1}],
            "crm.contact": [{"code": "A", "mail": "a@work", "person_id": 1, "ok": 0}, {"code": "B", "mail": "b@work", "ok": 1}],
            "crm.call": [
                {"id": 1, "code": "A", "subject": "first"},
                {"id": 2, "code": "A", "subject": "second"},
                {"id": 3, "code": "B", "subject": "third"},
                {"id": 4, "code": "C", "subject": "of nobody"},
            ],
            "crm.fact": [
                {"id": 1, "code": "A", "name": "size", "value": "L"},
                {"id": 2, "code": "B", "name": "size", "value": "S"},
            ],
        },
    )  # fmt: skip


def the_set(*more: str, people: str = PEOPLE) -> MappingSet:
    return a_set(ACCOUNTS, CALLS, *more, people=people)


def test_one_row_per_user_takes_what_each_source_knows_of_him() -> None:
    made = mapped(the_set(), a_world(), TARGET, EVERYBODY, KNOWN)

    assert rows_of(made, "accounts", "mail", "size", "calls", "last") == [
        ("ann@x", "L", '[{"subject":"first"},{"subject":"second"}]', "second"),
        ("bob@x", None, "[]", None),
        ("b@work", "S", '[{"subject":"third"}]', "third"),
    ]


def test_rows_of_another_source_hang_on_the_row_of_their_user() -> None:
    made = mapped(the_set(), a_world(), TARGET, EVERYBODY, KNOWN)

    ids = dict(zip(EVERYBODY, rows_of(made, "accounts", "id"), strict=True))
    assert rows_of(made, "calls", "subject", "account_id") == [
        ("first", ids["1"]), ("second", ids["1"]), ("third", ids["crm:B"]),
    ]  # fmt: skip
    assert rows_of(made, "calls", "account_id") == rows_of(made, "calls", "also_by_step")


def test_only_the_rows_of_the_users_asked_for_are_read() -> None:
    legacy = a_world()

    found = sources(the_set(), legacy, ["crm:B"], KNOWN)

    assert found["calls"].frame.select("__user", "__key").rows() == [("crm:B", "3")]
    assert found["calls"].read == 1
    assert all(query.among is not None for query in legacy.asked)


def test_rows_that_name_users_of_another_source_say_so() -> None:
    tickets = CALLS.replace("user: code", "user: person, user_of: shop").replace("by: code", "by: person")
    tickets = tickets.replace("from: code", "from: person").replace("crm.call", "crm.ticket")
    legacy = a_world()
    legacy.schema.tables["crm.ticket"] = a_table("crm.ticket", id="integer not null", person="integer", subject="text")
    legacy.rows["crm.ticket"] = [{"id": 9, "person": 2, "subject": "help"}]

    made = mapped(a_set(ACCOUNTS, tickets, people=PEOPLE), legacy, TARGET, EVERYBODY, KNOWN)

    ids = dict(zip(EVERYBODY, rows_of(made, "accounts", "id"), strict=True))
    assert rows_of(made, "calls", "subject", "account_id") == [("help", ids["2"])]


def test_rows_whose_user_stands_in_one_of_several_columns_are_joined_by_user_as_well() -> None:
    calls = CALLS.replace(
        "user: code}", "user: {coalesce: [code, other]}, join: {me: {table: crm.contact, user: code}}}"
    )
    calls = calls.replace("subject: {from: subject}", "subject: {from: me.mail}")
    legacy = a_world()
    legacy.schema.tables["crm.call"] = a_table(
        "crm.call", id="integer not null", code="text", other="text", subject="text"
    )
    legacy.rows["crm.call"] = [{"id": 1, "other": "A"}, {"id": 2, "code": "B", "other": "A"}, {"id": 3}]
    calls = calls.replace("by: code", "by: other").replace(
        "{from: code, transform: [{lookup: accounts}]}", "{value: null}"
    )

    found = sources(a_set(ACCOUNTS, calls, people=PEOPLE), legacy, EVERYBODY, KNOWN)["calls"]

    assert found.frame.select("__user", "__key", "me.mail").rows() == [("1", "1", "a@work"), ("crm:B", "2", "b@work")]


def test_a_second_record_where_one_is_joined_is_a_finding_of_the_join() -> None:
    twice = pl.concat(
        [RECORDS, pl.DataFrame([("crm", "C", "2"), ("crm", "D", "2")], schema=RECORDS.schema, orient="row")]
    )
    legacy = a_world()
    legacy.rows["crm.contact"] += [{"code": "C", "mail": "c@x"}, {"code": "D", "mail": "d@x"}]

    made = mapped(the_set(), legacy, TARGET, EVERYBODY, replace(PLAN, records=twice))

    [finding] = made.findings.filter(pl.col("outcome") == "review").to_dicts()
    assert (finding["user"], finding["field"], finding["rule"]) == ("2", "crm", "join")
    assert made.held == {"2"}


def test_without_the_records_nothing_is_read_at_all() -> None:
    with pytest.raises(Refused, match="the records of these users were not read"):
        sources(the_set(), a_world(), EVERYBODY, PLAN)


def test_rows_of_nobody_are_counted_by_the_records_of_their_source() -> None:
    told = replace(PLAN, records=RECORDS.with_columns(excluded=pl.col("user_key") == "crm:B"))
    legacy = a_world()

    found = shapes.unowned(the_set().mappings["calls"], the_set(), legacy.schema, legacy.fetch, told)

    assert (found.null, found.unknown, found.excluded, found.rows, found.sample) == (0, 1, 1, 4, ("4",))


def test_a_user_column_holds_the_keys_of_the_people_of_its_own_database_unless_it_is_said() -> None:
    users = the_set().set

    assert named(users, "shop.order") == "shop"
    assert named(users, "crm.call") == "crm"
    assert named(users, "crm.call", "shop") == "shop"
    assert named(users, "logs.event") == "shop"
    assert named(users, "$users") == "$users"


def test_people_of_two_tables_in_one_database_are_told_apart_by_their_table() -> None:
    people = (
        "set: one\nusers: {table: person, key: id}\nalso: {list: {table: reader, key: no, same: [{id: person_id}]}}\n"
    )
    users = a_set(CALLS.replace("crm.call", "call"), ACCOUNTS, people=people).set

    assert (named(users, "reader"), named(users, "call"), named(users, "person")) == ("list", "users", "users")


def test_silos_are_read_with_what_each_way_says() -> None:
    legacy = a_world()

    shop, crm = silos.read(the_set(), legacy.schema, legacy.fetch)

    assert shop.people.select("key", "email", "verified").rows() == [("1", "ann@x", True), ("2", "bob@x", True)]
    assert crm.people.select("key", "verified").rows() == [("A", False), ("B", True)]
    assert [claims.how for claims in crm.claims] == ["id", "email"]
    assert crm.claims[0].pairs is not None
    assert crm.claims[0].pairs.rows() == [("A", "1")]


def test_a_golden_row_of_everybody_names_what_the_joins_bring() -> None:
    golden = (
        ACCOUNTS
        + "examples:\n  - {name: both know him, given: {user: '7', shop: {mail: a@x}, crm: {mail: b@x}}, expect: {mail: a@x}}\n"
    )

    [result] = examples.run(a_set(golden, CALLS, people=PEOPLE), a_world().schema, TARGET)

    assert result.passed, result.diff


# ---- what is wrong --------------------------------------------------------------------------------------------------


def problems(
    people: str = PEOPLE, accounts: str = ACCOUNTS, calls: str = CALLS, schema: bool = True
) -> set[tuple[str, str]]:
    """(code, the text at its place) of every error that is about sources and people."""
    set_ = a_set(accounts, calls, people=people)
    legacy = a_world().schema if schema else None
    found = errors(lint(set_, legacy, None, covering=False))
    lines = {name: text.splitlines() for name, text in set_.texts.items()}
    return {
        (one.code, lines[one.place.file][one.place.line - 1][one.place.column - 1 :][: one.place.length])
        for one in found
    }


@pytest.mark.parametrize("schema", [True, False])
def test_a_set_over_several_sources_has_no_error(schema: bool) -> None:
    assert problems(schema=schema) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calls": CALLS.replace("user: code", "user: code, user_of: cmr")}, ("E510", "cmr")),
        ({"accounts": ACCOUNTS.replace("user: code}", "user: code, user_of: nobody}", 1)}, ("E510", "nobody")),
        ({"people": PEOPLE.replace("{id: person_id}", "{id: person_id, of: cmr}")}, ("E510", "cmr")),
        ({"people": PEOPLE.replace("{id: person_id}", "{id: person_id, of: crm}")}, ("E511", "crm")),
        ({"people": PEOPLE.replace("key: code, email: mail, verified: {ok: 1},", "key: code,")}, ("E511", "email")),
        ({"people": PEOPLE.replace("key: code, email: mail, verified: {ok: 1},", "key: code, email: mail,")}, ("E511", "email")),
        ({"people": PEOPLE.replace("  crm: {", "  shop: {")}, ("E104", "shop")),
        ({"accounts": ACCOUNTS.replace("user: user\n", "user: crm.code\n")}, ("E511", "crm.code")),
        ({"accounts": ACCOUNTS.replace("user: user\n", "user: crm.code\n")}, ("E511", "crm")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("schema", [True, False])
def test_what_cannot_work_is_told_at_its_place(
    changes: dict[str, str], expected: tuple[str, str], schema: bool
) -> None:
    assert expected in problems(**changes, schema=schema)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calls": CALLS.replace("crm.call", "cmr.call")}, ("E201", "cmr.call")),
        ({"calls": CALLS.replace("crm.call", "call")}, ("E201", "call")),
        ({"calls": CALLS.replace("crm.call", "crm.cal")}, ("E201", "crm.cal")),
        ({"people": PEOPLE.replace("{id: person_id}", "{id: persn_id}")}, ("E201", "persn_id")),
        ({"people": PEOPLE.replace("{id: person_id}", "{link: {table: crm.lnk, record: a, user: b}}")}, ("E201", "crm.lnk")),
        ({"people": PEOPLE.replace("verified: {ok: 1}, same", "verified: {okk: 1}, same")}, ("E201", "okk")),
        ({"accounts": ACCOUNTS.replace("crm.contact, user: code", "crm.contact, user: cod")}, ("E201", "cod")),
        ({"accounts": ACCOUNTS.replace("key: user\n", "key: usr\n")}, ("E201", "usr")),
        ({"calls": CALLS.replace("user: code", "user: code, user_of: shop")}, None),
    ],
)  # fmt: skip
def test_what_no_database_has_is_told_at_its_place(changes: dict[str, str], expected: tuple[str, str] | None) -> None:
    found = problems(**changes)  # type: ignore[arg-type]

    assert found == set() if expected is None else expected in found


def test_a_user_column_of_another_kind_than_the_keys_it_holds_is_told() -> None:
    legacy = a_world()
    legacy.schema.tables["crm.call"] = a_table("crm.call", id="integer not null", code="uuid", subject="text")

    found = errors(
        lint(the_set(people=PEOPLE.replace("key: code", "key: person_id")), legacy.schema, None, covering=False)
    )

    told = {(one.code, one.text) for one in found if one.place.file == "m1.yaml"}
    assert ("E503", "code is a uuid, and the people of crm are known by person_id, a number") in told


def test_a_row_per_user_of_other_people_cannot_be_found_by_our_key() -> None:
    contacts = CALLS.replace("mapping: calls", "mapping: contacts").replace(
        "crm.call, key: id", "crm.contact, key: code"
    )
    contacts = contacts.replace("uuid5: id", "uuid5: code").replace("{from: subject}", "{from: mail}")
    orders = """
mapping: orders
source: {table: shop.person, key: id, user: id}
target: {table: calls, id: {uuid5: id}}
fields: {account_id: {lookup: contacts, by: id}}
"""
    set_ = a_set(ACCOUNTS, contacts, orders, people=PEOPLE)

    [found] = errors(lint(set_, a_world().schema, None, covering=False))

    assert found.code == "E507"
    assert found.text == '"contacts" is known by keys of crm, and id holds keys of shop'


@pytest.mark.parametrize(
    ("people", "code"),
    [
        (PEOPLE.replace(", email]", ", mail]"), "E105"),
        (PEOPLE.replace("{id: person_id}", "{di: person_id}"), "E103"),
        (PEOPLE.replace("{id: person_id}", "{of: shop}"), "E102"),
        (PEOPLE.replace("{id: person_id}", "{link: {table: crm.link, record: a}}"), "E102"),
        (PEOPLE.replace(", same: [{id: person_id}, email]", ""), "E102"),
        (PEOPLE.replace("same: [{id: person_id}, email]", "same: email"), "E105"),
        (PEOPLE.replace("  crm: {", "  C-R-M: {"), "E105"),
        (PEOPLE.replace("also:", "also: []\nalso:"), "E104"),
    ],
)
def test_what_is_no_way_to_know_a_person_is_refused_when_it_is_read(people: str, code: str) -> None:
    with pytest.raises(MappingInvalid, match=code):
        the_set(people=people)


def test_a_join_goes_by_match_or_by_user() -> None:
    both = ACCOUNTS.replace("table: shop.person, user: id", "table: shop.person, user: id, match: {id: user}")
    none = ACCOUNTS.replace("table: shop.person, user: id", "table: shop.person")

    with pytest.raises(MappingInvalid, match='"user" cannot stand beside "match"'):
        a_set(both, CALLS, people=PEOPLE)
    with pytest.raises(MappingInvalid, match="or user: COLUMN, for the rows of the same user"):
        a_set(none, CALLS, people=PEOPLE)
