"""
Users whom a rollback left frozen when it died: where they are served says the ledger in the target, and not a guess.

Who is back in legacy by it becomes known as such; the others are served by the target again, until somebody repeats the
rollback.
"""

from __future__ import annotations

import logging

import polars as pl

from migrator.errors import MigratorError, Transient, Unreachable
from migrator.flows import portions
from migrator.flows.homes import thawing
from migrator.flows.moving.kept import opened
from migrator.flows.parts import Parts
from migrator.flows.undoing.returned import record
from migrator.rollout.states import User
from migrator.store import carries, homes, journal, plans, users

log = logging.getLogger("migrator.rollback")


def reap(parts: Parts) -> int:
    """Unfreeze whose time is over; how many."""
    with parts.control.read() as db:
        overdue = carries.overdue(db)
    for plan_id, keys in overdue.items():
        with parts.target.reading() as reader:
            ledger = reader.ledger(keys)
        back = set(ledger.filter(pl.col("op") == "rollback")["user_key"])
        with parts.control.write() as db:
            plan = plans.get(db, plan_id)
            thawed = carries.thaw(db, plan_id, [key for key in keys if key not in back])
            journal.add(
                db, parts.now(), "dispatcher", "unfreeze", "plan", plan_id, users=thawed, unfrozen=len(thawed),
                restored=len(back),
            )  # fmt: skip
        log.warning("a rollback died: %s users are served by the target again, %s are back", len(thawed), len(back))
        thawing.forget(parts, plan, thawed)
        _finish(parts, plan, sorted(back))
    return sum(map(len, overdue.values()))


def _finish(parts: Parts, plan: plans.Plan, keys: list[str]) -> None:
    """What the rollback that died would have recorded."""
    with parts.control.read() as db:
        going = [one for one in users.some(db, plan.id, keys) if one.status is User.ROLLING_BACK]
    served = [placed._replace(home=homes.TARGET) for placed in filter(None, map(users.Placed.of, going))]
    for (batch_id, fence), found in sorted(portions.by_snapshot(served).items()):
        try:
            kept = opened(parts, plan.id, batch_id, fence)
        except (Unreachable, Transient):
            raise
        except MigratorError as damaged:  # the books are for people; they must keep nobody frozen
            log.warning(
                "the books of batch %s go on counting %s users who went back: %s", batch_id, len(found), damaged
            )
            kept = None
        record(parts, plan, batch_id, kept, found, [one.user_key for one in found], {})
