"""Write notices into the outbox, in the transaction of the change they tell of. Sending is `delivery`'s."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.edges.senders.base import ReceiverRefused, address
from migrator.errors import NotFound, WrongInput
from migrator.flows.parts import Parts, Telling
from migrator.flows.telling import contacts, template_checks
from migrator.flows.telling.delivery import deliver
from migrator.flows.telling.templates import VARIABLES, Message, Templates, sample
from migrator.rollout.states import Notice as Status
from migrator.store import outbox, users, waves
from migrator.store.users import USER, User
from migrator.store.waves import Wave

__all__ = ["Templates", "deliver", "lint", "preview", "preview_for", "queue", "take_back"]

CHANNEL = "email"
#: Told once for each time a user is moved or put back; all other events once per wave.
EACH_TIME = frozenset({"done", "rolled_back"})
#: What is not to be sent any more once a user was put back.
NO_LONGER_SO = ("before", "done", "delayed")
LONGEST_NAME = 200


def queue(
    db: sa.Connection,
    parts: Parts,
    plan_id: int,
    wave: Wave | None,
    event: str,
    users: Sequence[User],
    now: datetime,
    **variables: str,
) -> int:
    """
    Write notices into the outbox, in the caller's transaction; how many are to be sent.

    Subject, text and HTML are rendered now and kept sealed, so that a later change of a template changes nothing that
    was promised. Whoever has no usable address is suppressed with the reason; what a template cannot say is failed
    with file and line. Neither stops the move that is told of.

    Args:
        wave: The one they are told about; None: each user's own.
        users: As stored; `done` and `rolled_back` are told again under another generation.
        variables: Some of `templates.VARIABLES` in place of what would be said: date, reason.
    """
    telling = parts.telling
    if telling.sender is None or event not in telling.events:
        return 0
    users = [user for user in users if user.kind == USER]  # a row of nobody has nobody to be told
    wave_of = _waves(db, wave, users)
    rows = [_row(parts, plan_id, wave_of[user.user_key], event, user, now, variables) for user in users]
    waiting = [row for row in rows if row["status"] == Status.QUEUED.value]
    outbox.put(db, [row for row in rows if row["status"] != Status.QUEUED.value])
    return outbox.put(db, waiting)


def take_back(
    db: sa.Connection,
    parts: Parts,
    plan_id: int,
    wave: Wave | None,
    keys: Sequence[str],
    now: datetime,
    **variables: str,
) -> int:
    """
    Users were put back: what is still unsent is no longer so, and who was told of the move is told of this.

    Returns:
        How many are to be told that they were put back.
    """
    told = outbox.told(db, plan_id, keys, "done")
    outbox.cancel(db, plan_id, keys, NO_LONGER_SO)
    return queue(db, parts, plan_id, wave, "rolled_back", users.some(db, plan_id, told), now, **variables)


def preview(telling: Telling, event: str, *, locale: str | None = None, tier: str = "normal") -> Message:
    """Render a notice to nobody."""
    given = {**sample(tier), "product": telling.product, "support_contact": telling.contact}
    return _templates(telling).render(event, locale or telling.locale, CHANNEL, given, telling.locale)


def preview_for(parts: Parts, wave: Wave | None, event: str, user: User, now: datetime) -> Message:
    """Render a notice as this user would get it now."""
    contact = contacts.opened(parts, user)
    given = _variables(parts.telling, wave, user, contact.get("name"), now, {})
    return _templates(parts.telling).render(event, user.locale, CHANNEL, given, parts.telling.locale)


def lint(telling: Telling) -> list[str]:
    """All that is wrong with the templates of the events that are told, [] for nothing."""
    return template_checks.lint(_templates(telling), telling.events, telling.locale, CHANNEL)


def _waves(db: sa.Connection, wave: Wave | None, users: Sequence[User]) -> dict[str, Wave | None]:
    """Whose notice names which wave."""
    ids = {user.wave_id for user in users if user.wave_id is not None} if wave is None else set()
    own = {wave_id: waves.get(db, wave_id) for wave_id in ids}
    return {user.user_key: wave or own.get(user.wave_id or 0) for user in users}


def _row(
    parts: Parts, plan_id: int, wave: Wave | None, event: str, user: User, now: datetime, more: dict[str, str]
) -> dict[str, Any]:
    """One line of the outbox."""
    contact = contacts.opened(parts, user)
    row = {
        "plan_id": plan_id,
        "wave_id": wave.id if wave else None,
        "user_key": user.user_key,
        "event": event,
        "channel": CHANNEL,
        "locale": user.locale or parts.telling.locale,
        "template": "",
        "unique_key": _unique_key(plan_id, wave, event, user),
        "status": Status.QUEUED.value,
        "address": None,
        "variables": parts.key.seal("{}"),
        "error": None,
        "attempts": 0,
        "queued_at": now,
    }
    unusable = _unusable(contact.get("email"))
    if unusable:
        return {**row, "status": Status.SUPPRESSED.value, "error": unusable}
    given = _variables(parts.telling, wave, user, contact.get("name"), now, more)
    row["address"] = parts.key.seal(str(contact["email"]).strip())
    try:
        message = _templates(parts.telling).render(event, user.locale, CHANNEL, given, parts.telling.locale)
    except WrongInput as problem:
        kept = parts.key.seal(json.dumps({"given": given}, ensure_ascii=False))
        return {**row, "variables": kept, "status": Status.FAILED.value, "error": str(problem)}
    kept = parts.key.seal(json.dumps({"message": message.content()}, ensure_ascii=False))
    return {**row, "variables": kept, "locale": message.locale, "template": message.template_hash}


def _unique_key(plan_id: int, wave: Wave | None, event: str, user: User) -> str:
    key = f"{plan_id}:{wave.id if wave else 0}:{user.user_key}:{event}:{CHANNEL}"
    return f"{key}:{user.generation or 0}" if event in EACH_TIME else key


def _unusable(email: str | None) -> str | None:
    """Why nothing can be sent to an address; None where it can."""
    if not email or not email.strip():
        return "no e-mail address"
    try:
        address(email.strip())
    except ReceiverRefused as refusal:
        return str(refusal)
    return None


def _variables(
    telling: Telling, wave: Wave | None, user: User, name: str | None, now: datetime, more: dict[str, str]
) -> dict[str, str]:
    unknown = set(more) - set(VARIABLES)
    if unknown:
        raise NotFound(f"notices have no variable {', '.join(sorted(unknown))}; known are {', '.join(VARIABLES)}")
    said = {
        "name": name or "",
        "product": telling.product,
        "tier": user.tier,
        "date": f"{now:%Y-%m-%d}",
        "wave": wave.name if wave else "",
        "reason": "",
        "support_contact": telling.contact,
    }
    return {variable: _one_line(value) for variable, value in {**said, **more}.items()}


def _one_line(text: str) -> str:
    """A name may hold anything: what could break a header or fill a page goes."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:LONGEST_NAME]


def _templates(telling: Telling) -> Templates:
    found: Templates = telling.templates
    return found
