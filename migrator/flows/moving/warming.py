"""What a worker does before its first batch: all that needs no writing, for a few users, so that everything is at hand."""

from __future__ import annotations

import logging
from collections.abc import Callable

import polars as pl

from migrator.flows.moving import outlook, reading
from migrator.flows.parts import Parts
from migrator.logs import where
from migrator.store import plans, users

log = logging.getLogger("migrator.batches")
FEW = 5


def warm_up(connected: Callable[[], Parts]) -> None:
    """
    Connect, compile the mappings of the plan and every question that a batch asks, and write nothing.

    A batch of 25 users takes twice as long without it. What does not work now, the first batch meets again and tells.
    """
    try:
        parts = connected()
        with parts.control.read() as db:
            plan = plans.current(db)
            keys = users.first(db, plan.id, FEW) if plan else []
        parts.legacy.ping(), parts.target.ping()
        if plan and keys:
            set_ = parts.stored_set(plan.set_hash)
            outlook.of(parts, set_, keys, reading.context(parts, set_, plan, keys))
    except (Exception, pl.exceptions.PanicException) as early:  # noqa: BLE001 (whatever it is, a batch is told of it)
        log.info("not warmed up: %s", where(early))
