"""Nobody's name, address, phone, note or password is found where it does not belong, whatever goes wrong on the way."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.journeys.canaries import Ears, a_shop, files, kept_in_redis, leaks
from tests.journeys.project import Project, Ran, with_patience
from tests.postgresql_server import PostgresqlServer

pytestmark = pytest.mark.slow

#: Beside legacy itself, what belongs into an e-mail is in the e-mails, and nowhere else.
BELONGS = ("legacy.sqlite", "sent/", "mappings/")


@pytest.fixture(scope="module")
def places(postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Everything that was said and written while users with canaries were moved, verified, reported and put back."""
    project = a_shop(tmp_path_factory.mktemp("canaries") / "shop", postgresql.url())
    project.do("store", "upgrade")
    for words in (("tier", "assign"), ("plan", "create"), ("plan", "approve", "--yes")):
        project.do(*words)
    with Ears(project) as ears, project.running("run", "--workers", "2", "--yes") as run:
        with_patience(lambda: _workers(project) and kept_in_redis(project) != b"", 60, "workers and a message")
        in_redis = kept_in_redis(project)
        _crash_one(project)
        with_patience(lambda: run.poll() is not None, 240, "the end of the run", ask_again=0.5)
    said = [
        project.do("verify", "--json"), project.do("report"), project.do("report", "--json"),
        project.do("wave", "show", "whole"), project.do("review", "list"), project.do("user", "show", "7"),
        project.do("rollback", "all", "--yes"), project.do("audit", "export"), project.do("audit", "verify"),
    ]  # fmt: skip
    users = project.users()
    assert {status for status in users if status != "live"} == {"rolled_back", "held", "failed"}, users
    found = {each.command: _output(each) for each in said} | ears.heard | {"keys of redis": in_redis}
    return found | files(project.folder, *BELONGS)


def test_no_canary_sings_where_it_does_not_belong(places: dict[str, bytes]) -> None:
    assert leaks(places) == {}


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("run.log", b"wave whole"),
        (".migrator/worker.log", b"unique accounts_called of accounts (23505)"),
        (".migrator/worker.log", b"read back differ"),
        (".migrator/control.db", b"accounts_called"),
        (".migrator/journal.anchors", b"pass wave whole"),
        ("report.html", b"accounts_called"),
        ("redis", b"mig.batch"),
        ("keys of redis", b"_kombu"),
        ("process list", b"tasks.app"),
        ("migrator review list", b"it is no e-mail address"),
        ("migrator audit export", b"roll back"),
    ],
)
def test_they_were_looked_for_where_something_is_said(places: dict[str, bytes], place: str, word: bytes) -> None:
    assert word in places[place]


def test_what_legacy_holds_would_be_found(places: dict[str, bytes], tmp_path: Path) -> None:
    shop = a_shop_file(tmp_path)

    assert len(leaks(shop)["legacy.sqlite"]) > 1


def a_shop_file(folder: Path) -> dict[str, bytes]:
    """Legacy as it is, to be sure that the search can find something."""
    import sqlite3

    with sqlite3.connect(folder / "legacy.sqlite") as db:
        db.execute("create table customer as select 'Xqname 7' as name")
    db.close()
    return files(folder)


def _workers(project: Project) -> list[psutil.Process]:
    """The children that carry out tasks."""
    parents = [one for one in project.processes("celery") if "worker" in one.cmdline()]
    return [child for parent in parents for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]


def _crash_one(project: Project) -> None:
    """One of the workers dies in the middle of its work, and says what it says."""
    victims = _workers(project)
    victims[0].send_signal(signal.SIGSEGV)


def _output(ran: Ran) -> bytes:
    return ran.text.encode()
