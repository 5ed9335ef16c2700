"""The demo shop: the same for every reader, dirty in known places, and moved by its mappings without a remainder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from migrator.edges import databases
from migrator.errors import Refused
from migrator.flows.demo import legacy, target
from migrator.flows.demo.dirt import HOLDING, Dirt, Planted
from migrator.mapping import activity, compile, document, examples, lint, shapes
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, Mapped, SourceRows
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema
from migrator.rollout import tiers
from tests.postgresql_server import PostgresqlServer

SHOP = Path(__file__).parents[2] / "mappings" / "shop"
AS_OF = "2026-03-01T00:00:00Z"
USERS = 600


@dataclass(frozen=True, slots=True)
class Moved:
    """A whole shop, mapped in one batch."""

    planted: Planted
    file: Path
    shop: MappingSet
    legacy: Schema
    target: Schema
    sources: Mapping[str, SourceRows]
    mapped: Mapped
    unowned: Mapping[str, shapes.Unowned]
    rows: Mapping[str, int]
    users: pl.DataFrame

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return query(self.file, sql)

    def findings(self, outcome: str, **columns: str) -> pl.DataFrame:
        return self.mapped.findings.filter(outcome=outcome, **columns)

    def users_with(self, outcome: str, **columns: str) -> set[int]:
        return set(self.findings(outcome, **columns).get_column("user").cast(pl.Int64))


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    folder = tmp_path_factory.mktemp("shop")
    planted = legacy.build(folder / "legacy.sqlite", USERS)
    target.build(f"sqlite:///{folder / 'target.sqlite'}")
    shop = document.load(SHOP)
    with (
        closing(databases.connect(f"sqlite:///{folder / 'legacy.sqlite'}", None, "legacy")) as old,
        closing(databases.connect(f"sqlite:///{folder / 'target.sqlite'}", None, "target")) as new,
    ):
        with new.reading() as reader:
            products = reader.select(Query("products", ("id", "legacy_id")))
        with old.reading() as reader:
            schema, fetch = old.schema(), reader.select
            users = shapes.users(shop, schema, fetch)
            moving = users.filter(~pl.col("excluded")).get_column("key").to_list()
            context = Context(plan_id="1", as_of=AS_OF, references={"products": products})
            sources = {
                name: shapes.read(mapping, shop, schema, fetch, moving, context)
                for name, mapping in shop.mappings.items()
            }
            return Moved(
                planted=planted,
                file=folder / "legacy.sqlite",
                shop=shop,
                legacy=schema,
                target=new.schema(),
                sources=sources,
                mapped=compile.apply(shop, new.schema(), sources, context),
                unowned={name: shapes.unowned(mapping, shop, schema, fetch) for name, mapping in shop.mappings.items()},
                rows={name: shapes.rows(mapping, fetch) for name, mapping in shop.mappings.items()},
                users=users,
            )


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as connection:
        yield connection


def query(file: Path, sql: str) -> list[tuple[object, ...]]:
    with opened(file) as connection:
        return connection.execute(sql).fetchall()


def dump(file: Path) -> str:
    with opened(file) as connection:
        return "\n".join(connection.iterdump())


# ---- the old shop ----


def test_the_same_seed_builds_the_same_shop_and_another_seed_another(tmp_path: Path) -> None:
    first = legacy.build(tmp_path / "first.sqlite", 200, seed=3)
    again = legacy.build(tmp_path / "again.sqlite", 200, seed=3)
    legacy.build(tmp_path / "other.sqlite", 200, seed=4)

    assert first == again
    assert dump(tmp_path / "first.sqlite") == dump(tmp_path / "again.sqlite") != dump(tmp_path / "other.sqlite")


def test_a_file_that_is_there_already_is_never_touched(tmp_path: Path) -> None:
    file = tmp_path / "precious.sqlite"
    file.write_bytes(b"precious")

    with pytest.raises(Refused, match="exists already"):
        legacy.build(file, 200)
    assert file.read_bytes() == b"precious"


def test_a_shop_that_is_too_small_for_its_dirt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="200 or more"):
        legacy.build(tmp_path / "legacy.sqlite", 199)


@pytest.mark.parametrize("users", [200, 300])
def test_every_kind_of_dirt_is_planted_as_often_as_it_says_and_on_users_of_its_own(tmp_path: Path, users: int) -> None:
    dirt = Dirt().scaled(users)

    planted = legacy.build(tmp_path / "legacy.sqlite", users)

    assert planted.dirt == dirt
    assert {kind: len(ids) for kind, ids in planted.users.items()} == {
        kind: getattr(dirt, kind) * (2 if kind == "shared_emails" else 1) for kind in planted.users
    }
    dirty = [user for ids in planted.users.values() for user in ids]
    assert len(dirty) == len(set(dirty))


def test_the_full_shop_holds_between_one_and_two_percent_of_its_users(tmp_path: Path) -> None:
    planted = legacy.build(tmp_path / "legacy.sqlite")

    assert 0.01 <= len(planted.held) / 2000 <= 0.02
    assert query(tmp_path / "legacy.sqlite", "select count(*) from t_user") == [(2000,)]
    assert query(tmp_path / "legacy.sqlite", "select count(*) from t_session") == [(0,)]


def test_the_last_sign_of_life_is_the_second_before_the_closing_whatever_the_seed(tmp_path: Path) -> None:
    legacy.build(tmp_path / "legacy.sqlite", 200, seed=11)

    sql = "select datetime(max(ts), 'unixepoch') from t_behavior_log where ts < 10000000000"
    assert query(tmp_path / "legacy.sqlite", sql) == [("2026-02-28 23:59:59",)]


# ---- the new shop ----


def test_the_new_shop_knows_its_products_and_three_accounts_before_anybody_is_moved(tmp_path: Path) -> None:
    file = tmp_path / "target.sqlite"

    target.build(f"sqlite:///{file}")

    counts = query(file, "select (select count(*) from products), (select count(*) from accounts)")
    assert counts == [(128, 3)]
    assert query(file, "pragma foreign_key_check") == []
    assert query(file, "select count(*) from products where title like '%&%;%'") == [(0,)]


def test_a_new_shop_is_never_built_over_an_old_one(tmp_path: Path) -> None:
    target.build(f"sqlite:///{tmp_path / 'target.sqlite'}")
    before = dump(tmp_path / "target.sqlite")

    with pytest.raises(Refused, match="tables already"):
        target.build(f"sqlite:///{tmp_path / 'target.sqlite'}")
    assert dump(tmp_path / "target.sqlite") == before


def test_the_new_shop_is_the_same_in_postgresql(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    target.build(f"sqlite:///{tmp_path / 'target.sqlite'}")

    target.build(url, "shop")

    with (
        closing(databases.connect(url, "shop", "target")) as server,
        closing(databases.connect(f"sqlite:///{tmp_path / 'target.sqlite'}", None, "target")) as file,
    ):
        there, here = server.schema(), file.schema()
        assert there.tables.keys() == here.tables.keys()
        for name, table in here.tables.items():
            assert list(there.tables[name].columns) == list(table.columns)
            assert there.tables[name].key == table.key
            assert not lint_errors(document.load(SHOP), None, there)
        with server.reading() as reader, file.reading() as other:
            for name in ("products", "accounts", "orders"):
                assert reader.count(Query(name, ())) == other.count(Query(name, ()))


# ---- the mappings ----


def lint_errors(shop: MappingSet, old: Schema | None, new: Schema | None) -> list[object]:
    return [problem for problem in lint.lint(shop, old, new) if problem.level == "error"]


def test_the_mappings_fit_both_schemas(moved: Moved) -> None:
    assert lint_errors(moved.shop, moved.legacy, moved.target) == []


def test_every_example_in_the_mappings_is_true(moved: Moved) -> None:
    results = examples.run(moved.shop, moved.legacy, moved.target)

    assert len(results) >= 25
    assert [result for result in results if not result.passed] == []


def test_every_row_of_the_old_shop_is_accounted_for(moved: Moved) -> None:
    for name, book in moved.mapped.books.items():
        nobody = moved.unowned[name]
        assert book.balanced, name
        assert moved.rows[name] == book.read + nobody.null + nobody.unknown + nobody.excluded, name


def test_exactly_the_planted_users_are_held(moved: Moved) -> None:
    in_the_mapping = moved.planted.held - set(moved.planted.users["taken_email"])  # that one the target knows

    assert {int(user) for user in moved.mapped.held} == in_the_mapping


@pytest.mark.parametrize(
    ("kind", "mapping", "field", "rule"),
    [
        ("shared_emails", "accounts", "email", "unique"),
        ("invalid_emails", "accounts", "email", "email"),
        ("unknown_statuses", "orders", "status", "map"),
        ("broken_order_ext", "orders", "metadata", "json"),
        ("ms_last_logins", "accounts", "last_login_at", "epoch"),
        ("ms_events", "events", "occurred_at", "epoch"),
        ("empty_cart_lines", "carts", "items.quantity", "between"),
    ],
)
def test_a_person_is_asked_about_exactly_the_users_with(
    moved: Moved, kind: str, mapping: str, field: str, rule: str
) -> None:
    asked = moved.users_with("review", mapping=mapping, field=field, rule=rule)

    assert asked == set(moved.planted.users[kind])


def test_nothing_else_is_asked(moved: Moved) -> None:
    kinds = (*HOLDING, "ms_events", "empty_cart_lines")
    planted = {user for kind in kinds for user in moved.planted.users[kind]} - set(moved.planted.users["taken_email"])

    assert moved.users_with("review") == planted


@pytest.mark.parametrize(
    ("kind", "mapping", "field"),
    [
        ("bad_birthdays", "profiles", "birth_date"),
        ("mojibake", "profiles", "family_name"),
        ("bad_phones", "accounts", "phone"),
        ("broken_event_ext", "events", "properties.extra"),
    ],
)
def test_a_warning_tells_of_exactly_the_users_with(moved: Moved, kind: str, mapping: str, field: str) -> None:
    assert moved.users_with("warning", mapping=mapping, field=field) == set(moved.planted.users[kind])


def test_rows_of_nobody_are_counted_as_such(moved: Moved) -> None:
    dirt = moved.planted.dirt

    assert moved.unowned["orders"].null == dirt.guest_orders
    assert moved.unowned["events"].null == dirt.visitor_events + 1  # the one that closes the books
    assert moved.unowned["events"].unknown == dirt.dead_user_events
    [(lines,)] = moved.query("select count(*) from t_order_item join t_order using (order_id) where user_id = 0")
    assert moved.unowned["order_lines"].null == lines


def test_users_who_closed_their_account_are_excluded_with_all_their_rows(moved: Moved) -> None:
    gone = {int(user) for user in moved.users.filter("excluded").get_column("key")}

    assert gone == set(moved.planted.users["deleted_users"])
    for rows in moved.sources.values():
        assert gone.isdisjoint(rows.frame.get_column("__user").cast(pl.Int64).to_list())


def test_events_from_before_the_window_are_filtered_and_vanished_favourites_skipped(moved: Moved) -> None:
    assert moved.mapped.books["events"].filtered == moved.planted.dirt.old_events
    assert moved.mapped.books["wishlists"].skipped == moved.planted.dirt.vanished_favourites


def test_a_product_in_two_folders_is_wished_for_once(moved: Moved) -> None:
    assert moved.mapped.books["wishlists"].folded >= moved.planted.dirt.doubled_favourites
    wished = moved.mapped.rows["wishlists"].select("account_id", "product_id")
    assert not wished.is_duplicated().any()


def test_the_most_recent_of_two_settings_wins(moved: Moved) -> None:
    settings = moved.mapped.rows["preferences"].filter(
        pl.col("__user").cast(pl.Int64).is_in(list(moved.planted.users["doubled_settings"]))
    )

    assert settings.height == moved.planted.dirt.doubled_settings
    assert settings.get_column("settings").str.contains('"theme":"dark"').all()


def test_garbled_names_are_whole_again(moved: Moved) -> None:
    families = moved.mapped.rows["profiles"].filter(
        pl.col("__user").cast(pl.Int64).is_in(list(moved.planted.users["mojibake"]))
    )

    assert set(families.get_column("family_name")) <= {"Schön", "Müller", "Lefèvre", "Núñez"}


# ---- the tiers ----


def test_each_tier_has_its_share_and_nobody_held_is_in_the_core(moved: Moved) -> None:
    with (
        closing(databases.connect(f"sqlite:///{moved.file}", None, "legacy")) as old,
        old.reading() as reader,
    ):
        seen = activity.days(moved.shop, moved.legacy, reader.select)
    assert seen.latest
    alive = moved.users.filter(~pl.col("excluded")).get_column("key")
    at = tiers.as_of(seen.latest)
    measured = tiers.measure(alive, seen.days, seen.money, at, tiers.Rules())
    assigned = tiers.assign(measured, tiers.thresholds(measured, at, tiers.Rules()))

    shares = {tier: assigned.filter(tier=tier).height / alive.len() for tier in ("core", "normal", "edge")}
    assert 0.10 <= shares["core"] <= 0.20
    assert 0.38 <= shares["normal"] <= 0.52
    assert 0.33 <= shares["edge"] <= 0.47
    core = {int(user) for user in assigned.filter(tier="core").get_column("user")}
    assert core.isdisjoint(moved.planted.held)
