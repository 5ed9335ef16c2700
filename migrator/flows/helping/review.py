"""Review cases for people: list by cause, decide once for all who share it, send the users on their way again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator import logs
from migrator.errors import NotFound, Overtaken, Refused
from migrator.flows.helping import case_view
from migrator.flows.parts import Parts
from migrator.flows.plans import grouping, identities
from migrator.flows.steering import waves as wave_flows
from migrator.mapping.groups import closed
from migrator.rollout import states
from migrator.rollout.states import Case as Status
from migrator.rollout.states import User
from migrator.store import cases, journal, leavers, plans, users, waves

SHORTEST = 4  # characters that name a cause by its beginning
#: What a person may decide, as the command line spells it -> as it is stored.
ACTIONS = {
    "use": "use",
    "accept-null": "accept null",
    "skip-row": "skip row",
    "keep-row": "keep row",
    "exclude-user": "exclude user",
    "fixed-in-source": "fixed in source",
    "fixed-in-mapping": "fixed in mapping",
    "merge": grouping.MERGE,
    "apart": grouping.APART,
    "same-user": identities.SAME,
    "another-user": identities.ANOTHER,
}


def listed(parts: Parts, *, status: str | None = None, user: str | None = None, reveal: bool = False) -> dict[str, Any]:
    """Cases of the current plan, one by one and grouped by cause. Values of sensitive fields stay masked."""
    wanted = (Status(status),) if status else (Status.OPEN, Status.RESOLVED)
    with parts.control.read() as db:
        plan = plans.require(db)
        found = cases.select(db, plan.id, statuses=wanted, user=user)
        concerned = users.some(db, plan.id, {key for case in found for key in case.users})
    shown = [case_view.as_json(parts, case, reveal=reveal) for case in found]
    return {"cases": shown, "causes": _causes(shown, {one.user_key for one in concerned if one.kind == users.ROWS})}


def show(parts: Parts, ref: str) -> list[dict[str, Any]]:
    """One case by its number, or all of a cause."""
    return [case_view.as_json(parts, case, reveal=True) for case in _named(parts, ref)]


def resolve(
    parts: Parts, ref: str, action: str, value: str | None, *, only: Sequence[str] = (), dry_run: bool = False
) -> dict[str, Any]:
    """
    Decide a case (by number) or a cause (all its cases at once).

    Args:
        action: a key of ACTIONS.
        value: with `use`: what the field gets, as text; converted to the target column like any other value.
        only: with `exclude-user` in a case of several users: who is excluded; the others may be replayed. With
            `same-user`: which of several users the record is.

    Raises:
        Refused: nothing of it can be decided so.
    """
    if action not in ACTIONS:
        raise Refused(f'there is no resolution "{action}"; there are {", ".join(ACTIONS)}')
    if (action == "use") != (value is not None):
        raise Refused("`use` needs a value, and nothing else takes one")
    found = [case for case in _named(parts, ref) if case.status in (Status.OPEN, Status.RESOLVED)]
    if not found:
        raise Refused(f"{ref} is replayed already; a new case opens if its cause is still there")
    _check_sharers(found, action, only)
    identities.check(found, action, only)
    grouping.check(parts, found, action, only)
    people = sorted({user for case in found for user in case.users})
    if not dry_run:
        _store(parts, found, action, value, only)
    return {"cases": [case.id for case in found], "users": people, "action": action, "dry_run": dry_run}


def replay(parts: Parts, *, dry_run: bool = False, by: str | None = None) -> dict[str, Any]:
    """
    Plan the users again whose cases are all resolved; their waves run on, with the decisions applied.

    Users who merge go together: one of them who waits for another case keeps all of them waiting.

    Args:
        by: only what this one has decided.

    Returns: `users` who are on their way again, `waves` they are in, `waiting` users whom another case still holds,
        `left` users whose wave was cancelled or is being rolled back: they stay held, and so does the decision.
    """
    second = grouping.look_again(parts)
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        resolved = cases.select(db, plan.id, statuses=(Status.RESOLVED,))
        resolved = [case for case in resolved if by is None or case.resolved_by == by]
        if not dry_run:
            grouping.regroup(db, parts, plan, second, now)
        named = {user for case in resolved for user in case.users} | second.members
        together = users.groups(db, plan.id, [one.user_key for one in users.with_groups(db, plan.id, named)])
        together = second.leaders(together)
        unsure = cases.open_users(db, plan.id) | second.grouped.unsure.keys()
        waiting = set(closed(identities.waiting(resolved, unsure), together))
        concerned = set(closed(named, together))
        held = {
            one.user_key: one
            for one in users.some(db, plan.id, sorted(concerned - waiting - identities.merged(resolved)))
            if one.status in (User.HELD, User.FAILED)
        }
        by_wave: dict[int, list[str]] = {}
        for key, one in held.items():
            if one.wave_id is not None:
                by_wave.setdefault(one.wave_id, []).append(key)
        found = [waves.get(db, wave_id) for wave_id in sorted(by_wave)]
        # a wave that a person, a gate or the breaker holds is not sent on its way by what comes about by itself
        going = [one for one in found if wave_flows.takes_users(one) and not (by and one.status is states.Wave.HELD)]
        left = {key for wave in found if wave not in going for key in by_wave[wave.id]}
        outcome = {
            "users": len(held) - len(left),
            "waves": [wave.name for wave in going],
            "waiting": len(concerned & waiting),
            "left": len(left),
            "dry_run": dry_run,
        }
        if dry_run:
            return outcome
        for wave in going:
            keys = sorted(by_wave[wave.id])
            leavers.note_held(db, plan.id, keys)
            users.move(db, plan.id, keys, (User.HELD, User.FAILED), User.PLANNED, now, reason=None)
            wave_flows.replan(parts, db, wave, keys)
        done = [case for case in resolved if not set(case.users) & (waiting | left)]
        identities.settle(db, plan, done, now)
        cases.replayed(db, [case.id for case in done])
        if going:
            sent = [key for wave in going for key in by_wave[wave.id]]
            journal.add(db, now, parts.actor, "replay", "plan", plan.id, users=sent, waves=outcome["waves"])
        return outcome


def exclude(parts: Parts, user_key: str, reason: str) -> list[str]:
    """
    Leave a user in legacy, with a reason; and all who merge with this one: half an account is of no use.

    An address in the reason is masked: it is kept, and shown, where nobody's address belongs.

    Returns: all who were excluded.

    Raises:
        Refused: a batch has the user, or has written the user and died before it could say so.
    """
    reason = logs.masked(reason)
    with parts.control.read() as db:
        found = users.with_groups(db, plans.require(db).id, [user_key])
    with parts.target.reading() as reader:
        ledger = reader.ledger([one.user_key for one in found] or [user_key])
    written = set(ledger.filter(pl.col("op") == "move")["user_key"].to_list())
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        if user_key not in {one.user_key for one in found}:
            raise NotFound(f'there is no user "{user_key}" in plan {plan.id}')
        for one in found:
            _exclude(db, plan.id, one, _said(one.user_key, user_key, reason), now, written=one.user_key in written)
            journal.add(db, now, parts.actor, "exclude", "user", one.user_key, reason=reason)
        cases.lapse(db, plan.id, [one.user_key for one in found])
    return [one.user_key for one in found]


def _said(user_key: str, asked: str, reason: str) -> str:
    return reason if user_key == asked else f"{reason} (with user {asked}, with whom this one merges)"


def _exclude(db: sa.Connection, plan_id: int, one: users.User, reason: str, now: datetime, *, written: bool) -> None:
    key = one.user_key
    after = states.step("user", one.status, "exclude", key)
    if one.status is User.MOVING or (one.status is User.PLANNED and written):
        raise Refused(f"user {key} is being moved; look again in a minute with `migrator user show {key}`")
    if not users.move(db, plan_id, [key], (one.status,), after, now, reason=reason):
        raise Overtaken(f"user {key} is no longer {one.status}; look again with `migrator user show {key}`")


def _causes(shown: Sequence[dict[str, Any]], rows: set[str]) -> list[dict[str, Any]]:
    """Cases by cause; *rows* are keys of rows of nobody, which are counted apart."""
    grouped: dict[str, dict[str, Any]] = {}
    for case in shown:
        same = {name: case[name] for name in ("cause", "mapping", "field", "rule", "value", "note", "file", "line")}
        group = grouped.setdefault(case["cause"], {**same, "cases": 0, "users": set(), "open": 0})
        group["cases"] += 1
        group["users"] |= set(case["users"])
        group["open"] += case["status"] == Status.OPEN
    for group in grouped.values():
        group["examples"] = sorted(group["users"])[:3]
        group["nobody"] = len(group["users"] & rows)
        group["users"] = len(group["users"] - rows)
    most = {id(group): -group["users"] - group["nobody"] for group in grouped.values()}
    return sorted(grouped.values(), key=lambda group: (most[id(group)], group["mapping"], group["field"]))


def _named(parts: Parts, ref: str) -> list[cases.Case]:
    """The case with this number; all cases of this cause (or its beginning), or of this `mapping.field`; or `all`."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if ref == "all":
            return cases.select(db, plan.id, statuses=(Status.OPEN,))
        by_cause = cases.select(db, plan.id, cause=ref)
        if by_cause:
            return by_cause
        everything = cases.select(db, plan.id)
        by_field = [case for case in everything if f"{case.mapping}.{case.field}" == ref]
        if by_field:
            return by_field
        by_number = [case for case in everything if str(case.id) == ref]
        if by_number:
            return by_number
        begun = [case for case in everything if len(ref) >= SHORTEST and case.cause.startswith(ref)]
        if len({case.cause for case in begun}) == 1:
            return begun
    raise NotFound(f'there is no case or cause "{ref}"; `migrator review list` shows all')


