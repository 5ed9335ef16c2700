"""
P9: how long a command takes from a cold start; the first ones, which fill the file cache, are not counted.

Python may keep what it compiled, as it does of an installed package: a checkout in which it may not is compiled anew by
every command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.contest import Arena
from tests.benchmarks.databases import Servers
from tests.benchmarks.figures import Figure
from tests.benchmarks.work import target

TIMES = 8


def start(servers: Servers) -> Iterator[Figure]:
    """`--help` anywhere, `user show` in a project with a plan."""
    anywhere = Path(tempfile.gettempdir())
    bare = statistics.median(seconds([sys.executable, "-c", "pass"], anywhere) for _ in range(5))
    yield _cold("P9 migrator --help", ["--help"], anywhere, 0.5, bare)
    arena = Arena.prepare(servers, "sqlite", "sqlite", 200)
    target.build(arena.target)
    project = arena.project(batch=100)
    project.plan()
    yield _cold("P9 migrator user show", ["user", "show", "7"], project.folder, 0.9, bare)


def seconds(command: list[str], folder: Path) -> float:
    """How long a command takes that must succeed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MIGRATOR_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def migrator(*arguments: str) -> list[str]:
    """The command line of the environment that runs this."""
    return [str(Path(sys.executable).with_name("migrator")), *arguments]


def _cold(name: str, arguments: list[str], folder: Path, limit: float, bare: float) -> Figure:
    times = sorted(seconds(migrator(*arguments), folder) for _ in range(TIMES + 1))[:TIMES]
    about = f"median of {TIMES}, slowest {times[-1]:.2f}; Python alone {bare:.2f}"
    return Figure(name, statistics.median(times), limit, about)
