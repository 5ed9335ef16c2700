"""Users who merge, as a person at the command line sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migrator.cli import app
from tests.flows.doubles import Doubles

SETTINGS = """\
[legacy]
url = "sqlite:///legacy.db"
[target]
url = "sqlite:///target.db"
[mappings]
path = "mappings"
[plan]
strategy = "whole"
"""


def say(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    return done


def told(*words: str) -> Any:
    return json.loads(say(*words, "--json").stdout)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop with the double registrations as a project folder, ready for a plan."""
    shop = Doubles(tmp_path / "project")
    shop.close()
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project" / "migrator.toml").write_text(SETTINGS, encoding="utf-8")
    say("store", "upgrade")
    return tmp_path / "project"


def test_from_the_plan_to_the_decision_every_command_names_those_who_are_one(project: Path) -> None:
    plan = say("plan", "create").output
    assert "2 users merge into 1 account\n" in plan
    assert "2 users look like one person and differ in something: migrator review list" in plan
    assert told("plan", "show")["plan"]["counts"]["merging"] == {"users": 2, "accounts": 1, "doubtful": 2}

    found = say("user", "find", "3").output
    assert "that of user 1" in found
    assert told("user", "find", "ann@x.co")[0]["group"]["users"] == ["1", "3"]
    shown = say("user", "show", "3").output
    assert "group: becomes part of the account of user 1 (users 1, 3 have one account)" in shown

    assert "--merge (or --apart" in say("review", "list").output
    case = str(told("review", "list")["cases"][0]["id"])
    refused = CliRunner().invoke(app, ["review", "resolve", case, "--apart"])
    assert refused.exit_code != 0 and "they cannot both move apart" in str(refused.exception)
    say("review", "resolve", case, "--merge")
    assert told("review", "replay")["users"] == 2
    assert told("user", "show", "9")["group"]["survivor"] == "8"

    gone = say("user", "exclude", "9", "--reason", "an open dispute", "--yes").output
    assert "with whom this one merges, and who stays, too: 8" in gone


def test_a_dry_run_says_who_would_merge(project: Path) -> None:
    assert told("plan", "create", "--dry-run")["merging"] == {"users": 2, "accounts": 1, "doubtful": 2}


def test_the_help_says_how_look_alikes_are_decided() -> None:
    helped = say("review", "resolve", "--help").output

    assert "--merge" in helped and "--apart" in helped
