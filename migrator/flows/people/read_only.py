"""The read-only switch: while it is on, nobody changes anything, and no batch begins."""

from __future__ import annotations

from typing import Any

from migrator.errors import Refused
from migrator.flows.people.office import Office
from migrator.rollout.throttle import Reason
from migrator.store import journal, switches


def turn_on(office: Office, reason: str) -> dict[str, Any]:
    """Refuse whatever changes something, from now on; batches that run end, no other begins."""
    with office.control.write() as db:
        switches.turn_on(db, reason, office.actor, office.now())
        journal.add(db, office.now(), office.actor, "read-only on", "project", "all", reason=reason)
        return as_json(switches.read_only(db))


def turn_off(office: Office) -> dict[str, Any]:
    """Let changes be made again."""
    with office.control.write() as db:
        if not switches.turn_off(db):
            raise Refused("the project is not read-only")
        journal.add(db, office.now(), office.actor, "read-only off", "project", "all")
        return as_json(None)


def as_json(switch: switches.Switch | None) -> dict[str, Any]:
    """For people and programs."""
    if switch is None:
        return {"read_only": False}
    return {"read_only": True, "since": switch.at, "by": switch.by, "reason": switch.reason}


def reason(switch: switches.Switch) -> Reason:
    """Why a running wave waits."""
    return Reason("read-only", switch.by, None, None, switch.sentence)
