"""Named leases (who dispatches, who checks a wave) and the workers that are alive."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.store.control import clock
from migrator.store.tables import leases, workers


def acquire(db: sa.Connection, name: str, owner: str, ttl: timedelta) -> bool:
    """Take or keep a lease; False while somebody else holds it."""
    now = clock(db)
    held = db.execute(sa.select(leases.c.owner, leases.c.until).where(leases.c.name == name)).first()
    if held is None:
        try:
            with db.begin_nested():
                db.execute(sa.insert(leases).values(name=name, owner=owner, until=now + ttl))
        except sa.exc.IntegrityError:
            return False
        return True
    done = db.execute(
        sa.update(leases)
        .where(leases.c.name == name, sa.or_(leases.c.owner == owner, leases.c.until < now))
        .values(owner=owner, until=now + ttl)
    )
    return done.rowcount == 1


def release(db: sa.Connection, name: str, owner: str) -> None:
    """Give a lease back."""
    db.execute(sa.delete(leases).where(leases.c.name == name, leases.c.owner == owner))


def held(db: sa.Connection, name: str) -> bool:
    """Whether somebody holds the lease now."""
    until: datetime | None = db.scalar(sa.select(leases.c.until).where(leases.c.name == name))
    return until is not None and until >= clock(db)


def holder(db: sa.Connection, name: str) -> str | None:
    """Who holds the lease now, if somebody does."""
    query = sa.select(leases.c.owner).where(leases.c.name == name, leases.c.until >= clock(db))
    owner: str | None = db.scalar(query)
    return owner


def any_held(db: sa.Connection, *, besides: str) -> bool:
    """Whether somebody holds a lease of another name than that."""
    held_now = sa.select(sa.func.count()).where(leases.c.name != besides, leases.c.until >= clock(db))
    return bool(db.scalar(held_now))


def seen(db: sa.Connection, worker_id: str, host: str, pid: int, slots: int) -> None:
    """A worker says that it is alive."""
    now = clock(db)
    done = db.execute(sa.update(workers).where(workers.c.id == worker_id).values(seen_at=now, slots=slots))
    if done.rowcount == 0:
        db.execute(
            sa.insert(workers).values(id=worker_id, host=host, pid=pid, slots=slots, started_at=now, seen_at=now)
        )


def gone(db: sa.Connection, worker_id: str) -> None:
    """A worker says goodbye."""
    db.execute(sa.delete(workers).where(workers.c.id == worker_id))


def alive(db: sa.Connection, within: timedelta = timedelta(seconds=30)) -> list[dict[str, Any]]:
    """Workers seen lately."""
    query = sa.select(workers).where(workers.c.seen_at >= clock(db) - within).order_by(workers.c.id)
    return [dict(row) for row in db.execute(query).mappings()]
