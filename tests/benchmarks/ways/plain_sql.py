"""The limits: plain SQL, first inside one server, then as a pipe from one connection to another."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.databases import Database
from tests.benchmarks.ways.base import REPOSITORY, Way, WayFailed, nothing
from tests.benchmarks.work import statements, target

INSERT = "INSERT … SELECT"
ONE_STREAM = "psql COPY | psql COPY, one stream"
TWO_STREAMS = "psql COPY | psql COPY, two streams"


def insert_select(legacy: Database, there: Database, users: int) -> None:
    """One transaction inside one PostgreSQL server, or over an attached SQLite file."""
    with there.open() as connection:
        cursor = connection.cursor()
        if there.dialect == "sqlite":
            cursor.execute("pragma foreign_keys = on")
            cursor.execute(f"attach '{legacy.path}' as legacy")
        else:
            cursor.execute(f"set search_path = {legacy.schema}")
        into = f"{there.schema}." if there.schema else "main."
        for table, sql in statements.selects(there.dialect).items():
            cursor.execute(f"insert into {into}{table} ({', '.join(columns(table))}) {sql}")


def one_stream(legacy: Database, there: Database, users: int) -> None:
    """Table by table through one pipe."""
    _wait([_stream(legacy, there, None)])


def two_streams(legacy: Database, there: Database, users: int) -> None:
    """Half of the users each, at the same time."""
    half = users // 2
    _wait([_stream(legacy, there, (1, half)), _stream(legacy, there, (half + 1, users))])


def columns(table: str) -> list[str]:
    """The columns of a target table, in the order of the statements."""
    return [part.split()[0] for part in target.COLUMNS[table].replace("(12, 2)", "").split(",")]


def psql() -> str | None:
    """The program: installed, or of the wheel that brings a server."""
    found = shutil.which("psql")
    wheel = find_spec("pgserver")
    if not found and wheel and wheel.origin:
        inside = Path(wheel.origin).parent / "pginstall" / "bin" / "psql"
        found = str(inside) if inside.exists() else None
    return found


def _stream(legacy: Database, there: Database, users: tuple[int, int] | None) -> subprocess.Popen[str]:
    lines = ["set -e -o pipefail", *_pipes(legacy, there, users)]
    return subprocess.Popen(["bash", "-c", "\n".join(lines)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def _pipes(legacy: Database, there: Database, users: tuple[int, int] | None) -> Iterator[str]:
    for table, sql in statements.selects("postgresql", users).items():
        into = f"copy {there.schema or 'public'}.{table} ({', '.join(columns(table))}) from stdin"
        yield f"{_ask(legacy, f'copy ({sql}) to stdout')} | {_ask(there, into)}"


def _ask(database: Database, sql: str) -> str:
    path = f"set search_path = {database.schema or 'public'}"
    words = [psql() or "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url, "-c", path, "-c", sql]
    return " ".join(map(shlex.quote, words))


def _wait(streams: list[subprocess.Popen[str]]) -> None:
    for stream in streams:
        _, said = stream.communicate()
        if stream.returncode:
            raise WayFailed(f"a stream ended with {stream.returncode}: {said[-1500:]}")


def _no_psql() -> str | None:
    return None if psql() else "psql (the package postgresql-client, or the wheel pgserver)"


WAYS = [
    Way(INSERT, "inside one server; no snapshot, no verify", nothing, insert_select),
    Way(ONE_STREAM, "no snapshot, verify, resume, per-user state", _no_psql, one_stream),
    Way(TWO_STREAMS, "the same, half of the users each: the limit", _no_psql, two_streams),
]
