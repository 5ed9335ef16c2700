"""Users who were brought over again become known; and what a process that died has brought over is found in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import polars as pl
import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.edges import holders, processes
from migrator.edges.snapshots import Ref
from migrator.flows.moving import batches as batch_flows
from migrator.flows.moving import reckoning, recording
from migrator.flows.moving.batches import Work
from migrator.flows.moving.kept import KeptBatch, opened
from migrator.flows.parts import Parts
from migrator.store import batches, cases, changes, cleanings, effects, journal, plans, users, waves

log = logging.getLogger("migrator.sync")
HELD = "a rule does not take what legacy says now; `migrator review list` shows the case"
GONE = "legacy no longer has the user, or `users.where` leaves him out by now"


def record(parts: Parts, work: Work, kept: KeptBatch, taken: set[str], gone: frozenset[str]) -> bool:
    """The batch is done; False when its lease was lost (whoever has it now finds all of it in the ledger)."""
    plan_id, batch = work.plan.id, work.batch
    with parts.control.read() as db:
        begun = changes.begun(db, batch.id)
    left = _left(parts, plan_id, begun, taken)
    rows = sum(frame.height for frame in kept.rows.values())
    with parts.control.write() as db:
        now = parts.now()
        if not batches.finish(db, batch, rows, processes.memory()):
            log.info("batch %s: the lease was lost after the commit", batch.id)
            return False
        changes.arrive(db, plan_id, batch.id, kept.fence, recording.generations_of(kept, taken), now)
        crash_point("sync-users-arrived")
        _tell(db, plan_id, kept.held, gone)
        changes.end(db, batch.id)
        cases.lapse(db, plan_id, taken)
        cases.open_all(db, recording.cases_of(parts, plan_id, kept), now)
        _keep_books(parts, db, batch.id, kept, taken, left)
        ref = Ref(str(plan_id), batch.id, kept.fence, kept.set_hash)
        effects.keep_snapshot(db, batch.id, kept.fence, parts.snapshots.name(ref), kept.set_hash, len(taken), now)
        journal.add(
            db, now, parts.actor, "sync", "batch", batch.id, users=taken,
            wave=work.wave.name, brought=len(taken), held=len(kept.held), gone=len(gone), rows=rows,
        )  # fmt: skip
        crash_point("sync-record-written")
    crash_point("sync-recorded")
    return True


def drop(
    parts: Parts, work: Work, why: str, told: Mapping[str, tuple[str, str]] | None = None, kept: KeptBatch | None = None
) -> None:
    """
    Nothing of the batch was written; who was in it stays in the queue, some with an outcome and the reason for it.

    Args:
        kept: What would have been written, where a person has to decide about it.
    """
    with parts.control.write() as db:
        if not batches.fail(db, work.batch, why):
            return  # somebody else has taken it up
        for user, (outcome, reason) in (told or {}).items():
            changes.told(db, work.plan.id, [user], outcome, reason)
        changes.end(db, work.batch.id)
        if kept is not None:
            cases.open_all(db, recording.cases_of(parts, work.plan.id, kept), parts.now())
        crash_point("sync-drop-written")
    for fence in range(1, work.batch.fence + 1):
        parts.snapshots.delete(work.ref(fence))
        parts.snapshots.archive.delete(work.ref(fence))


def reconcile(parts: Parts, plan_id: int, wave_ids: Iterable[int] | None = None) -> int:
    """
    Take up batches whose process died between its commit and its record, or before; how many others still have.

    Their leases must have run out, or their processes be known to be gone: until then somebody may be at work.
    """
    with parts.control.read() as db:
        found = changes.open_batches(db, plan_id, wave_ids)
    at_work = 0
    for batch_id in found:
        work = _taken_up(parts, plan_id, batch_id)
        if work is None:
            at_work += 1
            continue
        crash_point("sync-taken-up")
        done = batch_flows.applied(parts, work)
        if done is None:
            drop(parts, work, "not written; its process was lost")
        else:
            kept, taken, gone = done
            record(parts, work, kept, taken, gone)
    return at_work


def _taken_up(parts: Parts, plan_id: int, batch_id: int) -> Work | None:
    with parts.control.write() as db:
        known = batches.get(db, batch_id)
        if known is not None and holders.is_gone(known.owner):
            batches.end_lease(db, known)
        batch = batches.claim(db, batch_id, None, holders.here(), parts.limits.lease)
        if batch is None:
            return None
        keys = tuple(one.user_key for one in changes.begun(db, batch_id))
        return Work(batch, waves.get(db, batch.wave_id), plans.get(db, plan_id), keys)


def _left(
    parts: Parts, plan_id: int, begun: Sequence[changes.Begun], taken: Collection[str]
) -> dict[int, reckoning.Share]:
    """The batches that the users leave, with what they have to do with the books of each."""
    by_batch: dict[tuple[int, int], list[str]] = {}
    for one in begun:
        if one.user_key in taken:
            by_batch.setdefault((one.was_batch_id, one.was_fence), []).append(one.user_key)
    return {
        batch_id: reckoning.share(opened(parts, plan_id, batch_id, fence), keys)
        for (batch_id, fence), keys in by_batch.items()
    }


def _keep_books(
    parts: Parts,
    db: sa.Connection,
    batch_id: int,
    kept: KeptBatch,
    taken: Collection[str],
    left: Mapping[int, reckoning.Share],
) -> None:
    mine = reckoning.share(kept, taken)
    effects.keep_books(db, batch_id, mine.books)
    about_them = replace(kept, findings=kept.findings.filter(pl.col("user").is_in(list(taken))))
    effects.keep_warnings(db, batch_id, recording.warnings_of(parts, about_them))
    cleanings.keep(db, batch_id, mine.cleaned)
    for was, share in left.items():
        reckoning.change_hands(db, was, share, batch_id, last=not users.of_batch(db, was))


def _tell(db: sa.Connection, plan_id: int, held: Sequence[str], gone: frozenset[str]) -> None:
    changes.told(db, plan_id, held, "held", HELD)
    changes.told(db, plan_id, gone, "vanished", GONE)
