"""
WooCommerce's orders move from posts and postmeta to the new order tables, those of guests, too.

Each oddity of `wordpress.py` stands in one order; here is said what each must become.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migrator.edges.databases import connect
from migrator.edges.keys import ProjectKey
from migrator.flows.checking import verify
from migrator.flows.helping import review
from migrator.flows.plans import planning
from migrator.flows.undoing import rollbacks
from migrator.mapping.query import Query
from migrator.rollout.states import Wave
from migrator.store import measures, plans
from migrator.store import waves as wave_store
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.memory import a_control
from tests.journeys import wordpress as shop
from tests.journeys.project import REPOSITORY, Project

MAPPINGS = REPOSITORY / "mappings" / "woocommerce"
HELD = {"5", f"~wc_orders:{shop.BAD_FLAG}"}
SETTINGS = """
[legacy]
url = "sqlite:///legacy.db"
[target]
url = "sqlite:///target.db"
[mappings]
path = "mappings"
"""


@dataclass(frozen=True)
class Moved:
    """The shop after the move, and what its new tables held before."""

    project: Bakery
    before: dict[str, list[dict[str, Any]]]

    def of(self, table: str, **where: Any) -> list[dict[str, Any]]:
        """Rows of a new table that have these values, all their columns."""
        return [row for row in rows(self.project)[table] if all(row[name] == value for name, value in where.items())]

    def one(self, table: str, **where: Any) -> dict[str, Any]:
        (row,) = self.of(table, **where)
        return row

    def meta(self, order: int) -> list[tuple[str, str | None]]:
        return sorted(
            ((row["meta_key"], row["meta_value"]) for row in self.of("wp_wc_orders_meta", order_id=order)),
            key=lambda pair: (pair[0], pair[1] or ""),
        )


def rows(project: Bakery) -> dict[str, list[dict[str, Any]]]:
    """All rows of the new tables, by their ids."""
    target = project.parts.target
    with target.reading() as reader:
        return {
            name: reader.select(Query(name, tuple(table.columns))).sort(list(table.key)).to_dicts()
            for name, table in target.schema().tables.items()
            if name in shop.TABLES
        }


def built(folder: Path) -> Path:
    """A project folder with the shop, its mappings, and an empty new database."""
    folder.mkdir(parents=True)
    shutil.copytree(MAPPINGS, folder / "mappings")
    shop.a_shop().store(folder / "legacy.db")
    with closing(sqlite3.connect(folder / "target.db")) as db:
        db.executescript(shop.target("sqlite"))
    return folder


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """Everybody has moved, and every row of nobody."""
    folder = built(tmp_path_factory.mktemp("woocommerce") / "project")
    ProjectKey.create(folder / "project.key")
    a_control(folder).close()
    url = f"sqlite:///{folder / 'target.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").url()
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(shop.target("postgresql").encode())
    project = Bakery(folder, target=connect(url, None, "target"))
    project.parts.target.prepare()
    before = rows(project)
    project.move(batch_users=25)
    yield Moved(project, before)
    project.close()


def test_the_mappings_are_sound_and_their_examples_come_true(tmp_path: Path) -> None:
    built(tmp_path / "project")
    project = Project.create(tmp_path / "project", SETTINGS)

    assert "0 errors, 0 warnings" in project.do("mapping", "lint", "--strict").out
    assert "0 failed" in project.do("mapping", "test").out


def test_the_plan_tells_rows_of_nobody_from_users(tmp_path: Path) -> None:
    built(tmp_path / "project")
    project = Project.create(tmp_path / "project", SETTINGS)
    project.do("store", "upgrade")

    said = project.do("plan", "create").out
    status = project.do("status").out

    assert f"{shop.CUSTOMERS} users: {shop.CUSTOMERS} in waves (0 of them held), 0 excluded" in said
    assert "64 rows that belong to no user move last, in wave nobody, each with what hangs on it" in said
    assert "moving: 64 rows of wp_posts (wc_orders) belong to no user" in said
    assert "left behind: 30 rows of wp_posts (wc_orders) belong to no user: left out by `where`" in said
    assert f"{shop.CUSTOMERS} users: {shop.CUSTOMERS} planned\n64 rows that belong to no user: 64 planned" in status
    assert "64 rows of nobody" in project.do("wave", "show", "nobody").out


def test_everybody_arrives_but_who_has_a_value_that_cannot_be_read(moved: Moved) -> None:
    users = moved.project.users()

    assert {key for key, status in users.items() if status != "live"} == HELD
    assert all(users[key] == "held" for key in HELD)
    assert sum(not key.startswith("~") for key in users) == shop.CUSTOMERS
    assert (
        sum(key.startswith("~") for key in users) == shop.GUESTS + 4
    )  # two odd orders of guests, a refund, a deleted customer's
    found = {
        case["users"][0]: (case["mapping"], case["field"], case["value"])
        for case in review.listed(moved.project.parts, reveal=True)["cases"]
    }
    assert found == {
        "5": ("wc_orders", "total_amount", "free"),
        f"~wc_orders:{shop.BAD_FLAG}": ("wc_order_operational_data", "order_stock_reduced", "perhaps"),
    }


def test_one_order_becomes_one_and_two_and_one_and_as_many_as_it_has_meta(moved: Moved) -> None:
    for order in (1001, 5000):
        assert len(moved.of("wp_wc_orders", id=order)) == 1
        assert {row["address_type"] for row in moved.of("wp_wc_order_addresses", order_id=order)} == {
            "billing",
            "shipping",
        }
        assert len(moved.of("wp_wc_order_operational_data", order_id=order)) == 1
        assert moved.meta(order) == [("_wc_channel", "web")]
    assert len(moved.of("wp_wc_orders", id=5000, customer_id=0, billing_email="o5000@example.com")) == 1


def test_all_orders_are_there_but_those_of_the_held(moved: Moved) -> None:
    with moved.project.legacy() as db:
        written = "post_type in ('shop_order', 'shop_order_refund') and post_status <> 'auto-draft'"
        orders = {row[0] for row in db.execute(f"select ID from wp_posts where {written}")}
        theirs = "select post_id from wp_postmeta where meta_key = '_customer_user' and meta_value = '5'"
        held = {row[0] for row in db.execute(theirs)} | {shop.BAD_FLAG}

    assert {row["id"] for row in moved.of("wp_wc_orders")} == orders - held
    assert len(held) == 5 + 2


def test_the_first_of_several_values_of_a_name_counts_and_other_names_keep_them_all(moved: Moved) -> None:
    assert moved.one("wp_wc_orders", id=shop.TWICE)["total_amount"] == 11
    assert moved.meta(shop.TWICE) == [("_wc_channel", "web"), ("_wc_note", "one"), ("_wc_note", "two")]


def test_a_zero_date_in_gmt_is_the_time_of_the_shop(moved: Moved) -> None:
    order = moved.one("wp_wc_orders", id=shop.ZERO_DATE)

    assert [order["date_created_gmt"][:19], order["date_updated_gmt"][:19]] == ["2021-07-01 10:00:00"] * 2


def test_dates_of_payment_are_read_in_all_their_forms(moved: Moved) -> None:
    paid = {
        order: moved.one("wp_wc_order_operational_data", order_id=order)
        for order in (1001, shop.PAID_TEXT, shop.PAID_OLD, shop.NO_ADDRESS)
    }

    assert paid[1001]["date_paid_gmt"][:19] == "2021-03-04 05:06:07"
    assert paid[shop.PAID_TEXT]["date_paid_gmt"][:19] == "2024-01-01 00:00:00"
    assert paid[shop.PAID_OLD]["date_paid_gmt"][:19] == "2015-07-01 10:00:00"
    assert paid[shop.PAID_OLD]["date_completed_gmt"][:19] == "2015-12-01 11:00:00"
    assert paid[shop.NO_ADDRESS]["date_paid_gmt"] is None


def test_an_order_without_an_address_has_none(moved: Moved) -> None:
    assert moved.of("wp_wc_order_addresses", order_id=shop.NO_ADDRESS) == []
    order = moved.one("wp_wc_orders", id=shop.NO_ADDRESS)
    assert (order["customer_note"], order["total_amount"], order["billing_email"]) == ("ring twice", None, None)


def test_a_total_of_many_digits_is_rounded_to_what_the_table_holds(moved: Moved) -> None:
    assert moved.one("wp_wc_orders", id=shop.DIGITS)["total_amount"] == Decimal("12.34567890")


def test_what_php_wrote_stays_text_and_nothing_stays_nothing(moved: Moved) -> None:
    assert moved.meta(shop.SERIALIZED) == [
        ("_wc_channel", "web"), ("_wc_empty", ""), ("_wc_gift", 'a:2:{i:0;s:3:"Ann";i:1;s:4:"Zoë";}'), ("_wc_null", None),
    ]  # fmt: skip


def test_yes_and_no_in_any_spelling_are_booleans(moved: Moved) -> None:
    flags = moved.one("wp_wc_order_operational_data", order_id=shop.FLAGS)

    assert {name: flags[name] for name in (
        "order_stock_reduced", "new_order_email_sent", "download_permission_granted", "prices_include_tax",
        "coupon_usages_are_counted",
    )} == {
        "order_stock_reduced": False, "new_order_email_sent": True, "download_permission_granted": True,
        "prices_include_tax": True, "coupon_usages_are_counted": None,
    }  # fmt: skip


def test_a_refund_belongs_to_the_customer_of_its_order(moved: Moved) -> None:
    refund = moved.one("wp_wc_orders", id=shop.REFUND)
    assert (refund["type"], refund["parent_order_id"], refund["customer_id"]) == ("shop_order_refund", shop.TWICE, 0)
    assert refund["total_amount"] == -5
    assert moved.meta(shop.REFUND) == [("_refund_reason", "late")]
    assert f"~wc_orders:{shop.REFUND}" not in moved.project.users()  # it went with customer 2


def test_orders_of_guests_and_of_deleted_customers_move_with_all_that_hangs_on_them(moved: Moved) -> None:
    assert moved.one("wp_wc_orders", id=shop.GUESTS_REFUND)["parent_order_id"] == shop.GUEST
    assert moved.meta(shop.GUESTS_REFUND) == [("_refund_reason", "broken")]
    assert moved.one("wp_wc_orders", id=shop.OF_DELETED)["customer_id"] == shop.DELETED
    assert len(moved.of("wp_wc_order_addresses", order_id=shop.OF_DELETED)) == 2


def test_a_customer_has_his_row_in_the_reports(moved: Moved) -> None:
    ada, other = (moved.one("wp_wc_customer_lookup", user_id=key) for key in (1, 2))

    assert [ada[name] for name in ("first_name", "last_name", "city", "country", "email")] == [
        "Ada", "Byron", "London", "", "customer1@example.com",
    ]  # fmt: skip
    assert (ada["date_last_active"][:19], ada["date_registered"][:19]) == ("2020-03-01 00:00:00", "2019-01-02 08:00:00")
    assert (other["first_name"], other["date_last_active"]) == ("First 2", None)
    assert len(moved.of("wp_wc_customer_lookup")) == shop.CUSTOMERS - 1


def test_the_books_are_even_per_table(moved: Moved) -> None:
    with moved.project.parts.control.read() as db:
        plan = plans.require(db)
        books = measures.plan_books(db, plan.id)
        for wave in wave_store.of_plan(db, plan.id):
            assert wave.status is Wave.PASSED
            assert measures.books_even(db, wave.id)
    for name, counted in plan.counts["unowned"].items():
        assert books[name].balanced
        assert counted["all"] == books[name].read + counted["left"] + counted["of_excluded"]
    assert plan.counts["unowned"]["wc_orders"]["left"] == 30  # pages and products
    assert books["wc_orders"].filtered == 1  # the draft of customer 6


def test_the_target_holds_what_was_meant(moved: Moved) -> None:
    found = verify.verify(moved.project.parts, verify.scope(moved.project.parts))

    assert (found.difference_count, found.drift_count) == (0, 0)
    assert (found.checked_users, found.checked_nobody) == (shop.CUSTOMERS - 1, shop.GUESTS + 3)


def test_decided_and_rolled_back_it_is_as_if_it_never_was(moved: Moved) -> None:
    parts = moved.project.parts
    by_field = {case["field"]: str(case["id"]) for case in review.listed(parts)["cases"]}
    review.resolve(parts, by_field["total_amount"], "use", "25.00")
    review.resolve(parts, by_field["order_stock_reduced"], "use", "no")
    review.replay(parts)
    moved.project.run()
    assert Counter(moved.project.users().values()) == {"live": shop.CUSTOMERS + shop.GUESTS + 4}
    assert moved.one("wp_wc_orders", id=shop.BAD_TOTAL)["total_amount"] == 25
    assert verify.verify(parts, verify.scope(parts)).difference_count == 0

    done = rollbacks.roll_back(parts, rollbacks.scope(parts))

    assert (done.restored, done.restored_nobody, done.refused) == (shop.CUSTOMERS, shop.GUESTS + 4, {})
    assert rows(moved.project) == moved.before
    assert planning.create(parts, OPTIONS, TIERS, dry_run=True).nobody == shop.GUESTS + 4
