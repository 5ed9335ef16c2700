"""The open project of a worker process: connected before the first message, kept for the next."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from migrator.edges import holders

if TYPE_CHECKING:
    from migrator.edges.words import Speaker
    from migrator.runtime import Runtime


@cache
def runtime() -> Runtime:
    """This process's runtime; the settings file is named by the environment."""
    from migrator import settings
    from migrator.runtime import Runtime

    return Runtime(settings.load())


@cache
def speaker() -> Speaker:
    """With what this process tells the dispatcher that something has ended."""
    from migrator.edges.words import Speaker
    from tasks.app import app

    return Speaker(app.conf.broker_url)


def owner() -> str:
    """Who holds a lease: this process."""
    return holders.here()
