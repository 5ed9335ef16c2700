"""Who holds a lease: named so that others on the same machine can tell when that process is gone, and need not wait."""

from __future__ import annotations

import os
import socket
from functools import cache
from hashlib import blake2b
from pathlib import Path

BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def here() -> str:
    """Name this process: the machine since its last start, the process, and since when it runs."""
    return f"{_machine()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(owner: str | None) -> bool:
    """Whether *owner* is a process of this machine that runs no more; what runs elsewhere nobody can tell."""
    machine, _, process = (owner or "").partition(":")
    pid, _, started = process.partition(":")
    return machine == _machine() and pid.isdigit() and bool(started) and _started(int(pid)) != started


@cache
def _machine() -> str:
    """A number of a process means something on one host, until it starts again, and within one container."""
    try:
        since, within = BOOT.read_text(encoding="ascii").strip(), os.readlink(NAMESPACE)
    except OSError:
        import psutil

        since, within = f"{psutil.boot_time():.0f}", ""
    return f"{socket.gethostname()}-{blake2b(f'{since} {within}'.encode(), digest_size=4).hexdigest()}"


def _started(pid: int) -> str:
    """When it was started, by the clock of the machine that nobody sets; empty where there is none, or its rest only."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if said[0] in ("Z", "X") else said[19]
    except FileNotFoundError:
        return "" if BOOT.exists() else _asked(pid)
    except (OSError, IndexError):
        return ""


def _asked(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.1f}"
    except psutil.NoSuchProcess:
        return ""
