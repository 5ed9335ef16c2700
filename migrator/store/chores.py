"""What is done once in a while: when it was done last, and whether somebody is asked to do it."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from migrator.store.tables import chores

PURGE = "purge"


def begun(db: sa.Connection, name: str) -> bool:
    """Whether it is known since when to count."""
    return db.scalar(sa.select(chores.c.name).where(chores.c.name == name)) is not None


def begin(db: sa.Connection, name: str, now: datetime) -> None:
    """Count from now on; who did so before has the say."""
    if not begun(db, name):
        db.execute(sa.insert(chores).values(name=name, done_at=now))


def due(db: sa.Connection, name: str, now: datetime, every: timedelta, again: timedelta) -> bool:
    """Whether it was done too long ago, and nobody was asked for it within *again*."""
    row = db.execute(sa.select(chores.c.done_at, chores.c.rung_at).where(chores.c.name == name)).first()
    if row is None or row.done_at > now - every:
        return False
    return row.rung_at is None or row.rung_at <= now - again


def rung(db: sa.Connection, name: str, now: datetime | None) -> None:
    """Somebody is asked to do it; None: the message was lost."""
    db.execute(sa.update(chores).where(chores.c.name == name).values(rung_at=now))


def done(db: sa.Connection, name: str, now: datetime) -> None:
    """It is done."""
    begin(db, name, now)
    db.execute(sa.update(chores).where(chores.c.name == name).values(done_at=now, rung_at=None))
