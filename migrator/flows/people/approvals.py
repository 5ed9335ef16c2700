"""
What needs two people: one asks for it, another one with the role approver allows it, the first one does it.

A flow says `approvals.use(…)` in the transaction of the act, inside `with approvals.asking(parts)`. Where nobody has
allowed it yet, nothing is done and the request is stored. It is bound to the plan, the act and its arguments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from migrator import logs
from migrator.errors import NeedsApproval, NotPermitted, Refused
from migrator.rollout.rights import APPROVAL_LASTS, Act, Permission, Role
from migrator.store import approvals, journal, people, plans
from migrator.store.control import Control

ONE_PERSON = {"one_person": "nobody is an operator yet"}


class Doing(Protocol):
    """Who does something, where it is written down, and when: `Parts` and `Office` are such."""

    @property
    def control(self) -> Control:
        """The control database."""

    @property
    def actor(self) -> str:
        """The operator's name, if he has proved himself."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock."""


@dataclass(frozen=True, slots=True)
class Request:
    """An act with all that it is bound to."""

    act: Act
    noun: str
    ref: str
    arguments: dict[str, Any]
    plan_hash: str

    @property
    def digest(self) -> str:
        """The same for the same act of the same plan."""
        said = [self.act.value, self.noun, self.ref, self.arguments, self.plan_hash]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


class _NotAllowedYet(Exception):
    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.request = request


@contextmanager
def asking(doing: Doing) -> Iterator[None]:
    """
    Store the request of an act that was not allowed yet, once its transaction is undone.

    Raises:
        NeedsApproval: with its number.
    """
    try:
        yield
    except _NotAllowedYet as missing:
        raise NeedsApproval(_asked(doing, missing.request)) from None


