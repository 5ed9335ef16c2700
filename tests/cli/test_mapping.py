"""`migrator mapping lint` and `test` on a small project with two SQLite files."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from migrator.cli.mapping import app

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
  name: {from: nick, transform: [trim], required: true}
examples:
  - name: blanks fall off
    given: {id: 7, nick: ' ann '}
    expect: {name: ann}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in: settings, two databases, a sound set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").write_text(SETTINGS)
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "set.yaml").write_text("set: shop\nusers: {table: t_user, key: id}\n")
    (tmp_path / "mappings" / "accounts.yaml").write_text(ACCOUNTS)
    for name, table in {
        "legacy": "create table t_user (id integer primary key, nick text)",
        "target": "create table accounts (id integer primary key, name text not null, note text)",
    }.items():
        connection = sqlite3.connect(tmp_path / f"{name}.sqlite")
        connection.execute(table)
        connection.close()
    return tmp_path


def say(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def change(project: Path, old: str, new: str) -> None:
    assert ACCOUNTS.count(old) == 1
    (project / "mappings" / "accounts.yaml").write_text(ACCOUNTS.replace(old, new))


def test_a_set_with_a_warning_is_good_enough_unless_one_is_strict(project: Path) -> None:
    assert say("lint").exit_code == 0
    assert "1 mapping, 0 errors, 1 warning" in say("lint").stdout
    assert say("lint", "--strict").exit_code == 2


def test_mistakes_of_the_document_and_against_the_schemas_are_told_together(project: Path) -> None:
    change(project, "name: {from: nick, transform: [trim]", "nmae: {from: nick, transform: [trimm]")
    told = say("lint")

    assert told.exit_code == 2
    assert "mappings/accounts.yaml:5:34  error E110" in told.stdout
    assert "mappings/accounts.yaml:5:3  error E301" in told.stdout


def test_programs_get_json(project: Path) -> None:
    change(project, "from: nick", "from: nik")
    told = json.loads(say("lint", "--json").stdout)

    assert told["errors"] == 2  # the column that is read and is not, and the one that nobody reads now
    assert {problem["code"] for problem in told["problems"]} >= {"E201", "E202"}


def test_github_gets_annotations_on_one_line_each(project: Path) -> None:
    change(project, "from: nick", "from: nik")
    lines = say("lint", "--format", "github").stdout.splitlines()

    assert (
        "::error file=mappings/accounts.yaml,line=5,col=16,title=E201 unknown-source-column::"
        't_user has no column "nik"%0Adid you mean "nick"?' in lines
    )
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)


def test_without_databases_only_the_documents_are_checked(project: Path) -> None:
    (project / "legacy.sqlite").unlink()

    assert say("lint", "--offline").exit_code == 0


def test_examples_that_hold_are_counted(project: Path) -> None:
    told = say("test")

    assert told.exit_code == 0
    assert "1 example, 0 failed" in told.stdout


def test_an_example_that_fails_shows_where_it_stands_and_what_differs(project: Path) -> None:
    change(project, "expect: {name: ann}", "expect: {name: anne}")
    told = say("test")

    assert told.exit_code == 1
    assert "mappings/accounts.yaml:7" in told.stdout
    assert "anne" in told.stdout
