"""The minute hand: one leader rings for batches, takes back dead leases, and lets waves take their next step."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.edges import holders
from migrator.edges.queue import BATCH, CHECK, CUT_OVER, DELIVER, MOVE_NOW, PURGE
from migrator.errors import Busy, MigratorError, Transient, Unreachable
from migrator.flows import wave_view
from migrator.flows.homes import on_demand, thawing
from migrator.flows.parts import Parts
from migrator.flows.people import read_only
from migrator.flows.steering import throttling
from migrator.flows.steering import waves as wave_flows
from migrator.flows.undoing import rollbacks, unfreezing
from migrator.rollout.states import Batch, User, Wave
from migrator.rollout.throttle import Reason
from migrator.store import batches, carries, chores, cutovers, journal, leases, outbox, requests, switches, users, waves
from migrator.store.control import clock

log = logging.getLogger("migrator.dispatch")
UNDONE = (Wave.HELD, Wave.ROLLING_BACK)
DRAINING = (Wave.RUNNING, Wave.PAUSING, Wave.CANCELLING)
PURGED_AGAIN = timedelta(hours=1)  # whoever was asked to, and died of it


class Bell(Protocol):
    """What can wake a worker."""

    def wake(self, task: str, *ids: int) -> None:
        """Send one message, or Unreachable."""


@dataclass(frozen=True, slots=True)
class _Look:
    """All that one look at the control database tells a tick: where nothing is to be done, nothing is written."""

    now: datetime
    closed: switches.Switch | None  # the read-only switch
    overdue: bool  # somebody is frozen although his time is over
    left: bool  # so is somebody whom a rollback froze
    asked: bool  # somebody is to be moved ahead of his wave
    told: bool  # a notice is due
    purge: bool | None  # whether it is time; None: nobody counts yet
    waves: tuple[waves.Wave, ...]  # those that are under way, or were stopped

    def any(self, *statuses: Wave) -> bool:
        """Whether one of the waves is in one of these."""
        return any(wave.status in statuses for wave in self.waves)


@dataclass
class Dispatcher:
    """Ticks while it holds the lease `dispatcher`; several may run, one leads."""

    parts: Parts
    bell: Bell
    owner: str
    started_at: datetime
    throttle: throttling.Throttle = field(default_factory=throttling.Throttle)
    reaped_at: datetime | None = None
    silent_until: datetime | None = None
    unreachable: int = field(default=0)
    renewed_at: float | None = None  # by the clock that only goes forward: when the lease was last renewed
    rang: bool = False  # whether something was due at the last tick, and Redis took it
    seen: dict[int, dict[str, int]] = field(default_factory=dict)  # by wave: ended batches the breaker has looked at

    def tick(self) -> bool:
        """Do what is due; False when somebody else leads. Never raises for a Redis that is away: it rings again."""
        if not self._leads():
            return False
        seen = self._look()
        if seen.overdue or self._may_reap(seen.now):
            with self.parts.control.write() as db:
                self._reap(db, clock(db))
                thawing.reap(self.parts, db)
                crash_point("tick-reaped")
        if seen.left:
            unfreezing.reap(self.parts)
        stepping = DRAINING if seen.closed else (*DRAINING, Wave.CHECKING)
        if seen.any(*stepping):
            # apart from the reaper: who claims locks the wave first, then the batch
            with self.parts.control.write() as db:
                for wave in waves.in_status(db, stepping):
                    wave_flows.tick(self.parts, db, wave, self.seen)
                crash_point("tick-waves-stepped")
        if not seen.closed and seen.any(*stepping, *UNDONE):
            self._undo_stopped()
        if seen.any(*wave_view.ACTIVE):
            self._throttle(seen.closed)
        due = [] if seen.closed else self._due(seen)
        crash_point("tick-counted-up")
        self._ring_all(due)
        self.rang = bool(due) and not self.unreachable
        return True

    def _leads(self) -> bool:
        """Keep the lease. It is renewed at half its time; until then nobody else can have taken it."""
        lease, now = self.parts.limits.leader, time.monotonic()
        if self.renewed_at is not None and now - self.renewed_at < lease.total_seconds() / 2:
            return True
        self.renewed_at = None
        with self.parts.control.write() as db:
            if not leases.acquire(db, "dispatcher", self.owner, lease):
                return False
        self.renewed_at = now  # from before it was asked for: it ends no sooner than we think
        return True

    def _look(self) -> _Look:
        """Ask for everything at once, in one transaction that only reads."""
        parts = self.parts
        with parts.control.read() as db:
            now = clock(db)
            return _Look(
                now=now,
                closed=switches.read_only(db),
                overdue=cutovers.overdue(db) > 0,
                left=bool(carries.overdue(db)),
                asked=requests.any_open(db),
                told=bool(parts.telling.sender and outbox.due(db, now)),
                purge=self._purge_is_due(db, now),
                waves=tuple(waves.in_status(db, {*wave_view.ACTIVE, *DRAINING, Wave.CHECKING, *UNDONE})),
            )

    def _purge_is_due(self, db: sa.Connection, now: datetime) -> bool | None:
        if not self.parts.keeping.every:
            return False
        if not chores.begun(db, chores.PURGE):
            return None
        return chores.due(db, chores.PURGE, now, self.parts.keeping.every, PURGED_AGAIN)

    def outage(self) -> None:
        """The control database was away: dead leases are not judged until workers had time to renew."""
        self.silent_until = None

    def _may_reap(self, now: datetime) -> bool:
        """Silent at first, or one hiccup would start everything again; then once in a while."""
        if self.silent_until is None:
            self.silent_until = now + self.parts.limits.grace
        often = min(self.parts.limits.reap_every, self.parts.limits.lease)
        return now >= self.silent_until and (self.reaped_at is None or now - self.reaped_at >= often)

    def _reap(self, db: sa.Connection, now: datetime) -> None:
        """Take back leases that ran out."""
        if not self._may_reap(now):
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

    def _throttle(self, closed: switches.Switch | None) -> None:
        """Look at the clock and how busy the databases are, outside of any transaction, and let running waves wait or go on."""
        now = self.parts.now()
        with self.parts.control.read() as db:
            active = waves.in_status(db, wave_view.ACTIVE)
        running = [wave for wave in active if wave.status is Wave.RUNNING]
        measured = self.throttle.look(now, running) if running else []
        first = [read_only.reason(closed)] if closed else []
        for wave in active:
            reasons = first + self.throttle.reasons(wave, measured, now) if wave in running else []
            if throttling.differs(wave, reasons):
                with self.parts.control.write() as db:
                    throttling.settle(db, waves.get(db, wave.id), reasons, now)
                self._tell(wave, reasons)

    def _tell(self, wave: waves.Wave, reasons: Sequence[Reason]) -> None:
        """One line when a wave begins to wait, for other reasons, or goes on; not for each new number."""
        before = {(one["signal"], one["of"]) for one in (wave.waiting or {}).get("reasons", [])}
        if not reasons:
            log.warning("wave %s goes on", wave.name)
        elif {(one.signal, one.of) for one in reasons} != before:
            log.warning("wave %s waits: %s", wave.name, "; ".join(one.sentence for one in reasons))

    def _due(self, seen: _Look) -> list[tuple[str, tuple[int, ...]]]:
        """What to ring for now, who is asked for first; counted up in the control database before anything is sent."""
        if not (seen.asked or seen.told or seen.purge in (True, None) or seen.any(Wave.RUNNING, Wave.CHECKING)):
            return []
        lane_closed = on_demand.why_closed(self.parts) if seen.asked else None
        with self.parts.control.write() as db:
            now = clock(db)
            due = on_demand.due(self.parts, db, now, lane_closed)
            slots = sum(worker["slots"] for worker in leases.alive(db))
            for wave in waves.in_status(db, (Wave.RUNNING,)):
                due += [(BATCH, ids) for ids in self._batches(db, wave, now, slots)]
            for wave in waves.in_status(db, (Wave.CHECKING,)):
                if self._wants_check(db, wave, now):
                    waves.note(db, wave.id, rung_at=now)
                    due.append((CHECK, (wave.id,)))
            if seen.told:
                due.append((DELIVER, ()))
            if seen.purge:
                chores.rung(db, chores.PURGE, now)
                due.append((PURGE, ()))
            elif seen.purge is None:
                chores.begin(db, chores.PURGE, now)
            return due

    def _batches(self, db: sa.Connection, wave: waves.Wave, now: datetime, slots: int) -> list[tuple[int, int]]:
        """(batch, dispatch number) of those to ring for: at most twice the slots under way, the ramp one by one."""
        if wave.waiting or not self.throttle.schedule.open_at(self.parts.now()):
            return []
        mine = batches.of_wave(db, wave.id, (Batch.READY, Batch.RUNNING))
        ramp = [batch for batch in mine if batch.ramp]
        room = self._room(wave, mine, now, slots)
        waiting = self._waiting(ramp[:1] if ramp else mine, now)
        if not ramp and wave_flows.cut_next(self.parts, db, wave, room - len(waiting), slots):
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
        if wave_flows.checked(db, wave):
            return False
        name = f"check:{wave.id}"
        holder = leases.holder(db, name)
        if holder is not None and not holders.is_gone(holder):
            return False
        if holder is not None:
            log.warning("wave %s: who verified it is gone; it is verified again", wave.name)
            leases.release(db, name, holder)
            return True
        return wave.rung_at is None or wave.rung_at <= now - self.parts.limits.ring_again

    def _undo_stopped(self) -> None:
        """Where the plan says so, what a stopped wave has moved goes back, once its last batch has ended."""
        with self.parts.control.read() as db:
            found = [wave for wave in waves.in_status(db, UNDONE) if wave_flows.undoes_itself(db, wave)]
            ready = [wave for wave in found if not batches.leased(db, wave.id)]
        for wave in ready:
            log.warning("wave %s was stopped: what it moved goes back", wave.name)
            try:
                done = rollbacks.roll_back(self.parts, rollbacks.scope(self.parts, wave=wave.name))
            except (Unreachable, Transient):
                raise  # an outage: at the next tick
            except Busy as busy:
                log.info("wave %s: %s", wave.name, busy)  # at the next tick
            except MigratorError as failed:
                self._leave_to_people(wave, "what it moved", str(failed))
            else:
                if done.refused:
                    self._leave_to_people(wave, f"{len(done.refused)} users", next(iter(done.refused.values())))

    def _leave_to_people(self, wave: waves.Wave, whom: str, why: str) -> None:
        log.error("wave %s: %s could not be taken back: %s", wave.name, whom, why)
        said = f"{whom} could not be taken back: {why}"
        finding = {"check": "rollback", "outcome": "stop", "measured": None, "limit": None, "sentence": said}
        with self.parts.control.write() as db:
            waves.note(db, wave.id, findings=[*(wave.findings or []), finding])

    def _ring_all(self, due: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Send what is due; where Redis is away the rest is not tried, and all of it is due again."""
        for place, (task, ids) in enumerate(due):
            try:
                self.bell.wake(task, *ids)
                crash_point("tick-rung")
                self.unreachable = 0
            except Unreachable as away:
                self.unreachable += 1
                if self.unreachable == 1:  # once, not at every tick until it is back
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
            lost += [(MOVE_NOW, (batch_id,)) for batch_id in on_demand.under_way(db)]
        self._forget([*lost, (CUT_OVER, ()), (PURGE, ())])

    def _forget(self, lost: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """Messages that did not arrive are due again at once."""
        with self.parts.control.write() as db:
            batches.forget_ring(db, [ids[0] for task, ids in lost if task in (BATCH, MOVE_NOW)])
            if any(task == CUT_OVER for task, _ in lost):
                on_demand.forget_rings(db)
            if any(task == PURGE for task, _ in lost):
                chores.rung(db, chores.PURGE, None)
            for wave_id in (ids[0] for task, ids in lost if task == CHECK):
                waves.note(db, wave_id, rung_at=None)
