"""What is logged names nobody and quotes nothing, whoever logs it; a line is a line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from migrator import logs
from migrator.edges.keys import ProjectKey
from migrator.errors import Refused, Unreachable
from tests.postgresql_server import PostgresqlServer

REPOSITORY = Path(__file__).resolve().parents[1]
KEY = ProjectKey(bytes(32))


@pytest.fixture
def begun(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Logging as a project begins it, and as it was before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    logs.begin("text", "info", KEY.alias)
    yield
    root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)
    logging.captureWarnings(False)
    logs.User.alias = None


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was written to standard error."""
    return capsys.readouterr().err


@pytest.mark.usefixtures("begun")
def test_a_user_is_an_alias_that_only_the_key_explains(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("migrator.batches").info("%s and %s wait", logs.User("ann@x.example"), logs.User("4711"))

    line = said(capsys)
    assert line.endswith(f": user {KEY.alias('ann@x.example')} and user {KEY.alias('4711')} wait\n")
    assert len(KEY.alias("4711")) == 12
    assert ProjectKey(b"1" * 32).alias("4711") != KEY.alias("4711")
    assert "migrator.batches" in line and " info " in line


def test_without_the_key_a_user_has_no_name_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs.User, "alias", None)

    assert f"{logs.User('4711')} {logs.User('4711')!r}" == "user ? user ?"


@pytest.mark.usefixtures("begun")
def test_an_exception_is_its_class_and_place_never_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("migrator.batches", "celery.app.trace"):
        try:
            raise KeyError("ann@x.example, 12 Long Street")
        except KeyError as error:
            logging.getLogger(name).exception("task %s broke: %r", "move", error)  # noqa: TRY401 (as Celery does)
            logging.getLogger(name).error("broke: %s", error)  # noqa: TRY400 (that it is none is the point)

    lines = said(capsys)
    assert "Long Street" not in lines
    assert "x.example" not in lines
    assert "Traceback" not in lines
    assert lines.count("KeyError at test_logs.py:") == 5
    assert "task move broke" in lines


@pytest.mark.usefixtures("begun")
def test_of_what_a_database_says_code_and_constraint_stay(
    capsys: pytest.CaptureFixture[str], postgresql: PostgresqlServer
) -> None:
    engine = sa.create_engine(postgresql.url().replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        db.exec_driver_sql("create table account (email text constraint account_email_key unique)")
        db.exec_driver_sql("insert into account values ('zoe canary')")
    try:
        with engine.begin() as db:
            db.execute(sa.text("insert into account values (:email)"), {"email": "zoe canary"})
    except sa.exc.IntegrityError as error:
        assert "zoe canary" in str(error), "that is what must not be logged"
        logging.getLogger("migrator.x").warning("refused: %s", error)
        logging.getLogger("sqlalchemy.pool").warning("refused: " + str(error).replace("%", "%%"))
        assert isinstance(error.orig, psycopg.Error)
    engine.dispose()

    lines = said(capsys)
    assert "zoe canary" not in lines
    assert "refused: IntegrityError (23505 account_email_key) at " in lines


@pytest.mark.usefixtures("begun")
def test_our_own_sentences_are_said_without_addresses_and_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("migrator.x")
    log.warning("%s", Unreachable("cannot reach redis://mig:s3cret@host.example:6379/0"))
    log.warning("given up: %s", Refused("user ann@x.example has no wave"))

    lines = said(capsys)
    assert "redis://mig:***@host.example:6379/0" in lines
    assert "user (address) has no wave" in lines
    assert "s3cret" not in lines


@pytest.mark.usefixtures("begun")
def test_nobody_begins_a_line_of_his_own(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("migrator.x").warning("wave %s waits", "a\r\n2030-01-01T00:00:00Z info all is well\x1b[2J\u2028x")

    assert len(said(capsys).splitlines()) == 1


@pytest.mark.usefixtures("begun")
def test_what_cannot_be_said_breaks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("migrator.x").warning("%s and %d", "ann", "x")

    assert "a line that cannot be said: " in said(capsys)


@pytest.mark.usefixtures("begun")
def test_a_warning_is_its_place_and_class(capsys: pytest.CaptureFixture[str]) -> None:
    warnings.simplefilter("always")
    warnings.warn("zoe canary is too long", stacklevel=1)

    line = said(capsys)
    assert "test_logs.py" in line and "UserWarning" in line
    assert "zoe" not in line


def test_json_has_one_object_per_line(capsys: pytest.CaptureFixture[str], begun: None) -> None:
    logs.begin("json", "warning", KEY.alias)
    logging.getLogger("migrator.x").warning('wave "%s" waits', "pi\nlot")
    logging.getLogger("migrator.x").info("not said")

    (line,) = said(capsys).splitlines()
    found = json.loads(line)
    assert {**found, "at": "", "process": 0} == {
        "at": "", "level": "warning", "logger": "migrator.x", "process": 0, "message": 'wave "pi\\nlot" waits',
    }  # fmt: skip


@pytest.mark.parametrize(
    "act",
    [
        "raise ValueError('zoe canary')",
        "import threading; t = threading.Thread(target=lambda: int('zoe canary')); t.start(); t.join()",
        "type('T', (), {'__del__': lambda self: int('zoe canary')})()",
    ],
    ids=["in the end", "in a thread", "in a destructor"],
)
def test_what_nobody_catches_is_said_without_its_words(act: str) -> None:
    code = f"from migrator import logs\nlogs.begin('text', 'warning')\n{act}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)

    assert "not caught: ValueError" in done.stderr
    assert "canary" not in done.stderr


def test_a_task_that_breaks_says_nothing_of_what_broke_it(tmp_path: Path) -> None:
    (tmp_path / "migrator.toml").write_text("", encoding="utf-8")
    code = """
from tasks.app import app
@app.task(name="breaks")
def breaks(one):
    raise RuntimeError("zoe canary " + str(one))
app.log.setup("WARNING")
app.tasks["breaks"].apply(args=(7,), throw=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "MIGRATOR_BROKER_URL": "redis://localhost:1/0", "PATH": ""},
    )  # fmt: skip

    assert "celery.app.trace" in done.stderr, done.stderr
    assert "RuntimeError at <string>:5 breaks" in done.stderr
    assert "canary" not in done.stderr + done.stdout


@given(st.text(), st.emails(), st.text())
def test_no_address_gets_through_wherever_it_stands(before: str, address: str, after: str) -> None:
    masked = logs.masked({"reason": [f"{before} {address} {after}"]})["reason"][0]

    assert address not in masked or "." not in address.rpartition("@")[2]


@given(st.text())
def test_one_line_is_one_line_and_says_the_same(text: str) -> None:
    line = logs.one_line(text)

    assert len(line.splitlines()) <= 1
    assert not set(line) & set("\r\n\x00\x1b\x85\u2028")
