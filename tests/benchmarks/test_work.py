"""The work of the benchmark: every way makes the same rows, and a row that is not right is noticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrator import runtime
from migrator.cli import app
from migrator.flows.moving import batches
from migrator.flows.steering import waves
from migrator.store import batches as store
from tests.benchmarks import batch_profile
from tests.benchmarks.databases import Database
from tests.benchmarks.projects import PLANNING, Project
from tests.benchmarks.ways import plain_sql, sqlalchemy_script
from tests.benchmarks.work import checks, legacy, target
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer

USERS = 200
Sides = tuple[Database, Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Sides:
    """A filled legacy database and the empty tables of the target."""
    if request.param == "sqlite":
        pair = (
            Database("sqlite", f"sqlite:///{tmp_path / 'a.db'}"),
            Database("sqlite", f"sqlite:///{tmp_path / 'b.db'}"),
        )
    else:
        url = request.getfixturevalue("postgresql").url()
        pair = Database("postgresql", url, "legacy"), Database("postgresql", url, "target")
        pair[0].maintain("create schema legacy")
        pair[0].maintain("create schema target")
    legacy.fill(pair[0], USERS)
    target.build(pair[1])
    return pair


@pytest.fixture
def moved(postgresql: PostgresqlServer) -> Sides:
    """The work, done by plain SQL in PostgreSQL."""
    url = postgresql.url()
    pair = Database("postgresql", url, "legacy"), Database("postgresql", url, "target")
    pair[0].maintain("create schema legacy")
    pair[0].maintain("create schema target")
    legacy.fill(pair[0], USERS)
    target.build(pair[1])
    plain_sql.insert_select(*pair, USERS)
    return pair


def test_plain_sql_makes_the_rows_that_are_meant(sides: Sides) -> None:
    plain_sql.insert_select(*sides, USERS)

    checks.check(sides[1], checks.meant(sides[0]), "INSERT … SELECT")


def test_migrator_makes_the_rows_that_are_meant(sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path / "project", *sides, [], batch=100)
    monkeypatch.chdir(project.folder)
    for command in PLANNING:
        done = CliRunner().invoke(app, command.split(), catch_exceptions=False)
        assert done.exit_code == 0, done.output

    with runtime.connect() as opened:
        wave = waves.start(opened.parts, "whole")
        with opened.parts.control.read() as db:
            ready = store.of_wave(db, wave.id)
        for batch in ready:
            batches.move(opened.parts, batch.id, None, "test")

    checks.check(sides[1], checks.meant(sides[0]), "migrator")


@pytest.mark.parametrize("way", [plain_sql.one_stream, plain_sql.two_streams], ids=["one stream", "two streams"])
def test_pipes_make_the_rows_that_are_meant(moved: Sides, way: Callable[[Database, Database, int], None]) -> None:
    target.build(moved[1])

    way(*moved, USERS)

    checks.check(moved[1], checks.meant(moved[0]), "COPY")


def test_the_script_in_sqlalchemy_makes_the_rows_that_are_meant(moved: Sides) -> None:
    target.build(moved[1])

    sqlalchemy_script.Script(*moved).run()

    checks.check(moved[1], checks.meant(moved[0]), "script")


def test_every_database_means_the_same_rows(moved: Sides, mariadb: MariadbServer) -> None:
    other = Database("mariadb", mariadb.url())
    legacy.fill(other, USERS)

    assert checks.meant(other) == checks.meant(moved[0])


@pytest.fixture(scope="module")
def moved_once(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    """The same in SQLite; only copies of it are touched."""
    folder = tmp_path_factory.mktemp("moved")
    pair = Database("sqlite", f"sqlite:///{folder / 'a.db'}"), Database("sqlite", f"sqlite:///{folder / 'b.db'}")
    legacy.fill(pair[0], USERS)
    target.build(pair[1])
    plain_sql.insert_select(*pair, USERS)
    return pair


@pytest.mark.parametrize(
    ("table", "harm"),
    [
        ("accounts", "set email = email || 'x'"),
        ("accounts", "set full_name = upper(full_name)"),
        ("accounts", "set phone = null"),
        ("accounts", "set status = 'gone'"),
        ("accounts", "set created_at = strftime('%Y-%m-%dT%H:%M:%SZ', created_at, '+1 second')"),
        ("preferences", "set settings = json_set(settings, '$.theme', 'blue')"),
        ("preferences", "set settings = json_set(settings, '$.newsletter', 'true')"),
        ("preferences", "set settings = json_set(settings, '$.more', 1)"),
        ("orders", "set account_id = account_id + 1"),
        ("orders", "set number = number || '0'"),
        ("orders", "set total = total + 0.01"),
        ("orders", "set placed_at = replace(placed_at, 'Z', '.001Z')"),
        ("order_lines", "set sku = ''"),
        ("order_lines", "set order_id = order_id + 1"),
        ("order_lines", "set quantity = quantity + 1"),
        ("order_lines", "set unit_price = unit_price - 0.01"),
        ("wishlist", "set product_id = product_id + 1"),
        ("wishlist", "set id = -1"),
    ],
)
def test_one_wrong_value_is_noticed(moved_once: Sides, tmp_path: Path, table: str, harm: str) -> None:
    copy = Database("sqlite", f"sqlite:///{shutil.copy(moved_once[1].path, tmp_path)}")
    with_phone = "(select rowid from accounts where phone is not null limit 1)"
    copy.run(f"update {table} {harm} where rowid = {with_phone}")

    with pytest.raises(checks.Wrong, match=f"somebody: {table}: [^;]*$"):
        checks.check(copy, checks.meant(moved_once[0]), "somebody")


def test_rows_too_few_too_many_and_wrong_are_noticed_in_postgresql(moved: Sides) -> None:
    moved[1].run(
        "update accounts set created_at = created_at + interval '1 millisecond' where id = 7;"
        'update preferences set settings = settings || \'{"newsletter": "true"}\' where account_id = 7;'
        "update orders set total = total + 0.01 where id = 7;"
        "delete from order_lines where id = 7;"
        "insert into wishlist select 999999, account_id, product_id, added_at from wishlist where id = 7"
    )

    with pytest.raises(
        checks.Wrong, match=r"accounts.*preferences.*orders.*order_lines: 1199 rows.*wishlist: 401 rows"
    ):
        checks.check(moved[1], checks.meant(moved[0]), "somebody")


def test_tables_that_were_changed_are_noticed(moved: Sides) -> None:
    before = checks.shape(moved[1])
    moved[1].run(
        "alter table orders drop constraint orders_account_id_fkey;"
        "drop index order_lines_order_id;"
        "alter table accounts alter column phone type varchar(60)"
    )

    with pytest.raises(checks.Wrong, match=r"changed the tables.*accounts: phone.*order_lines: .*orders: FOREIGN KEY"):
        checks.check_shape(moved[1], before, "somebody")


def test_every_step_of_the_profile_names_functions_that_are_there() -> None:
    for places in batch_profile.STEPS.values():
        for file, name in places:
            assert f"def {name}(" in (batch_profile.REPOSITORY / "migrator" / file).read_text(encoding="utf-8")
