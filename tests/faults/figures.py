"""What a test of the campaign says of itself: one line of JSON, with the seed that replays it."""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before anything imports Polars

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.oracle import Finding
    from tests.faults.rounds import Told

TICKS = "ticks"  # a file of a project: when its dispatcher looked, by the clock that nobody sets
KINDS = ("lost", "doubled", "wrong", "stale", "books")


def a_seed() -> int:
    """A new one."""
    return random.SystemRandom().randrange(10**6)


def a_folder(*, memory: bool = True) -> Path:
    """In memory, where there is a folder of it: a kill costs no disk, whose honesty is not what is tried."""
    there = "/dev/shm" if memory and os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="faults", dir=there))


def told(test: str, seed: int, run: Callable[[], Told], amount: Callable[[Told], int]) -> int:
    """Run a part of the campaign by forks and print what came of it; 1 where something was found."""
    began = time.monotonic()
    found = run()
    return say(
        test, seed, amount(found), found.findings, time.monotonic() - began,
        points=dict(sorted(found.kills.items())), zombies=dict(sorted(found.zombies.items())),
    )  # fmt: skip


def say(test: str, seed: int, amount: int, findings: Iterable[Finding], seconds: float, **more: object) -> int:
    """Print the line."""
    findings = list(findings)
    counted = Counter(one.what for one in findings)
    line = {"test": test, "amount": amount, **{kind: counted[kind] for kind in KINDS}, "seed": seed}
    line |= {"seconds": round(seconds, 1), "ms_each": round(1000 * seconds / max(1, amount), 1), **more}
    print(json.dumps(line | {"findings": [f"{one.what}: {one.said}" for one in findings]}), flush=True)
    return 1 if findings else 0
