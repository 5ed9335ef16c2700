"""The open project of a worker process: connected on the first message, kept for the next."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.runtime import Runtime


@cache
def runtime() -> Runtime:
    """This process's runtime; the settings file is named by the environment."""
    from migrator import settings
    from migrator.runtime import Runtime

    return Runtime(settings.load())


def owner() -> str:
    """Who holds a lease: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
