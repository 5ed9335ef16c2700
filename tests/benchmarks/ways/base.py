"""A way to do the work; every way fills the same empty tables, and its result is checked like ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks.databases import Database
from tests.benchmarks.work import statements

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Way:
    """
    One way.

    `missing` says what must be installed first (None: it is all there), `move` fills the target from legacy; it is told
    the number of users.
    """

    name: str
    about: str
    missing: Callable[[], str | None]
    move: Callable[[Database, Database, int], None]


class WayFailed(Exception):
    """A tool ended without doing its work."""


def nothing() -> None:
    """Nothing has to be installed."""


def call(command: list[str], text: str | None = None, seconds: float = 1800) -> str:
    """Run a tool that must succeed; gives what it said."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=seconds, cwd=REPOSITORY
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise WayFailed(f"`{command[0]} …` ended with {done.returncode}: {said[-1500:]}")
    return said


def script(module: str, legacy: Database, target: Database) -> None:
    """Run a module of this folder in a process of its own, as somebody's script would be run."""
    sides = [legacy.url, legacy.schema or "", target.url, target.schema or ""]
    call([sys.executable, "-m", f"tests.benchmarks.ways.{module}", *sides])


def host_and_name(database: Database) -> tuple[str, str]:
    """Where a PostgreSQL database is: the folder of its socket, and its name."""
    parts = urlsplit(database.url)
    return parse_qs(parts.query)["host"][0], parts.path.lstrip("/")


@contextmanager
def views(legacy: Database) -> Iterator[list[str]]:
    """For tools that read tables only: the statements of the work as views of the legacy database."""
    made = statements.selects(legacy.dialect)
    legacy.run(";".join(f"create view {table} as {sql}" for table, sql in made.items()))
    try:
        yield list(made)
    finally:
        legacy.run(";".join(f"drop view {table}" for table in made))
