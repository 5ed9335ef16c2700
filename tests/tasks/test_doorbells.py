"""A task is a doorbell: integers in, one flow called, nothing out; and the same bell twice moves nobody twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from migrator import runtime
from migrator.rollout.states import Wave
from tests.flows.bakery import Bakery

REPOSITORY = Path(__file__).resolve().parents[2]
RING = """
import sys
from tasks import batches, notices, waves
for word in sys.argv[1:]:
    name, *ids = word.split(",")
    {"move": batches.move, "check": waves.check, "deliver": notices.deliver}[name](*map(int, ids))
"""


def ring(folder: Path, *words: str) -> None:
    """Call tasks in a process of their own, as a worker would."""
    environment = os.environ | {
        "MIGRATOR_SETTINGS": str(folder / "migrator.toml"),
        "MIGRATOR_BROKER_URL": "redis://localhost:1/0",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RING, *words],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def a_project(folder: Path) -> Bakery:
    """A bakery with settings, its wave started."""
    from migrator.flows.steering import waves

    bakery = Bakery(folder, customers=6)
    bakery.plan()
    waves.start(bakery.parts, "whole")
    outbox = f'[notices]\nsender = "file"\npath = "outbox"\ntemplates = "{runtime.bundled("templates")}"\n'
    bakery.write_settings(outbox)
    return bakery


def test_a_bell_moves_a_batch_and_a_bell_too_many_does_nothing(tmp_path: Path) -> None:
    bakery = a_project(tmp_path / "b")
    heard = bakery.tick()
    assert [ids for _, ids in heard] == [(1, 1)]

    ring(bakery.folder, "move,1,1", "move,1,1", "move,1,0", "move,99,1", "deliver")

    assert set(bakery.users().values()) == {"live"}
    assert [entry[1:] for entry in bakery.ledger()] == [(1, "move")] * 6
    assert len(list((bakery.folder / "outbox").iterdir())) == 6  # told in the transaction of the move, sent by a bell
    bakery.tick()
    assert bakery.wave().status is Wave.CHECKING
    ring(bakery.folder, f"check,{bakery.wave().id}", f"check,{bakery.wave().id}")
    bakery.tick()
    assert bakery.wave().status is Wave.PASSED
