"""
Who is there, and may he do this: asked once before every command, from whatever entrance.

Until there is an operator, whoever can run a command may do everything. From then on a person proves himself by his
token, and the table of `rollout/rights.py` decides. A worker is a service: it proves nothing and starts nothing; it moves
what is in a wave that somebody with the right has started, of a plan that somebody with the right has approved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from migrator.errors import NotPermitted
from migrator.rollout.rights import Permission, Person, Right, Role, right_of
from migrator.store import journal, people, switches
from migrator.store.control import Control

if TYPE_CHECKING:
    from migrator.edges.keys import ProjectKey

#: What makes the first operator, and helps out when no approver can prove himself any more.
BOOTSTRAP = ("operator add", "operator token")
#: What must work before there can be an operator.
BEFORE = (*BOOTSTRAP, "store upgrade")


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody wants to do something: what, as whom he seems to be there, and when."""

    command: str
    seems: str  # as far as the machine knows: user@host
    now: datetime
    changes: bool = True  # not with --dry-run
    required: bool = False  # rights apply even while nobody is an operator


#: The revision of the control database that knows operators.
SINCE = "0007"
ASKING = (Permission.OPERATE, Permission.ROLL_BACK, Permission.ERASE)  # what may need a second person
SOON = timedelta(days=7)  # when the end of a token is worth a word
#: The keyed hash of the token that somebody shows; None: he shows none. Asked for only where there are operators.
Proof = Callable[[], str | None]


def token_print(key: ProjectKey, token: str) -> str:
    """What is kept of a token. It has 256 random bits, so one keyed hash is slow enough to guess at."""
    return key.digest("operator token", token)


def admit(control: Control, knock: Knock, proof: Proof) -> Person | None:
    """
    Let somebody do what he wants; who he is, or None where nobody is an operator yet.

    Raises:
        NotPermitted: what was wanted, why not, and who may; the journal keeps it.
    """
    right = right_of(knock.command)
    if right.permission is Permission.FREE:
        return None
    with control.read() as db:
        person, refusal = _judged(db, knock, right, proof)
        closed = switches.read_only(db) if right.changes and knock.changes else None
    if closed and not refusal:
        refusal = f"{closed.sentence}, and `{_typed(knock)}` changes something; `migrator store read-only off` ends it"
    if refusal:
        _record(control, knock, person, right)
        raise NotPermitted(refusal)
    return person


def concern(control: Control, now: datetime) -> tuple[int, str | None, str]:
    """(how many operators there are, what is amiss with them, what to do about it)."""
    with control.read() as db:
        there = [one for one in people.everybody(db) if one.removed_at is None]
    able = [one for one in there if one.can_prove_himself(now)]
    approvers = [one.person for one in able if one.person.may(Permission.APPROVE)]
    ending = [one.name for one in able if not one.can_prove_himself(now + SOON)]
    more = "migrator operator add NAME --role approver, and migrator operator token NAME"
    if there and not approvers:
        return len(there), "nobody is an approver with a good token: what needs two people cannot be done", more
    if len(approvers) == 1 and any(map(approvers[0].may, ASKING)):
        alone = f"only {approvers[0].name} is an approver with a good token: what he asks for, nobody else can allow"
        return len(there), alone, more
    if ending:
        said = f"tokens end within {SOON.days} days: {', '.join(ending)}"
        return len(there), said, "migrator operator token, by each of them"
    return len(there), None, ""


def _judged(db: sa.Connection, knock: Knock, right: Right, proof: Proof) -> tuple[Person | None, str | None]:
    """(who it is, why he may not)."""
    if not people.exist(db):
        missing = "rights apply here ([security] operators_required), and nobody is an operator yet"
        first = "`migrator operator add NAME --role approver` makes the first"
        refused = knock.required and knock.command not in BEFORE
        return None, f"{missing}, so `{_typed(knock)}` is refused; {first}" if refused else None
    person, unproven = _proven(db, knock, proof())
    if person is None:
        return None, None if knock.command in BOOTSTRAP and _nobody_left(db, knock.now) else unproven
    if person.may(right.permission):
        return person, None
    held = ", ".join(sorted(person.roles))
    return person, f"{person.name} ({held}) may not `{_typed(knock)}`: that takes {_roles(right)}"


def _proven(db: sa.Connection, knock: Knock, shown: str | None) -> tuple[Person | None, str]:
    """(who it is, why we do not know him)."""
    if shown is None:
        how = "set MIGRATOR_TOKEN, or MIGRATOR_TOKEN_FILE to a file of mode 0600"
        return None, f"`{_typed(knock)}` is for operators ({_roles(right_of(knock.command))}); show who you are: {how}"
    found = people.of_token(db, shown)
    if found is None:
        return None, (
            f"the token is no operator's, or another has taken its place, so `{_typed(knock)}` is refused; "
            "an approver gives a new one: `migrator operator token NAME`"
        )
    if not found.can_prove_himself(knock.now):
        until = f"{found.token_until:%Y-%m-%d %H:%M} UTC" if found.token_until else "never"
        return None, (
            f"the token of {found.name} was good until {until}, so `{_typed(knock)}` is refused; "
            f"an approver gives a new one: `migrator operator token {found.name}`"
        )
    return found.person, ""


def _nobody_left(db: sa.Connection, now: datetime) -> bool:
    """Whether no approver can prove himself: then whoever holds the project's key helps out, as with the first one."""
    able = [one for one in people.everybody(db) if one.can_prove_himself(now)]
    return not any(one.person.may(Permission.PEOPLE) for one in able)


def _record(control: Control, knock: Knock, person: Person | None, right: Right) -> None:
    if control.revision() != control.head():
        return  # an older journal has another form; `store upgrade` comes first
    who = person.name if person else f"{knock.seems} (not proven)"
    with control.write() as db:
        journal.add(db, knock.now, who, "deny", "command", knock.command, wanted=right.permission.value)


def _typed(knock: Knock) -> str:
    return f"migrator {knock.command}"


def _roles(right: Right) -> str:
    """`role engineer or ops`."""
    return "any role" if len(right.roles) == len(Role) else f"role {' or '.join(right.roles)}"
