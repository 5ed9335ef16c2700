"""Putting users back from the command line, by what becomes of the changes of the new system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrator.cli import app
from migrator.errors import Refused
from tests.cli.saying import say, told
from tests.flows.bakery import Bakery

SETTINGS = '[cutover]\ndrain = "0s"\n[rollback]\npolicy = "carry_back"\n'
NEW_NAME = "update accounts set name = 'New Name' where email = 'c2@bakery.example'"
A_NOTE = "insert into notes (account_id, text) select id, 'hello' from accounts where email = 'c3@bakery.example'"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Four customers who are moved and served by legacy; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("rollback") / "waiting", customers=4)
    bakery.move(cutover="manual")
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(waiting: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bakery]:
    copied = waiting.copy(tmp_path / "b")
    copied.write_settings(SETTINGS)
    monkeypatch.setenv("MIGRATOR_LEGACY_WRITE_URL", f"sqlite:///{copied.folder / 'legacy.db'}")
    monkeypatch.chdir(copied.folder)
    yield copied
    copied.close()


def changed(bakery: Bakery, *statements: str) -> None:
    with bakery.target() as db:
        for statement in statements:
            db.execute(statement)


def test_what_goes_back_is_said_before_the_cutover_and_done_after_it(bakery: Bakery) -> None:
    looked = say("wave", "cut-over", "whole", "--dry-run")
    data = told("wave", "cut-over", "whole", "--dry-run")
    assert "rollback after this: carry_back; 5 columns of" in looked
    assert data["way_back"]["policy"] == "carry_back"
    assert {"mapping", "column", "how", "where", "why", "owner"} == set(data["way_back"]["columns"][0])
    assert told("store", "upgrade")["legacy"] == [{"database": "legacy", "table": "made", "sql": None}]
    say("wave", "cut-over", "whole", "--yes")
    changed(bakery, NEW_NAME, A_NOTE)

    dry = told("rollback", "all", "--dry-run")
    done = told("rollback", "all", "--yes", code=1)

    assert dry["carried"] == done["carried"] == {"customer": {"updated": 1, "inserted": 0, "deleted": 0}}
    assert (done["restored"], done["unchanged"], done["carried_users"]) == (3, 2, 1)
    assert set(done["refused"]) == {"3"} and "notes" in done["refused"]["3"]
    with bakery.legacy() as db:
        assert db.execute("select name from customer where id = 2").fetchall() == [("New Name",)]
    by_force = say("rollback", "user", "3", "--policy", "force", "--yes")
    (kept,) = told("rollback", "kept", "3")["kept"]
    assert kept["policy"] == "force" and kept["rows"]["whole/notes"][0]["text"] == "hello"
    assert "hello" in say("rollback", "kept", "3")
    assert "notes (rows nobody maps)" in by_force and "1 user was put back" in by_force.replace(
        "1 users were", "1 user was"
    )


def test_a_policy_that_there_is_not_is_wrong_input(bakery: Bakery) -> None:
    done = CliRunner().invoke(app, ["rollback", "all", "--policy", "hope", "--yes"])

    assert done.exit_code == 2 or "there is no policy" in str(done.exception)


def test_the_doctor_and_the_grants_know_the_account_that_writes(bakery: Bakery) -> None:
    missing = CliRunner().invoke(app, ["doctor", "--json"]).output
    assert "migrator_carried is not there" in missing

    accounts = told("store", "grants", "--for", "writable")["accounts"]

    assert [one["role"] for one in accounts] == ["writable"]


@pytest.mark.parametrize(
    ("role", "setting"), [("writable", r"\[legacy\] write_url"), ("replica", r"\[throttle\] replicas")]
)
def test_of_an_account_that_nothing_here_needs_the_setting_is_named(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch, role: str, setting: str
) -> None:
    monkeypatch.delenv("MIGRATOR_LEGACY_WRITE_URL")
    bakery.write_settings()

    with pytest.raises(Refused, match=f"no account {role} is wanted here: {setting}"):
        say("store", "grants", "--for", role)
