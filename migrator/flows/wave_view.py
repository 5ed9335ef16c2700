"""What the control database alone tells of a wave. Nothing of moving is imported for it: people ask this all day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import Wave
from migrator.store import plans, waves

ACTIVE = (Wave.RUNNING, Wave.PAUSING, Wave.PAUSED, Wave.HELD, Wave.CHECKING, Wave.CANCELLING, Wave.ROLLING_BACK)
SCHEDULE = "schedule"  # the signal by which a wave waits for its hours: whoever is asked for goes ahead all the same
ENDED = (Wave.PASSED, Wave.CANCELLED, Wave.ROLLED_BACK)


def find(db: sa.Connection, name: str) -> waves.Wave:
    """A wave of the current plan by name or ordinal."""
    return waves.find(db, plans.require(db).id, name)


def soaks_until(wave: waves.Wave, plan: plans.Plan) -> datetime | None:
    """When a checked wave may be decided; with a manual cutover nobody waits for a soak."""
    if wave.checking_at is None:
        return None
    seconds = plan.settings["soak_seconds"] if plan.settings["cutover"] == "immediate" else 0
    return wave.checking_at + timedelta(seconds=seconds)


def waits(wave: waves.Wave) -> dict[str, Any] | None:
    """Why a running wave waits, since when, and a sentence that says so; None: it does not."""
    if not wave.waiting or wave.status is not Wave.RUNNING:
        return None
    since = datetime.fromisoformat(wave.waiting["since"])
    said = "; ".join(reason["sentence"] for reason in wave.waiting["reasons"])
    sentence = f"waiting: {said} (since {since:%H:%M:%S} UTC)"
    return {"since": since, "reasons": wave.waiting["reasons"], "sentence": sentence}


def awaits_its_hours(wave: waves.Wave) -> bool:
    """Whether a wave waits for nothing but the hours in which its batches may start."""
    return wave.waiting is not None and {one["signal"] for one in wave.waiting["reasons"]} == {SCHEDULE}


def held_sentence(wave: waves.Wave) -> str:
    """Why a wave is held, or was stopped and rolled back, and what goes on from here."""
    said = "; ".join(finding["sentence"] for finding in wave.findings or []) or "no reason is recorded"
    if wave.status is Wave.ROLLED_BACK:
        why = f"was stopped and rolled back: {said}" if wave.verdict == "stop" else "was rolled back"
        return (
            f"wave {wave.name} {why}. Now: find the cause, then `migrator wave retry {wave.name}`, "
            f"or leave its users in legacy with `migrator wave cancel {wave.name}`"
        )
    if wave.verdict == "stop":
        after = f"roll it back with `migrator rollback wave {wave.name}`, or cancel it with `migrator wave cancel {wave.name}`"
    else:
        after = (
            f"see `migrator review list`, then `migrator wave resume {wave.name}` to look again, "
            f'or `migrator wave approve {wave.name} --reason "…"` to answer for it'
        )
    return f"wave {wave.name} is held: {said}. Now: {after}"
