"""Look at the clock and how busy the databases are, and let a running wave wait, with its reasons, until it may go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from migrator.edges.databases.watching import LAG, SESSIONS, STATEMENT, Watch
from migrator.errors import MigratorError
from migrator.flows import wave_view
from migrator.rollout import throttle
from migrator.rollout.schedule import Schedule
from migrator.rollout.throttle import Limits, Measured, Reason
from migrator.store import batches, journal, waves

LOOK_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Query:
    """SQL of one's own that gives a number, and above which it stops."""

    of: str  # the database it is run in
    sql: str
    above: float


@dataclass
class Throttle:
    """What is watched, its limits, and the hours. `watches` are legacy and target by name, `replicas` those that only lag."""

    watches: Mapping[str, Watch] = field(default_factory=dict)
    replicas: Mapping[str, Watch] = field(default_factory=dict)
    queries: Sequence[Query] = ()
    limits: Limits = field(default_factory=Limits)
    flag: Path | None = None
    schedule: Schedule = field(default_factory=Schedule)
    _measured: list[Measured] = field(default_factory=list)
    _looked_at: tuple[datetime, frozenset[str]] | None = None

    @property
    def kinds(self) -> set[str]:
        """The kinds of databases that are watched."""
        return {watch.dialect for watch in self.watches.values()}

    def reasons(self, wave: waves.Wave, measured: Sequence[Measured], now: datetime) -> list[Reason]:
        """Why a wave has to wait now."""
        closed = self.schedule.why_closed(now)
        hours = [Reason(wave_view.SCHEDULE, "settings", None, None, closed)] if closed else []
        orders = wave.orders or {}
        raised = str(self.flag) if self.flag is not None and self.flag.exists() else None
        ordered_by = orders.get("throttle")
        return hours + throttle.decide(measured, self.limits.under(orders), flag=raised, ordered_by=ordered_by)

    def look(self, now: datetime, running: Sequence[waves.Wave]) -> list[Measured]:
        """Measure what limits are set for, all databases beside each other; not again before two seconds are over."""
        wanted = self.wanted(running)
        if self._looked_at is None or now - self._looked_at[0] >= LOOK_EVERY or not wanted <= self._looked_at[1]:
            self._measured = self.measure(wanted)
            self._looked_at = (now, wanted)
        return self._measured

    def wanted(self, running: Sequence[waves.Wave]) -> frozenset[str]:
        """Which signals have a limit, for all or for one of these waves."""
        each = [self.limits, *(self.limits.under(wave.orders or {}) for wave in running)]
        named = {LAG: "max_lag", SESSIONS: "max_sessions", STATEMENT: "max_statement"}
        return frozenset(
            signal for signal, name in named.items() if any(getattr(one, name) is not None for one in each)
        )

    def untold(self) -> list[str]:
        """The keys of limits that are set although no database here can tell what they limit."""
        limits, servers = self.limits, self.kinds - {"sqlite"}
        lag = not self.replicas and "postgresql" not in servers
        return [
            *(["max_lag"] if limits.max_lag is not None and lag else []),
            *(["max_sessions"] if limits.max_sessions is not None and not servers else []),
            *(["max_statement"] if limits.max_statement is not None and not servers else []),
        ]

    def measure(self, wanted: frozenset[str]) -> list[Measured]:
        """Look at every database once; one that cannot be looked at says why."""
        asked = list(self._asked(wanted))
        if not asked:
            return []
        with ThreadPoolExecutor(len(asked)) as pool:
            return list(pool.map(lambda ask: ask(), asked))

    def _asked(self, wanted: frozenset[str]) -> Iterator[Any]:
        if wanted:
            for name, watch in self.watches.items():
                yield lambda name=name, watch=watch: _pressure(name, watch, wanted)
        if LAG in wanted:
            for name, watch in self.replicas.items():
                yield lambda name=name, watch=watch: _pressure(name, watch, frozenset({LAG}))
        for query in self.queries:
            yield lambda query=query: _number(query, self.watches[query.of])


def settle(db: sa.Connection, wave: waves.Wave, reasons: Sequence[Reason], now: datetime) -> None:
    """
    Let the wave wait, or go on. The journal says when it began and when it ended, and the first reason for it.

    Messages sent for its batches count no more: when it goes on they are rung for anew.
    """
    before, told = wave.waiting, [asdict(reason) for reason in reasons]
    if before and told:
        waves.note(db, wave.id, waiting=before | {"reasons": told})
    elif told:
        waves.note(db, wave.id, waiting={"since": now.isoformat(), "reasons": told})
        batches.forget_rings(db, wave.id)
        journal.add(db, now, "dispatcher", "wait", "wave", wave.name, reasons=told)
    elif before:
        waves.note(db, wave.id, waiting=None)
        seconds = round((now - datetime.fromisoformat(before["since"])).total_seconds(), 1)
        journal.add(db, now, "dispatcher", "go on", "wave", wave.name, seconds=seconds)


def differs(wave: waves.Wave, reasons: Sequence[Reason]) -> bool:
    """Whether what is known of the wave is not what holds it now."""
    return bool([asdict(reason) for reason in reasons] != (wave.waiting or {}).get("reasons", []))


def _pressure(name: str, watch: Watch, wanted: frozenset[str]) -> Measured:
    try:
        found = watch.pressure(wanted)
    except MigratorError as failed:
        return Measured(name, failed=str(failed))
    return Measured(name, found.lag, found.sessions, found.statement)


def _number(query: Query, watch: Watch) -> Measured:
    try:
        return Measured(query.of, number=watch.number(query.sql), above=query.above)
    except MigratorError as failed:
        return Measured(query.of, failed=str(failed))
