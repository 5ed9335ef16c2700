"""What is switched on for the whole project: `read-only`, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from migrator.store.tables import switches

READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class Switch:
    """It is on: since when, by whom, why."""

    name: str
    reason: str
    by: str
    at: datetime

    @property
    def sentence(self) -> str:
        """For a person who is refused by it."""
        return f"the project is read-only since {self.at:%Y-%m-%d %H:%M:%S} UTC ({self.by}: {self.reason})"


def read_only(db: sa.Connection) -> Switch | None:
    """The read-only switch, if it is on."""
    row = db.execute(sa.select(switches).where(switches.c.name == READ_ONLY)).mappings().first()
    return Switch(**row) if row else None


def turn_on(db: sa.Connection, reason: str, by: str, now: datetime) -> None:
    """Switch it on, or give another reason."""
    turn_off(db)
    db.execute(sa.insert(switches).values(name=READ_ONLY, reason=reason, by=by, at=now))


def turn_off(db: sa.Connection) -> bool:
    """Switch it off; whether it was on."""
    return db.execute(sa.delete(switches).where(switches.c.name == READ_ONLY)).rowcount == 1
