"""Carry the plan out wave by wave: what is going on now, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from migrator.errors import Refused
from migrator.flows import wave_view
from migrator.flows.parts import Parts
from migrator.flows.steering import waves as wave_flows
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches, measures, plans, switches, waves


class Situation(StrEnum):
    """Where an unattended run stands."""

    WORKING = "working"  # a wave runs, drains or is checked
    NEXT = "next"  # a wave may be started
    PAUSED = "paused"
    HELD = "held"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Now:
    """The situation, the wave it is about, and its progress."""

    situation: Situation
    wave: waves.Wave | None
    settled: int = 0  # users of the wave whose batch has ended
    trouble: str | None = None  # why a batch waits
    waits: dict[str, Any] | None = None  # why no batch is handed out
    batches: dict[str, int] = field(default_factory=dict)  # of the wave, by status


def look(parts: Parts) -> Now:
    """See what is going on in the current plan."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if plan.status != "approved":
            raise Refused(f"plan {plan.id} is {plan.status}; run `migrator plan approve` first")
        found = waves.of_plan(db, plan.id)
        held = next((wave for wave in found if _stands(plan, wave)), None)
        if held and not wave_flows.undoes_itself(db, held):
            return Now(Situation.HELD, held)
        active = next((wave for wave in found if wave.status in wave_view.ACTIVE), None)
        if active:
            return _active(db, active)
        waiting = next((wave for wave in found if wave.status is Wave.APPROVED), None)
        undone = next((wave for wave in found if wave.status is Wave.ROLLED_BACK), None)
        if waiting is None:
            return Now(Situation.DONE, None)
        return Now(Situation.HELD, undone) if undone else _next(db, waiting)


def _next(db: sa.Connection, wave: waves.Wave) -> Now:
    """A wave may be started; while the project is read-only, it waits."""
    closed = switches.read_only(db)
    if closed is None:
        return Now(Situation.NEXT, wave)
    return Now(Situation.WORKING, wave, waits={"since": closed.at, "sentence": f"waiting: {closed.sentence}"})


def _active(db: sa.Connection, wave: waves.Wave) -> Now:
    by_itself = wave_flows.undoes_itself(db, wave)
    paused = wave.status in (Wave.PAUSED, Wave.ROLLING_BACK) and not by_itself
    open_ = batches.of_wave(db, wave.id, wave_flows.OPEN_BATCH)
    counted = batches.counts(db, [wave.id]).get(wave.id, {})
    return Now(
        Situation.PAUSED if paused else Situation.WORKING,
        wave,
        _settled(db, wave),
        trouble=next((one.error for one in open_ if one.error and one.not_before), None),
        waits=wave_view.waits(wave),
        batches=counted,
    )


def _settled(db: sa.Connection, wave: waves.Wave) -> int:
    """Users of ended batches, who may be more than one time in one; to count users would take longer than to move some."""
    users = batches.held_users(db, wave.id)
    ended = sum(count for status, count in users.items() if status in (Batch.DONE, Batch.FAILED))
    return min(ended, wave.users - sum(users.get(status, 0) for status in wave_flows.OPEN_BATCH))


def _stands(plan: plans.Plan, wave: waves.Wave) -> bool:
    """Held; or stopped and taken back by itself, so that nobody goes on before a person has looked."""
    if wave.status is Wave.ROLLED_BACK:
        return wave.verdict == "stop" and plan.settings.get("on_stop") == "rollback_wave"
    return wave.status is Wave.HELD


def outcome(parts: Parts) -> dict[str, int]:
    """How many users are where, at the end of a run."""
    with parts.control.read() as db:
        counts = measures.user_counts(db, plans.require(db).id)
    return {status.value: counts[status.value] for status in User if counts[status.value]}
