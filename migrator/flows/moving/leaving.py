"""A batch that has users who were erased before."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from migrator.edges.snapshots import Ref
from migrator.flows.moving import recording, tombstones
from migrator.flows.parts import Parts
from migrator.rollout.states import User
from migrator.store import batches, erasures, journal, plans, users

log = logging.getLogger("migrator.batches")


def leave_out(parts: Parts, batch: batches.Batch, plan: plans.Plan, ref: Ref, keys: Sequence[str]) -> None:
    """
    Users of a batch turn out to have been erased: they are so here, too. The others are tried again without them.

    The target knows what this control database does not: it is another one, or was put back from a copy.
    """
    log.warning("batch %s: %s users of it were erased before", batch.id, len(keys))
    parts.snapshots.delete(ref)
    parts.snapshots.archive.delete(ref)
    named = tombstones.prints(parts, keys)
    with parts.control.write() as db:
        now = parts.now()
        if not batches.give_back(db, batch, "users of it were erased before", timedelta(0)):
            return
        recording.plan_again(db, parts, plan.id, users.of_batch(db, batch.id, (User.MOVING,)))
        users.move(db, plan.id, keys, (User.PLANNED,), User.ERASED, now)
        found = erasures.add(db, named.values(), {"found": "in the target"}, None, "worker", now)
        erasures.finish(db, found, {}, now)
        erasures.forget(db, named)
        for key in keys:
            journal.empty(db, now, "worker", key, why="erased")
        journal.add(db, now, "worker", "erase", "batch", batch.id, users=keys, known="in the target")
