"""One user for support: where served, what happened, what to say, what to press. Found by id or e-mail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound
from migrator.flows.helping import case_view
from migrator.flows.moving import tombstones
from migrator.flows.people.desk import Desk
from migrator.flows.plans import tier_reasons
from migrator.flows.telling import contacts
from migrator.rollout.states import Case, User
from migrator.store import (
    batches,
    cases,
    erasures,
    homes,
    journal,
    outbox,
    plans,
    records,
    requests,
    tiers,
    users,
    waves,
)

#: (what to say to the user, what to do now) per status
WORDS: dict[User, tuple[str, str]] = {
    User.PLANNED: (
        "Your account is going to move; until then everything works as before.",
        "nothing; the wave will come. To move him now: `migrator user move {user}`",
    ),
    User.MOVING: (
        "Your account is moving right now; it takes a few seconds.",
        "wait a minute and look again",
    ),
    User.MOVED: (
        "Your data has been copied and checked; you are still on the old system and nothing has changed for you.",
        "nothing; ops cuts the wave over with `migrator wave cut-over`, or him alone with `migrator user cut-over {user}`",
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


IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)

#: What to do now for whoever is held, and of whom nothing is left to decide.
DECIDED = "all is decided; `migrator review replay` sends him on, and `migrator run` goes on with his wave"

#: What to say of rows of nobody: there is nobody to say it to.
NOBODYS = "These rows belong to no user; whoever asks about them is told where they are served."


def find(desk: Desk, text: str) -> list[dict[str, Any]]:
    """Users with this key or e-mail address (upper and lower case alike)."""
    with desk.control.read() as db:
        plan = plans.require(db)
        by_key = users.get(db, plan.id, text) or _by_record(db, plan, text)
        found = ([by_key] if by_key else []) + _by_email(desk, db, plan, text)
        groups = {one.user_key: _group(db, one) for one in found}
        names = {wave.id: wave.name for wave in waves.of_plan(db, plan.id)}
    return [
        {
            "user": one.user_key,
            "email": case_view.masked(str(contacts.opened(desk, one).get("email") or "")) or None,
            "status": one.status.value,
            "home": one.home,
            "tier": one.tier,
            "wave": names.get(one.wave_id or 0),
            "group": groups[one.user_key],
        }
        for one in found
    ]


def show(desk: Desk, text: str) -> dict[str, Any]:
    """
    Everything about one user.

    Raises:
        NotFound: nobody has this key or address; several share the address.
    """
    with desk.control.read() as db:
        plan = plans.require(db)
        one = _the_one(desk, db, plan, text)
        wave = waves.get(db, one.wave_id) if one.wave_id else None
        open_cases = cases.select(db, plan.id, user=one.user_key)
        said, todo = WORDS[one.status] if one.kind == users.USER else (NOBODYS, WORDS[one.status][1])
        todo = DECIDED if one.status is User.HELD and _is_decided(db, one) else todo
        run, own = tiers.last_run(db), tiers.get(db, one.user_key)
        group = _group(db, one)
        timeline = _timeline(db, plan, one, wave, open_cases)
        since = homes.since(db, plan.id, one.user_key)
        served = homes.history(db, plan.id, one.user_key)
        asked = requests.get(db, plan.id, one.user_key)
        known_in = records.of_users(db, plan.id, [one.user_key])
        other = _by_record(db, plan, one.user_key)
    numbers = {"tier": one.tier, "code": one.code, "r": one.r, "f": one.f, "m": one.m}
    why = tier_reasons.sentence(run, numbers) if run and one.tier != "none" else None
    if why and run and own and own["code"] == one.code and own["tier"] != one.tier:
        why = f"{tier_reasons.sentence(run, own)} Travels as {one.tier} with users who are, or may be, the same person."
    return {
        "user": one.user_key,
        "kind": one.kind,
        "email": case_view.masked(str(contacts.opened(desk, one).get("email") or "")) or None,
        "locale": one.locale,
        "same_as": other.user_key if other and other.user_key != one.user_key else None,
        "records": [{"source": r.source, "key": r.record_key, "by": r.rule} for r in known_in],
        "status": one.status.value,
        "home": one.home,
        "since": since,
        "homes": [{"version": c.version, "was": c.was, "home": c.home, "since": c.since, "why": c.why} for c in served],
        "request": request_as_json(asked) if asked else None,
        "reason": one.reason,
        "group": group,
        "tier": {**numbers, "why": why},
        "wave": {"name": wave.name, "status": wave.status.value} if wave else None,
        "say": said,
        "do": todo.format(user=one.user_key),
        "can_roll_back": one.status in (User.MOVED, User.LIVE) and one.fence is not None,
        "cases": [case_view.as_json(desk, case, reveal=False) for case in open_cases],
        "timeline": timeline,
    }


def _is_decided(db: sa.Connection, one: users.User) -> bool:
    """Whether only the replay is missing: of whoever is one account with others, no case of theirs is open either."""
    members = {one.user_key} | {other.user_key for other in users.with_groups(db, one.plan_id, [one.user_key])}
    found = [case for key in sorted(members) for case in cases.select(db, one.plan_id, user=key) if case.holds]
    statuses = {case.status for case in found}
    return Case.RESOLVED in statuses and Case.OPEN not in statuses


def _group(db: sa.Connection, one: users.User) -> dict[str, Any] | None:
    """With whom a user is one account, and whose row of it survives; None for most."""
    if one.group_key is None:
        return None
    members = [other.user_key for other in users.with_groups(db, one.plan_id, [one.user_key])]
    others = ", ".join(key for key in members if key != one.user_key)
    becomes = "is" if one.status in IN_TARGET else "becomes"
    if one.group_key == one.user_key:
        said = f"{becomes} one account with user {others}; it is this user's account that they all have"
    else:
        said = f"{becomes} part of the account of user {one.group_key} (users {', '.join(members)} have one account)"
    return {"survivor": one.group_key, "users": members, "said": said}


def _the_one(desk: Desk, db: sa.Connection, plan: plans.Plan, text: str) -> users.User:
    by_key = users.get(db, plan.id, text) or _by_record(db, plan, text) or _erased(desk, db, plan, text)
    if by_key:
        return by_key
    found = _by_email(desk, db, plan, text)
    if len(found) > 1:
        raise NotFound(
            f"{len(found)} users have this address: {', '.join(one.user_key for one in found)}; name one by its key"
        )
    if not found:
        raise NotFound(f"nobody in plan {plan.id} has this key or address; `migrator user find` takes either")
    return found[0]


def _by_email(desk: Desk, db: sa.Connection, plan: plans.Plan, text: str) -> list[users.User]:
    prints = contacts.known_prints(desk, text) if "@" in text else []
    return [one for print_ in prints for one in users.by_email(db, plan.id, print_)]


def _erased(desk: Desk, db: sa.Connection, plan: plans.Plan, text: str) -> users.User | None:
    """Who was erased is known by nothing but a keyed hash."""
    return users.get(db, plan.id, erasures.ALIAS + tombstones.prints(desk, [text])[text])


def _by_record(db: sa.Connection, plan: plans.Plan, text: str) -> users.User | None:
    """Who the record is that is named as `SOURCE:KEY`."""
    source, _, key = text.partition(":")
    record = records.get(db, plan.id, source, key) if key else None
    return users.get(db, plan.id, record.user_key) if record else None


def _timeline(
    db: sa.Connection, plan: plans.Plan, one: users.User, wave: waves.Wave | None, found: list[cases.Case]
) -> list[dict[str, Any]]:
    """What happened, newest first: put together from user, batch, case, notice and journal rows."""
    tier = f", tier {one.tier}" if one.kind == users.USER else ""
    lines: list[tuple[datetime, str, str]] = [(plan.created_at, "plan", f"planned in plan {plan.id}{tier}")]
    group = _group(db, one)
    if group:
        lines.append((plan.created_at, "group", group["said"]))
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
        (each.since, "home", f"served by {each.home} from now on: {each.why}")
        for each in homes.history(db, plan.id, one.user_key)
    ]
    asked = requests.get(db, plan.id, one.user_key)
    if asked:
        lines.append((asked.asked_at, "request", f"asked for by {asked.asked_by}, ahead of his wave"))
    lines += [
        (entry["at"], "act", f"{entry['event']} by {entry['actor']}")
        for entry in journal.of(db, "user", [one.user_key])
    ]
    lines.append((one.changed_at, "user", f"{one.status}: {one.reason}" if one.reason else f"{one.status}"))
    newest = sorted(lines, key=lambda line: line[0], reverse=True)
    return [{"at": at, "kind": kind, "what": what} for at, kind, what in newest]


def request_as_json(asked: requests.Request) -> dict[str, Any]:
    """Who wants him moved ahead of his wave, and what came of it."""
    return {
        "status": asked.status, "reason": asked.reason or "nobody has looked at it yet", "cut_over": asked.cut_over,
        "asked_by": asked.asked_by, "asked_at": asked.asked_at, "batch": asked.batch_id, "ended_at": asked.ended_at,
    }  # fmt: skip


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
