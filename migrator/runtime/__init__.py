"""Assembly: settings -> databases, control, snapshots, key, queue. Decides nothing; imports late, to start fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from migrator import settings as configuration
from migrator.runtime.assembly import Runtime
from migrator.runtime.machine import actor, processors, utc_now
from migrator.runtime.projects import TOML, bundled, make_project
from migrator.settings import duration

__all__ = [
    "TOML", "Runtime", "actor", "admitted", "bundled", "connect", "duration", "make_project", "processors", "utc_now",
]  # fmt: skip

#: The project of the command that goes on now, opened where its caller was let in.
_ADMITTED: ContextVar[Runtime | None] = ContextVar("admitted", default=None)


@contextmanager
def connect(file: Path | None = None) -> Iterator[Runtime]:
    """Open the project of a settings file for one command; it is open already where its caller was let in."""
    let_in = _ADMITTED.get()
    if let_in is not None and file is None:
        yield let_in
        return
    runtime = Runtime(configuration.load(file))
    runtime.begin_logs()
    try:
        yield runtime
    finally:
        runtime.close()


@contextmanager
def admitted(command: str, *, changes: bool) -> Iterator[Runtime]:
    """Open the project for one command, if whoever is there may carry it out; see `Runtime.admit`."""
    with connect() as runtime:
        runtime.admit(command, changes=changes)
        before = _ADMITTED.set(runtime)
        try:
            yield runtime
        finally:
            _ADMITTED.reset(before)
