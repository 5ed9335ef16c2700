"""The open project of a worker process: connected before the first message, kept for the next."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.edges.words import Speaker
    from migrator.runtime import Runtime


@cache
def runtime() -> Runtime:
    """This process's runtime; the settings file is named by the environment."""
    from migrator import settings
    from migrator.runtime import Runtime

    return Runtime(settings.load())


def open_early() -> None:
    """Connect, and compile the mappings of the plan; what does not work now, the first message meets again and tells."""
    from migrator.errors import MigratorError
    from migrator.store import plans

    with suppress(MigratorError):
        parts = runtime().parts
        with parts.control.read() as db:
            plan = plans.current(db)
        if plan:
            parts.stored_set(plan.set_hash)
        parts.legacy.ping(), parts.target.ping()


@cache
def speaker() -> Speaker:
    """With what this process tells the dispatcher that something has ended."""
    from migrator.edges.words import Speaker
    from tasks.app import app

    return Speaker(app.conf.broker_url)


def owner() -> str:
    """Who holds a lease: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
