"""
`make bench-profile`: one batch moved in this process under a profiler: seconds per step, and the ten costliest places.

The batch is one of the work, of full size, and not the first: what is opened once is open. Steps are named after the
functions that do them; a profiler makes Python dearer than it is, so look at shares, not at seconds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrator import runtime
from migrator.flows.moving import batches
from migrator.flows.steering import waves
from migrator.rollout.states import Batch
from migrator.store import batches as store
from tests.benchmarks.contest import Arena
from tests.benchmarks.databases import DIALECTS, Servers
from tests.benchmarks.projects import Project

REPOSITORY = Path(__file__).resolve().parents[2]
#: step -> the files and functions that do it.
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "claim": (("flows/moving/batches.py", "claim"),),
    "read legacy": (("flows/moving/reading.py", "read"),),
    "map": (("flows/moving/reading.py", "map_"),),
    "look at the target": (("flows/moving/writing.py", "look"),),
    "snapshot": (("flows/moving/batches.py", "keep"),),
    "fence and ledger": (("edges/databases/writer.py", "fence"), ("edges/databases/writer.py", "take")),
    "look again under locks": (("flows/moving/writing.py", "_unchanged"),),
    "stage and merge": (("edges/databases/writer.py", "add"), ("edges/databases/writer.py", "write")),
    "read back": (("flows/moving/writing.py", "_compare"),),
    "compare": (("mapping/compare.py", "differences"),),
    "look at legacy again": (("flows/moving/reading.py", "require_unchanged"),),
    "record": (("flows/moving/recording.py", "record"),),
}
#: What is done within a step, but is a step of its own.
WITHIN = {"read back": "compare"}
PLACES = 10
WHOLE = 0.6  # of the time


def main() -> None:
    """Make the work, plan it, move a batch to warm up and one under the profiler."""
    wanted = _arguments()
    with Servers() as servers:
        arena = Arena.prepare(servers, wanted.legacy, wanted.target, 4 * wanted.batch)
        project = arena.project(wanted.batch)
        project.plan()
        stats, wall, users = _profiled(project)
    print(f"one batch of {users:,} users, {wanted.legacy} to {wanted.target}: {wall:.2f} s under the profiler")
    _print_steps(stats, wall)
    _print_places(stats, wall)


def _profiled(project: Project) -> tuple[dict[Any, Any], float, int]:
    profiler = cProfile.Profile()
    with runtime.connect(project.folder) as opened:
        parts = opened.parts
        wave = waves.start(parts, "whole")
        with parts.control.read() as db:
            ready = sorted(store.of_wave(db, wave.id, (Batch.READY,)), key=lambda batch: batch.users)
        before, batch = ready[-2:]
        batches.move(parts, before.id, None, "profile")
        began = time.perf_counter()
        profiler.runcall(batches.move, parts, batch.id, None, "profile")
        wall = time.perf_counter() - began
        with parts.control.read() as db:
            moved = store.get(db, batch.id)
        if moved is None or moved.status is not Batch.DONE:
            raise SystemExit(f"the batch was not moved: {moved and (moved.status, moved.error)}")
    return pstats.Stats(profiler).stats, wall, batch.users  # type: ignore[attr-defined]


def _print_steps(stats: dict[Any, Any], wall: float) -> None:
    named = 0.0
    print(f"\n{'step':<26}{'seconds':>9}{'share':>8}")
    for step, places in STEPS.items():
        seconds = _seconds(stats, places)
        if seconds is None:
            names = ", ".join(f"{name} in {file}" for file, name in places)
            print(f"{step:<26}{'-':>9}{'-':>8}  no call was seen of {names}")
            continue
        own = seconds - (_seconds(stats, STEPS[WITHIN[step]]) or 0.0 if step in WITHIN else 0.0)
        named += own
        print(f"{step:<26}{own:9.3f}{own / wall:8.0%}")
    print(f"{'everything else':<26}{wall - named:9.3f}{(wall - named) / wall:8.0%}")


def _seconds(stats: dict[Any, Any], places: tuple[tuple[str, str], ...]) -> float | None:
    """In these functions and in all that they call; None where none of them was called."""
    found = [
        row[3]
        for (path, _, name), row in stats.items()
        for file, wanted in places
        if name == wanted and path.endswith(file)
    ]
    return sum(found) if found else None


def _print_places(stats: dict[Any, Any], wall: float) -> None:
    print(f"\nthe {PLACES} costliest places, by themselves\n{'seconds':>8}{'calls':>9}  where")
    for place, (_, calls, own, _, _) in _costliest(stats, lambda row: float(row[2])):
        print(f"{own:8.3f}{calls:9,}  {_where(place)}")
    # whatever takes nearly all of the time only hands on to the others
    ours = {place: row for place, row in stats.items() if "/migrator/" in place[0] and row[3] < WHOLE * wall}
    print(f"\nthe {PLACES} costliest functions of ours, with all that they call\n{'seconds':>8}{'calls':>9}  where")
    for place, (_, calls, _, cumulative, _) in _costliest(ours, lambda row: float(row[3])):
        print(f"{cumulative:8.3f}{calls:9,}  {_where(place)}")


def _costliest(stats: dict[Any, Any], cost: Callable[[Any], float]) -> list[tuple[Any, Any]]:
    return sorted(stats.items(), key=lambda item: -cost(item[1]))[:PLACES]


def _where(place: tuple[str, int, str]) -> str:
    file, line, name = place
    if line == 0:
        return name
    shown = file.removeprefix(f"{REPOSITORY}/").partition("site-packages/")
    return f"{shown[2] or shown[0]}:{line} {name}"


def _arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="make bench-profile", description="Profile one batch.")
    reader.add_argument("--legacy", choices=DIALECTS, default="postgresql")
    reader.add_argument("--target", choices=DIALECTS, default="postgresql")
    reader.add_argument("--batch", type=int, default=5_000, help="users per batch (5,000)")
    return reader.parse_args()


if __name__ == "__main__":
    main()
