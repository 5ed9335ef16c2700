"""Which columns and rows go back is known before anybody is cut over, and what does not says why and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.mapping import backward, document, lint, problems
from migrator.mapping.backward import telling
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table
from tests.mapping.engine import a_schema, a_set, a_table

PERSON = a_table("person", id="integer not null", mail="text", st="integer", pwd="text", bio="text", level="integer")
PURCHASE = a_table(
    "purchase", id=Column("id", Kind.INTEGER, nullable=False, has_default=True), pid="integer not null", total="integer",
    kind="text not null", shop="integer",
)  # fmt: skip
SHOP = a_table("shop", id="integer not null", town="text")
NEW = a_schema(
    a_table("accounts", id="uuid not null", mail="text", status="text", level="integer", password="text", bio="text"),
    a_table(
        "orders", id="uuid not null", account="uuid", total="decimal", currency="text", town="text", rank="integer"
    ),
)
ACCOUNTS = """
mapping: accounts
source: {table: person, key: id, user: id, where: {level: {gte: 0}}}
target: {table: accounts, id: {uuid5: id}}
fields:
  mail: {from: mail, transform: [trim], owner: target}
  status: {from: st, transform: [{map: {0: off, 1: on, 2: on}}]}
  level: level
  password: {from: pwd, transform: [password_hash], owner: target}
  bio: {from: bio, transform: [json]}
"""
ORDERS = """
mapping: orders
source:
  table: purchase
  key: id
  user: pid
  where: {kind: order}
  join: {shop: {table: shop, match: {id: shop}}}
target: {table: orders, id: {uuid5: id}}
fields:
  account: {lookup: accounts, by: pid}
  total: {from: total, transform: [{divide: 100}]}
  currency: {value: EUR}
  town: shop.town
  rank: {number: {within: pid, order: id}}