def use(
    db: sa.Connection,
    doing: Doing,
    act: Act,
    noun: str,
    ref: object,
    *,
    begun_with: int | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """
    Use up the approval of an act, in its own transaction; what the journal says of it.

    Args:
        begun_with: The approval with which this very act was begun, where it was cut off and nothing was added to it.
    """
    if not people.exist(db):
        return dict(ONE_PERSON)
    person = people.find(db, doing.actor)
    if person is None:
        raise NotPermitted(f"{act} of {noun} {ref} needs two operators, and {doing.actor} is none")
    request, now = Request(act, noun, str(ref), arguments, _plan_hash(db)), doing.now()
    if begun_with is not None and (begun := approvals.get(db, begun_with)).digest == request.digest:
        return {"approval": begun.id, "approved_by": begun.decided_by, "begun_before": True}
    found = approvals.pending(db, request.digest, person.name, now)
    if found is None or found.status != approvals.GIVEN or not _still_approver(db, found):
        raise _NotAllowedYet(request)
    approvals.move(db, found, approvals.USED, used_at=now)
    return {"approval": found.id, "approved_by": found.decided_by}


def give(doing: Doing, approval_id: int, *, reason: str = "") -> dict[str, Any]:
    """Allow what somebody else has asked for."""
    return _decide(doing, approval_id, approvals.GIVEN, "give", reason)


def refuse(doing: Doing, approval_id: int, reason: str) -> dict[str, Any]:
    """Do not allow it."""
    return _decide(doing, approval_id, approvals.REFUSED, "refuse", reason)


def listed(doing: Doing, *, every: bool = False, count: int = 100) -> list[dict[str, Any]]:
    """What waits for an approver; *every*: also what was decided, used, or is too old."""
    with doing.control.read() as db:
        now = doing.now()
        found = [shown(one, now) for one in approvals.latest(db, count)]
    return [one for one in found if every or one["status"] == approvals.OPEN]


def show(doing: Doing, approval_id: int) -> dict[str, Any]:
    """One request, with all that it is bound to, and whether the plan still is the one it was asked for."""
    with doing.control.read() as db:
        found = approvals.get(db, approval_id)
        return shown(found, doing.now()) | {"same_plan": found.plan_hash == _plan_hash(db)}


def shown(one: approvals.Approval, now: datetime) -> dict[str, Any]:
    """For people and programs."""
    return {
        "id": one.id,
        "status": one.stands(now),
        "act": one.act,
        "noun": one.noun,
        "ref": one.ref,
        "arguments": one.arguments,
        "plan_hash": one.plan_hash,
        "requested_by": one.requested_by,
        "requested_at": one.requested_at,
        "expires_at": one.expires_at,
        "decided_by": one.decided_by,
        "decided_at": one.decided_at,
        "reason": one.reason,
        "used_at": one.used_at,
    }


def _asked(doing: Doing, request: Request) -> str:
    """Store a request, unless it is there; the sentence for whoever has to wait for it."""
    with doing.control.write() as db:
        now = doing.now()
        found = approvals.pending(db, request.digest, doing.actor, now)
        if found is None or found.status != approvals.OPEN:
            number = approvals.add(
                db, act=request.act.value, noun=request.noun, ref=request.ref, arguments=request.arguments,
                plan_hash=request.plan_hash, digest=request.digest, requested_by=doing.actor, requested_at=now,
                expires_at=now + APPROVAL_LASTS,
            )  # fmt: skip
            about = {"act": request.act.value, "of": request.ref, "about": request.noun}
            journal.add(db, now, doing.actor, "ask", "approval", number, **about)
            found = approvals.get(db, number)
        who = _approvers(db, doing.actor)
    hint = (
        f"{' or '.join(who)} allows it"
        if who
        else "nobody else is an approver: an approver adds one; then he allows it"
    )
    return (
        f"{request.act} ({request.noun} {request.ref}) needs a second person: {hint} with "
        f"`migrator approval give {found.id}` before {found.expires_at:%H:%M} UTC; then do it again"
    )


def _decide(doing: Doing, approval_id: int, new: str, event: str, reason: str) -> dict[str, Any]:
    with doing.control.write() as db:
        now, found = doing.now(), approvals.get(db, approval_id)
        if found.stands(now) != approvals.OPEN:
            raise Refused(f"approval {found.id} is {found.stands(now)}; see `migrator approval list --all`")
        _refuse_if_not_another(db, doing, found)
        if new == approvals.GIVEN and found.plan_hash != _plan_hash(db):
            raise Refused(
                f"the plan is not what it was when approval {found.id} was asked for; {found.requested_by} asks again"
            )
        approvals.move(db, found, new, decided_by=doing.actor, decided_at=now, reason=logs.masked(reason) or None)
        journal.add(
            db, now, doing.actor, event, "approval", found.id,
            act=found.act, of=found.ref, about=found.noun, requested_by=found.requested_by, reason=reason,
        )  # fmt: skip
        return shown(approvals.get(db, approval_id), now)


def _refuse_if_not_another(db: sa.Connection, doing: Doing, found: approvals.Approval) -> None:
    person = people.find(db, doing.actor)
    if person is None or not person.person.may(Permission.APPROVE):
        raise NotPermitted(
            f"{doing.actor} decides on no approvals: that is for operators with the role {Role.APPROVER}"
        )
    if found.requested_by == doing.actor:
        others = " or ".join(_approvers(db, doing.actor)) or "another approver, who is to be added first"
        raise NotPermitted(f"{doing.actor} asked for approval {found.id} himself; it takes a second person: {others}")


def _still_approver(db: sa.Connection, found: approvals.Approval) -> bool:
    decided = people.find(db, found.decided_by) if found.decided_by else None
    return decided is not None and Role.APPROVER in decided.roles


def _approvers(db: sa.Connection, but: str) -> list[str]:
    able = (one for one in people.everybody(db) if one.removed_at is None and Role.APPROVER in one.roles)
    return [one.name for one in able if one.name != but]


def _plan_hash(db: sa.Connection) -> str:
    plan = plans.current(db)
    return plan.hash if plan else ""
