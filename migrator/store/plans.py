"""Plans and the mapping sets they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound, Overtaken
from migrator.store.tables import mapping_sets, plans


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan as stored. `settings` are those of [plan], [tiers], [gates] and [batches] at creation."""

    id: int
    status: str
    hash: str
    set_hash: str
    as_of: datetime
    salt: str
    settings: dict[str, Any]
    counts: dict[str, Any]
    created_at: datetime
    approved_at: datetime | None
    approved_by: str | None
    schemas: dict[str, Any] | None = None  # what it was approved against

    @property
    def cut_off(self) -> str:
        """`as_of` as mappings see it."""
        return f"{self.as_of:%Y-%m-%dT%H:%M:%SZ}"


def add(db: sa.Connection, **values: Any) -> int:
    """Store a draft; its id."""
    return int(db.execute(sa.insert(plans).values(status="draft", **values)).inserted_primary_key[0])  # type: ignore[index]


def finish(db: sa.Connection, plan_id: int, hash_: str, counts: dict[str, Any]) -> None:
    """Write what is only known once the waves are."""
    db.execute(sa.update(plans).where(plans.c.id == plan_id).values(hash=hash_, counts=counts))


def recount(db: sa.Connection, plan_id: int, counts: dict[str, Any]) -> None:
    """Write how many users a plan has by now; what was signed stays."""
    db.execute(sa.update(plans).where(plans.c.id == plan_id).values(counts=counts))


def current(db: sa.Connection) -> Plan | None:
    """The newest plan that was not replaced."""
    row = (
        db.execute(sa.select(plans).where(plans.c.status != "superseded").order_by(plans.c.id.desc()).limit(1))
        .mappings()
        .first()
    )
    return Plan(**row) if row else None


def require(db: sa.Connection) -> Plan:
    """The current plan, or NotFound with what to do."""
    plan = current(db)
    if plan is None:
        raise NotFound("there is no plan yet; run `migrator plan create`")
    return plan


def get(db: sa.Connection, plan_id: int) -> Plan:
    """One plan by its id."""
    row = db.execute(sa.select(plans).where(plans.c.id == plan_id)).mappings().one()
    return Plan(**row)


def hold(db: sa.Connection, plan_id: int) -> Plan:
    """The plan as it is; whoever wants to change who is in it waits until this transaction ends."""
    row = db.execute(sa.select(plans).where(plans.c.id == plan_id).with_for_update()).mappings().one()
    return Plan(**row)


def move(db: sa.Connection, plan_id: int, old: str, new: str, **values: Any) -> None:
    """Change the status if it still is *old*."""
    done = db.execute(sa.update(plans).where(plans.c.id == plan_id, plans.c.status == old).values(status=new, **values))
    if done.rowcount != 1:
        raise Overtaken(f"plan {plan_id} is no longer {old}; look again with `migrator plan show`")


def keep_set(db: sa.Connection, hash_: str, texts: dict[str, str], now: datetime) -> None:
    """Store the texts of a mapping set once."""
    known = db.scalar(sa.select(mapping_sets.c.hash).where(mapping_sets.c.hash == hash_))
    if known is None:
        db.execute(sa.insert(mapping_sets).values(hash=hash_, texts=texts, stored_at=now))


def texts(db: sa.Connection, hash_: str) -> dict[str, str]:
    """The texts of a mapping set by its hash."""
    found = db.scalar(sa.select(mapping_sets.c.texts).where(mapping_sets.c.hash == hash_))
    if found is None:
        raise NotFound(f"mapping set {hash_[:12]} is not stored here")
    return dict(found)


def set_hashes(db: sa.Connection) -> list[str]:
    """All mapping sets that are stored, newest first."""
    return list(db.scalars(sa.select(mapping_sets.c.hash).order_by(mapping_sets.c.stored_at.desc())))


def set_hash(db: sa.Connection, start: str) -> str:
    """The one stored mapping set whose hash begins with *start*."""
    known = mapping_sets.c.hash
    found = list(db.scalars(sa.select(known).where(known.startswith(start, autoescape=True)).order_by(known).limit(2)))
    if len(found) != 1:
        raise NotFound(
            f"{'several mapping sets are' if found else 'no mapping set is'} stored under a hash that begins with {start}; "
            "name a folder, `plan`, or more of the hash"
        )
    return str(found[0])
