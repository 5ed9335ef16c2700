"""
The story of one batch: claim, read, map, keep, write, record. Each step may be cut off; the next attempt goes on.

Keep before you write, record after you checked. After a crash the ledger in the target says what was written.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl
import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim
from migrator.edges.snapshots import Ref
from migrator.errors import Aborted, DatabaseRefused, Erased, Fenced, InDoubt, MigratorError, Transient, Unreachable
from migrator.flows import wave_view
from migrator.flows.moving import heartbeat, leaving, outlook, reading, recording, writing
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.logs import where
from migrator.mapping import cleaning
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, Mapped
from migrator.rollout import states
from migrator.store import batches, plans, requests, users, waves

log = logging.getLogger("migrator.batches")
LATEST, DOUBLINGS = timedelta(seconds=60), 16  # the longest pause, and when doubling has surely reached it


@dataclass(frozen=True, slots=True)
class Work:
    """One claimed batch and what it belongs to."""

    batch: batches.Batch
    wave: waves.Wave
    plan: plans.Plan
    users: tuple[str, ...]

    def ref(self, fence: int | None = None) -> Ref:
        """Where its snapshot is."""
        return Ref(str(self.plan.id), self.batch.id, self.batch.fence if fence is None else fence, self.plan.set_hash)


def move(parts: Parts, batch_id: int, dispatch_no: int | None, owner: str) -> None:
    """
    Move the users of one batch, if it is free; a message too many, too late or twice does nothing.

    A batch that the target refuses is split, and its halves are moved at once, down to the user it is about.
    """
    work = claim(parts, batch_id, dispatch_no, owner)
    if work is None:
        return
    crash_point("batch-claimed")
    for part in _move(parts, work):
        move(parts, part, None, owner)


def claim(parts: Parts, batch_id: int, dispatch_no: int | None, owner: str) -> Work | None:
    """Take the batch and its users; None when it is not to be had or its wave does not run."""
    with parts.control.write() as db:
        # held until we commit: who pauses the wave sees our lease, or we see the pause
        wave = waves.of_batch(db, batch_id)
        if wave is None or not _may_begin(db, wave, batch_id):
            return None
        return _take(parts, db, wave, batch_id, dispatch_no, owner)


def _may_begin(db: sa.Connection, wave: waves.Wave, batch_id: int) -> bool:
    """
    A batch of a running wave; or one that was made for a user who is asked for, while his wave waits for its turn.

    While a wave waits nothing is begun, whatever was rung for before; but who is asked for does not wait for its hours.
    """
    if wave.waiting:
        running = wave.status is states.Wave.RUNNING
        return running and wave_view.awaits_its_hours(wave) and requests.asked_for(db, batch_id)
    if wave.status is not states.Wave.APPROVED:
        return wave.status is states.Wave.RUNNING
    return requests.asked_for(db, batch_id) and plans.get(db, wave.plan_id).status == "approved"


def reconcile(parts: Parts, wave_id: int, owner: str) -> None:
    """
    Bring the control database in line with the ledger for a wave that does not run.

    A worker that died between its commit and its record leaves users who are in the target and not known to be.
    """
    with parts.control.read() as db:
        wave = waves.get(db, wave_id)
        if wave.status is states.Wave.RUNNING:
            return
        may_be = batches.of_wave(db, wave_id, (states.Batch.READY, states.Batch.RUNNING))
        open_ = [one for one in may_be if one.fence]
    for batch in open_:
        with parts.control.write() as db:
            work = _take(parts, db, wave, batch.id, None, owner)
        if work is None:
            continue
        crash_point("reconcile-claimed")
        done = applied(parts, work)
        if done is None:
            _give_back(parts, work, "not written; the wave does not run", counts=False)
        else:
            recording.record(parts, work.batch, work.wave, work.plan, *done)


def _take(
    parts: Parts, db: sa.Connection, wave: waves.Wave, batch_id: int, dispatch_no: int | None, owner: str
) -> Work | None:
    claimed = batches.claim(db, batch_id, dispatch_no, owner, parts.limits.lease)
    if claimed is None:
        return None
    crash_point("claim-lease-taken")
    keys = tuple(users.take(db, wave.plan_id, claimed, parts.now()))
    return Work(claimed, wave, plans.get(db, wave.plan_id), keys)


def _move(parts: Parts, work: Work) -> Sequence[int]:
    """Do the work under its lease; the ids of the parts where it had to be split."""
    with heartbeat.beating(parts, work.batch) as pulse:
        try:
            _attempt(parts, work, pulse)
        except (Fenced, Unreachable, Aborted, Erased) as why:
            _stop(parts, work, why)
        except DatabaseRefused as refused:
            said = recording.Refusal(str(refused), refused.constraint or refused.kind, refused.table)
            return recording.narrow(parts, work.batch, work.wave, work.plan, work.users, said)
        except _WorkersLost as lost:
            said = recording.Refusal(str(lost), "worker lost")
            last = parts.limits.interruptions - 1
            return recording.narrow(parts, work.batch, work.wave, work.plan, work.users, said, interruptions=last)
        except writing.ReadBackDiffers as differs:
            if not recording.fail_users(parts, work.batch, work.wave, work.plan, differs.findings):
                return _try_again(parts, work, "what was read back differs from what was meant, in rows of nobody")
        except MigratorError as other:
            return _try_again(parts, work, str(other), passing=isinstance(other, Transient | InDoubt))
        except (Exception, pl.exceptions.PanicException) as unexpected:  # noqa: BLE001 (a bug must not lose the batch)
            log.error("batch %s: %s", work.batch.id, where(unexpected))  # noqa: TRY400 (a message may hold user data)
            return _try_again(parts, work, where(unexpected))
    return ()


def _stop(parts: Parts, work: Work, why: Fenced | Unreachable | Aborted | Erased) -> None:
    """The batch goes no further now, and no user is to blame."""
    match why:
        case Fenced():
            log.info("batch %s: %s", work.batch.id, why)
        case Unreachable():
            _give_back(parts, work, str(why), counts=False)
        case Aborted():
            recording.abort(parts, work.batch, work.wave, work.plan, str(why))
        case Erased():
            leaving.leave_out(parts, work.batch, work.plan, work.ref(), why.users)


class _WorkersLost(Exception):
    """Workers died with this batch so often that it is looked into instead of being moved."""


def _attempt(parts: Parts, work: Work, pulse: heartbeat.Pulse) -> None:
    done = applied(parts, work) if work.batch.fence > 1 else None
    if done is not None:
        recording.record(parts, work.batch, work.wave, work.plan, *done)
        return
    if not work.users:
        recording.close_empty(parts, work.batch)
        return
    if work.batch.interruptions >= parts.limits.interruptions:
        raise _WorkersLost(f"workers were lost {work.batch.interruptions} times while they moved these users")
    _forget_attempts(parts, work)
    crash_point("attempts-forgotten")
    set_ = parts.stored_set(work.plan.set_hash)
    context = reading.context(parts, set_, work.plan, work.users)
    mark = parts.legacy.mark()
    claim_ = Claim(work.batch.id, work.batch.fence, "move", work.plan.set_hash)
    seen = outlook.of(parts, set_, work.users, context, pulse.progress, claim_)
    read, there, look, decided = seen.read, seen.there, seen.look, seen.decided
    if seen.mapped.abort:
        raise Aborted(seen.mapped.abort)
    crash_point("batch-mapped")
    kept = keep(parts, work, set_, read, seen.context, decided, look, there)
    crash_point("snapshot-kept")
    pulse.progress()
    taken = writing.write(
        parts, set_, claim_, kept.rows, movers(kept), kept.before, kept.left, pulse,
        last_look=lambda: reading.require_unchanged(parts, set_, context, read, there, mark),
    )  # fmt: skip
    recording.record(parts, work.batch, work.wave, work.plan, kept, taken, read.gone)


def applied(parts: Parts, work: Work) -> tuple[KeptBatch, set[str], frozenset[str]] | None:
    """
    What an earlier attempt of this batch committed but did not record.

    All users of an attempt are written in one transaction, so the ledger either names its fence or knows nothing of it.
    Our fence is raised first: whoever held the batch before and is not dead, or is still committing, is seen or shut out.
    """
    with parts.target.writing() as writer:
        writer.fence(Claim(work.batch.id, work.batch.fence, "move", work.plan.set_hash))
        ledger = writer.ledger(work.users)
        crash_point("ledger-asked")
    crash_point("fence-raised")
    mine = ledger.filter((pl.col("batch") == work.batch.id) & (pl.col("op") == "move"))
    if not mine.height:
        return None
    fence = int(mine["fence"].max())  # type: ignore[arg-type]
    attempt = mine.filter(pl.col("fence") == fence)
    written = set(attempt["user_key"].to_list())
    # the plan may have been revised since: the ledger says with which mappings it was written
    found = parts.snapshots.load(replace(work.ref(fence), set_hash=attempt["set_hash"][0]))
    kept = KeptBatch.of(found.manifest, found.frames)
    gone = frozenset(work.users) - frozenset(kept.users)
    log.info("batch %s: written under fence %s before, recorded now", work.batch.id, fence)
    return replace(kept, generations=dict(mine.select("user_key", "generation").iter_rows())), written, gone


def keep(
    parts: Parts,
    work: Work,
    set_: MappingSet,
    read: reading.Read,
    context: Context,
    decided: Mapped,
    look: writing.Look,
    there: Sequence[str],
) -> KeptBatch:
    """Make the snapshot durable; nothing was written yet."""
    before = writing.before_images(set_, parts.target_schema.tables, decided.rows, look)
    kept = KeptBatch(
        plan_id=context.plan_id,
        as_of=context.as_of,
        fence=work.batch.fence,
        set_hash=work.plan.set_hash,
        users=tuple(there),
        held=tuple(sorted(decided.held)),
        sources=read.sources,
        references=context.references,
        overrides=context.overrides,
        rows=dict(decided.rows),
        before=before,
        findings=decided.findings,
        books=decided.books,
        generations={key: generation + 1 for key, generation in look.generations.items()},
        numbers=context.numbers or {},
        standing=context.standing,
        left=decided.left,
        groups=context.groups,
        cleaned=decided.cleaned,
    )
    archived = cleaning.archived(kept.cleaned, {name: rows.frame for name, rows in kept.sources.items()})
    if archived:
        parts.snapshots.archive.keep(work.ref(), {"as_of": kept.as_of}, archived)
    parts.snapshots.keep(work.ref(), kept.manifest(), kept.frames())
    return kept


def movers(kept: KeptBatch) -> pl.DataFrame:
    """user_key, generation of everybody who is to be written."""
    held = frozenset(kept.held)
    movers = [key for key in kept.users if key not in held]
    return pl.DataFrame(
        {"user_key": movers, "generation": [kept.generations[key] for key in movers]},
        schema={"user_key": pl.String, "generation": pl.Int64},
    )


def _forget_attempts(parts: Parts, work: Work) -> None:
    """Snapshots of attempts that came to nothing hold users' data and are for nobody: none can be committed any more."""
    for fence in range(1, work.batch.fence):
        parts.snapshots.delete(work.ref(fence))
        parts.snapshots.archive.delete(work.ref(fence))


