"""Keeps a worker going: the embedded Redis, the Celery child, the dispatcher. Restarts what dies, ends what it started."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from migrator.edges import processes
from migrator.errors import MigratorError, Overtaken, Refused, Transient, Unreachable

if TYPE_CHECKING:
    from migrator.runtime import Runtime

log = logging.getLogger("migrator.supervisor")
STOP_PATIENCE = 120.0  # seconds for a running batch to end
AT_ONCE = 0.2  # seconds for a worker that has nothing to do
TOO_SOON = 20.0  # seconds; a child that dies earlier did not start properly
TRIES = 5
SEEN_EVERY = 5.0  # seconds between the signs of life in the control database
DEAF = 60.0  # seconds in which workers with nothing to do let messages wait: they hear none any more


class Supervisor:
    """One worker machine: `slots` batches beside each other."""

    def __init__(self, runtime: Runtime, slots: int) -> None:
        from migrator.edges.redis import EmbeddedRedis
        from migrator.edges.words import Listener

        self.runtime, self.slots = runtime, slots
        self.state = runtime.settings.state
        self.record = self.state / "run.json"
        self.redis = None if runtime.settings.broker.url else EmbeddedRedis(self.state)
        self.words = Listener(self.broker)
        self.id = f"{socket.gethostname()}:{os.getpid()}"
        self._known: dict[str, processes.Known] = {}
        self._celery: subprocess.Popen[bytes] | None = None
        self._started_at = self._seen_at = self._heard_at = 0.0
        self._hearing = DEAF
        self._early_deaths = 0
        self._recorded = False  # what runs now, for the next of us
        self._told_to_end = False

    @property
    def broker(self) -> str:
        """Where Redis is."""
        return self.redis.url if self.redis else str(self.runtime.settings.broker.url)

    def start(self) -> None:
        """End what a killed one of us left behind, then start Redis, Celery and the dispatcher."""
        from migrator.edges.queue import Queue
        from migrator.flows.steering.dispatching import Dispatcher

        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.redis:
            self._alone()
        self._leftovers()
        self._known["run"] = processes.Known("run", os.getpid(), _started(os.getpid()))
        if self.redis:
            self._known["redis"] = self.redis.start()
        self._start_celery()
        parts = self.runtime.parts
        self.queue = Queue(self.broker)
        self.dispatcher = Dispatcher(parts, self.queue, self.id, parts.now(), self.runtime.throttle)

    def tick(self) -> None:
        """Restart what died or hears nothing, say that we live, let the dispatcher do what is due. An outage is waited out."""
        if self._told_to_end:  # where Python can raise nothing (a finalizer, a callback of SQLite) the telling was lost
            raise KeyboardInterrupt
        if self.redis and self.redis.died():
            log.warning("Redis died and is started again")
            self._known["redis"] = self.redis.start()
            self._recorded = False
            self.dispatcher.messages_lost()
        if self._celery is None or self._celery.poll() is not None:
            self._restart_celery()
        if not self._recorded:
            self._save()
        if time.monotonic() - self._seen_at > SEEN_EVERY:
            self._say_alive()
            self._listen()
        self.dispatcher.tick()

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop what is being done, now or at the next tick."""
        self._told_to_end = True
        raise KeyboardInterrupt

    def stop(self) -> None:
        """Let running batches end, then end everything that we started."""
        if "celery" in self._known:
            processes.end(self._known["celery"], STOP_PATIENCE if self._busy() else AT_ONCE)
        try:
            self._say_goodbye()
        except MigratorError as away:
            log.warning("%s", away)
        self.words.close()
        if self.redis:
            self.redis.stop()
        if self.record_is_ours():
            self.record.unlink(missing_ok=True)

    def _busy(self) -> bool:
        """Whether a worker may be in the middle of something; where we cannot know, it may."""
        from migrator.store import batches, leases, outbox

        try:
            with self.runtime.control.read() as db:
                return bool(batches.leased(db) or leases.any_held(db, besides="dispatcher") or outbox.claimed(db))
        except MigratorError:
            return True

    def record_is_ours(self) -> bool:
        """Whether the file of running processes is the one we wrote."""
        return any(one.name == "run" and one.pid == os.getpid() for one in processes.load(self.record))

    def _alone(self) -> None:
        """With the embedded Redis there is one of us in a project."""
        for known in processes.load(self.record):
            if known.name == "run" and known.alive and known.pid != os.getpid():
                raise Refused(
                    f"another `migrator run` or `worker` (process {known.pid}) is at work in this project; "
                    "watch it with `migrator status`, or set [broker] url to run several"
                )

    def _leftovers(self) -> None:
        found = processes.load(self.record)
        if any(known.name == "run" and known.alive for known in found):
            return  # another worker of this project beside us: not ours to end
        for known in found:
            if known.alive:
                log.warning("ending %s (process %s), left behind by a killed run", known.name, known.pid)
                processes.end(known)

    def _start_celery(self) -> None:
        from migrator.edges.queue import NAMES

        log_file = self.state / "worker.log"
        environment = {
            "MIGRATOR_SETTINGS": str(self.runtime.settings.file),
            "MIGRATOR_BROKER_URL": self.broker,
            "POLARS_MAX_THREADS": "1",
        }
        self._celery = processes.start(
            [
                sys.executable, "-m", "celery", "-A", "tasks.app", "worker",
                "--concurrency", str(self.slots), "--without-gossip", "--without-mingle", "--without-heartbeat",
                "-Q", ",".join(NAMES), "--loglevel", "WARNING",
                "--hostname", f"migrator-{os.getpid()}@%h",
            ],
            environment, self.state, log_file,
        )  # fmt: skip
        self._started_at = self._heard_at = time.monotonic()
        self._known["celery"] = processes.remember(self._celery, "celery")
        self._recorded = False
        self._save()

    def _restart_celery(self) -> None:
        if self._celery is not None:  # else it could not even be started the last time
            self._bury_celery()
        self._start_celery()

    def _bury_celery(self) -> None:
        early = time.monotonic() - self._started_at < TOO_SOON
        self._early_deaths = self._early_deaths + 1 if early else 0
        if self._early_deaths >= TRIES:
            raise Unreachable(f"the workers die as soon as they start; see {self.state / 'worker.log'}")
        log.warning("the workers died and are started again")
        processes.end(self._known["celery"])
        self._celery = None

    def _listen(self) -> None:
        """Workers that live and take no message any more have met a fault of the libraries they stand on: start them anew."""
        from migrator.edges import redis
        from migrator.edges.queue import NAMES

        if not redis.waiting(self.broker, NAMES) or self._busy():
            self._heard_at, self._hearing = time.monotonic(), DEAF
        elif time.monotonic() - self._heard_at > self._hearing:
            log.warning("the workers hear nothing and are started again")
            processes.end(self._known["celery"], AT_ONCE)
            self._start_celery()
            self._hearing *= 2  # on a machine that is so busy they may only be slow to start

    def _say_alive(self) -> None:
        from migrator.store import leases

        with self.runtime.control.write() as db:
            leases.seen(db, self.id, socket.gethostname(), os.getpid(), self.slots)
        self._seen_at = time.monotonic()

    def _say_goodbye(self) -> None:
        from migrator.store import leases

        with self.runtime.control.write() as db:
            leases.gone(db, self.id)
            leases.release(db, "dispatcher", self.id)

    def _save(self) -> None:
        processes.save(self.record, list(self._known.values()))
        self._recorded = True


