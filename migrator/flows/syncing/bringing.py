"""
The story of moved users who come again because legacy has changed: the path of every batch (claim, read, map, keep,
write, compare, record), with the rows of their last generation there already.

Only what we wrote is touched, and only while it is what we wrote: a user whom the new system has touched stays as he is.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges import holders
from migrator.edges.databases.base import Claim
from migrator.errors import Aborted, DatabaseRefused, Erased, Fenced, InDoubt, MigratorError, Transient, Unreachable
from migrator.flows import portions
from migrator.flows.moving import batches as batch_flows
from migrator.flows.moving import heartbeat, outlook, reading, writing
from migrator.flows.moving.batches import Work
from migrator.flows.moving.kept import opened
from migrator.flows.parts import Parts
from migrator.flows.syncing import arrivals
from migrator.flows.syncing.generations import Past, StaysBehind, Step
from migrator.logs import where
from migrator.mapping.groups import closed
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Mapped
from migrator.rollout import plan as drafts
from migrator.rollout.states import Wave
from migrator.store import batches, changes, plans, users, waves

log = logging.getLogger("migrator.sync")
SHOWN = 1000  # users listed; all are counted
TRIES = 4  # of a batch whose users are written to while they are read
PAUSE = 0.2  # seconds before the second try; it doubles


@dataclass(frozen=True, slots=True)
class Job:
    """Users of one wave to be brought over, all moved by one mapping set; who merged stands together."""

    plan_id: int
    wave_id: int
    users: tuple[str, ...]
    set_hash: str


@dataclass
class Brought:
    """What came of users who were to be brought over. `told`: user -> (outcome, reason) of those who were not."""

    brought: int = 0
    written: int = 0  # rows
    removed: int = 0
    users: list[dict[str, object]] = field(default_factory=list)  # user, written, removed: up to a limit
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)  # they change faster than they are read, or another batch has them

    def add(self, other: Brought) -> None:
        """Take in what came of other users."""
        self.brought += other.brought
        self.written += other.written
        self.removed += other.removed
        self.users += other.users[: max(0, SHOWN - len(self.users))]
        self.told |= other.told
        self.busy += other.busy

    def arrived(self, step: Step, taken: Iterable[str]) -> None:
        """Count users who were brought over, and the rows of each."""
        written, removed = _per_user(step.write.values()), _per_user(r for one in step.leaving for r in one.values())
        named = sorted(taken)
        self.brought += len(named)
        self.written += sum(written.values())
        self.removed += sum(removed.values())
        self.users += [
            {"user": user, "written": written.get(user, 0), "removed": removed.get(user, 0)}
            for user in named[: max(0, SHOWN - len(self.users))]
        ]


@dataclass(frozen=True, slots=True)
class _Try:
    """Users who are tried together: how often so far, and whether all of their rows go and come again."""

    users: tuple[str, ...]
    tries: int = 0
    whole: bool = False


def bring(parts: Parts, job: Job) -> Brought:
    """Bring users over again, once each; those who cannot be are told apart, down to the user (or who merged) it is."""
    result = Brought()
    waiting = [_Try(job.users)]
    while waiting:
        one = waiting.pop()
        work, taken = _claim(parts, job, one.users, result)
        if work is not None:
            crash_point("sync-claimed")
            waiting += _bring(parts, work, taken, one, result)
    return result


def _claim(
    parts: Parts, job: Job, wanted: Sequence[str], result: Brought
) -> tuple[Work | None, Sequence[changes.Mover]]:
    """Put those who may be brought over into a batch of ours; nobody is in two."""
    with parts.control.write() as db:
        wave = waves.get(db, job.wave_id, stays=True)
        busy = changes.busy(db, job.plan_id, wanted)
        if wave.status is Wave.ROLLING_BACK:
            busy = set(wanted)
        result.busy += sorted(busy)
        able = [one for one in changes.movers(db, job.plan_id, wanted) if one.user_key not in busy]
        if not able:
            return None, ()
        versions = {one.user_key: one.version for one in changes.queued(db, job.plan_id, [a.user_key for a in able])}
        batch = batches.begin_sync(db, job.wave_id, len(able), holders.here(), parts.limits.lease)
        changes.begin(db, job.plan_id, batch.id, able, versions)
        crash_point("sync-claim-written")
        plan = replace(plans.get(db, job.plan_id), set_hash=job.set_hash)
        return Work(batch, wave, plan, tuple(one.user_key for one in able)), able


def _bring(parts: Parts, work: Work, taken: Sequence[changes.Mover], one: _Try, result: Brought) -> Sequence[_Try]:
    """One attempt; whoever is to be tried again, or in parts."""
    try:
        with heartbeat.beating(parts, work.batch) as pulse:
            step, gone = _attempt(parts, work, taken, pulse, whole=one.whole)
            arrived = set(step.new.users) - set(step.new.held)
            told: Mapping[str, tuple[str, str]] = _left_out(step.new.held, gone)
            if not arrived:
                arrivals.drop(parts, work, "nobody was written", told, step.new)
            elif not arrivals.record(parts, work, step.new, arrived, gone):
                return ()
    except Unreachable:
        raise  # whoever comes next looks into the ledger
    except (Exception, pl.exceptions.PanicException) as failure:  # noqa: BLE001 (one batch must not end the others)
        again, told = _after(parts, work, one, failure, result)
        return _not_written(parts, work, told, again, result)
    result.arrived(step, arrived)
    result.told |= told
    return ()


def _after(
    parts: Parts, work: Work, one: _Try, failure: BaseException, result: Brought
) -> tuple[Sequence[_Try], Mapping[str, tuple[str, str]]]:
    """Who is tried again after what went wrong, and who is not."""
    if isinstance(failure, DatabaseRefused):
        return _refused(parts, work, one, str(failure))
    if isinstance(failure, reading.ChangedMeanwhile):
        return _apart(parts, work, one, failure, result), {}
    if isinstance(failure, Transient | InDoubt | Fenced | Erased):  # who is erased is not taken the next time
        return _later(parts, work, one, str(failure), result), {}
    if isinstance(failure, StaysBehind):
        told = _closed(failure.why, _groups(parts, work), failure.outcome)
    elif isinstance(failure, writing.ReadBackDiffers):
        why = "what was read back differs from what was meant"
        named = failure.findings["user"].drop_nulls().unique().to_list() or list(work.users)
        told = _closed(dict.fromkeys(named, why), _groups(parts, work), "failed")
    elif isinstance(failure, MigratorError):
        told = dict.fromkeys(work.users, ("failed", str(failure)))
    else:
        log.error("batch %s: %s", work.batch.id, where(failure))  # a message may hold user data
        told = dict.fromkeys(work.users, ("failed", f"a defect: {where(failure)}; see the log"))
    return [_Try(tuple(user for user in work.users if user not in told), one.tries, one.whole)], told


def _not_written(
    parts: Parts,
    work: Work,
    told: Mapping[str, tuple[str, str]],
    again: Sequence[_Try],
    result: Brought,
) -> Sequence[_Try]:
    """Whatever went wrong, only the ledger knows whether it was before the commit or after it."""
    try:
        done = batch_flows.applied(parts, work)
    except (Transient, Fenced, InDoubt) as passing:
        log.info("batch %s: %s", work.batch.id, passing)
        result.busy += work.users
        return ()
    if done is not None:
        arrivals.record(parts, work, *done)
        result.brought += len(done[1])
        return ()
    arrivals.drop(parts, work, "not written", told)
    result.told |= told
    return [one for one in again if one.users]


def _refused(parts: Parts, work: Work, one: _Try, said: str) -> tuple[Sequence[_Try], Mapping[str, tuple[str, str]]]:
    """All their rows anew, where a change row by row is not taken; then in halves; then it is this user."""
    if not one.whole:
        return [_Try(work.users, one.tries, whole=True)], {}
    halves = drafts.halves(work.users, _groups(parts, work))
    if len(halves) > 1:
        return [_Try(tuple(half), one.tries) for half in halves], {}
    return [], dict.fromkeys(work.users, ("failed", said))


def _apart(parts: Parts, work: Work, one: _Try, failure: reading.ChangedMeanwhile, result: Brought) -> Sequence[_Try]:
    """Who is being written to must not hold up the others: these go on at once, the others are tried by themselves."""
    changing = closed(failure.users, _groups(parts, work))
    others = tuple(user for user in work.users if user not in changing)
    if not others:
        return _later(parts, work, one, str(failure), result)
    written_to = tuple(user for user in work.users if user in changing)
    return [_Try(written_to, one.tries + 1, one.whole), replace(one, users=others)]


def _later(parts: Parts, work: Work, one: _Try, said: str, result: Brought) -> Sequence[_Try]:
    """Once more after a pause; who is written to all the time is left for the next pass."""
    log.info("batch %s: %s", work.batch.id, said)
    if one.tries + 1 < TRIES:
        time.sleep(PAUSE * 2**one.tries * (0.75 + random.random() / 2))
        return [replace(one, users=work.users, tries=one.tries + 1)]
    result.busy += work.users  # the next pass takes them
    return []


def _attempt(
    parts: Parts, work: Work, taken: Sequence[changes.Mover], pulse: heartbeat.Pulse, *, whole: bool
) -> tuple[Step, frozenset[str]]:
    """Read, map, keep and write; the step that was taken, and who is no longer in legacy."""
    set_ = parts.stored_set(work.plan.set_hash)
    _require_ours(parts, work, taken)
    past = _past(parts, work, set_, taken)
    context = reading.context(parts, set_, work.plan, work.users)
    claim = Claim(work.batch.id, work.batch.fence, "move", work.plan.set_hash)
    mark = parts.legacy.mark()
    looks: list[writing.Look] = []

    def as_if_never_there(mapped: Mapped, look: writing.Look) -> writing.Look:
        looks.append(look)
        return past.unseen(mapped, look)

    seen = outlook.of(parts, set_, work.users, context, pulse.progress, claim, as_if_never_there)
    if seen.mapped.abort:
        raise Aborted(seen.mapped.abort)
    _require_whole_groups(seen.read.gone, context.groups)
    crash_point("sync-mapped")
    kept = batch_flows.keep(parts, work, set_, seen.read, seen.context, seen.decided, seen.look, seen.there)
    crash_point("sync-snapshot-kept")
    step = Step.of(past.only(sorted(set(kept.users) - set(kept.held))), kept, whole=whole)
    users_ = batch_flows.movers(kept)
    if users_.height:
        writing.write(
            parts, set_, claim, dict(step.write), users_, step.met(looks[-1]), kept.left, pulse,
            last_look=lambda: reading.require_unchanged(parts, set_, context, seen.read, seen.there, mark),
            first=lambda writer: step.make_room(parts, writer),
        )  # fmt: skip
    crash_point("sync-committed")
    return step, seen.read.gone


def _require_ours(parts: Parts, work: Work, taken: Sequence[changes.Mover]) -> None:
    """The ledger names the snapshot from which we go on, or somebody has been there in between."""
    with parts.target.reading() as reader:
        ledger = {row["user_key"]: row for row in reader.ledger(work.users).iter_rows(named=True)}
    lost = {}
    for one in taken:
        row = ledger.get(one.user_key)
        if row is None or (row["op"], row["batch"], row["fence"]) != ("move", one.batch_id, one.fence):
            lost[one.user_key] = "the ledger in the target does not say that we wrote this user as he was recorded"
    if lost:
        raise StaysBehind(lost)


def _past(parts: Parts, work: Work, set_: MappingSet, taken: Sequence[changes.Mover]) -> Past:
    held = portions.keys_by_snapshot(taken)
    found = [opened(parts, work.plan.id, *snapshot).only(keys) for snapshot, keys in sorted(held.items())]
    return Past(set_, parts.target_schema.tables, found)


def _require_whole_groups(gone: frozenset[str], groups: Mapping[str, str]) -> None:
    """Of those who merged all are brought over, or nobody: what one of them brought along is in the rows of all."""
    if closed(gone, groups) - gone:
        raise StaysBehind(dict.fromkeys(sorted(gone), arrivals.GONE), "vanished")


def _groups(parts: Parts, work: Work) -> dict[str, str]:
    with parts.control.read() as db:
        return users.groups(db, work.plan.id, work.users)


def _closed(why: Mapping[str, str], groups: Mapping[str, str], outcome: str) -> dict[str, tuple[str, str]]:
    """The same for whoever merged with one of them; but who merged with one who is gone is in legacy himself."""
    told = {user: (outcome, said) for user, said in why.items()}
    theirs = (outcome, "merged with a user who cannot be brought over; they go together or not at all")
    if outcome == "vanished":
        theirs = (
            "held",
            "one of those who merged with this user is no longer in legacy; `migrator sync --remove-vanished`",
        )
    return told | dict.fromkeys(sorted(closed(why, groups) - set(why)), theirs)


def _left_out(held: Sequence[str], gone: frozenset[str]) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(held, ("held", arrivals.HELD)) | dict.fromkeys(sorted(gone), ("vanished", arrivals.GONE))


def _per_user(frames: Iterable[pl.DataFrame]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for frame in frames:
        for user, rows in frame.group_by("__user").len().iter_rows():
            counted[user] = counted.get(user, 0) + int(rows)
    return counted
