"""Rows of nobody counted by the database are those that are counted one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import shapes
from migrator.mapping.query import Query
from migrator.mapping.shapes import Unowned
from tests.mapping.engine import PEOPLE, PLAN, Legacy, a_legacy, a_set, a_table

PERSON = a_table("person", id="integer", gone="integer")
ORDER = a_table("orders", id="integer", person="integer")
LINE = a_table("line", id="integer", order_id="integer")
NOTE = a_table("note", id="integer", person="text")
LEAVE = ", without_user: {leave: old, values: [0]}"

owners = st.sampled_from([None, 0, 1, 2, 3, 4, 99])
orders = st.lists(owners, max_size=12)


@dataclass
class Counting:
    """A database that counts: the same rows, told per value."""

    legacy: Legacy

    def count(self, query: Query) -> int:
        return self._rows(query).height

    def tally(self, query: Query, by: str) -> pl.DataFrame:
        return self._rows(query, by).group_by(by).agg(pl.len().cast(pl.Int64).alias("count"))

    def _rows(self, query: Query, by: str | None = None) -> pl.DataFrame:
        own = self.legacy.schema.tables[query.table].columns
        names = (by,) if by in own else tuple(own)[:1]
        return self.legacy.fetch(Query(query.table, names, query.tests, query.among, query.via))


def counted(source: str, legacy: Legacy) -> tuple[Unowned, Unowned]:
    """By the rows themselves, and by the database."""
    mapping = f"mapping: m\nsource: {source}\ntarget: {{table: things, id: {{uuid5: id}}}}\nfields: {{name: id}}\n"
    set_ = a_set(mapping, people=PEOPLE.replace("key: id", "key: id, where: {gone: 0}"))
    given_ = (set_.mappings["m"], set_, legacy.schema, legacy.fetch, PLAN)
    everybody = shapes.users(set_, legacy.schema, legacy.fetch, PLAN)
    return shapes.unowned(*given_), shapes.unowned(*given_, None, everybody, Counting(legacy))


def numbers(found: Unowned) -> tuple[int, ...]:
    return found.null, found.unknown, found.excluded, found.rows


def some_legacy(of_orders: list[Any], of_lines: list[Any], of_notes: list[Any]) -> Legacy:
    """Users 1, 2 and 3, of whom 3 is excluded."""
    return a_legacy(
        PERSON, ORDER, LINE, NOTE,
        person=[{"id": n, "gone": int(n == 3)} for n in (1, 2, 3)],
        orders=[{"id": n, "person": owner} for n, owner in enumerate(of_orders)],
        line=[{"id": n, "order_id": order} for n, order in enumerate(of_lines)],
        note=[{"id": n, "person": owner} for n, owner in enumerate(of_notes)],
    )  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(orders, st.lists(st.sampled_from([None, 0, 1, 2, 3, 5, 8, 50]), max_size=20), st.booleans())
def test_the_database_counts_what_the_rows_say(of_orders: list[Any], of_lines: list[Any], said: bool) -> None:
    legacy = some_legacy(of_orders, of_lines, [None if owner is None else str(owner) for owner in of_orders])
    leave = LEAVE if said else ""

    for source in (
        f"{{table: orders, key: id, user: person{leave}}}",
        f"{{table: note, key: id, user: person, null_if: ['2']{leave}}}",
        f"{{table: person, key: id, user: id{leave}}}",
        f"{{table: line, key: id, user: o.person, join: {{o: {{table: orders, match: {{id: order_id}}}}}}{leave}}}",
    ):
        by_rows, by_database = counted(source, legacy)

        assert numbers(by_rows) == numbers(by_database)
        assert said or by_rows.sample == by_database.sample
