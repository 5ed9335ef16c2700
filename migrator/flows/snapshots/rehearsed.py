"""Whether a wave has to wait until snapshots were tried out."""

from __future__ import annotations

import sqlalchemy as sa

from migrator.errors import GateHolds
from migrator.rollout.stages import Stage
from migrator.store import journal, plans, waves

EVENT, NOUN = "check", "snapshots"


def refuse_unchecked(db: sa.Connection, wave: waves.Wave) -> None:
    """
    Where the plan demands it, no wave after the pilot starts before snapshots were found good since the pilot ended.

    Raises:
        GateHolds: none were, or the last look was not good.
    """
    plan = plans.get(db, wave.plan_id)
    if plan.settings.get("snapshot_check", "off") == "off" or wave.stage == Stage.PILOT:
        return
    ended = [one.ended_at for one in waves.of_plan(db, plan.id) if one.stage == Stage.PILOT and one.ended_at]
    if not ended:
        return
    looks = [one for one in journal.of(db, NOUN, [plan.id]) if one["event"] == EVENT and one["at"] >= max(ended)]
    if not looks or not looks[-1]["detail"]["good"]:
        why = "the last check found them broken" if looks else "they were not checked since the pilot ended"
        raise GateHolds(
            f"wave {wave.name} waits for the pilot's snapshots ([gates] snapshot_check): {why}; `migrator snapshot check`"
        )
