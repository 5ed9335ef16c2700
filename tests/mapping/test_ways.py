"""From every row that is read a way leads to its users, or it is said that it may concern everybody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from migrator.mapping import document, lint
from migrator.mapping.schema import Column, Kind, Schema, Table
from migrator.mapping.ways import Link, ways

SET = "set: shop\nusers: {table: customer, key: id}\n"
PEOPLE = """
mapping: people
source:
  table: customer
  key: id
  user: id
  join:
    land: {table: country, match: {code: country}}
    prefs: {table: preference, match: {customer: id}, pivot: {names: {from: kind, table: kinds, match: id, take: name}, values: value}}
target: {table: people, id: {keep: id}}
fields:
  land: {from: land.name}
  theme: {from: prefs.theme}
"""
LINES = """
mapping: lines
source:
  table: line
  key: id
  user: order.customer
  join:
    order: {table: purchase, match: {id: order_id}}
    goods: {table: product, match: {id: product_id}}
    maker: {table: maker, match: {id: goods.maker_id}}
target: {table: lines, id: {keep: id}}
fields:
  product: {from: goods.name}
  maker: {from: maker.name}
"""
TABLES = {
    "customer": ("id", "country"),
    "country": ("code", "name"),
    "preference": ("customer", "kind", "value"),
    "kinds": ("id", "name"),
    "purchase": ("id", "customer"),
    "line": ("id", "order_id", "product_id"),
    "product": ("id", "name", "maker_id"),
    "maker": ("id", "name"),
    "unread": ("id",),
}
LEGACY = Schema(
    "sqlite",
    {
        name: Table(name, {column: Column(column, Kind.INTEGER) for column in columns}, key=columns[:1])
        for name, columns in TABLES.items()
    },
)


def test_every_table_that_is_read_leads_to_the_user_by_some_way(tmp_path: Path) -> None:
    for name, text in (("set", SET), ("people", PEOPLE), ("lines", LINES)):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")

    found = ways(document.load(tmp_path), LEGACY)

    to_user = "users"
    assert found.links == {
        "customer": (Link("id", whose=to_user),),
        "country": (Link("code", table="customer", to="country"),),
        "preference": (Link("customer", table="customer", to="id"),),
        "purchase": (Link("customer", whose=to_user), Link("id", table="line", to="order_id")),
        "line": (Link("order_id", table="purchase", to="id"),),
        "product": (Link("id", table="line", to="product_id"),),
        "maker": (Link("id", table="product", to="maker_id"),),
    }
    assert found.shared == ("kinds",)
    assert found.columns("purchase") == ("customer", "id")
    assert "unread" not in found.tables


def test_a_column_that_says_when_a_row_was_written_must_be_there_and_hold_a_time(tmp_path: Path) -> None:
    changes = "changes: {customer: contry, purchas: id, line: flag}\n"
    (tmp_path / "set.yaml").write_text(SET + changes, encoding="utf-8")
    (tmp_path / "people.yaml").write_text(PEOPLE, encoding="utf-8")
    line = LEGACY.tables["line"]
    known = Schema("sqlite", {**LEGACY.tables, "line": replace(line, columns={"flag": Column("flag", Kind.BOOLEAN)})})

    found = lint.lint(document.load(tmp_path), known, None, covering=False)

    told = {(one.code, one.place.line, one.text) for one in found if one.place.line == 3}
    assert {(code, line, text.split(",")[0]) for code, line, text in told} == {
        ("E201", 3, 'customer has no column "contry"'),
        ("E201", 3, 'the legacy database has no table "purchas"'),
        ("E105", 3, "line.flag is boolean: it cannot say when a row was written last"),
    }