"""


def ways(*mappings: str, legacy: Schema | None = None) -> dict[str, backward.Ways]:
    return backward.ways(a_set(*mappings), legacy or a_schema(PERSON, PURCHASE, SHOP), NEW)


def told(found: dict[str, backward.Ways]) -> dict[str, tuple[str, str]]:
    return {f"{line.mapping}.{line.column}": (line.how, line.where or line.why) for line in telling.table(found)}


def test_every_column_says_whether_it_goes_back_and_where_to() -> None:
    assert told(ways(ACCOUNTS, ORDERS)) == {
        "accounts.(rows) made": ("stays", "its rows are the people themselves"),
        "accounts.(rows) removed": ("stays", "its rows are the people themselves"),
        "accounts.mail": ("back", "person.mail"),
        "accounts.status": ("partly", "person.st"),
        "accounts.level": ("stays", "person.level says which rows are read"),
        "accounts.password": ("stays", "a password is never carried back in another form"),
        "accounts.bio": ("back", "person.bio"),
        "accounts.id": ("stays", "it tells the rows apart"),
        "orders.(rows) made": ("back", "purchase"),
        "orders.(rows) removed": ("back", "purchase"),
        "orders.account": ("stays", "purchase.pid says whose the row is"),
        "orders.total": ("back", "purchase.total"),
        "orders.currency": ("stays", "it is the same for every row"),
        "orders.town": ("stays", "mapping orders reads shop.town for rows that may be of several users"),
        "orders.rank": ("stays", "it is a place among other rows"),
        "orders.id": ("stays", "it tells the rows apart"),
    }


def test_a_reason_stands_where_the_mapping_says_it() -> None:
    found = ways(ACCOUNTS)["accounts"].fields["password"]

    assert isinstance(found, backward.NoWay)
    assert (found.place.file, found.place.line) == ("m0.yaml", 9)


SHAPES = {
    "several rows of purchase became one": ("key: pid\n  group: {by: pid}", "total: {from: total, aggregate: sum}"),
    "one row of purchase became several": (
        "key: [id, part]\n  unnest: {column: kind, separator: ',', as: part}", "currency: part",
    ),
    "names and values stand in rows of purchase": (
        "key: pid\n  pivot: {by: pid, names: kind, values: total}", "total: rebate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", SHAPES)
def test_rows_that_are_not_rows_of_legacy_do_not_go_back(why: str) -> None:
    shape, field = SHAPES[why]
    text = f"mapping: orders\nsource:\n  table: purchase\n  user: pid\n  {shape}\n"
    text += f"target: {{table: orders, id: {{uuid5: pid}}}}\nfields: {{{field}}}\n"

    found = told(ways(ACCOUNTS, text))

    assert found["orders.(rows) made"] == found["orders.(rows) removed"] == ("stays", why)
    assert found[f"orders.{field.partition(':')[0]}"][0] == "stays"


def test_a_row_is_made_only_where_all_that_legacy_wants_is_said() -> None:
    wants = replace(PURCHASE, columns={**PURCHASE.columns, "till": Column("till", Kind.INTEGER, nullable=False)})

    found = told(ways(ACCOUNTS, ORDERS, legacy=a_schema(PERSON, wants, SHOP)))

    assert found["orders.(rows) made"] == ("stays", "nothing says what goes into purchase.till")
    assert found["orders.(rows) removed"][0] == "back"


def test_a_row_that_rows_of_other_tables_point_at_is_not_removed() -> None:
    parcel = Table("parcel", SHOP.columns, ("id",), foreign_keys=(ForeignKey(("id",), "purchase", ("id",)),))

    found = told(ways(ACCOUNTS, ORDERS, legacy=a_schema(PERSON, PURCHASE, SHOP, parcel)))

    assert "parcel, which no mapping reads" in found["orders.(rows) removed"][1]


def test_a_value_that_another_mapping_reads_beyond_following_stays() -> None:
    sums = ACCOUNTS.replace(
        "where: {level: {gte: 0}}}",
        "join: {orders: {table: purchase, match: {pid: id}, many: {order: id}}}}",
    ).replace("  level: level\n", "  level: {from: orders.total, aggregate: max}\n")

    found = told(ways(sums, ORDERS))

    assert found["orders.total"] == (
        "stays", "mapping accounts reads purchase.total, too, where a change cannot be followed",
    )  # fmt: skip
    assert found["orders.(rows) removed"] == ("stays", "mapping accounts reads rows of purchase beside its own")


# ---- lint -------------------------------------------------------------------------------------------------------


def linted(policy: str) -> list[tuple[str, int, str]]:
    found = lint.lint(a_set(ACCOUNTS, ORDERS), a_schema(PERSON, PURCHASE, SHOP), NEW, covering=False, policy=policy)
    return [(one.code, one.place.line, one.text) for one in found if one.code.startswith("W9")]


def test_lint_names_what_could_not_go_back_only_when_it_is_asked() -> None:
    assert linted("") == []
    assert [(code, text) for code, _, text in linted("carry_back")] == [
        (
            "W902",
            "a row of accounts that is made in the new system is not made in legacy: its rows are the people themselves",
        ),
        (
            "W902",
            "a row of accounts that is removed in the new system is not removed in legacy: its rows are the people themselves",
        ),
        ("W901", "accounts.status goes back to legacy only off"),
        ("W901", "accounts.level cannot go back to legacy: person.level says which rows are read"),
        ("W901", "accounts.password cannot go back to legacy: a password is never carried back in another form"),
        ("W901", "orders.account cannot go back to legacy: purchase.pid says whose the row is"),
        ("W901", "orders.currency cannot go back to legacy: it is the same for every row"),
        (
            "W901",
            "orders.town cannot go back to legacy: mapping orders reads shop.town for rows that may be of several users",
        ),
        ("W901", "orders.rank cannot go back to legacy: it is a place among other rows"),
    ]


def test_under_merge_lint_names_what_the_new_system_owns() -> None:
    assert [text for code, _, text in linted("merge") if code == "W901"] == [
        "accounts.password cannot go back to legacy: a password is never carried back in another form"
    ]


def test_what_cannot_go_back_is_a_warning_and_forbids_nothing() -> None:
    found = lint.lint(a_set(ACCOUNTS, ORDERS), a_schema(PERSON, PURCHASE, SHOP), NEW, covering=False, policy="merge")

    assert not [one for one in problems.errors(found) if one.code.startswith("W9")]


# ---- whose a column is ------------------------------------------------------------------------------------------


def test_a_column_is_legacys_unless_it_says_otherwise() -> None:
    fields = a_set(ACCOUNTS).mappings["accounts"].fields

    assert {name for name, rule in fields.items() if rule.owner == "target"} == {"mail", "password"}


@pytest.mark.parametrize(
    ("rule", "line", "said"),
    [
        ("{from: mail, owner: both}", 6, "owner is one of legacy, target"),
        ("{object: {a: {from: mail, owner: target}}}", 6, '"owner" belongs to a field, not to a part of one'),
        ("{choose: [{else: {from: mail, owner: target}}]}", 6, '"owner" belongs to a field, not to a part of one'),
    ],
)
def test_an_owner_is_said_of_a_whole_column(tmp_path: Path, rule: str, line: int, said: str) -> None:
    (tmp_path / "set.yaml").write_text("set: shop\nusers: {table: person, key: id}\n")
    (tmp_path / "m.yaml").write_text(
        "mapping: m\nsource: {table: person, key: id, user: id}\ntarget: {table: t, id: {uuid5: id}}\n"
        f"about: x\nfields:\n  mail: {rule}\n"
    )

    found = document.read(tmp_path).problems

    assert [(one.code, one.place.line, one.text) for one in found] == [("E105", line, said)]
