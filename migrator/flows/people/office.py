"""What it takes to see to people: our own memory and the key, and who is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from migrator.flows.people.desk import Desk
from migrator.rollout.rights import Person


@dataclass(frozen=True)
class Office(Desk):
    """`person` is None where nobody had to prove himself; `actor` is what the journal calls him."""

    person: Person | None
    actor: str
    now: Callable[[], datetime]
