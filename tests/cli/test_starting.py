"""What a command imports before it answers: who only looks does not wait for what moves data. How long it takes: bench."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from migrator import cli
from migrator.cli import COMMANDS, app
from migrator.cli.given import take_as_given
from tests.flows.bakery import Bakery

MOVES_DATA = "polars pyarrow numpy jinja2 yaml alembic pydantic faker matplotlib phonenumbers email_validator ftfy"
CARRIES_MESSAGES = "celery kombu redis psutil"
OTHER_DATABASES = "sqlalchemy.orm sqlalchemy.dialects.postgresql sqlalchemy.dialects.mysql psycopg pymysql"
LOOKING = f"{MOVES_DATA} {CARRIES_MESSAGES} {OTHER_DATABASES} migrator.edges.databases migrator.mapping.document"
ANSWERING = f"{LOOKING} sqlalchemy cryptography migrator.runtime migrator.settings migrator.cli.user migrator.cli.show"
IMPORTED = """
import sys
from migrator.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\nimported:", *sys.modules)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bakery with an approved plan."""
    path = tmp_path_factory.mktemp("starting") / "bakery"
    bakery = Bakery(path, customers=12)
    bakery.plan(batch_users=5)
    bakery.write_settings()
    yield path
    bakery.close()


def imported(folder: Path, *words: str) -> set[str]:
    """The modules that are there when a command has ended."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("words", ["--help", "--version"])
def test_help_is_answered_from_the_list_of_commands_alone(words: str, tmp_path: Path) -> None:
    assert imported(tmp_path, words) & set(ANSWERING.split()) == set()


@pytest.mark.parametrize("words", ["user show 7", "user find 7", "status", "wave list", "wave show whole"])
def test_who_only_looks_waits_for_nothing_that_moves_data(words: str, project: Path) -> None:
    assert imported(project, *words.split()) & set(LOOKING.split()) == set()


def test_one_command_does_not_import_the_others(project: Path) -> None:
    commands = {name for name in imported(project, "status") if name.startswith("migrator.cli.")}

    assert commands & {f"migrator.cli.{one.word}" for one in COMMANDS} == set()
    assert "migrator.cli.work" in commands


def test_the_list_of_commands_says_how_the_help_of_each_begins() -> None:
    begins = {one.word: " ".join(one.real.help.split("\n\n")[0].split()) for one in COMMANDS}

    assert begins == {one.word: one.help for one in COMMANDS}


def test_every_file_of_commands_is_in_the_list() -> None:
    folder = Path(sys.modules["migrator.cli"].__file__ or "").parent
    bringing = {
        path.stem
        for path in folder.glob("[a-z]*.py")
        if re.search(r"^(def register|app = )", path.read_text(), re.MULTILINE)
    }

    assert {name for name in bringing if not name.startswith("mapping_")} == {
        one.module.rpartition(".")[2] for one in COMMANDS
    }


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("migrator wav", {"wave"}),
        ("migrator wave s", {"show", "start", "set", "settle"}),
        ("migrator user show --j", {"--json"}),
    ],
)
def test_the_shell_completes_commands_that_are_imported_later(typed: str, offered: set[str]) -> None:
    asking = {"_MIGRATOR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from migrator.cli import app; app(prog_name='migrator')"],
        env=os.environ | asking, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["user", "show"], "Missing argument 'USER'"),
        (["mapping", "preview", "--users", "many"], "Invalid value for '--users'"),
        (["wave", "shwo"], "Did you mean 'show'"),
        (["wav"], "Did you mean 'wave'"),
    ],
)
def test_what_is_missing_or_wrong_is_still_refused(words: list[str], said: str) -> None:
    refused = CliRunner().invoke(app, words)

    assert (refused.exit_code, said in refused.output) == (2, True), refused.output


def test_what_is_typed_arrives_as_it_was_typed() -> None:
    heard = []
    other = typer.Typer()

    @other.command()
    def say(text: str, times: int = 2, also: str | None = None) -> None:
        heard.append((text, times, also))

    command = get_command(other)
    take_as_given(command)
    command.main([" 007 ", "--times", "3"], standalone_mode=False)

    assert heard == [(" 007 ", 3, None)]


def test_an_interruption_in_the_middle_of_another_is_said_by_the_exit_code_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 130
