"""Whose a row of nobody is: its own, or that of the row it looks up; each is owned once, and read once, by its owner only."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import nobody, shapes
from migrator.mapping.model import MappingSet
from migrator.mapping.nobody import Parents
from migrator.mapping.outcome import SourceRows
from tests.mapping.engine import PLAN, Legacy, a_legacy, a_set, a_table

PERSON = a_table("person", id="integer")
ORDER = a_table("orders", id="integer", person="text", kind="text")
LINE = a_table("line", primary=("order_id", "place"), order_id="integer", place="text", person="text")
PERK = a_table("perk", id="integer", order_id="integer", place="text", person="text")

ORDERS = """
mapping: orders
source: {table: orders, key: id, user: person, without_user: {move: true, values: ['0']}, where: {kind: {not: draft}}}
target: {table: orders, id: {uuid5: id}}
fields: {kind: kind}
"""
LINES = """
mapping: lines
source:
  table: line
  key: [order_id, place]
  user: person
  without_user: {move: true, values: ['0']}
  where: {place: {not: x}}
target: {table: lines, id: {uuid5: [order_id, place]}}
fields: {order_id: {lookup: orders, by: order_id}}
"""
PERKS = """
mapping: perks
source: {table: perk, key: id, user: person, without_user: move}
target: {table: perks, id: {keep: id}}
fields: {line_id: {lookup: lines, by: [order_id, place]}}
"""
KNOWN = ["1", "2"]  # the users


def the_set() -> MappingSet:
    return a_set(ORDERS, LINES, PERKS)


def the_legacy(**rows: list[dict[str, Any]]) -> Legacy:
    return a_legacy(PERSON, ORDER, LINE, PERK, person=[{"id": int(key)} for key in KNOWN], **rows)


def divided(set_: MappingSet, legacy: Legacy) -> dict[str, nobody.Divided]:
    """What becomes of the rows of nobody of each mapping."""
    parents = Parents()
    found = {
        name: shapes.unowned(mapping, set_, legacy.schema, legacy.fetch, PLAN, parents)
        for name, mapping in set_.mappings.items()
    }
    return {name: one.divided for name, one in found.items() if one.divided is not None}


def owners_of(found: dict[str, nobody.Divided]) -> list[str]:
    return [owner for one in found.values() for owner in one.owners]


def read(set_: MappingSet, legacy: Legacy, owners: list[str]) -> dict[str, SourceRows]:
    """Rows of nobody of one batch."""
    parents = Parents()

    def known(texts: pl.Series) -> pl.Series:
        return pl.Series([text for text in texts if text in KNOWN], dtype=pl.String)

    return {
        name: shapes.read_rows(mapping, set_, legacy.schema, legacy.fetch, owners, known, parents, PLAN)
        for name, mapping in set_.mappings.items()
    }


def whose(rows: SourceRows) -> list[tuple[str, str]]:
    return sorted(rows.frame.select("__user", "__key").rows())


def test_a_row_that_looks_up_another_belongs_to_its_owner_and_so_on() -> None:
    legacy = the_legacy(
        orders=[{"id": 7}, {"id": 8, "person": "1"}, {"id": 9, "kind": "draft"}],
        line=[
            {"order_id": 7, "place": "a"}, {"order_id": 8, "place": "a"}, {"order_id": 9, "place": "a"},
            {"order_id": 7, "place": "b", "person": "2"}, {"order_id": 7, "place": "x"},
        ],
        perk=[
            {"id": 1, "order_id": 7, "place": "a"}, {"id": 2, "order_id": 7, "place": "b"}, {"id": 3},
            {"id": 4, "order_id": 8, "place": "a"}, {"id": 5, "order_id": 7, "place": "x"},
        ],
    )  # fmt: skip
    set_ = the_set()

    found = divided(set_, legacy)

    assert {name: (one.rows, one.moved, one.strays, one.filtered) for name, one in found.items()} == {
        "orders": (2, 1, 0, 1), "lines": (4, 4, 2, 0), "perks": (5, 5, 3, 0),
    }  # fmt: skip
    rows = read(set_, legacy, owners_of(found))
    assert whose(rows["orders"]) == [("~orders:7", "7")]
    # a line of a user's order is nobody's all the same, and so its own owner; a line of a user is that user's
    assert whose(rows["lines"]) == [
        ("~lines:8:a", "8\x1fa"), ("~lines:9:a", "9\x1fa"), ("~orders:7", "7\x1fa"),
    ]  # fmt: skip
    assert (rows["lines"].read, rows["lines"].filtered) == (4, 1)  # one is read with its order, and not wanted
    assert whose(rows["perks"]) == [
        ("~lines:8:a", "4"), ("~orders:7", "1"), ("~perks:2", "2"), ("~perks:3", "3"), ("~perks:5", "5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "keys",
    [
        [("a:b", "c"), ("a", "b:c")],
        [("a\\", ":b"), ("a\\:", "b")],
        [("", ":"), (":", "")],
        [("a\\:b", "c"), ("a\\", "b:c")],
    ],
)
def test_parts_of_a_key_never_make_one_owner_of_two_rows(keys: list[tuple[str, str]]) -> None:
    tag = a_table("tag", primary=("one", "two"), one="text", two="text", person="text")
    legacy = a_legacy(PERSON, tag, tag=[{"one": one, "two": two} for one, two in keys])
    set_ = a_set(
        "mapping: tags\nsource: {table: tag, key: [one, two], user: person, without_user: move}\n"
        "target: {table: tags, id: {fields: [one, two]}}\nfields: {one: one, two: two}\n"
    )
    owners = owners_of(divided(set_, legacy))

    assert len(set(owners)) == 2
    read_alone = [whose(read(set_, legacy, [owner])["tags"]) for owner in owners]
    assert sorted(key for rows in read_alone for _, key in rows) == sorted("\x1f".join(parts) for parts in keys)
    assert [[owner for owner, _ in rows] for rows in read_alone] == [[owner] for owner in owners]


def test_the_key_of_a_user_is_told_from_that_of_a_row_of_nobody() -> None:
    set_ = the_set()

    people, rows = nobody.apart(set_, ["1", "~", "~bob", "~orders", "~orders:7", "~carts:7", "orders:7", "~lines:8:a"])

    assert people == ["1", "~", "~bob", "~orders", "~carts:7", "orders:7"]
    assert rows == ["~orders:7", "~lines:8:a"]


def test_what_has_no_key_has_no_owner() -> None:
    found = divided(the_set(), the_legacy(line=[{"order_id": 7}, {"order_id": None, "place": "a"}]))

    assert (found["lines"].rows, found["lines"].moved, found["lines"].keyless) == (2, 0, 2)


persons = st.sampled_from([None, "0", "1", "2", "99"])
ids_ = st.integers(1, 4)
places = st.sampled_from(["a", "b", "x"])
orders = st.lists(
    st.fixed_dictionaries({"id": ids_, "person": persons, "kind": st.sampled_from(["sale", "draft", None])}),
    unique_by=lambda row: row["id"],
)
lines = st.lists(
    st.fixed_dictionaries({"order_id": ids_, "place": places, "person": persons}),
    unique_by=lambda row: (row["order_id"], row["place"]),
)
perks = st.lists(
    st.fixed_dictionaries(
        {"id": ids_, "order_id": st.one_of(st.none(), ids_), "place": st.one_of(st.none(), places), "person": persons}
    ),
    unique_by=lambda row: row["id"],
)


@settings(max_examples=150, deadline=None)
@given(orders, lines, perks, st.integers(1, 4))
def test_every_row_of_nobody_is_read_once_by_its_owner_and_no_row_of_a_user_is(
    orders: list[dict[str, Any]], lines: list[dict[str, Any]], perks: list[dict[str, Any]], size: int
) -> None:
    set_, legacy = the_set(), the_legacy(orders=orders, line=lines, perk=perks)
    found = divided(set_, legacy)
    owners = owners_of(found)
    assert len(set(owners)) == len(owners)

    counted: Counter[str] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    for start in range(0, len(owners), size):
        batch = owners[start : start + size]
        for name, rows in read(set_, legacy, batch).items():
            counted[name] += rows.read
            seen.update((name, key) for key in rows.frame["__key"])
            assert set(rows.frame["__user"]) <= set(batch)
            assert rows.read == rows.frame.height + rows.filtered

    assert {name: counted[name] for name in found} == {name: one.moved for name, one in found.items()}
    assert set(seen.values()) <= {1}
    of_users = {("orders", str(row["id"])) for row in orders if row["person"] in KNOWN}
    of_users |= {("lines", f"{row['order_id']}\x1f{row['place']}") for row in lines if row["person"] in KNOWN}
    of_users |= {("perks", str(row["id"])) for row in perks if row["person"] in KNOWN}
    assert not of_users & set(seen)
