"""`migrator mapping lint --fix`, its formats, `snapshot` and `schema`, on a small project with two SQLite files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from migrator.cli.mapping import app
from migrator.mapping import editor
from tests.cli.test_mapping import ACCOUNTS, project

__all__ = ["project"]


def say(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def run(project: Path, name: str, sql: str) -> None:
    with closing(sqlite3.connect(project / f"{name}.sqlite")) as connection:
        connection.executescript(sql)


def add_columns(project: Path) -> None:
    run(project, "legacy", "alter table t_user add column fax text; alter table t_user add column age integer")


def test_fix_writes_the_block_and_lint_then_asks_for_reasons(project: Path) -> None:
    add_columns(project)

    mended = say("lint", "--fix")

    assert mended.exit_code == 2
    assert (project / "mappings" / "accounts.yaml").read_text() == ACCOUNTS.replace(
        "examples:", "ignore:\n  fax: ???\n  age: ???\nexamples:"
    ).replace("required: true}\n", "required: true}\n\n")
    assert mended.stdout.count("E209 reason-missing") == 2
    assert "mappings/accounts.yaml:8:8" in mended.stdout


def test_fix_as_a_dry_run_shows_the_difference_and_changes_nothing(project: Path) -> None:
    add_columns(project)

    shown = say("lint", "--fix", "--dry-run")

    assert "+ignore:\n+  fax: ???\n+  age: ???\n" in shown.stdout
    assert (project / "mappings" / "accounts.yaml").read_text() == ACCOUNTS
    assert "nothing to mend" not in shown.stdout


def test_fix_leaves_columns_alone_while_something_else_is_wrong(project: Path) -> None:
    add_columns(project)
    path = project / "mappings" / "accounts.yaml"
    path.write_text(ACCOUNTS.replace("fields:", "feilds:"))

    assert say("lint", "--fix").exit_code == 2
    assert "???" not in path.read_text()


def test_sarif_is_one_log_with_each_problem(project: Path) -> None:
    add_columns(project)

    told = say("lint", "--format", "sarif")

    log = json.loads(told.stdout)
    assert (told.exit_code, log["version"]) == (2, "2.1.0")
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["E202", "W306"]


def test_lint_and_test_need_no_database_with_a_snapshot(project: Path) -> None:
    run(project, "legacy", "insert into t_user values (1, 'ann')")
    taken = say("snapshot")
    for name in ("legacy", "target"):
        (project / f"{name}.sqlite").unlink()
    (project / "mappings" / "accounts.yaml").write_text(ACCOUNTS.replace("from: nick", "from: nik"))

    told = say("lint", "--schema", "mappings/schema.snapshot.json")

    assert "written to" in taken.stdout
    assert told.exit_code == 2
    assert "E201 unknown-source-column" in told.stdout and 'did you mean "nick"?' in told.stdout
    (project / "mappings" / "accounts.yaml").write_text(ACCOUNTS)
    assert say("test", "--schema", "mappings/schema.snapshot.json").exit_code == 0
    assert not list(project.glob("*.sqlite"))


def test_a_snapshot_goes_where_one_wants_it(project: Path) -> None:
    assert json.loads(say("snapshot", "--out", "elsewhere.json", "--json").stdout)["file"] == "elsewhere.json"
    assert json.loads((project / "elsewhere.json").read_text()) == json.loads(say("snapshot", "--out", "-").stdout)


def test_the_rows_are_looked_at_unless_one_says_not(project: Path) -> None:
    run(project, "legacy", "insert into t_user values (1, 'ann'), (2, null)")
    path = project / "mappings" / "accounts.yaml"
    path.write_text(ACCOUNTS.replace("[trim]", "[{map: {bob: bob}}]"))

    assert "W404" in say("lint").stdout
    assert "W404" not in say("lint", "--no-data").stdout
    assert "W404" not in say("lint", "--offline").stdout


def test_mistakes_of_one_file_and_of_the_schemas_are_told_at_once(project: Path) -> None:
    (project / "mappings" / "orders.yaml").write_text("- no mapping\n")
    (project / "mappings" / "accounts.yaml").write_text(
        ACCOUNTS.replace("from: nick", "from: nik").replace("fields:\n", "fields:\n  o: {lookup: orders, by: id}\n")
    )

    told = say("lint").stdout

    assert "orders.yaml:1:1  error E101" in told
    assert "error E201 unknown-source-column" in told
    assert "E501" not in told  # orders may well be the name of what could not be read


@pytest.mark.parametrize("out", [None, "there.json", "-"])
def test_the_schema_for_editors_stands_beside_the_folder(project: Path, out: str | None) -> None:
    told = say("schema", *(["--out", out] if out else []))

    written = told.stdout if out == "-" else (project / (out or "schema.json")).read_text()
    assert json.loads(written) == editor.schema()


NICK = "name: {from: nick, transform: [trim], required: true}"


def test_what_cannot_go_back_to_legacy_is_told_to_who_asks(project: Path) -> None:
    path = project / "mappings" / "accounts.yaml"
    path.write_text(ACCOUNTS.replace("[trim]", "[{map: {ann: ann, bob: ann, kim: kim}}]").replace("' ann '", "bob"))

    assert "W901" not in say("lint").stdout
    found = json.loads(say("lint", "--backward", "--json").stdout)["problems"]
    told = [one["text"] for one in found if one["code"] == "W901"]
    assert told == ["accounts.name goes back to legacy only kim"]


@pytest.mark.parametrize(("owner", "codes"), [("legacy", set()), ("target", {"W901", "W902"})])
def test_the_policy_of_the_project_says_what_is_told(project: Path, owner: str, codes: set[str]) -> None:
    with (project / "migrator.toml").open("a") as settings:
        settings.write('[rollback]\npolicy = "merge"\n')
    path = project / "mappings" / "accounts.yaml"
    path.write_text(ACCOUNTS.replace(NICK, f"name: {{from: nick, transform: [{{hash: sha256}}], owner: {owner}}}"))

    found = json.loads(say("lint", "--json").stdout)["problems"]

    assert {one["code"] for one in found if one["code"].startswith("W9")} == codes
