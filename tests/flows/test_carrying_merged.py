"""Users who became one account and go back with what the new system changed: to the row it came from, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.doubles import Doubles
from tests.flows.test_carrying import back, changed

ANN = "(select id from accounts where email = 'ann@x.co')"
TABLES = ("t_user", "t_user_setting", "t_order", "t_cart")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    """The shop whose users 1 and 3 are one account, 1 being the survivor; to be copied."""
    shop = Doubles(tmp_path_factory.mktemp("merged") / "moved")
    shop.plan()
    shop.start_all()
    assert shop.groups() == {"1": "1", "3": "1"}
    yield shop
    shop.close()


def legacy(shop: Doubles) -> dict[str, set[tuple[object, ...]]]:
    with shop.legacy() as db:
        return {table: set(db.execute(f"select * from {table}")) for table in TABLES}


@pytest.mark.parametrize(
    ("change", "table", "row", "column", "value"),
    [
        (f"update profiles set display_name = 'New Ann' where account_id = {ANN}", "t_user", 1, 8, "New Ann"),
        (f"update profiles set birth_date = '1991-01-01' where account_id = {ANN}", "t_user", 1, 9, "1991-01-01"),
        (f"update accounts set phone = '+8613800138001' where id = {ANN}", "t_user", 1, 3, "+8613800138001"),
        (f"update accounts set status = 'suspended' where id = {ANN}", "t_user", 1, 4, 2),
        ("update orders set total = 77 where number = 'N3'", "t_order", 3, 3, 7700),
        ("update orders set total = 78 where number = 'N1'", "t_order", 1, 3, 7800),
    ],
)
def test_a_value_that_changed_is_in_the_row_it_came_from_or_in_that_of_who_survived(
    moved: Doubles, tmp_path: Path, change: str, table: str, row: int, column: int, value: object
) -> None:
    shop = changed(moved.copy(tmp_path / "s"), change)
    before = legacy(shop)

    done = back(shop)

    after = legacy(shop)
    (old,) = before[table] - after[table]
    assert done.refused == {}
    assert old[0] == row
    assert after == before | {table: before[table] - {old} | {(*old[:column], value, *old[column + 1 :])}}
    assert set(shop.users().values()) == {"rolled_back", "excluded", "held"}


def test_a_row_that_was_removed_goes_from_whoever_had_it(moved: Doubles, tmp_path: Path) -> None:
    shop = changed(moved.copy(tmp_path / "s"), "delete from orders where number = 'N3'")
    before = legacy(shop)

    assert back(shop).refused == {}

    gone = {row for row in before["t_order"] if row[0] == 3}
    assert legacy(shop) == before | {"t_order": before["t_order"] - gone}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update profiles set loyalty_points = 40", "profiles.loyalty_points: legacy would not give this value again"),
        ("update carts set items = '[]'", "carts.items: it is a list made of several rows"),
    ],
)
def test_what_was_made_of_both_cannot_go_back_and_both_stay_together(
    moved: Doubles, tmp_path: Path, change: str, why: str
) -> None:
    shop = changed(moved.copy(tmp_path / "s"), f"{change} where account_id = {ANN}")
    before, there = legacy(shop), shop.rows()

    done = back(shop)

    assert done.refused == {"1": why, "3": "an account that is one with this one stays"}
    assert legacy(shop) == before
    assert [row for row in there["accounts"] if row in shop.rows()["accounts"]] == [
        row for row in there["accounts"] if row[2] == "ann@x.co"
    ]


def test_a_row_that_was_made_goes_to_who_survived(moved: Doubles, tmp_path: Path) -> None:
    made = f"insert into orders select 'x', 'N77', {ANN}, 5, placed_at from orders where number = 'N1'"
    shop = changed(moved.copy(tmp_path / "s"), made)
    before = legacy(shop)

    assert back(shop).refused == {}

    assert legacy(shop) == before | {"t_order": before["t_order"] | {(10, 1, "N77", 500, 1600000001)}}
