"""Carry the plan out wave by wave: what is going on now, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from migrator.errors import Refused
from migrator.flows import waves as wave_flows
from migrator.flows.parts import Parts
from migrator.rollout.states import User, Wave
from migrator.store import batches, measures, plans, waves


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
    settled: int = 0  # users of the wave with an outcome
    trouble: str | None = None  # why a batch waits


SETTLED = ("moved", "held", "failed", "excluded", "rolled_back")


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
        active = next((wave for wave in found if wave.status in wave_flows.ACTIVE), None)
        if active:
            by_itself = wave_flows.undoes_itself(db, active)
            paused = active.status in (Wave.PAUSED, Wave.ROLLING_BACK) and not by_itself
            numbers = measures.wave_numbers(db, active.id)
            trouble = next((one.error for one in batches.of_wave(db, active.id) if one.error and one.not_before), None)
            done = sum(getattr(numbers, name) for name in SETTLED)
            return Now(Situation.PAUSED if paused else Situation.WORKING, active, done, trouble)
        waiting = next((wave for wave in found if wave.status is Wave.APPROVED), None)
        return Now(Situation.NEXT, waiting) if waiting else Now(Situation.DONE, None)


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
