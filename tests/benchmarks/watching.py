"""A command and all that it starts: CPU and memory per process, looked at some times a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

INTERVAL = 0.3  # seconds; to look more often takes a twentieth of what is measured
WORKER = "billiard.spawn"  # in the command line of a process that moves batches


@dataclass
class Watch:
    """Use it around the waiting for the process *pid*; afterwards it knows what it has seen."""

    pid: int
    cpu: dict[int, float] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)  # the most that each process held, in bytes
    workers: dict[int, list[tuple[float, int]]] = field(default_factory=dict)  # seconds since the start, bytes

    def __enter__(self) -> Self:
        self._began, self._done = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._look_until_done, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """Of all processes together."""
        return sum(self.cpu.values())

    @property
    def peak(self) -> int:
        """The most that one process held, in bytes."""
        return max(self.memory.values(), default=0)

    def _look_until_done(self) -> None:
        while not self._done.wait(INTERVAL):
            try:
                first = psutil.Process(self.pid)
                family = [first, *first.children(recursive=True)]
            except psutil.Error:  # ended between two looks
                continue
            for process in family:
                self._look(process)

    def _look(self, process: psutil.Process) -> None:
        try:
            with process.oneshot():
                times, held, line = process.cpu_times(), process.memory_info().rss, process.cmdline()
        except psutil.Error:
            return
        if not held:
            return  # it has ended, and nobody has asked how
        pid = process.pid
        self.cpu[pid] = times.user + times.system
        self.memory[pid] = max(held, self.memory.get(pid, 0))
        if any(WORKER in word for word in line):
            self.workers.setdefault(pid, []).append((time.monotonic() - self._began, held))
