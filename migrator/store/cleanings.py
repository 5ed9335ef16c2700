"""What cleaning rules took out of batches, and which rules a person took back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.store.tables import batches, cleaned, exemptions, waves


def keep(db: sa.Connection, batch_id: int, found: Mapping[tuple[str, str, str], int]) -> None:
    """Store how many rows which cleaning rule took out of a batch: (mapping, rule, action) -> rows."""
    db.execute(sa.delete(cleaned).where(cleaned.c.batch_id == batch_id))
    rows = [
        {"batch_id": batch_id, "mapping": mapping, "rule": rule, "action": action, "rows": count}
        for (mapping, rule, action), count in found.items()
    ]
    if rows:
        db.execute(sa.insert(cleaned), rows)


def of_plan(db: sa.Connection, plan_id: int) -> list[dict[str, Any]]:
    """How many rows each cleaning rule took in all batches of a plan, most first."""
    total = sa.func.sum(cleaned.c.rows).label("rows")
    query = (
        sa.select(cleaned.c.mapping, cleaned.c.rule, cleaned.c.action, total)
        .join(batches, batches.c.id == cleaned.c.batch_id)
        .join(waves, waves.c.id == batches.c.wave_id)
        .where(waves.c.plan_id == plan_id)
        .group_by(cleaned.c.mapping, cleaned.c.rule, cleaned.c.action)
        .order_by(total.desc(), cleaned.c.mapping, cleaned.c.rule)
    )
    return [{**row, "rows": int(row["rows"])} for row in db.execute(query).mappings()]


def batches_of(db: sa.Connection, plan_id: int, mapping: str, rule: str) -> list[int]:
    """The batches in which a rule took something."""
    query = (
        sa.select(cleaned.c.batch_id)
        .join(batches, batches.c.id == cleaned.c.batch_id)
        .join(waves, waves.c.id == batches.c.wave_id)
        .where(waves.c.plan_id == plan_id, cleaned.c.mapping == mapping, cleaned.c.rule == rule)
    )
    return sorted(db.scalars(query))


def take_back(db: sa.Connection, plan_id: int, mapping: str, rule: str, by: str, now: datetime) -> bool:
    """From now on the rule takes nothing in this plan; False when that was so already."""
    if (mapping, rule) in taken_back(db, plan_id):
        return False
    row = {"plan_id": plan_id, "mapping": mapping, "rule": rule, "taken_back_by": by, "taken_back_at": now}
    db.execute(sa.insert(exemptions).values(**row))
    return True


def taken_back(db: sa.Connection, plan_id: int) -> set[tuple[str, str]]:
    """(mapping, rule) of the rules that take nothing any more."""
    query = sa.select(exemptions.c.mapping, exemptions.c.rule).where(exemptions.c.plan_id == plan_id)
    return {(mapping, rule) for mapping, rule in db.execute(query)}