@contextmanager
def working(runtime: Runtime, slots: int) -> Iterator[Supervisor]:
    """A supervisor that is started, and ended whatever happens; SIGTERM ends it in good order, as Ctrl-C does."""
    supervisor = Supervisor(runtime, slots)
    with _told_by_signals(supervisor.end):
        try:
            supervisor.start()
            yield supervisor
        finally:
            supervisor.stop()


@contextmanager
def _told_by_signals(end: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Ctrl-C is left alone where a shell has us ignore it, as it does in the background."""
    told_by = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, end) for one in told_by}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def patient(supervisor: Supervisor, pause: float, told: set[str]) -> str | None:
    """
    Tick once, then rest *pause* seconds, or until a batch has ended. An outage is no end: it is waited out.

    Returns:
        The sentence to show of an outage that is not among those *told* yet; from now on it is.
    """
    news = outage = None
    try:
        supervisor.tick()
    except MigratorError as away:
        if not isinstance(away, (Unreachable, Transient, Overtaken)) or "as soon as they start" in str(away):
            raise
        supervisor.dispatcher.outage()
        outage = str(away)
        news = outage if outage not in told else None
        told.add(outage)
    if outage:
        time.sleep(pause)
    else:
        supervisor.words.wait(pause)
    return news


def _started(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).create_time())
