"""pgloader: PostgreSQL to PostgreSQL, the statements of the work as views, the tables that are there as target."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.benchmarks.databases import Database
from tests.benchmarks.ways.base import Way, WayFailed, call, host_and_name, views

COMMAND = """
load database from {source} into {sink}
with data only, include no drop, reset no sequences, workers = 2, concurrency = 1
including only table names matching 't_user' in schema '{old}'
materialize views {views}
alter schema '{old}' rename to '{new}';
"""


def load(legacy: Database, target: Database, users: int) -> None:
    """It takes foreign keys away, loads two tables at a time and makes the keys again."""
    with views(legacy) as tables, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "work.load"
        names = ", ".join(f"{legacy.schema}.{table}" for table in tables)
        file.write_text(
            COMMAND.format(source=_url(legacy), sink=_url(target), old=legacy.schema, new=target.schema, views=names)
        )
        said = call(["pgloader", "--root-dir", folder, str(file)])
    if "Total import time" not in said:  # it ends with 0 whatever happened
        raise WayFailed(f"pgloader: {said[-1500:]}")


def _url(database: Database) -> str:
    host, name = host_and_name(database)
    return f"pgsql://postgres@unix:{host}:5432/{name}"


def _missing() -> str | None:
    return None if shutil.which("pgloader") else "pgloader (the package pgloader)"


WAY = Way("pgloader", "COPY, foreign keys made anew afterwards; no snapshot, verify, resume", _missing, load)
