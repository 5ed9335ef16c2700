"""What one operator asks for and another allows: bound to the very act, used once, gone after an hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound, Overtaken
from migrator.store.tables import approvals

OPEN, GIVEN, REFUSED, USED = "open", "given", "refused", "used"


@dataclass(frozen=True, slots=True)
class Approval:
    """One request, and what became of it."""

    id: int
    act: str
    noun: str
    ref: str
    arguments: dict[str, Any]
    plan_hash: str
    digest: str
    status: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    used_at: datetime | None

    def stands(self, now: datetime) -> str:
        """Its status, or that its hour is over."""
        return "expired" if self.status in (OPEN, GIVEN) and now >= self.expires_at else self.status


def add(db: sa.Connection, **values: Any) -> int:
    """Store a request; its id."""
    return int(db.execute(sa.insert(approvals).values(status=OPEN, **values)).inserted_primary_key[0])  # type: ignore[index]


def get(db: sa.Connection, approval_id: int) -> Approval:
    """One of them, or NotFound."""
    row = db.execute(sa.select(approvals).where(approvals.c.id == approval_id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no approval {approval_id}; see `migrator approval list`")
    return Approval(**row)


def latest(db: sa.Connection, count: int) -> list[Approval]:
    """The newest requests, newest first."""
    query = sa.select(approvals).order_by(approvals.c.id.desc()).limit(count)
    return [Approval(**row) for row in db.execute(query).mappings()]


def waiting(db: sa.Connection, now: datetime) -> int:
    """How many wait for a second person."""
    query = sa.select(sa.func.count()).where(approvals.c.status == OPEN, approvals.c.expires_at > now)
    return int(db.scalar(query) or 0)


def pending(db: sa.Connection, digest: str, requested_by: str, now: datetime) -> Approval | None:
    """What this person asked for last, for this very act, if it is open or given and its hour is not over."""
    query = (
        sa.select(approvals)
        .where(
            approvals.c.digest == digest,
            approvals.c.requested_by == requested_by,
            approvals.c.status.in_((OPEN, GIVEN)),
            approvals.c.expires_at > now,
        )
        .order_by(approvals.c.id.desc())
        .limit(1)
    )
    row = db.execute(query).mappings().first()
    return Approval(**row) if row else None


def move(db: sa.Connection, approval: Approval, new: str, **values: Any) -> None:
    """Change the status if it still is what we saw."""
    same = (approvals.c.id == approval.id, approvals.c.status == approval.status)
    if db.execute(sa.update(approvals).where(*same).values(status=new, **values)).rowcount != 1:
        raise Overtaken(f"approval {approval.id} is no longer {approval.status}; see `migrator approval list`")
