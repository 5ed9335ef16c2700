"""Who was left frozen by a cutover that died is served by legacy again, once his time is over. Imports nothing of moving."""

from __future__ import annotations

import logging
from collections.abc import Collection

import sqlalchemy as sa

from migrator.flows.parts import Parts
from migrator.store import cutovers, journal, plans

log = logging.getLogger("migrator.cutover")


def reap(parts: Parts, db: sa.Connection) -> int:
    """Unfreeze whose time is over; how many. No cutover that is still alive can serve one of them from the target."""
    found = cutovers.reap(db)
    for cutover_id, keys in found.items():
        one = cutovers.get(db, cutover_id)
        cutovers.count(db, cutover_id, undone=len(keys), seconds=parts.cutting.budget.total_seconds())
        journal.add(
            db,
            parts.now(),
            "dispatcher",
            "unfreeze",
            "cutover",
            cutover_id,
            users=keys,
            unfrozen=len(keys),
            step=one.step,
        )
        log.warning(
            "cutover %s: %s users were left frozen at step %s; legacy serves them again", one.id, len(keys), one.step
        )
        forget(parts, plans.get(db, one.plan_id), keys)
    return sum(map(len, found.values()))


def forget(parts: Parts, plan: plans.Plan, keys: Collection[str]) -> None:
    """Let applications ask anew where these users are served; where Redis is away they do so within seconds anyway."""
    if parts.homes is not None and keys:
        from migrator.edges.home_cache import space_of

        parts.homes.forget(space_of(plan.id, plan.created_at), keys)
