"""Child processes are ended with all that they started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from migrator.edges import processes
from tests.journeys.project import clean_environment, with_patience

#: When it is told to end it starts somebody, says who, and lives on for as long as it was asked to.
STARTS_AT_THE_LAST_MOMENT = """
import os, signal, subprocess, sys, time

def told(*_):
    late = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with open("late.new", "w") as file:
        file.write(str(late.pid))
    os.rename("late.new", "late")
    time.sleep(float(sys.argv[1]))
    os._exit(0)

signal.signal(signal.SIGTERM, told)
open("ready", "w").close()
time.sleep(60)
"""

#: As the tracker of semaphores of a Celery worker: deaf to signals, and it tidies up when its parent has ended.
TIDIES_UP = """
import os, signal, subprocess, sys, time

heir = "import os, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \
       "open('ready', 'w').close(); sys.stdin.read(); open('tidied', 'w').close()"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", heir], stdin=subprocess.PIPE)
time.sleep(60)
"""


def test_who_was_started_when_his_parent_was_told_to_end_is_ended_too(tmp_path: Path) -> None:
    for lives_on in ("0", "60"):
        folder = tmp_path / lives_on
        folder.mkdir()
        command = [sys.executable, "-c", STARTS_AT_THE_LAST_MOMENT, lives_on]
        child = processes.start(command, clean_environment(), folder, folder / "log")
        with_patience((folder / "ready").exists, 60, "the child")

        processes.end(processes.remember(child, "child"), 5)

        late = int((folder / "late").read_text())
        assert child.wait(10) is not None
        assert not _works(late), f"{late} was left behind"


def test_who_tidies_up_after_a_child_that_had_to_be_killed_may_do_so(tmp_path: Path) -> None:
    child = processes.start([sys.executable, "-c", TIDIES_UP], clean_environment(), tmp_path, tmp_path / "log")
    with_patience((tmp_path / "ready").exists, 60, "the heir")

    processes.end(processes.remember(child, "child"), 0.1)

    assert child.wait(10) == -signal.SIGKILL
    assert (tmp_path / "tidied").exists()


def test_nobody_but_a_child_of_ours_is_ended(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as neighbour:
        child = processes.start([sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path, tmp_path / "log")
        known = processes.remember(child, "child")
        processes.end(known, 5)
        processes.end(known, 5)

        assert child.wait(10) is not None
        assert neighbour.poll() is None
        neighbour.kill()


def _works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
