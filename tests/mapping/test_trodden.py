"""A trail leads from a row to its users the shortest way, within one database, and never away from them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migrator.mapping.trodden import Trail, trails
from migrator.mapping.ways import Link, Ways

TABLES = ("a", "b", "c", "d", "e")
LINKS = st.builds(
    lambda column, ends, table, to: Link(column, whose="users") if ends else Link(column, table=table, to=to),
    st.sampled_from("xy"), st.booleans(), st.sampled_from(TABLES), st.sampled_from("xy"),
)  # fmt: skip
WAYS = st.dictionaries(st.sampled_from(TABLES), st.lists(LINKS, min_size=1, max_size=3).map(tuple)).map(Ways)


def test_a_row_that_names_its_user_needs_no_other() -> None:
    ways = Ways({"customer": (Link("id", whose="users"),), "order": (Link("customer_id", whose="users"),)})

    assert trails(ways, {"customer", "order"}) == {
        "customer": (Trail("id", "users"),),
        "order": (Trail("customer_id", "users"),),
    }


def test_a_row_that_does_not_is_followed_to_one_that_does_and_not_beyond() -> None:
    ways = Ways(
        {
            "order": (Link("customer_id", whose="users"), Link("id", table="line", to="order_id")),
            "line": (Link("order_id", table="order", to="id"), Link("id", table="part", to="line_id")),
            "part": (Link("line_id", table="line", to="id"),),
        }
    )

    found = trails(ways, set(ways.links))

    assert found["order"] == (Trail("customer_id", "users"),)
    assert found["line"] == (Trail("order_id", "users", (("order", "id", "customer_id"),)),)
    assert found["part"] == (Trail("line_id", "users", (("line", "id", "order_id"), ("order", "id", "customer_id"))),)


def test_what_leads_through_another_database_or_to_nobody_has_no_trail() -> None:
    ways = Ways({"line": (Link("order_id", table="shop.order", to="id"),), "shop.order": (Link("c", whose="users"),)})

    assert trails(ways, {"line", "sort"}) == {"line": (), "sort": ()}


@given(WAYS)
def test_every_trail_is_a_chain_of_links_that_ends_at_a_user_and_goes_in_no_circle(ways: Ways) -> None:
    found = trails(ways, TABLES)

    for table, several in found.items():
        assert len({len(one.hops) for one in several} | {0}) <= 2, "all as short as the shortest, or none"
        for one in several:
            here, column, met = table, one.column, [table]
            for further, to, onward in one.hops:
                assert Link(column, table=further, to=to) in ways.links[here]
                here, column = further, onward
                met.append(here)
            assert Link(column, whose=one.whose) in ways.links[here]
            assert len(set(met)) == len(met)
