"""The append-only history: one entry per act of a person and per effect of a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.store.tables import journal


def add(
    db: sa.Connection,
    now: datetime,
    actor: str,
    event: str,
    noun: str,
    ref: object,
    *,
    users: Iterable[str] = (),
    **detail: Any,
) -> None:
    """Write one entry. `users` are kept as a digest, never as a list; `detail` holds counts and reasons only."""
    named = sorted(users)
    digest = hashlib.sha256("\x1f".join(named).encode()).hexdigest() if named else None
    db.execute(
        sa.insert(journal).values(
            at=now, actor=actor, event=event, noun=noun, ref=str(ref), detail=detail, digest=digest
        )
    )


def of(db: sa.Connection, noun: str, refs: Iterable[object]) -> list[dict[str, Any]]:
    """Entries about some things, oldest first."""
    query = sa.select(journal).where(journal.c.noun == noun, journal.c.ref.in_([str(ref) for ref in refs]))
    return [dict(row) for row in db.execute(query.order_by(journal.c.seq)).mappings()]


def latest(db: sa.Connection, count: int) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    return [dict(row) for row in db.execute(sa.select(journal).order_by(journal.c.seq.desc()).limit(count)).mappings()]
