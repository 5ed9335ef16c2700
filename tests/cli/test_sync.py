"""`migrator sync` and `migrator changes`, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migrator.cli import app
from tests.flows.bakery import Bakery


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Six customers who are moved and still at home in legacy; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("sync") / "away", customers=6)
    bakery.write_settings()
    bakery.plan(cutover="manual")
    bakery.start_all()
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(away: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    """One of one's own, in which one name and one row have changed in legacy."""
    copy = away.copy(tmp_path / "b")
    with copy.legacy() as db:
        db.execute("update customer set name = 'New' where id = 3")
        db.execute("delete from purchase where id = 21")
    yield copy
    copy.close()


def _run(bakery: Bakery, *words: str) -> Result:
    return CliRunner().invoke(app, ["--settings", str(bakery.folder), *words])


def _json(bakery: Bakery, *words: str) -> Any:
    return json.loads(_run(bakery, *words, "--json").stdout)


def test_a_dry_run_then_the_real_one_then_nothing_is_left(bakery: Bakery) -> None:
    would = _run(bakery, "sync", "--dry-run")

    assert would.exit_code == 0
    assert "2 of 6 moved users changed since (legacy: scan); nothing was done" in would.stdout
    done = _json(bakery, "sync")
    assert (done["brought"], done["rows_written"], done["rows_removed"], done["queue"]) == (2, 1, 1, 0)
    assert done["classes"] == {"legacy changed": 2, "both": 0, "vanished": 0, "held": 0, "failed": 0}
    again = _run(bakery, "sync")
    assert (again.exit_code, "0 of 6 moved users brought over" in again.stdout) == (0, True)


def test_who_cannot_be_brought_over_is_named_and_it_exits_4(bakery: Bakery) -> None:
    with bakery.target() as db:
        db.execute("update accounts set name = 'App' where email = 'c3@bakery.example'")

    done = _run(bakery, "sync", "--wave", "whole")

    assert done.exit_code == 4
    assert "user 3 (both): rows were changed in the target since the move" in done.stdout
    assert "1 wait in the queue" in done.stdout


def test_one_user_alone_is_brought_over(bakery: Bakery) -> None:
    done = _json(bakery, "sync", "--user", "3")

    assert (done["looked_at"], [one["user"] for one in done["users"]]) == (1, ["3"])


def test_wave_and_user_together_are_a_wrong_input(bakery: Bakery) -> None:
    assert _run(bakery, "sync", "--wave", "whole", "--user", "3").exit_code == 2


def test_whoever_is_gone_is_taken_out_only_with_a_yes(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("delete from customer where id = 5")
        db.execute("delete from purchase where customer_id = 5")

    assert _run(bakery, "sync", "--remove-vanished").exit_code == 1
    done = _json(bakery, "sync", "--remove-vanished", "--yes")

    assert (done["taken_back"], done["queue"]) == (1, 0)
    assert bakery.users()["5"] == "excluded"


def test_verify_tells_by_class_what_has_changed(bakery: Bakery) -> None:
    found = _json(bakery, "verify")

    assert found["classes"] == {"legacy changed": 2, "target changed": 0, "both": 0, "vanished": 0, "extra": 0}
    assert found["users"] == [{"user": user, "class": "legacy changed"} for user in ("2", "3")]


def test_the_script_is_shown_installed_only_with_a_yes_and_read_from_then_on(bakery: Bakery) -> None:
    bakery.write_settings('[changes]\ncapture = "trigger"\n')
    shown = _run(bakery, "changes", "script")
    assert 'CREATE TRIGGER IF NOT EXISTS "migrator_update_purchase' in shown.stdout
    assert _run(bakery, "changes", "install").exit_code == 1
    refused = _run(bakery, "sync")
    assert refused.exit_code == 1

    assert _json(bakery, "changes", "install", "--yes") == {"statements": {"legacy": 7}, "drop": False}
    assert _json(bakery, "sync")["brought"] == 2
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Newer' where id = 3")
    assert [one["user"] for one in _json(bakery, "sync")["users"]] == ["3"]
    found = _json(bakery, "changes", "status")
    assert found["logs"] == {"legacy": {"installed": True}} and found["queue"] == 0
    assert {one["table"]: one["columns"] for one in found["tables"]} == {
        "customer": ["id"], "purchase": ["customer_id"],
    }  # fmt: skip
    assert "purchase" in _run(bakery, "changes", "status").stdout
    assert _json(bakery, "changes", "install", "--drop", "--yes")["statements"] == {"legacy": 7}


def test_a_capture_that_is_none_is_a_wrong_setting(bakery: Bakery) -> None:
    bakery.write_settings('[changes]\ncapture = "magic"\ndatabases = {shop = "scan"}\n')

    wrong = _run(bakery, "sync").exception

    assert 'must be one of scan, updated_at, trigger, not "magic"' in str(wrong)
    assert "there is no [legacy.shop]" in str(wrong)
