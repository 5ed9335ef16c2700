"""T9: the folder of the logs is full, or nobody may write there. Real workers: they write their logs themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.oracle import counted
from tests.faults.test_full_disk import COUNTING
from tests.flows.bakery import Bakery
from tests.journeys.project import Project, with_patience

CUSTOMERS = 24
SETTINGS = """
[batches]
lease = "5s"
grace = "2s"
ring_again = "2s"
reap_every = "1s"
retry_after = "0s"
"""
FULL = Path("/dev/full")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Three batches are to move."""
    bakery = Bakery(tmp_path / "b", customers=CUSTOMERS)
    with bakery.target() as db:
        db.executescript(COUNTING)
    bakery.write_settings(SETTINGS)
    bakery.plan(batch_users=8)
    bakery.close()
    (bakery.folder / ".migrator").mkdir(exist_ok=True)
    yield Project(bakery.folder)


def _log(project: Project) -> Path:
    return project.folder / ".migrator" / "worker.log"


def _accounts(project: Project) -> int:
    with closing(sqlite3.connect(project.folder / "target.db")) as db:
        return int(db.execute("select count(*) from accounts").fetchone()[0])


def _all_arrived(project: Project) -> None:
    assert project.users() == {"live": CUSTOMERS}
    with closing(sqlite3.connect(project.folder / "target.db")) as db:
        assert list(counted(lambda sql: db.execute(sql).fetchall(), CUSTOMERS, moves=1, rollbacks=0)) == []


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no disk here that is always full")
def test_a_full_disk_of_logs_stops_nobody(project: Project) -> None:
    _log(project).symlink_to(FULL)

    # every worker has something to say: it meets an error that nobody expects
    done = project.ask("run", "--workers", "2", "--yes", timeout=300, MIGRATOR_CRASH="write-fenced:1:raise")

    assert done.code == 0, done.text
    _all_arrived(project)


def test_a_log_that_cannot_be_written_is_named_before_anything_begins(project: Project) -> None:
    _log(project).symlink_to(project.folder / "not mounted" / "worker.log")

    refused = project.do("run", "--workers", "2", "--yes", code=1)

    assert "worker.log cannot be written: No such file or directory" in refused.err
    assert _accounts(project) == 0
    assert project.processes() == []


@pytest.mark.slow
def test_workers_that_cannot_be_started_again_for_want_of_a_log_are_waited_for(project: Project) -> None:
    with project.running("run", "--workers", "2", "--yes") as run:
        with_patience(lambda: len(project.processes("celery")) > 0, 60, "workers", ask_again=0.01)
        _log(project).unlink()
        _log(project).symlink_to(project.folder / "not mounted" / "worker.log")
        for worker in project.processes("celery", "multiprocessing"):
            worker.kill()
        with_patience(lambda: "waiting: the log" in project.log(), 60, "the cause")
        assert _accounts(project) % 8 == 0  # no batch in part
        (project.folder / "not mounted").mkdir()
        with_patience(lambda: run.poll() is not None, 120, "the end of the run")
    assert run.returncode == 0, project.log()
    _all_arrived(project)
