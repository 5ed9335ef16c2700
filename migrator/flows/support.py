"""One user for support: where served, what happened, what to say, what to press. Found by id or e-mail."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound
from migrator.flows import review, tiering
from migrator.flows.parts import Parts
from migrator.flows.planning import email_print
from migrator.rollout.states import User
from migrator.store import batches, cases, journal, outbox, plans, tiers, users, waves

#: (what to say to the user, what to do now) per status
WORDS: dict[User, tuple[str, str]] = {
    User.PLANNED: (
        "Your account is going to move; until then everything works as before.",
        "nothing; the wave will come",
    ),
    User.MOVING: (
        "Your account is moving right now; it takes a few seconds.",
        "wait a minute and look again",
    ),
    User.MOVED: (
        "Your data has been copied and checked; you are still on the old system and nothing has changed for you.",
        "nothing; ops switches the wave with `migrator wave cut-over`",
    ),
    User.LIVE: (
        "Your account is on the new system, with everything you had.",
        "if something is missing: `migrator verify --user {user}`; to go back: `migrator rollback user {user}`",
    ),
    User.SETTLED: (
        "Your account is on the new system, with everything you had.",
        "if something is missing: `migrator verify --user {user}`; there is no way back any more",
    ),
    User.HELD: (
        (
            "Your account has not moved yet: one entry in it needs a person to look at it. Nothing is lost, "
            "and everything works as before."
        ),
        "decide the case: `migrator review list --user {user}`",
    ),
    User.EXCLUDED: (
        "Your account stays on the old system.",
        "the reason stands above; nothing to press",
    ),
    User.FAILED: (
        "Your account has not moved yet because of a fault on our side. Nothing is lost, and everything works as before.",
        "tell ops; they look at `migrator review list --user {user}` and then `migrator wave retry`",
    ),
    User.ROLLING_BACK: (
        "Your account is going back to the old system; it takes a few seconds.",
        "wait a minute and look again",
    ),
    User.ROLLED_BACK: (
        "Your account is back on the old system, just as it was before the move.",
        "nothing; ops moves the wave again with `migrator wave retry`",
    ),
    User.ERASED: ("There is no account.", "nothing"),
}


def find(parts: Parts, text: str) -> list[dict[str, Any]]:
    """Users with this key or e-mail address (upper and lower case alike)."""
    with parts.control.read() as db:
        plan = plans.require(db)
        by_key = users.get(db, plan.id, text)
        print_ = email_print(parts, text) if "@" in text else None
        found = ([by_key] if by_key else []) + (users.by_email(db, plan.id, print_) if print_ else [])
        names = {wave.id: wave.name for wave in waves.of_plan(db, plan.id)}
    return [
        {
            "user": one.user_key,
            "email": review.masked(str(_contact(parts, one).get("email") or "")) or None,
            "status": one.status.value,
            "home": one.home,
            "tier": one.tier,
            "wave": names.get(one.wave_id or 0),
        }
        for one in found
    ]


def show(parts: Parts, text: str) -> dict[str, Any]:
    """
    Everything about one user.

    Raises:
        NotFound: nobody has this key or address; several share the address.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        one = _the_one(parts, db, plan, text)
        wave = waves.get(db, one.wave_id) if one.wave_id else None
        open_cases = cases.select(db, plan.id, user=one.user_key)
        said, todo = WORDS[one.status]
        run = tiers.last_run(db)
        timeline = _timeline(db, plan, one, wave, open_cases)
    numbers = {"tier": one.tier, "code": one.code, "r": one.r, "f": one.f, "m": one.m}
    return {
        "user": one.user_key,
        "email": review.masked(str(_contact(parts, one).get("email") or "")) or None,
        "locale": one.locale,
        "status": one.status.value,
        "home": one.home,
        "reason": one.reason,
        "tier": {**numbers, "why": tiering.sentence(run, numbers) if run and one.tier != "none" else None},
        "wave": {"name": wave.name, "status": wave.status.value} if wave else None,
        "say": said,
        "do": todo.format(user=one.user_key),
        "can_roll_back": one.status in (User.MOVED, User.LIVE) and one.fence is not None,
        "cases": [review.case_as_json(parts, case, reveal=False) for case in open_cases],
        "timeline": timeline,
    }


def _the_one(parts: Parts, db: sa.Connection, plan: plans.Plan, text: str) -> users.User:
    by_key = users.get(db, plan.id, text)
    if by_key:
        return by_key
    print_ = email_print(parts, text) if "@" in text else None
    found = users.by_email(db, plan.id, print_) if print_ else []
    if len(found) > 1:
        raise NotFound(
            f"{len(found)} users have this address: {', '.join(one.user_key for one in found)}; name one by its key"
        )
    if not found:
        raise NotFound(f"nobody in plan {plan.id} has this key or address; `migrator user find` takes either")
    return found[0]


def _contact(parts: Parts, one: users.User) -> dict[str, Any]:
    return dict(json.loads(parts.key.open(one.contact))) if one.contact else {}


def _timeline(
    db: sa.Connection, plan: plans.Plan, one: users.User, wave: waves.Wave | None, found: list[cases.Case]
) -> list[dict[str, Any]]:
    """What happened, newest first: put together from user, batch, case, notice and journal rows."""
    lines: list[tuple[datetime, str, str]] = [(plan.created_at, "plan", f"planned in plan {plan.id}, tier {one.tier}")]
    if plan.approved_at:
        lines.append((plan.approved_at, "plan", f"plan {plan.id} approved by {plan.approved_by}"))
    if wave and wave.started_at:
        lines.append((wave.started_at, "wave", f"wave {wave.name} started"))
    for case in found:
        lines.append((case.first_seen, "case", f"case {case.id}: {case.mapping}.{case.field}, rule {case.rule}"))
        if case.resolved_at:
            lines.append((case.resolved_at, "case", f"case {case.id} resolved by {case.resolved_by}: {case.action}"))
    for notice in outbox.select(db, plan.id, user=one.user_key):
        lines.append(
            (notice.sent_at or notice.queued_at, "notice", f"notice {notice.event} ({notice.locale}): {notice.status}")
        )
    lines += _batch_lines(db, one)
    lines += [
        (entry["at"], "act", f"{entry['event']} by {entry['actor']}")
        for entry in journal.of(db, "user", [one.user_key])
    ]
    lines.append((one.changed_at, "user", f"{one.status}: {one.reason}" if one.reason else f"{one.status}"))
    newest = sorted(lines, key=lambda line: line[0], reverse=True)
    return [{"at": at, "kind": kind, "what": what} for at, kind, what in newest]


def _batch_lines(db: sa.Connection, one: users.User) -> list[tuple[datetime, str, str]]:
    if one.batch_id is None:
        return []
    lines = []
    batch = batches.get(db, one.batch_id)
    if batch and batch.started_at:
        lines.append((batch.started_at, "batch", f"batch {batch.id} began to move the user"))
    words = {
        "move": "done: batch",
        "restore": "put back: batch",
        "split": "split: batch",
        "expire": "worker lost: batch",
    }
    for entry in journal.of(db, "batch", [one.batch_id]):
        lines.append((entry["at"], "batch", f"{words.get(entry['event'], entry['event'])} {one.batch_id}"))
    return lines
