"""`migrator mapping preview / explain / diff / example add / draft` on a small project with two SQLite files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migrator.cli import app
from migrator.errors import NotFound, Refused, WrongInput

SETTINGS = """\
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "sqlite:///target.sqlite"
[mappings]
path = "mappings"
"""
ACCOUNTS = """\
mapping: accounts
source: {table: t_user, key: id, user: id}
target: {table: accounts, id: {keep: id}}
fields:
  name: {from: nick, transform: [trim, lower], required: true}   # as people see it
  kind: {choose: [{when: {level: 2}, value: gold}, {else: {value: plain}}]}
"""
SCHEMAS = {
    "legacy": "create table t_user (id integer primary key, nick text, level integer);"
    "insert into t_user values (1, ' Ann ', 2), (2, 'BOB', 1), (3, null, 1);",
    "target": "create table accounts (id integer primary key, name text not null, kind text);",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in: settings, two databases, a sound set, a control database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "migrator.toml").write_text(SETTINGS)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "set.yaml").write_text("set: shop\nusers: {table: t_user, key: id}\n")
    (tmp_path / "mappings" / "accounts.yaml").write_text(ACCOUNTS)
    for name, script in SCHEMAS.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as db:
            db.executescript(script)
    assert CliRunner().invoke(app, ["store", "upgrade"]).exit_code == 0
    return tmp_path


def say(*words: str) -> Result:
    return CliRunner().invoke(app, ["mapping", *words])


def told(*words: str) -> Any:
    return json.loads(say(*words, "--json").stdout)


def test_preview_shows_numbers_per_mapping_and_what_waits(project: Path) -> None:
    shown = say("preview")

    assert shown.exit_code == 0, shown.output
    assert "3 of 3 users; nothing was written\n2 would move, 1 would be held" in shown.stdout
    assert "accounts.name" in shown.stdout and "mappings/accounts.yaml:5" in shown.stdout


def test_preview_for_programs(project: Path) -> None:
    found = told("preview", "accounts", "--user", "1", "--user", "3")

    assert found["users"] == {"looked_at": 2, "move": 1, "held": 1, "held_by_plan": 0, "excluded": 0, "gone": 0}
    assert found["mappings"]["accounts"]["new"] == 1


def test_two_ways_to_say_who_are_one_too_many(project: Path) -> None:
    assert isinstance(say("preview", "--user", "1", "--tier", "core").exception, WrongInput)


def test_explain_shows_every_step_and_the_branch(project: Path) -> None:
    shown = say("explain", "accounts", "--user", "1")

    assert shown.exit_code == 0, shown.output
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "accounts: user 1 moves; 1 read, 1 written in this mapping" in lines
    assert "lower Ann ann" in lines
    assert any(line.startswith("kind branch 1: level in 2") for line in lines)


def test_explain_for_programs(project: Path) -> None:
    (row,) = told("explain", "accounts", "--user", "3", "--field", "name")["rows"]

    assert [step["step"] for step in row["fields"][0]["steps"]][-1] == "required"
    assert row["outcome"] == "review"


def test_explain_of_a_field_says_whether_it_goes_back_to_legacy(project: Path) -> None:
    shown = say("explain", "accounts", "--user", "1", "--field", "name").stdout

    assert "name goes back to t_user.nick; owner: legacy" in shown


def test_explain_of_nobody_says_so(project: Path) -> None:
    assert isinstance(say("explain", "accounts", "--user", "77").exception, NotFound)


def other(project: Path) -> None:
    shutil.copytree(project / "mappings", project / "other")
    path = project / "other" / "accounts.yaml"
    path.write_text(path.read_text().replace("[trim, lower]", "[trim]"))


def test_versions_that_are_alike_end_with_0_and_others_with_1(project: Path) -> None:
    other(project)

    assert say("diff", "mappings", "mappings").exit_code == 0
    shown = say("diff", "mappings", "other")
    assert shown.exit_code == 1
    assert "0.00 %" in shown.stdout and "columns that differ, of 2 rows in both" in shown.stdout
    assert "kind" not in shown.stdout


def test_diff_for_programs(project: Path) -> None:
    other(project)
    (column,) = told("diff", "mappings", "other")["mappings"]["accounts"]["columns"]

    assert (column["column"], column["differ"], column["match"]) == ("name", 2, 0.0)


def test_an_example_is_added_and_the_file_keeps_its_comments(project: Path) -> None:
    shown = say("example", "add", "accounts", "--user", "1", "--name", "blanks fall off")
    text = (project / "mappings" / "accounts.yaml").read_text()

    assert shown.exit_code == 0, shown.output
    assert "added to mappings/accounts.yaml" in shown.stdout
    assert text.startswith(ACCOUNTS) and "Ann" not in text
    assert "1 example, 0 failed" in say("test").stdout


def test_an_example_for_programs_and_only_said(project: Path) -> None:
    found = told("example", "add", "accounts", "--user", "1", "--as-is", "--dry-run")

    assert found["given"] == {"id": 1, "level": 2, "nick": " Ann "}
    assert found["expect"] == {"name": "ann", "kind": "gold"}
    assert (project / "mappings" / "accounts.yaml").read_text() == ACCOUNTS


def test_a_draft_goes_into_a_new_folder_only(project: Path) -> None:
    assert isinstance(say("draft").exception, Refused)
    shown = say("draft", "--out", "first")

    assert shown.exit_code == 0, shown.output
    assert (project / "first" / "accounts.yaml").read_text().startswith("mapping: accounts\n")
    assert "files in first" in shown.stdout


def test_a_draft_for_programs(project: Path) -> None:
    found = told("draft", "--out", "first")

    assert found["tables"] == {"accounts": "t_user"}
    assert sorted(found["files"]) == ["accounts.yaml", "set.yaml"]
