"""Who went back becomes known: status, home, notices, books and journal, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrator.crashpoints import crash_point
from migrator.flows.homes import thawing
from migrator.flows.moving import parting
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.flows.telling import notices
from migrator.rollout.states import User
from migrator.store import carries, homes, journal, plans, users


def record(
    parts: Parts,
    plan: plans.Plan,
    batch_id: int,
    kept: KeptBatch | None,
    found: Sequence[users.Placed],
    done: Sequence[str],
    refused: Mapping[str, str],
) -> None:
    """
    Who is *done* is served by legacy from now on; who was refused is what he was, and the reason is kept.

    Args: kept: What the books of the batch are reckoned from; None where it cannot be read.
    """
    with parts.control.write() as db:
        now = parts.now()
        carries.thaw(db, plan.id, [*done, *refused])
        notices.take_back(db, parts, plan.id, None, done, now)
        if any(one.home == homes.TARGET for one in found):
            homes.change(db, plan.id, done, homes.LEGACY, now, f"rolled back by {parts.actor}")
        users.move(
            db, plan.id, done, (User.ROLLING_BACK,), User.ROLLED_BACK, now,
            home="legacy", reason="rolled back", fence=None,
        )  # fmt: skip
        for one in found:
            if one.user_key in refused:
                back, home = (User.LIVE, "target") if one.home == "target" else (User.MOVED, "legacy")
                why = refused[one.user_key]
                users.move(db, plan.id, [one.user_key], (User.ROLLING_BACK,), back, now, home=home, reason=why)
        if kept is not None:
            parting.went_back(db, plan.id, batch_id, kept, done)
        journal.add(
            db, now, parts.actor, "restore", "batch", batch_id, users=done, restored=len(done), refused=len(refused)
        )
        crash_point("rollback-record-written")
    crash_point("rollback-recorded")
    thawing.forget(parts, plan, done)
