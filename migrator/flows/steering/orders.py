"""What a person sets for one wave while it runs; the dispatcher goes by it at its next tick."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from migrator.errors import Refused, WrongInput
from migrator.flows import wave_view
from migrator.flows.parts import Parts
from migrator.flows.steering.throttling import Throttle
from migrator.rollout.states import Wave
from migrator.rollout.throttle import ORDERS, Limits
from migrator.store import journal, leases, waves

DEFAULT = "default"
SECONDS = ("max-lag", "max-statement")


@dataclass(frozen=True, slots=True)
class Order:
    """What is set for a wave now, all of it, and what should be known about the last of it."""

    wave: str
    what: str
    value: Any
    orders: dict[str, Any]
    remark: str | None


def give(parts: Parts, throttle: Throttle, name: str, what: str, said: str) -> Order:
    """
    Set *what* of a wave: batch-size, workers, max-lag, max-sessions, max-statement (`default`: as in the settings), or
    throttle (on, off).

    Raises:
        WrongInput: there is no such thing to set, or the value is none for it.
        Refused: nothing of the wave will run any more.
    """
    value = _read(parts, what, said)
    with parts.control.write() as db:
        wave = wave_view.find(db, name)
        if wave.status in (Wave.PASSED, Wave.CANCELLED, Wave.CANCELLING):
            raise Refused(f"wave {wave.name} is {wave.status}; nothing of it is going to run")
        if what == "throttle" and value:
            value = parts.actor
        orders = {key: kept for key, kept in (wave.orders or {}).items() if key != ORDERS[what]}
        orders |= {} if value is None else {ORDERS[what]: value}
        waves.note(db, wave.id, orders=orders)
        journal.add(db, parts.now(), parts.actor, "set", "wave", wave.name, what=what, value=value)
        slots = sum(worker["slots"] for worker in leases.alive(db))
    return Order(wave.name, what, value, orders, _remark(what, value, slots, throttle))


def _read(parts: Parts, what: str, said: str) -> Any:
    if what not in ORDERS:
        raise WrongInput(f'nothing of a wave is called "{what}"; there are {", ".join(ORDERS)}')
    if what == "throttle":
        if said not in ("on", "off"):
            raise WrongInput(f'throttle is on or off, not "{said}"')
        return True if said == "on" else None
    if said == DEFAULT:
        return None
    if what in SECONDS:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*s?", said.strip())
        if not found or not float(found[1]):
            raise WrongInput(f'{what} is seconds above 0, such as 5 or 0.5, or {DEFAULT}, not "{said}"')
        return float(found[1])
    if not re.fullmatch(r"\d+", said.strip()) or not int(said):
        raise WrongInput(f'{what} is a whole number above 0, or {DEFAULT}, not "{said}"')
    largest = parts.limits.pace.largest
    if what == "batch-size" and int(said) > largest:
        raise WrongInput(f"batch-size is at most {largest} ([batches] largest), not {said}")
    return int(said)


def _remark(what: str, value: Any, slots: int, throttle: Throttle) -> str | None:
    if value is None:
        return None
    if what == "workers" and slots and value > slots:
        return f"{slots} batches fit on the workers that are alive; start `migrator worker` for more"
    limited = replace(throttle, limits=Limits().under({ORDERS[what]: value})) if what.startswith("max-") else None
    if limited is not None and limited.untold():
        return "nothing here tells it: name [throttle] replicas for a lag; SQLite knows of nobody else"
    return None
