"""The demo's shop, moved and changed at random in the new system: who goes back finds every change in legacy, and no other."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from migrator.edges import databases
from migrator.edges.databases.base import Database
from migrator.flows.demo import legacy, target
from migrator.mapping import backward, compare, compile, document, shapes
from migrator.mapping.backward import telling
from migrator.mapping.examples import example_hash
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema

SHOP = Path(__file__).parents[3] / "mappings" / "shop"


@dataclass
class Shop:
    """The old shop in a file, and what the new one says of everybody who was moved."""

    set: MappingSet
    file: Path
    old: Database
    target: Schema
    context: Context
    users: list[str]

    def read(self) -> dict[str, SourceRows]:
        with self.old.reading() as reader:
            return {
                name: shapes.read(mapping, self.set, self.old.schema(), reader.select, self.users, self.context)
                for name, mapping in self.set.mappings.items()
            }

    def mapped(self) -> dict[str, pl.DataFrame]:
        return compile.apply(self.set, self.target, self.read(), self.context).rows

    def ways(self) -> dict[str, backward.Ways]:
        return backward.ways(self.set, self.old.schema(), self.target)

    def carried(self, written: dict[str, pl.DataFrame], now: dict[str, pl.DataFrame]) -> backward.Carried:
        return backward.carried(
            self.set, self.ways(), written, now, self.read(), legacy=self.old.schema(), target=self.target,
            context=self.context,
        )  # fmt: skip

    def write(self, done: backward.Carried) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for table, parts in done.updates.items():
                for one in parts:
                    names = [name for name in one.rows.columns if name != "__user" and name not in one.key]
                    sets = ", ".join(f'"{name}" = ?' for name in names)
                    where = " and ".join(f'"{name}" = ?' for name in one.key)
                    rows = one.rows.select(*names, *one.key).iter_rows()
                    connection.executemany(f'update "{table}" set {sets} where {where}', [*map(_plain, rows)])

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as connection:
            return list(connection.iterdump())


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [
        str(one) if isinstance(one, date | datetime) else float(one) if isinstance(one, Decimal) else one for one in row
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    legacy.build(folder / "legacy.sqlite", 200)
    target.build(f"sqlite:///{folder / 'target.sqlite'}")
    set_ = document.load(SHOP)
    with (
        closing(databases.connect(f"sqlite:///{folder / 'legacy.sqlite'}", None, "legacy")) as old,
        closing(databases.connect(f"sqlite:///{folder / 'target.sqlite'}", None, "target")) as new,
    ):
        with new.reading() as reader:
            products = reader.select(Query("products", ("id", "legacy_id")))
        with old.reading() as reader:
            users = shapes.users(set_, old.schema(), reader.select)
        moving = users.filter(~pl.col("excluded"))["key"].to_list()
        context = Context("1", "2026-03-01T00:00:00Z", references={"products": products})
        yield Shop(set_, folder / "legacy.sqlite", old, new.schema(), context, moving)


def changed(shop: Shop, written: dict[str, pl.DataFrame], seed: int) -> dict[str, pl.DataFrame]:
    """Every second user gets in one column of one row what stands there in somebody else's; nobody twice what is unique."""
    tables = {name: shop.target.tables[str(mapping.target.table)] for name, mapping in shop.set.mappings.items()}
    columns = [
        (line.mapping, line.column)
        for line in telling.table(shop.ways())
        if line.how != "stays" and line.column in tables[line.mapping].columns
    ]
    chance, now = random.Random(seed), dict(written)
    for user in sorted(written["accounts"]["__user"])[::2]:
        name, column = chance.choice(columns)
        rows = now[name]
        mine = rows.with_row_index("__at").filter(pl.col("__user") == user)["__at"].to_list()
        if mine:
            values = rows[column].to_list()
            unique = any(column == key[-1] for key in tables[name].uniques)
            values[chance.choice(mine)] = f"x{user}{values[mine[0]]}" if unique else chance.choice(values)
            now[name] = rows.with_columns(pl.Series(column, values, dtype=rows[column].dtype))
    return now


@pytest.fixture
def magento(tmp_path: Path) -> Iterator[Shop]:
    if not (data := os.environ.get("MIGRATOR_REAL_DATA")):
        pytest.skip("MIGRATOR_REAL_DATA is not set: it names the folder with the real data")
    folder = Path(data) / "magento1"
    (tmp_path / "legacy.sqlite").write_bytes(gzip.decompress((folder / "legacy_300.sqlite.gz").read_bytes()))
    with closing(sqlite3.connect(tmp_path / "target.sqlite")) as connection:
        connection.executescript((folder / "new_schema.sqlite.sql").read_text())
    set_ = document.load(SHOP.parent / "magento1")
    with (
        closing(databases.connect(f"sqlite:///{tmp_path / 'legacy.sqlite'}", None, "legacy")) as old,
        closing(databases.connect(f"sqlite:///{tmp_path / 'target.sqlite'}", None, "target")) as new,
    ):
        with old.reading() as reader:
            users = shapes.users(set_, old.schema(), reader.select)["key"].to_list()
        context = Context("1", "2026-03-01T00:00:00Z", keyed=example_hash)
        yield Shop(set_, tmp_path / "legacy.sqlite", old, new.schema(), context, users)


def test_what_was_changed_in_the_new_shop_is_in_the_old_one_and_nothing_else(shop: Shop) -> None:
    it_goes_back(shop)


@pytest.mark.real_data
def test_of_a_real_magento_what_was_changed_goes_back_and_nothing_else(magento: Shop) -> None:
    it_goes_back(magento)
    assert telling.summary(telling.table(magento.ways())) == {"back": 21, "partly": 0, "stays": 36}


def it_goes_back(shop: Shop) -> None:
    written, before = shop.mapped(), shop.dump()
    now = changed(shop, written, seed=11)

    done = shop.carried(written, now)
    shop.write(done)

    touched = {user for name in now for user in compare_users(shop, name, written[name], now[name])}
    again = shop.mapped()
    wrong = {user for name in now for user in compare_users(shop, name, now[name], again[name])}
    print(f"{len(touched)} users changed, {len(done.refused)} stay: {sorted(set(done.refused.values()))}")
    assert wrong == set(done.refused)
    assert len(done.refused) < len(touched) / 3
    assert len(touched) > 60
    rows = sum(one.rows.select(one.key).unique().height for parts in done.updates.values() for one in parts)
    assert sum(one != other for one, other in zip(before, shop.dump(), strict=True)) == rows


def compare_users(shop: Shop, name: str, one: pl.DataFrame, other: pl.DataFrame) -> frozenset[str]:
    table = shop.target.tables[shop.set.mappings[name].target.table]
    return compare.changed_rows({name: (one, table)}, {name: (other, table)})


def test_of_the_shop_most_columns_that_people_change_go_back(shop: Shop) -> None:
    found = telling.table(shop.ways())
    goes = {f"{line.mapping}.{line.column}" for line in found if line.how != "stays"}

    print(telling.summary(found))
    assert {
        "accounts.username", "accounts.email", "accounts.phone", "accounts.status", "accounts.tier",
        "profiles.display_name", "profiles.family_name", "profiles.given_name", "profiles.gender", "profiles.birth_date",
        "profiles.address", "profiles.loyalty_points", "orders.status", "orders.total", "orders.shipping",
        "orders.metadata", "order_lines.title", "order_lines.quantity", "order_lines.attributes",
    } <= goes  # fmt: skip
    assert not {"accounts.password_hash", "orders.account_id", "carts.items"} & goes
