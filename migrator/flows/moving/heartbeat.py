"""Keep a batch's lease while its worker makes progress; tell the worker when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from migrator.errors import Fenced, MigratorError
from migrator.flows.parts import Parts
from migrator.store import batches, leases

LONG_STEP = 600.0  # the same of who verifies: thousands of users are one step
STUCK = 120.0  # seconds without progress after which the lease is let go: a live but stuck worker must lose it


class Pulse:
    """What the working thread calls between its steps."""

    def __init__(self, lease_seconds: float, patience: float = STUCK) -> None:
        self._lease, self._patience = lease_seconds, patience
        self._lost = threading.Event()
        self._renewed = self._progress = time.monotonic()

    def progress(self) -> None:
        """Say that a step is done. Fenced when the lease is gone, by the database's word or by our own clock."""
        if self._lost.is_set() or time.monotonic() - self._renewed > self._lease * 5 / 6:
            raise Fenced("the lease is lost; somebody else may have it")
        self._progress = time.monotonic()

    def renewed(self, asked_at: float) -> None:
        """The database has kept the lease for us, from when we asked at the earliest."""
        self._renewed = asked_at

    def lose(self) -> None:
        """The database has given it to somebody else."""
        self._lost.set()

    @property
    def stuck(self) -> bool:
        """Whether no step has ended for too long."""
        return time.monotonic() - self._progress > max(self._patience, 2 * self._lease)


def beating(parts: Parts, batch: batches.Batch) -> AbstractContextManager[Pulse]:
    """Keep the lease of a batch until the block ends."""
    lease = parts.limits.lease
    pulse = Pulse(lease.total_seconds())
    return _kept(parts, pulse, f"batch {batch.id}", lambda db: batches.renew(db, batch, lease, progressed=True))


def holding(parts: Parts, name: str, owner: str) -> AbstractContextManager[Pulse]:
    """Keep a named lease, whose steps may take longer than those of a batch, until the block ends."""
    lease = parts.limits.lease
    pulse = Pulse(lease.total_seconds(), LONG_STEP)
    return _kept(parts, pulse, name, lambda db: leases.acquire(db, name, owner, lease))


@contextmanager
def _kept(parts: Parts, pulse: Pulse, what: str, renew: Callable[[sa.Connection], bool]) -> Iterator[Pulse]:
    """Renew the lease every quarter of its time, on a connection of its own."""
    lease, done = parts.limits.lease, threading.Event()

    def beat() -> None:
        while not done.wait(lease.total_seconds() / 4) and not pulse.stuck:
            asked_at = time.monotonic()
            try:
                with parts.control.write() as db:
                    kept = renew(db)
            except MigratorError:
                continue  # the control database is away: our own clock decides when it is too late
            if not kept:
                pulse.lose()
                return
            pulse.renewed(asked_at)

    thread = threading.Thread(target=beat, name=f"lease of {what}", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        done.set()
        thread.join(timeout=5)
