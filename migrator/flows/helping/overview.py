"""The whole migration on one screen, with the next step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.flows import phrases, wave_view
from migrator.flows.people.desk import Desk
from migrator.rollout.states import Case, User, Wave
from migrator.store import approvals, batches, cases, leases, measures, plans, requests, switches, tiers, users, waves
from migrator.store.control import clock


def status(desk: Desk) -> dict[str, Any]:
    """
    Where everything stands: users per status, waves, cases, workers, and one sentence that says what to do next.

    The sum over `users` is the number of users in the plan, always; `nobody` are rows of nobody that move, which are none.
    """
    with desk.control.read() as db:
        plan = plans.current(db)
        if plan is None:
            nothing = {"users": {}, "nobody": {}, "waves": [], "requests": _requests(None)}
            return {"plan": None, **nothing, "next": _before_plan(db), **_people(db)}
        found = waves.of_plan(db, plan.id)
        tallied = users.tally(db, plan.id)
        counts, rows = (measures.by_status(tallied, kind) for kind in (users.USER, users.ROWS))
        open_cases = cases.count(db, plan.id, Case.OPEN)
        asked = requests.waiting(db, plan.id)
        return {
            "plan": {
                "id": plan.id,
                "status": plan.status,
                "as_of": plan.as_of,
                "hash": plan.hash,
                "set_hash": plan.set_hash,
                "cutover": plan.settings["cutover"],
            },
            "users": counts,
            "nobody": rows,
            "tiers": _per_tier(tallied),
            "waves": [wave_as_json(db, wave, plan) for wave in found],
            "cases": {"open": open_cases},
            "requests": _requests(asked),
            "workers": len(leases.alive(db)),
            "next": _lane(db, asked) or next_step(db, plan, found, counts, rows, open_cases),
            **_people(db),
        }


def _requests(asked: requests.Waiting | None) -> dict[str, Any]:
    """Users who are to be moved ahead of their wave, and what they wait for."""
    if asked is None:
        return {"open": 0, "since": None, "waits": []}
    unseen = "no dispatcher has looked at it yet"
    waits = [{"reason": reason or unseen, "users": count} for reason, count in asked.reasons.items()]
    return {"open": asked.users, "since": asked.since, "waits": waits}


def _lane(db: sa.Connection, asked: requests.Waiting) -> str | None:
    """Somebody waits at this moment, and nobody is there who could do anything for him."""
    if not asked.users or leases.alive(db):
        return None
    return f"{asked.users} users wait to be moved ahead of their wave and no worker is alive; start `migrator worker`"


def _people(db: sa.Connection) -> dict[str, Any]:
    """What people have to know of each other: whether changes are refused, and how many acts wait for a second person."""
    closed = switches.read_only(db)
    waiting = approvals.waiting(db, clock(db))
    return {"read_only": closed.sentence if closed else None, "approvals": {"open": waiting}}


def wave_as_json(db: sa.Connection, wave: waves.Wave, plan: plans.Plan) -> dict[str, Any]:
    """One wave with its numbers."""
    numbers = measures.wave_numbers(db, wave.id)
    return {
        "ordinal": wave.ordinal,
        "name": wave.name,
        "tier": wave.tier,
        "stage": wave.stage,
        "share": wave.share,
        "status": wave.status.value,
        "users": wave.users,
        "units": wave.units,
        "planned": numbers.planned,
        "moving": numbers.moving,
        "moved": numbers.moved,
        "held": numbers.held,
        "failed": numbers.failed,
        "excluded": numbers.excluded,
        "rolled_back": numbers.rolled_back,
        "batches": numbers.batches,
        "batch_size": (wave.orders or {}).get("batch_size", wave.batch_size),
        "orders": wave.orders or {},
        "waiting": wave_view.waits(wave),
        "differences": numbers.differences,
        "started_at": wave.started_at,
        "ended_at": wave.ended_at,
        "soaks_until": wave_view.soaks_until(wave, plan) if wave.status is Wave.CHECKING else None,
        "verdict": wave.verdict,
        "findings": wave.findings or [],
    }


def wave_detail(desk: Desk, name: str) -> dict[str, Any]:
    """One wave with its batches."""
    with desk.control.read() as db:
        plan = plans.require(db)
        wave = waves.find(db, plan.id, name)
        shown = wave_as_json(db, wave, plan)
        shown["batch_list"] = [
            {
                "id": one.id,
                "users": one.users,
                "status": one.status.value,
                "attempts": one.attempts,
                "interruptions": one.interruptions,
                "seconds": _seconds(one.started_at, one.finished_at),
                "rows": one.rows,
                "memory": one.memory,
                "error": one.error,
            }
            for one in batches.of_wave(db, wave.id)
        ]
        return shown


def next_step(
    db: sa.Connection,
    plan: plans.Plan,
    found: list[waves.Wave],
    counts: dict[str, int],
    rows: dict[str, int],
    open_cases: int,
) -> str:
    """One sentence: what a person should do now. *counts* are of users, *rows* of rows of nobody, by status."""
    if plan.status == "draft":
        return "look at the plan with `migrator plan show`, then `migrator plan approve`"
    held = [wave for wave in found if wave.status is Wave.HELD]
    if held:
        return wave_view.held_sentence(held[0])
    active = [wave for wave in found if wave.status in wave_view.ACTIVE]
    if active:
        return _with_active(db, active[0])
    waiting = [wave for wave in found if wave.status is Wave.APPROVED]
    if waiting:
        return f"`migrator run` goes on with wave {waiting[0].name} ({waiting[0].users} {waiting[0].units})"
    return _at_the_end(db, found, counts, rows, open_cases)


def _with_active(db: sa.Connection, wave: waves.Wave) -> str:
    if wave.status is Wave.PAUSED:
        return f"wave {wave.name} is paused; `migrator wave resume {wave.name}`"
    if wave.status is Wave.ROLLING_BACK:
        return f"a rollback of wave {wave.name} was cut off; `migrator rollback wave {wave.name}` ends it"
    if not leases.alive(db):
        return f"wave {wave.name} is {wave.status} and no worker is alive; start `migrator worker`, or go on with `migrator run`"
    waits = wave_view.waits(wave)
    if waits:
        return f"wave {wave.name} is {waits['sentence']}; {_until(wave)}"
    return f"wave {wave.name} is {wave.status}; `migrator wave watch {wave.name}` follows it"


def _until(wave: waves.Wave) -> str:
    if "throttle" in (wave.orders or {}):
        return f"`migrator wave set {wave.name} throttle off` lets it go on"
    return "it goes on by itself"


def _at_the_end(
    db: sa.Connection, found: list[waves.Wave], counts: dict[str, int], rows: dict[str, int], open_cases: int
) -> str:
    there = {status: phrases.said(counts[status], rows[status]) for status in User if counts[status] or rows[status]}
    if User.MOVED in there:
        first = _first_uncut(db, found)
        every = ", or `all`" if first != "all" else ""
        return f"{there[User.MOVED]} are moved and not yet live; `migrator wave cut-over {first}`{every}"
    if open_cases and User.HELD in there:
        return f"{there[User.HELD]} are held; decide with `migrator review list`, then `migrator review replay`"
    if User.HELD in there:
        return (
            f"{there[User.HELD].replace(' ', ' held ', 1)} are decided; `migrator review replay`, then `migrator run`"
        )
    if User.FAILED in there:
        return f"{there[User.FAILED]} failed; see `migrator review list`, then `migrator wave retry all`"
    if User.ROLLED_BACK in there:
        again = "`migrator wave retry all` and `migrator run` move them again"
        return f"{there[User.ROLLED_BACK]} are rolled back; {again}"
    return "everybody has arrived; `migrator verify` proves it, `migrator report` tells it"


def _first_uncut(db: sa.Connection, found: list[waves.Wave]) -> str:
    """The first wave of which somebody, or a row of nobody, is moved and not yet live."""
    tallied = users.tally(db, found[0].plan_id) if found else []
    waiting = {wave_id for _, wave_id, _, status_, count in tallied if status_ == User.MOVED and count}
    return next((wave.name for wave in found if wave.id in waiting), "all")


def _before_plan(db: sa.Connection) -> str:
    if tiers.last_run(db) is None:
        return "assign tiers with `migrator tier assign`"
    return "make a plan with `migrator plan create`"


def _per_tier(tallied: Iterable[tuple[str, int | None, str, str, int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for kind, _, tier, status_, count in tallied:
        if kind != users.USER:
            continue
        per_status = found.setdefault(tier, {})
        per_status[status_] = per_status.get(status_, 0) + count
    return found


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 2) if start and end else None
