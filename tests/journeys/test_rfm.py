"""R, F and M of real customers, from real sales: every one must equal what others worked out for the same data."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from migrator.edges.databases import connect
from migrator.mapping import activity, document
from migrator.mapping.query import Query
from migrator.rollout import tiers
from migrator.rollout.tiers import Rules

pytestmark = pytest.mark.real_data

ALL_THERE_IS = Rules(frequency_window=None, money_window=None)
CUSTOMERS = """
mapping: customers
source: {table: customer, key: id, user: id}
target: {table: customers, id: {uuid5: id}}
fields: {name: id}
"""
HALF_A_CENT = Decimal("0.005")


def measured(legacy: Path, set_yaml: str, as_of: datetime) -> pl.DataFrame:
    mappings = document.parse({"set.yaml": set_yaml, "customers.yaml": CUSTOMERS})
    database = connect(f"sqlite:///{legacy}", None, "legacy")
    with database.reading() as reader:
        found = activity.days(mappings, database.schema(), reader.select)
        users = reader.select(Query("customer", ("id",)))["id"].cast(pl.String)
    database.close()

    assert found.unreadable == 0
    return tiers.measure(users, found.days, found.money, as_of, ALL_THERE_IS)


def assert_equal(ours: pl.DataFrame, expected: pl.DataFrame) -> None:
    both = ours.join(expected, on="user", how="full", coalesce=True)
    expected_money = both["monetary_sum"].round(6).cast(pl.Decimal(38, 18))

    assert both.height == ours.height == expected.height
    assert both.filter(pl.col("r").ne_missing(pl.col("recency_days"))).is_empty()
    assert both.filter(pl.col("f").ne_missing(pl.col("frequency_days"))).is_empty()
    assert (both["m"] - expected_money).abs().max() <= HALF_A_CENT


def test_every_customer_of_a_british_retailer(real_data, tmp_path):
    legacy = tmp_path / "online_retail.sqlite"
    paid = pl.col("Quantity").cast(pl.Decimal(14, 4)) * pl.col("UnitPrice").cast(pl.String).cast(pl.Decimal(14, 4))
    lines = pl.read_parquet(real_data / "online_retail" / "online_retail.parquet")
    with sqlite3.connect(legacy) as db:
        db.execute("create table customer (id integer primary key)")
        db.execute(
            "create table line (id integer primary key, customer integer, sold_at datetime, paid decimal(14, 4))"
        )
        db.executemany(
            "insert into line (customer, sold_at, paid) values (?, ?, ?)",
            lines.select("CustomerID", pl.col("InvoiceDate").cast(pl.String), paid.cast(pl.String)).iter_rows(),
        )
        db.execute("insert into customer select distinct customer from line where customer is not null")
    db.close()

    ours = measured(
        legacy,
        """
        set: retail
        users: {table: customer, key: id}
        at: [{datetime: {timezone: UTC}}]
        activity: [{table: line, user: customer, at: sold_at}]
        paid: [{table: line, user: customer, at: sold_at, amount: paid}]
        """,
        datetime(2011, 12, 10, tzinfo=UTC),
    )

    expected = pl.read_csv(
        real_data / "online_retail" / "expected_rfm_2011-12-10.csv", schema_overrides={"CustomerID": pl.String}
    )
    assert_equal(ours, expected.rename({"CustomerID": "user"}))


def test_every_customer_of_cdnow(real_data, tmp_path):
    legacy = tmp_path / "cdnow.sqlite"
    sales = pl.read_csv(real_data / "cdnow" / "cdnow_transactions.csv", infer_schema=False)
    with sqlite3.connect(legacy) as db:
        db.execute("create table customer (id text primary key)")
        db.execute("create table sale (id integer primary key, customer text, day date, paid real)")
        db.executemany(
            "insert into sale (customer, day, paid) values (?, ?, ?)",
            sales.select("customer_id", "date", "value").iter_rows(),
        )
        db.execute("insert into customer select distinct customer from sale")
    db.close()

    ours = measured(
        legacy,
        """
        set: cdnow
        users: {table: customer, key: id}
        at: [date]
        activity: [{table: sale, user: customer, at: day}]
        paid: [{table: sale, user: customer, at: day, amount: paid}]
        """,
        datetime(1998, 6, 30, tzinfo=UTC),
    )

    expected = pl.read_csv(real_data / "cdnow" / "expected_rfm_1998-06-30.csv", schema_overrides={"id": pl.String})
    assert_equal(ours, expected.rename({"id": "user"}))
