"""What would be run in legacy takes everything of the user that the mappings read or join, and nothing of anybody else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.flows.erasure import erasing
from tests.flows.bakery import Bakery

ACCOUNTS = """
mapping: accounts
source:
  table: customer
  key: id
  user: id
  where: {closed: 0}
  join:
    home: {table: address, match: {customer_id: id}, keep: {most_recent: id}}
    town: {table: town, match: {id: home.town_id}}
    floor: {table: floor, match: {address_id: home.id}}
    likes: {table: note, match: {thing_id: id}, where: {thing: customer}, pivot: {names: name, values: text}}
target: {table: accounts, id: {uuid5: id}}
fields:
  email: {from: email, transform: [trim, lower, email], required: true, sensitive: true}
  name: {from: [home.street, town.name, floor.number, likes.bread], transform: [{concat: {separator: " "}}]}
  status: {from: status, transform: [{map: {1: active, 2: closed}}], required: true}
"""
MORE = """
create table address (id integer primary key, customer_id integer not null references customer (id), town_id integer, street text);
create table town (id integer primary key, name text);
create table floor (address_id integer primary key references address (id), number text);
create table note (thing text, thing_id integer, name text, text text, primary key (thing, thing_id, name));
"""


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    """Six customers, each with two addresses, one of them in the same town as everybody else's."""
    bakery = Bakery(tmp_path / "b", customers=6)
    (tmp_path / "b" / "mappings" / "accounts.yaml").write_text(ACCOUNTS, encoding="utf-8")
    with bakery.legacy() as db:
        db.executescript(MORE)
        db.executemany("insert into town values (?, ?)", [(1, "Brodowin"), (2, "Linum")])
        people = range(1, 7)
        db.executemany(
            "insert into address values (?, ?, ?, ?)",
            [(10 * n + k, n, k, f"it's {n}\n{k} \\ Lane") for n in people for k in (1, 2)],
        )
        db.executemany("insert into floor values (?, ?)", [(10 * n + k, str(k)) for n in people for k in (1, 2)])
        things = [(thing, n, name) for thing in ("customer", "shop") for n in people for name in ("bread", "it's")]
        db.executemany("insert into note values (?, ?, ?, 'rye')", things)
    bakery.plan()
    yield bakery
    bakery.close()


def everything(bakery: Bakery) -> dict[str, list[tuple[object, ...]]]:
    with bakery.legacy() as db:
        names = ("customer", "purchase", "address", "town", "floor", "note")
        return {name: sorted(db.execute(f"select * from {name}"), key=repr) for name in names}


def test_his_rows_and_those_that_hang_on_them_go_and_no_others(bakery: Bakery) -> None:
    before = everything(bakery)

    said = erasing.statements(bakery.parts, erasing.subject(bakery.parts, "3"))
    with bakery.legacy() as db:
        db.execute("pragma foreign_keys = on")
        for statement in said:
            db.execute(statement)

    after = everything(bakery)
    gone = {name: set(before[name]) - set(after[name]) for name in before}
    assert {name: len(rows) for name, rows in gone.items()} == {
        "customer": 1, "purchase": 3, "address": 2, "town": 0, "floor": 2, "note": 2,
    }  # fmt: skip
    assert all(row[1] == 3 for row in gone["address"]) and all(row[0] in (31, 32) for row in gone["floor"])
    assert {row[:2] for row in gone["note"]} == {("customer", 3)}, "shop 3 is not customer 3"


def test_children_go_before_what_they_point_at(bakery: Bakery) -> None:
    said = erasing.statements(bakery.parts, erasing.subject(bakery.parts, "3"))

    order = [statement.split()[2] for statement in said]
    assert order.index("floor") < order.index("address") < order.index("customer")
    assert "town" not in order


def test_who_has_nothing_joined_has_no_statement_for_it(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("delete from note where thing_id = 3 and thing = 'customer'")

    said = erasing.statements(bakery.parts, erasing.subject(bakery.parts, "3"))

    assert not any("note" in statement for statement in said)


def test_a_value_is_never_more_than_a_value(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update note set name = 'x''; drop table customer; --' where thing_id = 3 and name = 'bread'")

    said = erasing.statements(bakery.parts, erasing.subject(bakery.parts, "3"))

    with bakery.legacy() as db:
        for statement in said:
            try:
                db.execute(statement)
            except sqlite3.Error as wrong:
                raise AssertionError(statement) from wrong
    assert len(everything(bakery)["customer"]) == 5
