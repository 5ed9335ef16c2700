"""Processes beside this one: jobs are shared, errors come back, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from migrator.edges import processes
from migrator.edges.companions import Companions
from migrator.errors import DatabaseRefused

SERVE = "import os, time; from migrator.edges import companions; from migrator.errors import DatabaseRefused\n"
#: Says who did it, and waits until somebody else had time to take one, too.
WORKS = "companions.serve(lambda task, job: time.sleep(0.2) or (print('on paper') or task, job, os.getpid()))"
REFUSES = "def f(task, job): raise DatabaseRefused('unique', '23505', 'email', 'accounts')\ncompanions.serve(f)"
DIES = "companions.serve(lambda task, job: os._exit(9))"


def companions(script: str) -> Companions:
    return Companions([sys.executable, "-c", SERVE + script], {}, 2)


def here(job: int) -> tuple[str, int, int]:
    time.sleep(0.2)
    return "here", job, os.getpid()


def test_jobs_are_done_here_and_beside_each_once() -> None:
    found = dict(companions(WORKS).share("task", list(range(20)), here, 1))

    assert sorted(found) == list(range(20))
    assert all(job == place for place, (_, job, _) in found.items())
    assert len({who for _, _, who in found.values()}) == 2
    assert {said for said, _, _ in found.values()} == {"here", "task"}


def test_the_job_of_one_that_dies_is_done_here(caplog: pytest.LogCaptureFixture) -> None:
    found = dict(companions(DIES).share("task", list(range(15)), here, 1))

    assert {who for _, _, who in found.values()} == {os.getpid()}
    assert sorted(found) == list(range(15))
    assert "a companion ended before it answered; its part is done here" in caplog.text


def test_what_a_companion_raises_is_raised_here() -> None:
    with pytest.raises(DatabaseRefused, match="unique email of accounts"):
        list(companions(REFUSES).share("task", list(range(200)), here, 1))


def test_who_was_expected_does_the_work_and_who_was_not_wanted_goes_home() -> None:
    before = set(psutil.Process().children())
    ours = companions(WORKS)
    with ours.expected(2):
        early = {one.pid for one in set(psutil.Process().children()) - before}
        found = dict(ours.share("task", list(range(20)), here, 1))
        beside = {who for _, _, who in found.values()} - {os.getpid()}

    assert len(early) == 2
    assert len(beside) == 1
    assert beside < early
    assert set(psutil.Process().children()) <= before


def test_who_was_expected_goes_home_when_the_preparation_fails() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(DatabaseRefused), companions(WORKS).expected(1):
        raise DatabaseRefused("unique", "23505", "email", "accounts")

    assert set(psutil.Process().children()) <= before


def test_none_is_left_when_nobody_wants_the_rest() -> None:
    before = set(psutil.Process().children())
    with closing(companions(WORKS).share("task", list(range(50)), here, 1)) as done:
        next(done)
        assert set(psutil.Process().children()) > before

    assert set(psutil.Process().children()) == before


def test_none_is_left_when_the_first_is_killed() -> None:
    script = f"""if True:
        import sys, time
        from migrator.edges.companions import Companions
        beside = Companions([sys.executable, "-c", {SERVE + WORKS!r}], {{}}, 2)
        print("begun", flush=True)
        list(beside.share("task", list(range(1000)), lambda job: time.sleep(0.2), 1))
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdout.readline()
        children = _in_time(lambda: psutil.Process(first.pid).children())
        first.send_signal(signal.SIGKILL)

    assert processes.still_there(children, 10) == []


def _in_time(look: object) -> list[psutil.Process]:
    for _ in range(200):
        if found := look():  # type: ignore[operator]
            return found  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError("it did not come in time")
