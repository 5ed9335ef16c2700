"""What the machine knows: the time, who is at the keyboard, how many processors there are."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The clock on the wall, aware."""
    return datetime.now(UTC)


def actor() -> str:
    """Who is at the keyboard, as far as the machine knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
