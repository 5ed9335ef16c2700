"""Tiers as last assigned, with the numbers they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from migrator.store import bulk
from migrator.store.tables import tier_runs, tiers

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class TierRun:
    """When and how tiers were assigned."""

    id: int
    as_of: datetime
    thresholds: dict[str, Any]
    set_hash: str
    assigned_at: datetime


def replace(
    db: sa.Connection,
    rows: pl.DataFrame,
    as_of: datetime,
    thresholds: Mapping[str, Any],
    set_hash: str,
    now: datetime,
) -> None:
    """Store a new assignment (user_key, tier, code, r, f, m) in place of the last one."""
    db.execute(sa.delete(tiers))
    bulk.insert(db, tiers, [rows])
    values = {"as_of": as_of, "thresholds": dict(thresholds), "set_hash": set_hash, "assigned_at": now}
    db.execute(sa.insert(tier_runs).values(**values))


def last_run(db: sa.Connection) -> TierRun | None:
    """The newest assignment, if any."""
    row = db.execute(sa.select(tier_runs).order_by(tier_runs.c.id.desc()).limit(1)).mappings().first()
    return TierRun(**row) if row else None


def get(db: sa.Connection, user_key: str) -> dict[str, Any] | None:
    """One user's tier and numbers."""
    row = db.execute(sa.select(tiers).where(tiers.c.user_key == user_key)).mappings().first()
    return dict(row) if row else None


def every(db: sa.Connection) -> pl.DataFrame:
    """All users with tier and numbers (user_key, tier, code, r, f, m), in no order."""
    import polars as pl

    texts, numbers = ("user_key", "tier", "code", "m"), ("r", "f")
    schema = dict.fromkeys(texts, pl.String()) | dict.fromkeys(numbers, pl.Int64())
    return bulk.select(db, sa.select(*(tiers.c[name] for name in schema)), schema)


def add(db: sa.Connection, rows: pl.DataFrame) -> None:
    """Add users who came after the last assignment: user_key, tier, code, r, f, m."""
    bulk.insert(db, tiers, [rows])


def counts(db: sa.Connection) -> dict[str, dict[str, int]]:
    """Users per tier and code."""
    query = sa.select(tiers.c.tier, tiers.c.code, sa.func.count()).group_by(tiers.c.tier, tiers.c.code)
    found: dict[str, dict[str, int]] = {}
    for tier, code, count in db.execute(query):
        found.setdefault(tier, {})[code] = count
    return found