def _check_sharers(found: Sequence[cases.Case], action: str, only: Sequence[str]) -> None:
    several = [case for case in found if len(case.users) > 1]
    if several and action == "use" and len(only) != 1:
        raise Refused(
            f"case {several[0].id} holds {len(several[0].users)} users who share a value; "
            "say whose value it is with --user"
        )
    strangers = set(only) - {user for case in found for user in case.users}
    if strangers:
        raise Refused(f"not held by this case: {', '.join(sorted(strangers))}")


def _store(parts: Parts, found: Sequence[cases.Case], action: str, value: str | None, only: Sequence[str]) -> None:
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        sealed = parts.key.seal(value) if value is not None else None
        for case in found:
            whose = only[0] if action == "use" and len(case.users) > 1 else None
            if action == "same-user":
                whose = identities.meant(case, only)
            cases.resolve(db, case.id, ACTIONS[action], sealed, parts.actor, now, user=whose)
            if action == "exclude-user":
                named = [user for user in case.users if not only or user in only]
                gone = [one.user_key for one in users.with_groups(db, plan.id, named)]
                reason = f"excluded by {parts.actor} in case {case.id}"
                users.move(db, plan.id, gone, (User.HELD, User.FAILED), User.EXCLUDED, now, reason=reason)
            journal.add(db, now, parts.actor, "resolve", "case", case.id, action=ACTIONS[action], users=case.users)
