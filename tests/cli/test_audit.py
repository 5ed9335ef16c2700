"""`migrator audit`: whether the journal holds, what it says, and a copy of it that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from migrator.cli import app
from migrator.errors import MigratorError
from migrator.flows.helping import review
from tests.flows.bakery import Bakery


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bakery whose customers were moved but for one, who was excluded by somebody with a dangerous name."""
    folder = tmp_path_factory.mktemp("audit") / "bakery"
    bakery = Bakery(folder, customers=12)
    bakery.plan(batch_users=5)
    review.exclude(replace(bakery.parts, actor="=cmd|' /c calc'!A0"), "7", reason="asked for it")
    bakery.start_all()
    bakery.close()
    bakery.write_settings()
    return folder


@pytest.fixture
def folder(moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it to do something to."""
    shutil.copytree(moved, tmp_path / "bakery")
    monkeypatch.setenv("MIGRATOR_SETTINGS", str(tmp_path / "bakery" / "migrator.toml"))
    yield tmp_path / "bakery"


def ask(*words: str, code: int = 0) -> Result:
    """Run `migrator audit WORDS`."""
    found = CliRunner().invoke(app, ["audit", *words])
    wrong = found.exception if isinstance(found.exception, MigratorError) else None
    assert (wrong.exit_code if wrong else found.exit_code) == code, (found.output, found.exception)
    return found


def told(*words: str, code: int = 0) -> Any:
    """The same, of a command that prints JSON."""
    return json.loads(ask(*words, "--json", code=code).stdout)


def tamper(folder: Path, *statements: str) -> None:
    """Somebody writes to the control database, triggers or not."""
    with sqlite3.connect(folder / "control.db") as db:
        for (name,) in db.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            db.execute(f"drop trigger {name}")
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_journal_that_was_left_alone_holds(folder: Path) -> None:
    found = told("verify")

    assert found == {
        "holds": True, "entries": found["entries"], "anchors": 0, "break": None,
        "head": {key: value for key, value in told("head").items() if key != "anchors"},
    }  # fmt: skip
    assert found["entries"] == found["head"]["seq"] > 5
    assert f"the journal holds: {found['entries']} entries, no anchors were there" in ask("verify").stdout


@pytest.mark.parametrize(
    ("statement", "seq", "kind"),
    [
        ("update journal set actor = 'somebody else' where seq = 2", 2, "edited"),
        ("delete from journal where seq = 3", 3, "removed"),
        ("update journal set at = 'never' where seq = 4", 4, "edited"),
        ("update journal set seq = seq + 1 where seq = (select max(seq) from journal)", None, "removed"),
        ("delete from leases", None, "unguarded"),
    ],
)
def test_the_first_break_is_named_and_ends_with_exit_code_1(
    folder: Path, statement: str, seq: int | None, kind: str
) -> None:
    tamper(folder, statement)

    found = told("verify", code=1)

    assert found["holds"] is False
    assert found["break"]["kind"] == kind
    assert seq is None or found["break"]["seq"] == seq
    assert f"({kind})" in ask("verify", code=1).stdout


def test_a_report_is_an_anchor_against_which_a_cut_off_end_shows(folder: Path) -> None:
    report = CliRunner().invoke(app, ["report", "--json"])
    head = json.loads(report.stdout)["journal_head"]
    copy = folder.parent / "elsewhere"
    shutil.copy(folder / ".migrator" / "journal.anchors", copy)
    assert told("verify", "--anchors", str(copy))["anchors"] == 1
    tamper(
        folder,
        "delete from journal where seq > 4",
        "update journal_head set seq = 4, hash = (select hash from journal where seq = 4)",
    )

    with_anchors = told("verify", code=1)["break"]
    (folder / ".migrator" / "journal.anchors").unlink()
    without = told("verify", code=1)["break"]

    assert (with_anchors["seq"], with_anchors["kind"]) == (5, "cut off")
    assert f"(report) names entry {head['seq']}: the end was cut off" in with_anchors["sentence"]
    assert without["kind"] == "unguarded", "of the end nothing is known without an anchor"
    assert told("verify", "--anchors", str(copy), code=1)["break"] == with_anchors


def test_gates_and_approvals_write_anchors(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=12)
    heads: list[tuple[int, str]] = []
    bakery.parts.control.witness = lambda head, why: heads.append((head.seq, why))
    bakery.plan()
    bakery.start_all()
    bakery.close()

    assert [why for _, why in heads] == ["approve plan 1", "pass wave whole"]


def test_entries_are_listed_by_what_they_are_about(folder: Path) -> None:
    assert [entry["event"] for entry in told("list", "--wave", "whole")][:2] == ["start", "move"]
    assert {entry["noun"] for entry in told("list", "--wave", "whole")} == {"wave", "batch"}
    assert [entry["ref"] for entry in told("list", "--user", "7")] == ["7"]
    assert {entry["actor"] for entry in told("list", "--actor", "gate")} == {"gate"}
    assert [entry["event"] for entry in told("list", "--event", "approve")] == ["approve"]
    assert told("list", "--since", "2100-01-01") == []
    assert len(told("list", "-n", "2", "--since", "1h")) == 2
    assert "exclude" in ask("list").stdout
    assert "salt" not in told("list")[0]


def test_a_time_that_is_none_is_refused(folder: Path) -> None:
    assert "neither a while such as 24h" in str(ask("list", "--since", "yesterday", code=2).exception)


def test_auditors_get_a_copy_whose_cells_are_no_formulas(folder: Path) -> None:
    path = folder / "journal.csv"
    (path.parent / "journal.csv").touch(0o600)
    count = told("export", "--format", "csv", "-o", str(path))["entries"]
    lines = [json.loads(line) for line in ask("export").stdout.splitlines()]

    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert count == len(rows) == len(lines) == told("verify")["entries"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [row["hash"] for row in rows] == [line["hash"] for line in lines]
    assert "'=cmd|' /c calc'!A0" in {row["actor"] for row in rows}
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_a_format_that_is_none_is_refused(folder: Path) -> None:
    assert "must be one of jsonl, csv" in str(ask("export", "--format", "xlsx", code=2).exception)