def _try_again(parts: Parts, work: Work, error: str, *, passing: bool = False) -> Sequence[int]:
    """
    Once more after a pause; out of attempts, look for the user it is about.

    What passes by itself (a full disk, a lock) is no fault of a user: the batch gets smaller, but nobody is failed.
    """
    if work.batch.attempts + 1 < parts.limits.attempts:
        _give_back(parts, work, error, counts=True)
        return ()
    try:
        done = applied(parts, work)  # the error may have come after the commit, or from it
    except MigratorError as away:
        _give_back(parts, work, str(away), counts=False)
        return ()
    if done is not None:
        recording.record(parts, work.batch, work.wave, work.plan, *done)
        return ()
    if passing and len(work.users) == 1:
        _give_back(parts, work, error, counts=False)
        return ()
    used = 0 if passing else parts.limits.attempts - 1
    why = recording.Refusal(f"given up after {parts.limits.attempts} attempts: {error}", "gave up")
    return recording.narrow(parts, work.batch, work.wave, work.plan, work.users, why, attempts=used)


def _give_back(parts: Parts, work: Work, error: str, *, counts: bool) -> None:
    """Ready again after a pause that doubles; users are planned again. An outage does not use up attempts."""
    log.warning("batch %s: %s", work.batch.id, error)
    tried = work.batch.attempts  # how often already, whatever happens to be counted now
    pause = min(LATEST, parts.limits.retry_after * 2 ** min(tried, DOUBLINGS)) * (0.75 + random.random() / 2)
    batch = work.batch if counts else replace(work.batch, attempts=work.batch.attempts - 1)
    with parts.control.write() as db:
        if batches.give_back(db, batch, error, pause):
            recording.plan_again(db, parts, work.plan.id, work.users)
        crash_point("give-back-written")
    crash_point("given-back")
