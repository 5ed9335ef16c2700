"""Who is an operator, with which roles, and how he proves himself."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotPermitted, Refused, WrongInput
from migrator.flows.people.access import token_print
from migrator.flows.people.office import Office
from migrator.rollout.rights import Permission, Role
from migrator.store import journal, people

NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")  # without @: nobody is taken for user@host
OURS = ("dispatcher", "gate", "system")  # what the journal calls ourselves


def listed(office: Office) -> list[dict[str, Any]]:
    """All operators, those removed, too."""
    with office.control.read() as db:
        return [_shown(one, office.now()) for one in people.everybody(db)]


def add(office: Office, name: str, roles: Collection[Role]) -> dict[str, Any]:
    """Make an operator, or give one other roles. The first one is an approver: he adds the others."""
    if not NAME.fullmatch(name) or name in OURS:
        raise WrongInput(
            f'"{name}" cannot be an operator\'s name: small letters, digits, . _ -, beginning with a letter'
            + (f"; {', '.join(OURS)} are ourselves" if name in OURS else "")
        )
    if not roles:
        raise WrongInput(
            f"say what {name} is here for: --role with one of {', '.join(Role)}; several --role are possible"
        )
    with office.control.write() as db:
        first = not people.exist(db)
        if first and Role.APPROVER not in roles:
            raise Refused("the first operator needs the role approver, too: nobody else could add others")
        before = people.find(db, name)
        people.put(db, name, roles, office.actor, office.now())
        _refuse_without_approver(db)
        had = {"before": sorted(before.roles)} if before else {}
        _note(db, office, "operator", name, roles=sorted(roles), **had)
        return _shown(people.require(db, name), office.now())


def remove(office: Office, name: str) -> dict[str, Any]:
    """From now on his token is good for nothing; what he asked for and allowed is, too."""
    with office.control.write() as db:
        people.require(db, name)
        people.remove(db, name, office.now())
        _refuse_without_approver(db)
        _note(db, office, "remove", name)
    return {"operator": name, "removed": True}


def renew(office: Office, name: str | None, lasts: timedelta) -> tuple[str, dict[str, Any]]:
    """
    Give an operator a new token; the one before is good for nothing.

    Args:
        name: None: one's own.
    Returns:
        the token, which is nowhere kept, and what is shown of the operator.
    """
    name = name or (office.person.name if office.person else None)
    if name is None:
        raise WrongInput("say whose token: migrator operator token NAME")
    _refuse_for_others(office, name)
    token = f"mig_{secrets.token_urlsafe(32)}"
    with office.control.write() as db:
        people.require(db, name)
        people.give_token(db, name, token_print(office.key, token), office.now(), office.now() + lasts)
        _note(db, office, "token", name)
        return token, _shown(people.require(db, name), office.now())


def revoke(office: Office, name: str) -> dict[str, Any]:
    """Take an operator's token: he stays one, and cannot prove himself."""
    _refuse_for_others(office, name)
    with office.control.write() as db:
        people.require(db, name)
        people.take_token(db, name)
        _note(db, office, "revoke", name)
        return _shown(people.require(db, name), office.now())


def _refuse_for_others(office: Office, name: str) -> None:
    """Everybody may have a token of his own anew; that of somebody else is for approvers, and for the first ones."""
    person = office.person
    if person is not None and person.name != name and not person.may(Permission.PEOPLE):
        raise NotPermitted(f"{person.name} may not touch the token of {name}: that is for the role {Role.APPROVER}")


def _refuse_without_approver(db: sa.Connection) -> None:
    left = [one.name for one in people.everybody(db) if one.removed_at is None and Role.APPROVER in one.roles]
    if not left:
        raise Refused("nobody would be an approver any more, and nobody could add one; make another one first")


def _note(db: sa.Connection, office: Office, event: str, name: str, **detail: Any) -> None:
    unproven = {} if office.person else {"by_the_key": "no approver could prove himself"}
    journal.add(db, office.now(), office.actor, event, "operator", name, **detail, **unproven)


def _shown(one: people.Operator, now: datetime) -> dict[str, Any]:
    if one.removed_at:
        token = "removed"
    elif one.token_until is None:
        token = "none"
    else:
        token = "good" if one.can_prove_himself(now) else "expired"
    return {
        "operator": one.name,
        "roles": sorted(one.roles),
        "token": token,
        "token_until": one.token_until,
        "added_by": one.added_by,
        "added_at": one.added_at,
        "removed_at": one.removed_at,
    }
