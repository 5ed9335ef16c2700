"""What people and files bring in with bad intent: shown and not obeyed, refused with a place, not followed out of a folder."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrator import settings
from migrator.cli import app, show
from migrator.errors import SettingWrong
from tests.cli.saying import say
from tests.flows.bakery import Bakery

NAME = "Eve\x1b[2J\x1b]0;owned\x07 \x9b31m\u202eevil"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bakery with an approved plan, of which one customer's name commands terminals."""
    bakery = Bakery(tmp_path / "bakery", customers=12)
    with bakery.legacy() as db:
        db.execute("update customer set name = ?, status = 9 where id = 3", (NAME,))
    bakery.plan(batch_users=5)
    bakery.write_settings()
    monkeypatch.chdir(bakery.folder)
    yield bakery.folder
    bakery.close()


@pytest.mark.parametrize("words", [("user", "show", "3"), ("mapping", "preview", "accounts", "--user", "3")])
def test_a_name_that_commands_the_terminal_is_shown_and_not_obeyed(folder: Path, words: tuple[str, ...]) -> None:
    plain, as_json = say(*words), say(*words, "--json")

    for said in (plain, as_json):
        assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
    json.loads(as_json)


def test_json_says_the_same_value_with_and_without_dangerous_signs(capsys: pytest.CaptureFixture[str]) -> None:
    show.result({"name": NAME + "\ud800"}, as_json=True, text=lambda: None)

    said = capsys.readouterr().out
    assert said.isprintable() or set(said) - {"\n"} <= {sign for sign in said if sign.isprintable()}
    assert json.loads(said) == {"name": NAME + "\ud800"}


def test_a_table_cell_commands_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("name",), [(NAME,), ("[bold]no markup[/bold]",)])

    said = capsys.readouterr().out
    assert "\\u001b[2J" in said and "[bold]no markup[/bold]" in said
    assert "\x1b" not in said


def test_words_that_no_encoding_has_are_told_without_a_traceback(folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
    for word in (b"\xff\xfe", "漢🦄".encode(), b"\x1b[31m"):
        done = subprocess.run(
            [sys.executable, "-m", "migrator", "user", "show", word], cwd=folder, capture_output=True, check=False,
            env=environment | {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"},
        )  # fmt: skip
        assert done.returncode == 1 and done.stderr.startswith(b"error: ")
        assert b"Traceback" not in done.stderr and b"\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5_000, "nested too deeply"),
        ("a = " + "9" * 5_000, "not TOML"),
        ("#" * 1_000_001, "larger than 1 MB"),
        ('[plan]\nsoak = "99999999999999999999d"', "longer than anybody waits"),
        ("\x00", "not TOML"),
    ],
    ids=["deep", "digits", "large", "long", "nul"],
)
def test_settings_that_would_eat_memory_or_time_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "migrator.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingWrong, match=said):
        settings.load(file, {})


def test_a_mapping_that_is_a_link_out_of_its_folder_is_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text("mapping: stolen\n", encoding="utf-8")
    (folder / "mappings" / "stolen.yaml").symlink_to(tmp_path / "elsewhere.yaml")

    said = CliRunner().invoke(app, ["mapping", "lint", "--offline"])

    assert said.exit_code == 2
    assert "stolen.yaml" in said.output and "leads out of the folder of the set" in said.output


def test_a_link_within_the_folder_is_read_as_orchestrators_mount_files(folder: Path) -> None:
    real = folder / "mappings" / ".versions"
    real.mkdir()
    (folder / "mappings" / "orders.yaml").rename(real / "orders.yaml")
    (folder / "mappings" / "orders.yaml").symlink_to(Path(".versions") / "orders.yaml")

    assert CliRunner().invoke(app, ["mapping", "lint", "--offline"]).exit_code == 0


def test_sql_in_an_argument_is_a_name_that_nobody_has(folder: Path) -> None:
    for word in ("'; DROP TABLE customer; --", "3' OR '1'='1", 'x"; delete from users; --', "%", "_"):
        done = CliRunner().invoke(app, ["user", "show", word])
        assert type(done.exception).__name__ == "NotFound", done.output
    with sqlite3.connect(folder / "legacy.db") as db:
        assert db.execute("select count(*) from customer").fetchone() == (12,)
    db.close()


def test_a_file_of_somebody_else_is_not_overwritten(folder: Path) -> None:
    notes = folder / "notes.html"
    notes.write_text("mine", encoding="utf-8")

    done = CliRunner().invoke(app, ["report", "--html", str(notes)])
    again = [CliRunner().invoke(app, ["report", "--html", str(folder / "new.html")]).exit_code for _ in range(2)]

    assert "no report of ours" in str(done.exception)
    assert (notes.read_text(encoding="utf-8"), again) == ("mine", [0, 0])


@pytest.mark.parametrize(
    "words", [("user", "find", "ada", "\u202eevil"), ("user", "\x9b2J"), ("--\u202e",), ("wave", "show", "--x\x9b")]
)
def test_a_usage_error_quotes_what_was_typed_without_obeying_it(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, list(words))

    assert done.exit_code == 2
    assert not set(done.output) & {"\x9b", "\u202e"}
