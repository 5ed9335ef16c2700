"""A worker that is told to end does so, wherever the telling finds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.bakery import Bakery, settings_text
from tests.journeys.project import REPOSITORY, Project, clean_environment, with_patience

#: It is told while something is cleaned up, where Python shows an interruption to nobody.
DEAF_FOR_A_MOMENT = """
import os, signal, sys
from migrator import cli
from migrator.flows.steering.dispatching import Dispatcher

telling = getattr(signal, sys.argv.pop())

class Cleaned:
    def __del__(self):
        os.kill(os.getpid(), telling)
        sum(range(1000))

tick, kept = Dispatcher.tick, [Cleaned()]

def last(self):
    kept.clear()
    return tick(self)

Dispatcher.tick = last
cli.main()
"""


@pytest.mark.parametrize("telling", ["SIGINT", "SIGTERM"])
def test_a_worker_ends_even_if_it_was_told_where_nothing_can_be_raised(tmp_path: Path, telling: str) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=6)
    bakery.plan()
    bakery.close()
    project = Project.create(tmp_path / "project", settings_text(bakery=bakery.folder))

    done = subprocess.run(
        [sys.executable, "-c", DEAF_FOR_A_MOMENT, "worker", telling], cwd=project.folder, timeout=120, check=False,
        env=clean_environment(PYTHONPATH=str(REPOSITORY)), capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "ended in good order" in done.stdout
    with_patience(lambda: not project.processes(), 10, "the end of all that it started")
