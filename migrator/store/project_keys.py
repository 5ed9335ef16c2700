"""Which project key this memory is sealed with, and what a newer one has to know of the first. Never a key itself."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from migrator.store.tables import project_keys, users


class Known(NamedTuple):
    """A key by its id; `envelope` is what it has to know of the ones before it, sealed with it."""

    key_id: str
    envelope: bytes | None


def current(db: sa.Connection) -> Known | None:
    """The newest one; None where none was noted, or where the tables are older than that."""
    if not sa.inspect(db).has_table(project_keys.name):
        return None
    query = sa.select(project_keys.c.key_id, project_keys.c.envelope).order_by(project_keys.c.id.desc()).limit(1)
    row = db.execute(query).first()
    return Known(*row) if row else None


def note(db: sa.Connection, key_id: str, envelope: bytes | None, by: str, now: datetime) -> None:
    """From now on this is the key, or what it has to know has changed."""
    known = current(db)
    if known is not None and known.key_id == key_id:
        db.execute(sa.update(project_keys).where(project_keys.c.key_id == key_id).values(envelope=envelope))
        return
    db.execute(sa.delete(project_keys).where(project_keys.c.key_id == key_id))  # an older one that comes back
    db.execute(sa.insert(project_keys).values(key_id=key_id, envelope=envelope, noted_by=by, noted_at=now))


def something_sealed(db: sa.Connection) -> bytes | None:
    """A value that only the right key opens; None where nothing is sealed yet."""
    return db.scalar(sa.select(users.c.contact).where(users.c.contact.is_not(None)).limit(1))
