"""
`make bench`: what is measured, the limit it must stay under, and the verdict, as one table.

The start of the command line (P9), the mapping core against the same by hand, and the Magento shop with 300 customers
where the real data is.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

SETTINGS = """
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "sqlite:///target.sqlite"
[mappings]
path = "{repository}/mappings/magento1"
[plan]
soak = "0s"
cutover = "immediate"
[batches]
users = 100
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table; without a limit it is only told."""

    name: str
    seconds: float
    limit: float | None
    about: str

    def __str__(self) -> str:
        limit = f"{self.limit:8.2f}" if self.limit is not None else "       -"
        ratio = f"{self.seconds / self.limit:6.2f}" if self.limit is not None else "     -"
        verdict = "" if self.limit is None else "ok" if self.seconds <= self.limit else "TOO SLOW"
        return f"{self.name:<34}{self.seconds:9.2f}{limit}{ratio}  {verdict:<9} {self.about}"


def seconds(command: list[str], folder: Path) -> float:
    """How long a command takes that must succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
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


def start() -> Iterator[Figure]:
    """P9: a cold `--help`, nine times; the first one, which fills the file cache, is not counted."""
    folder = Path(tempfile.gettempdir())
    times = sorted(seconds(migrator("--help"), folder) for _ in range(9))[:8]
    bare = statistics.median(seconds([sys.executable, "-c", "pass"], folder) for _ in range(5))
    about = f"P9; median of 8, slowest {times[-1]:.2f}; Python alone {bare:.2f}"
    yield Figure("migrator --help", statistics.median(times), 0.5, about)


def mapping_core() -> Iterator[Figure]:
    """12 steps over 6 fields on one thread: 1.5 million rows/s, or within 15 % of the same pipeline by hand in Polars."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("mapping_core.py"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the mapping core cannot be measured:\n{done.stdout}{done.stderr}")
    for one in json.loads(done.stdout):
        speed = one["rows"] / one["engine"] / 1e6
        about = f"CPU; {speed:.2f} M rows/s; by hand {one['hand']:.2f} s; ratio {one['ratio']:.2f} (median of pairs)"
        limit = max(one["rows"] / 1.5e6, 1.15 * one["engine"] / one["ratio"])
        yield Figure(f"map {one['rows']:,} rows, {one['bad']:.0%} bad", one["engine"], limit, about)


def magento() -> Iterator[Figure]:
    """The Magento shop with 300 customers, SQLite to SQLite, step by step."""
    folder = Path(os.environ.get("MIGRATOR_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "magento1"
    if not folder.is_dir():
        print("Magento is left out: MIGRATOR_REAL_DATA names no folder with real data")
        return
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        _prepare(project, folder)
        for step in ("store upgrade", "tier assign", "plan create", "plan approve --yes"):
            yield Figure(f"magento 300: {step}", seconds(migrator(*step.split()), project), None, "")
        yield Figure(
            "magento 300: run", seconds(migrator("run", "--workers", "2", "--yes"), project), None, _rows(project)
        )
        yield Figure("magento 300: verify", seconds(migrator("verify"), project), None, "every value again")
        yield Figure("magento 300: rollback all", seconds(migrator("rollback", "all", "--yes"), project), None, "")


def _prepare(project: Path, data: Path) -> None:
    with gzip.open(data / "legacy_300.sqlite.gz") as packed, (project / "legacy.sqlite").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    with closing(sqlite3.connect(project / "target.sqlite")) as db:
        db.executescript((data / "new_schema.sqlite.sql").read_text())
    (project / "migrator.toml").write_text(SETTINGS.format(repository=REPOSITORY))


def _rows(project: Path) -> str:
    """A fast wrong answer is no answer: everybody must be there."""
    with closing(sqlite3.connect(project / "target.sqlite")) as db:
        (users,) = db.execute("select count(*) from accounts").fetchone()
        (lines,) = db.execute("select count(*) from order_lines").fetchone()
    if (users, lines) != (300, 27_226 - _guests_lines(project)):
        sys.exit(f"the run left {users} accounts and {lines} order lines behind")
    return f"{users} users, {lines} order lines"


def _guests_lines(project: Path) -> int:
    with closing(sqlite3.connect(project / "legacy.sqlite")) as db:
        found = db.execute(
            "select count(*) from sales_flat_order_item i join sales_flat_order o on o.entity_id = i.order_id"
            " where o.customer_id is null"
        ).fetchone()
    return int(found[0])


def main() -> None:
    """Print the table as it grows; end with 1 if a limit was crossed."""
    print(f"{'what':<34}{'seconds':>9}{'limit':>8}{'ratio':>6}  verdict   about")
    slow = False
    parts: list[Callable[[], Iterator[Figure]]] = [start, mapping_core, magento]
    for part in parts:
        for figure in part():
            print(figure, flush=True)
            slow = slow or (figure.limit is not None and figure.seconds > figure.limit)
    sys.exit(slow)


if __name__ == "__main__":
    main()
