"""A first mapping set out of two live schemas, judged by the mappings that people wrote for the same two schemas."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrator.errors import Refused
from migrator.flows.demo import legacy, target
from migrator.flows.drafting import proposing
from migrator.mapping import document
from migrator.mapping.proposing.proposal import OPEN
from tests.flows.proposals import ENOUGH, MAPPINGS, Drafted, drafted
from tests.mapping.likeness import score


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Drafted:
    folder = tmp_path_factory.mktemp("shop")
    legacy.build(folder / "legacy.sqlite", 300)
    target.build(f"sqlite:///{folder / 'target.sqlite'}")
    return drafted(folder / "legacy.sqlite", folder / "target.sqlite")


def test_most_columns_of_the_demo_shop_find_their_source(shop: Drafted) -> None:
    assert shop.share("shop") >= ENOUGH


def test_the_judge_knows_a_set_that_has_everything_right_and_one_that_has_nothing() -> None:
    truth = document.load(MAPPINGS / "shop")
    judged = score(truth, truth)
    constant = [name for name, right in judged.items() if not right]

    assert constant == ["orders.currency"], "a constant reads nothing, so nobody can have found it"
    assert not any(score(truth, document.load(MAPPINGS / "magento1")).values())


def test_reading_everything_is_not_having_found_it() -> None:
    truth = document.load(MAPPINGS / "shop")
    greedy = {**truth.texts}
    every = "login_name, email, mobile, pwd, salt, status, level, nick, sex, points"
    greedy["accounts.yaml"] = greedy["accounts.yaml"].replace(
        "{from: login_name, transform: [trim, normalize]", f"{{from: [{every}], transform: [coalesce]"
    )
    assert greedy["accounts.yaml"] != truth.texts["accounts.yaml"]

    assert score(truth, document.parse(greedy))["accounts.username"] is False


def test_lint_names_only_what_a_person_must_decide(shop: Drafted) -> None:
    assert shop.errors <= OPEN
    assert {one.code for one in shop.proposal.problems} <= OPEN


def rule(found: Drafted, file: str, column: str) -> str:
    """The lines of one field."""
    lines = found.proposal.texts[f"{file}.yaml"].split("\n")
    start = next(n for n, line in enumerate(lines) if line.startswith(f"  {column}:"))
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith("    ")), len(lines))
    return "\n".join(lines[start:end])


def test_values_seen_make_the_steps(shop: Drafted) -> None:
    assert "{epoch: s}" in rule(shop, "accounts", "last_login_at")
    assert "{datetime: {timezone: UTC}}" in rule(shop, "accounts", "created_at")
    assert "{divide: 100}" in rule(shop, "orders", "total") and "# ?" in rule(shop, "orders", "total")
    assert "json" in rule(shop, "orders", "metadata")
    assert "required: true" in rule(shop, "accounts", "username")
    assert "sensitive: true" in rule(shop, "accounts", "phone")


def test_numbers_whose_meaning_nobody_knows_are_left_open_and_not_guessed(shop: Drafted) -> None:
    status = rule(shop, "accounts", "status")

    assert "{map: {0: '???', 1: '???', 2: '???'}}" in status
    assert "# ? 0, 1, 2: pending, active, suspended" in status
    assert 'status cannot hold "???"' in [one.text for one in shop.proposal.problems if one.code == "E405"]


def test_links_are_found_over_other_tables(shop: Drafted) -> None:
    assert "user: order.user_id" in shop.proposal.texts["order_lines.yaml"]
    assert "{lookup: orders, by: order_id, required: true}" in rule(shop, "order_lines", "order_id")
    assert "match: {legacy_id: goods_id}" in rule(shop, "order_lines", "product_id")


def test_rows_fold_and_unfold_as_they_must(shop: Drafted) -> None:
    assert "pivot: {by: user_id, names: skey, values: svalue" in shop.proposal.texts["preferences.yaml"]
    assert "group: {by: user_id" in shop.proposal.texts["carts.yaml"]
    assert "unnest: {column: goods_ids, separator: ','" in shop.proposal.texts["wishlists.yaml"]


def test_what_nobody_reads_asks_for_a_reason_and_what_is_empty_says_so(shop: Drafted) -> None:
    text = shop.proposal.texts["set.yaml"]

    assert "  t_coupon: ???" in text
    assert "  t_session: {reason: no row when this was written, expect: empty}" in text
    assert "leave: '???'" in shop.proposal.texts["orders.yaml"]


def test_a_folder_with_mappings_is_never_written_over(shop: Drafted, tmp_path: Path) -> None:
    made = proposing.write(tmp_path / "new", shop.proposal.texts)

    assert {path.name for path in made} == set(shop.proposal.texts)
    with pytest.raises(Refused, match="holds mappings already"):
        proposing.write(tmp_path / "new", shop.proposal.texts)


def test_files_beside_the_schema_of_editors_name_it(shop: Drafted, tmp_path: Path) -> None:
    shutil.copy(MAPPINGS / "schema.json", tmp_path / "schema.json")
    for path in proposing.write(tmp_path / "new", shop.proposal.texts):
        assert path.read_text().startswith("# yaml-language-server: $schema=../schema.json\n")


def test_an_empty_legacy_database_is_refused(tmp_path: Path) -> None:
    for name in ("legacy", "target"):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute("create table users (id integer primary key, email text)")
    with pytest.raises(Refused, match="holds no rows"):
        drafted(tmp_path / "legacy", tmp_path / "target")


def test_two_schemas_without_users_are_refused(tmp_path: Path) -> None:
    for name in ("legacy", "target"):
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute("create table weather (id integer primary key, rain integer)")
            db.execute("insert into weather values (1, 2)")
            db.commit()
    with pytest.raises(Refused, match="looks like users"):
        drafted(tmp_path / "legacy", tmp_path / "target")
