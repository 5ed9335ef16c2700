"""Wall clock and CPU of one piece of work: of ourselves and what we waited for, and of the database servers beside."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psutil

T = TypeVar("T")


@dataclass(frozen=True)
class Took:
    """Seconds."""

    wall: float
    cpu: float  # ours, and that of every process we waited for
    server: float  # of the database servers

    def less(self, other: Took) -> Took:
        """What is left when a part of it is taken away."""
        return Took(self.wall - other.wall, self.cpu - other.cpu, self.server - other.server)

    def __str__(self) -> str:
        return f"{self.wall:8.2f} s   cpu {self.cpu:7.2f}   server {self.server:7.2f}"


def timed(work: Callable[[], T], servers: Sequence[int] = ()) -> tuple[T, Took]:
    """Do *work*; *servers* are the first processes of the database servers."""
    ours, theirs, began = _ours(), of_servers(servers), time.perf_counter()
    result = work()
    wall = time.perf_counter() - began
    return result, Took(wall, _ours() - ours, of_servers(servers) - theirs)


def _ours() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def of_servers(servers: Sequence[int]) -> float:
    """CPU seconds so far of the servers with these first processes."""
    total = 0.0
    for server in servers:
        first = psutil.Process(server)
        total += sum(first.cpu_times()[:4])  # with the children that have ended
        for child in first.children():
            try:
                total += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:  # a connection that was just closed
                continue
    return total
