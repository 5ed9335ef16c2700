"""
The point of no return: the live users of a wave are settled. Nothing of them can be rolled back after it.

Two conditions. The soak is over: as long as the plan says, since the last of them was cut over. And it is verified: what
was written was what was meant, the last time the whole wave was compared, and legacy has not been written to since, as
that would be a sign that somebody is still served by it. What the new system has changed since then is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from migrator.crashpoints import crash_point
from migrator.errors import Refused
from migrator.flows import wave_view
from migrator.flows.checking import verify
from migrator.flows.parts import Parts
from migrator.rollout.states import User
from migrator.store import effects, homes, journal, plans, users, waves
from migrator.store.control import clock

SHOWN = 5  # users that a sentence names


@dataclass
class Settled:
    """What came of it, or (dry run) would come: `settled` users; `left` are of the wave and not live, by status."""

    wave: str
    settled: int = 0
    left: dict[str, int] = field(default_factory=dict)
    changed_in_target: int = 0  # values that the new system has changed since
    refused: list[str] = field(default_factory=list)  # why not
    dry_run: bool = False


def settle(
    parts: Parts, name: str, *, dry_run: bool = False, progress: Callable[[int], None] = lambda users: None
) -> Settled:
    """
    Settle the live users of a wave.

    Raises:
        Refused: nobody is live, the soak is not over, or the wave is not verified clean; with every reason.
    """
    with parts.control.read() as db:
        wave = wave_view.find(db, name)
        plan = plans.get(db, wave.plan_id)
        found = users.of_wave(db, wave.id)
        reasons = _not_yet(clock(db), plan, found)
        checked = effects.last_verification(db, plan.id, wave.id)
    result = Settled(wave.name, left=_left(found), dry_run=dry_run)
    if not any(one.status is User.LIVE for one in found):
        raise Refused(f"wave {wave.name} has nobody who is live{_already(found)}")
    looked = verify.verify(parts, verify.scope(parts, wave=wave.name), progress=progress)
    reasons += [verify.busy_sentence(len(looked.busy))] if looked.busy else []
    reasons += _not_as_meant(wave, checked, looked) + _written_in_legacy(looked, found)
    result.changed_in_target = looked.difference_count
    if reasons and not dry_run:
        raise Refused(f"wave {wave.name} is not settled: " + "; ".join(reasons))
    result.refused = reasons
    keys = [one.user_key for one in found if one.status is User.LIVE]
    if dry_run:
        result.settled = 0 if reasons else len(keys)
        return result
    with parts.control.write() as db:
        now = parts.now()
        result.settled = users.move(db, plan.id, keys, (User.LIVE,), User.SETTLED, now)
        journal.add(db, now, parts.actor, "settle", "wave", wave.name, users=keys, settled=result.settled)
    crash_point("wave-settled")
    return result


def _not_yet(now: datetime, plan: plans.Plan, found: Sequence[users.User]) -> list[str]:
    """What the control database says against it; *now* is by its clock, as the times of the cutovers are."""
    reasons = []
    until = _soaked_at(plan, found)
    if until is not None and now < until:
        reasons.append(f"it soaks until {until:%Y-%m-%d %H:%M} UTC ([plan] soak)")
    moving = sum(one.status in (User.MOVING, User.ROLLING_BACK) for one in found)
    if moving:
        reasons.append(f"{moving} of its users are on the way just now")
    return reasons


def _soaked_at(plan: plans.Plan, found: Sequence[users.User]) -> datetime | None:
    """When the last one who was cut over has been watched for long enough."""
    live = [one.changed_at for one in found if one.status is User.LIVE]
    return max(live) + timedelta(seconds=plan.settings["soak_seconds"]) if live else None


def _not_as_meant(wave: waves.Wave, checked: dict[str, Any] | None, looked: verify.Verified) -> list[str]:
    """What its gate measured counts: that was before the new system wrote. A wave without a gate is taken as it is."""
    found = looked.difference_count if checked is None else checked["differences"]
    if not found:
        return []
    when = "now" if checked is None else f"{checked['at']:%Y-%m-%d %H:%M} UTC, by its gate"
    return [f"{found} values differ from what was meant ({when}); see `migrator verify --wave {wave.name}`"]


def _written_in_legacy(looked: verify.Verified, found: Sequence[users.User]) -> list[str]:
    live = sorted(one.user_key for one in found if one.home == homes.TARGET and one.user_key in looked.drifted)
    if not live:
        return []
    named = ", ".join(live[:SHOWN])
    whom = f"{len(live)} users whom the target serves ({named})"
    return [f"legacy was written to since the cutover, for {whom}: find out who still writes there, and bring it over"]


def _left(found: Sequence[users.User]) -> dict[str, int]:
    left: dict[str, int] = {}
    for one in found:
        if one.status is not User.LIVE:
            left[one.status.value] = left.get(one.status.value, 0) + 1
    return left


def _already(found: Sequence[users.User]) -> str:
    there: dict[str, Any] = _left(found)
    told = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(there.items()))
    return f" ({told})" if told else ""
