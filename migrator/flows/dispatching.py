"""The minute hand: one leader rings for batches, takes back dead leases, and lets waves take their next step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import sqlalchemy as sa

from migrator.edges.queue import BATCH, CHECK, DELIVER
from migrator.errors import MigratorError, Transient, Unreachable
from migrator.flows import rollbacks, throttling, wave_view
from migrator.flows import waves as wave_flows
from migrator.flows.parts import Parts
from migrator.rollout.states import Batch, User, Wave
from migrator.rollout.throttle import Reason
from migrator.store import batches, journal, leases, outbox, users, waves
from migrator.store.control import clock

log = logging.getLogger("migrator.dispatch")
LEASE = timedelta(seconds=15)
REAP_EVERY = timedelta(seconds=10)
UNDONE = (Wave.HELD, Wave.ROLLING_BACK)


class Bell(Protocol):
    """What can wake a worker."""

    def wake(self, task: str, *ids: int) -> None:
        """Send one message, or Unreachable."""


@dataclass
class Dispatcher:
    """Ticks while it holds the lease `dispatcher`; several may run, one leads."""

    parts: Parts
    bell: Bell
    owner: str
    started_at: datetime
    window_open: Callable[[datetime], bool] = lambda now: True
    throttle: throttling.Throttle = field(default_factory=throttling.Throttle)
    reaped_at: datetime | None = None
    silent_until: datetime | None = None
    unreachable: int = field(default=0)
    rang: bool = False  # whether something was due at the last tick
    seen: dict[int, dict[str, int]] = field(default_factory=dict)  # by wave: ended batches the breaker has looked at

    def tick(self) -> bool:
        """Do what is due; False when somebody else leads. Never raises for a Redis that is away: it rings again."""
        with self.parts.control.write() as db:
            if not leases.acquire(db, "dispatcher", self.owner, LEASE):
                return False
            self._reap(db, clock(db))
        with self.parts.control.write() as db:  # apart from the reaper: who claims locks the wave first, then the batch
            for wave in waves.in_status(db, (Wave.RUNNING, Wave.PAUSING, Wave.CANCELLING, Wave.CHECKING)):
                wave_flows.tick(self.parts, db, wave, self.seen)
        self._undo_stopped()
        self._throttle()
        due = self._due()
        self.rang = bool(due)
        self._ring_all(due)
        return True

    def outage(self) -> None:
        """The control database was away: dead leases are not judged until workers had time to renew."""
        self.silent_until = None

    def _reap(self, db: sa.Connection, now: datetime) -> None:
        """Take back leases that ran out; silent at first, or one hiccup would start everything again."""
        if self.silent_until is None:
            self.silent_until = now + self.parts.limits.grace
        if now < self.silent_until or (
            self.reaped_at and now - self.reaped_at < min(REAP_EVERY, self.parts.limits.lease)
        ):
            return
        self.reaped_at = now
        for batch in batches.expired(db):
            self._take_back(db, batch, now)

    def _take_back(self, db: sa.Connection, batch: batches.Batch, now: datetime) -> None:
        """Ready again; whoever takes it asks the ledger first, and looks into it if workers die of it."""
        wave = waves.get(db, batch.wave_id)
        if not batches.reap(db, batch):
            return
        keys = users.of_batch(db, batch.id, (User.MOVING,))
        users.move(db, wave.plan_id, keys, (User.MOVING,), User.PLANNED, now, home="legacy")
        journal.add(db, now, "dispatcher", "expire", "batch", batch.id, interruptions=batch.interruptions + 1)
        log.warning("batch %s: its worker was lost", batch.id)

    def _throttle(self) -> None:
        """Look how busy the databases are, outside of any transaction, and let running waves wait or go on."""
        with self.parts.control.read() as db:
            active = waves.in_status(db, wave_view.ACTIVE)
        running = [wave for wave in active if wave.status is Wave.RUNNING]
        measured = self.throttle.look(self.parts.now(), running) if running else []
        for wave in active:
            reasons = self.throttle.reasons(wave, measured) if wave in running else []
            if throttling.differs(wave, reasons):
                with self.parts.control.write() as db:
                    throttling.settle(db, waves.get(db, wave.id), reasons, self.parts.now())
                self._tell(wave, reasons)

    def _tell(self, wave: waves.Wave, reasons: Sequence[Reason]) -> None:
        """One line when a wave begins to wait, for other reasons, or goes on; not for each new number."""
        before = {(one["signal"], one["of"]) for one in (wave.waiting or {}).get("reasons", [])}
        if not reasons:
            log.warning("wave %s goes on", wave.name)
        elif {(one.signal, one.of) for one in reasons} != before:
            log.warning("wave %s waits: %s", wave.name, "; ".join(one.sentence for one in reasons))

    def _due(self) -> list[tuple[str, tuple[int, ...]]]:
        """What to ring for now; counted up in the control database before anything is sent."""
        with self.parts.control.write() as db:
            now = clock(db)
            due: list[tuple[str, tuple[int, ...]]] = []
            slots = sum(worker["slots"] for worker in leases.alive(db))
            for wave in waves.in_status(db, (Wave.RUNNING,)):
                due += [(BATCH, ids) for ids in self._batches(db, wave, now, slots)]
            for wave in waves.in_status(db, (Wave.CHECKING,)):
                if self._wants_check(db, wave, now):
                    waves.note(db, wave.id, rung_at=now)
                    due.append((CHECK, (wave.id,)))
            if self.parts.telling.sender and outbox.due(db, now):
                due.append((DELIVER, ()))
            return due

    def _batches(self, db: sa.Connection, wave: waves.Wave, now: datetime, slots: int) -> list[tuple[int, int]]:
        """(batch, dispatch number) of those to ring for: at most twice the slots under way, the ramp one by one."""
        if wave.waiting or not self.window_open(now):
            return []
        mine = batches.of_wave(db, wave.id, (Batch.READY, Batch.RUNNING))
        ramp = [batch for batch in mine if batch.ramp]
        room = self._room(wave, mine, now, slots)
        waiting = self._waiting(ramp[:1] if ramp else mine, now)
        if not ramp and wave_flows.cut_next(self.parts, db, wave, room - len(waiting)):
            mine = batches.of_wave(db, wave.id, (Batch.READY, Batch.RUNNING))
            waiting = self._waiting(mine, now)
        rung = [(batch.id, batches.ring(db, batch)) for batch in waiting[:room]]
        return [(batch_id, number) for batch_id, number in rung if number is not None]

    def _waiting(self, candidates: Sequence[batches.Batch], now: datetime) -> list[batches.Batch]:
        """Those that may be rung for now."""
        rung_again = now - self.parts.limits.ring_again
        return [
            batch
            for batch in candidates
            if batch.status is Batch.READY
            and (batch.not_before is None or batch.not_before <= now)
            and (batch.rung_at is None or batch.rung_at <= rung_again)
        ]

    def _room(self, wave: waves.Wave, mine: Sequence[batches.Batch], now: datetime, slots: int) -> int:
        """How many more may be under way: running, or rung for and not taken yet."""
        rung_again = now - self.parts.limits.ring_again
        under_way = sum(
            batch.status is Batch.RUNNING or (batch.rung_at is not None and batch.rung_at > rung_again)
            for batch in mine
        )
        allowed = 2 * max(slots, 1)
        ordered = (wave.orders or {}).get("workers")
        return max(0, (allowed if ordered is None else min(allowed, int(ordered))) - under_way)

    def _wants_check(self, db: sa.Connection, wave: waves.Wave, now: datetime) -> bool:
        if wave_flows.checked(db, wave) or leases.held(db, f"check:{wave.id}"):
            return False
        return wave.rung_at is None or wave.rung_at <= now - self.parts.limits.ring_again

    def _undo_stopped(self) -> None:
        """Where the plan says so, what a stopped wave has moved goes back, once its last batch has ended."""
        with self.parts.control.read() as db:
            found = [wave for wave in waves.in_status(db, UNDONE) if wave_flows.undoes_itself(db, wave)]
            ready = [wave for wave in found if not batches.leased(db, wave.id)]
        for wave in ready:
            log.warning("wave %s was stopped: what it moved goes back", wave.name)
            try:
                rollbacks.roll_back(self.parts, rollbacks.scope(self.parts, wave=wave.name))
            except (Unreachable, Transient):
                raise  # an outage: at the next tick
            except MigratorError as failed:
                self._leave_to_people(wave, str(failed))

    def _leave_to_people(self, wave: waves.Wave, why: str) -> None:
        log.error("wave %s could not be taken back: %s", wave.name, why)
        said = f"it could not be taken back by itself: {why}"
        finding = {"check": "rollback", "outcome": "stop", "measured": None, "limit": None, "sentence": said}
        with self.parts.control.write() as db:
            waves.note(db, wave.id, findings=[*(wave.findings or []), finding])

    def _ring_all(self, due: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Send what is due; where Redis is away the rest is not tried, and all of it is due again."""
        for place, (task, ids) in enumerate(due):
            try:
                self.bell.wake(task, *ids)
                self.unreachable = 0
            except Unreachable as away:
                self.unreachable += 1
                log.warning("%s", away)
                self._forget(due[place:])
                return

    def messages_lost(self) -> None:
        """Redis came back empty: whatever was rung for and not taken is due again at once."""
        with self.parts.control.read() as db:
            lost = [
                (BATCH, (batch.id,))
                for wave in waves.in_status(db, (Wave.RUNNING,))
                for batch in batches.of_wave(db, wave.id, (Batch.READY,))
            ]
            lost += [(CHECK, (wave.id,)) for wave in waves.in_status(db, (Wave.CHECKING,))]
        self._forget(lost)

    def _forget(self, lost: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Messages that did not arrive are due again at once."""
        with self.parts.control.write() as db:
            batches.forget_ring(db, [ids[0] for task, ids in lost if task == BATCH])
            for wave_id in (ids[0] for task, ids in lost if task == CHECK):
                waves.note(db, wave_id, rung_at=None)
