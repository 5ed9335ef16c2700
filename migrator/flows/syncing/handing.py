"""
Rows that change hands in legacy: from a user who was moved with them to one who is not moved yet.

The second is held by a review case, because the row is in the target; once the first is brought over again it is there
no more. Then the case is decided by itself, and the user is sent on his way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from migrator.flows.helping import review
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.mapping.conflicts import RULE
from migrator.store import cases, plans

BY = "sync"  # who decides


def waiting(db: sa.Connection, plan_id: int) -> dict[tuple[str, str], list[int]]:
    """The open cases of rows that are in the target already, by mapping and key of the row."""
    found: dict[tuple[str, str], list[int]] = {}
    for one in cases.open_of(db, plan_id, RULE):
        found.setdefault((one.mapping, one.source_key), []).append(one.id)
    return found


def freed(
    wanted: Mapping[tuple[str, str], Sequence[int]],
    before: Sequence[KeptBatch],
    now: KeptBatch,
    users: Collection[str],
) -> list[int]:
    """Those of the cases whose rows these users had *before* and have no more."""
    if not wanted:
        return []
    theirs = {key for kept in before for key in _rows(kept, users)} - _rows(now, users)
    return sorted(case for key in theirs & wanted.keys() for case in wanted[key])


def decide(parts: Parts, db: sa.Connection, case_ids: Sequence[int]) -> None:
    """Nothing stands in the way of these rows any more."""
    for case_id in case_ids:
        cases.resolve(db, case_id, review.ACTIONS["fixed-in-source"], None, BY, parts.now())


def send_again(parts: Parts) -> int:
    """Send the users on their way whose rows are free by now; how many. Those of a plan that nobody approved stay."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if plan.status != "approved" or not cases.resolved_by(db, plan.id, BY):
            return 0
    return int(review.replay(parts, by=BY)["users"])


def _rows(kept: KeptBatch, users: Collection[str]) -> set[tuple[str, str]]:
    of_them = pl.col("__user").is_in(list(users))
    return {(name, key) for name, rows in kept.rows.items() for key in rows.filter(of_them)["__key"].to_list()}
