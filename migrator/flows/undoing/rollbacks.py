"""
Put users back: the target exactly as it was before they came, or not at all.

Three fingerprints decide: B, the before-images of the snapshot; A, the rows as we wrote them, in the snapshot; N, the
target now. N = A: restore B. N differs: the new system has written since, the user is refused and stays. Compared under
the row locks of the transaction that restores, which itself goes through fence and ledger: cut off, it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.errors import Busy, DatabaseRefused, InDoubt, Mismatch, NotFound, Refused, SnapshotDamaged, Transient
from migrator.flows import portions
from migrator.flows.homes import thawing
from migrator.flows.moving import batches as batch_flows
from migrator.flows.moving.kept import KeptBatch, opened, ref_of
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.flows.syncing import arrivals
from migrator.flows.undoing.carrying import Carrying
from migrator.flows.undoing.judging import judge
from migrator.flows.undoing.policies import BLOCK, FORCE, Told
from migrator.flows.undoing.restoring import restore
from migrator.flows.undoing.returned import record
from migrator.flows.undoing.rolled_back import RolledBack, count, tally
from migrator.mapping import conflicts
from migrator.rollout import states
from migrator.rollout.rights import Act
from migrator.rollout.states import User, Wave
from migrator.store import batches, changes, cutovers, homes, journal, plans, users, waves

NO_WAY_BACK = (
    "nobody here can be rolled back: who is settled has passed the point of no return. "
    "What is wrong is put right in the target; `migrator verify` shows what was written and what is there"
)
CAN_GO_BACK = (User.MOVED, User.LIVE, User.ROLLING_BACK)


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some snapshots of a scope with the users of each that go back, newest first.

    `hastily`: beside others. Who cannot go back is left for a second look, when everybody else has gone.
    """

    plan: plans.Plan
    snapshots: tuple[tuple[portions.Snapshot, Sequence[users.Placed]], ...]
    dry_run: bool
    hastily: bool
    policy: str = BLOCK

    @property
    def users(self) -> int:
        """How many are in it."""
        return sum(len(found) for _, found in self.snapshots)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a rollback is about: users by the snapshot that holds them."""

    plan: plans.Plan
    snapshots: dict[portions.Snapshot, list[users.Placed]]
    waves: tuple[waves.Wave, ...]
    not_in_target: int
    along: tuple[str, ...] = ()  # who merged with the user that was asked for
    settled: bool = False  # somebody of them has passed the point of no return

    @property
    def users(self) -> int:
        """How many can go back."""
        return sum(len(found) for found in self.snapshots.values())


def scope(parts: Parts, *, user: str | None = None, some: Sequence[str] = (), wave: str | None = None) -> Scope:
    """
    One user or some (with all who merged with them), one wave, or everybody; what a lost worker committed is recorded
    first.
    """
    _reconcile(parts, user, wave)
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None and users.get(db, plan.id, user) is None:
            raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
        whole, along = tuple[waves.Wave, ...](), tuple[str, ...]()
        if user is not None or some:
            chosen = users.with_groups(db, plan.id, [user] if user is not None else list(some))
            able = map(users.Placed.of, (one for one in chosen if one.status in CAN_GO_BACK))
            going, asked = [one for one in able if one is not None], len(chosen)
            along = tuple(one.user_key for one in chosen if one.user_key != user) if user is not None else ()
            settled = any(one.status is User.SETTLED for one in chosen)
        else:
            whole = (waves.find(db, plan.id, wave),) if wave is not None else tuple(waves.of_plan(db, plan.id))
            within = whole[0].id if wave is not None else None
            going, asked = users.placed(db, plan.id, CAN_GO_BACK, within), users.count(db, plan.id, within)
            settled = any(users.any_of(db, one.id, User.SETTLED) for one in whole)
        going = _with_homes(db, plan.id, going)
    return Scope(plan, portions.by_snapshot(going), whole, asked - len(going), along, settled)


def _with_homes(db: sa.Connection, plan_id: int, going: Sequence[users.Placed]) -> list[users.Placed]:
    """Who is frozen is served where he was served before: by the target, if it is a rollback that froze him."""
    frozen = [one.user_key for one in going if one.home == homes.MOVING]
    back = {one.user_key for one in users.some(db, plan_id, frozen) if one.status is User.ROLLING_BACK}
    return [
        one if one.home != homes.MOVING else one._replace(home=homes.TARGET if one.user_key in back else homes.LEGACY)
        for one in going
    ]


def _reconcile(parts: Parts, user: str | None, wave: str | None) -> None:
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None:
            one = users.get(db, plan.id, user)
            found = [one.wave_id] if one and one.wave_id else []
        elif wave is not None:
            found = [waves.find(db, plan.id, wave).id]
        else:
            found = [each.id for each in waves.of_plan(db, plan.id)]
    for wave_id in found:
        batch_flows.reconcile(parts, wave_id, parts.actor)
    arrivals.reconcile(parts, plan.id, found)


def roll_back(
    parts: Parts,
    scope_: Scope,
    *,
    dry_run: bool = False,
    policy: str = BLOCK,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda users: None,
) -> RolledBack:
    """
    Put back everybody in scope, snapshot by snapshot, newest first; where they do not depend on each other, several
    at once.

    Args:
        policy: What becomes of what the new system has changed: it keeps its users where they are (block), is carried
            back to legacy (carry_back), as far as its columns are the new system's (merge), or is given up (force).
        workers: How many processes restore; see `portions`.

    Raises:
        Refused: nobody in scope is in the target, or a batch of the wave is still running.
    """
    result = RolledBack(dry_run=dry_run, policy=policy, not_in_target=scope_.not_in_target, along=list(scope_.along))
    if not scope_.users and not _begun(scope_):
        raise Refused(NO_WAY_BACK if scope_.settled else "nobody here is in the target: nothing to roll back")
    likely = min(_processes(parts, scope_, workers, dry_run=dry_run), len(scope_.snapshots))
    with portions.expected(parts, likely):
        if not dry_run:
            with approvals.asking(parts):
                scope_ = _begin(parts, scope_, policy)
        beside = _processes(parts, scope_, workers, dry_run=dry_run)
        cut = portions.cut(sorted(scope_.snapshots.items(), reverse=True), beside)
        jobs = [Part(scope_.plan, snapshots, dry_run, beside > 1 and not dry_run, policy) for snapshots in cut]
        going = portions.share(
            parts, "rollback", jobs, lambda job: part(parts, job), users=scope_.users, workers=beside
        )  # fmt: skip
        with closing(going) as done:
            for place, one in done:
                result.add(one)
                progress(jobs[place].users - sum(len(whose) for _, whose in one.left))
    for snapshot, found in sorted(result.left, reverse=True):
        result.add(part(parts, Part(scope_.plan, ((snapshot, found),), dry_run, False, policy)))
        progress(len(found))
    if not dry_run:
        _end(parts, scope_, result)
    return result


def part(parts: Parts, job: Part) -> RolledBack:
    """Put back the users of one part."""
    result = RolledBack(dry_run=job.dry_run, policy=job.policy)
    for snapshot, found in job.snapshots:
        try:
            _one(parts, job, snapshot, found, result)
        except (DatabaseRefused, Transient, Mismatch, InDoubt):
            if not job.hastily:
                raise
            result.left.append((snapshot, found))
    return result


def _processes(parts: Parts, scope_: Scope, workers: int | None, *, dry_run: bool) -> int:
    """
    How many may restore at once: one, where a batch may have written over another's rows, as then the order counts.

    Nor do several help where only one can write at a time.
    """
    wanted = portions.processes(parts, scope_.users, workers)
    if wanted == 1 or dry_run:
        return wanted
    if parts.target.dialect == "sqlite":
        return 1
    sets = {ref_of(parts, scope_.plan.id, *snapshot).set_hash for snapshot in scope_.snapshots}
    return 1 if any(conflicts.shared_tables(parts.stored_set(hash_)) for hash_ in sets) else wanted


def _begun(scope_: Scope) -> bool:
    return any(wave.status is Wave.ROLLING_BACK for wave in scope_.waves)


def _begin(parts: Parts, scope_: Scope, policy: str = BLOCK) -> Scope:
    """Nothing may move while users go back; whole waves say so."""
    with parts.control.write() as db:
        touched = {one.wave_id for found in scope_.snapshots.values() for one in found}
        concerned = touched | {wave.id for wave in scope_.waves}  # one that moves its first users now, too
        for wave_id in sorted(one for one in concerned if one is not None):
            wave = waves.hold(db, wave_id)  # no sync begins, and no cutover flips, before these are on their way back
            running = batches.leased(db, wave_id)
            if running or wave.status in (Wave.RUNNING, Wave.PAUSING, Wave.CANCELLING):
                raise Refused(
                    f"wave {wave.name} is {wave.status} with {running} batches under way; "
                    f"`migrator wave pause {wave.name}` first"
                )
        for wave in scope_.waves:
            now = waves.get(db, wave.id)
            # users who were refused before may be left in a wave that has been rolled back, or waits to start again
            if now.id in touched and "roll back" in states.events("wave", now.status):
                waves.move(db, now, states.step("wave", now.status, "roll back", now.name))
        keys = [one.user_key for found in scope_.snapshots.values() for one in found]
        thawing.reap(parts, db)
        if cutovers.frozen_until(db, scope_.plan.id, keys) is not None:
            raise Busy("some of these users are being cut over; that ends within seconds: try again then")
        scope_ = _placed_now(db, scope_, keys)
        keys = [one.user_key for found in scope_.snapshots.values() for one in found]
        fresh = users.move(db, scope_.plan.id, keys, (User.MOVED, User.LIVE), User.ROLLING_BACK, parts.now())
        ref = scope_.waves[0].name if len(scope_.waves) == 1 else f"plan {scope_.plan.id}"
        allowed = _allowed(parts, db, scope_, keys, None if fresh else ref) if policy == FORCE else {}
        told = {"asked": len(keys), **({} if policy == BLOCK else {"policy": policy}), **allowed}
        journal.add(db, parts.now(), parts.actor, "roll back", "wave", ref, users=keys, **told)
        crash_point("rollback-begin-written")
    crash_point("rollback-begun")
    return scope_


def _placed_now(db: sa.Connection, scope_: Scope, keys: Sequence[str]) -> Scope:
    """The same users by where they are now: a sync or a cutover may have come before us since they were looked at."""
    if changes.busy(db, scope_.plan.id, keys):
        raise Busy("some of these users are being brought over; that ends within seconds: try again then")
    going = _with_homes(db, scope_.plan.id, users.placed(db, scope_.plan.id, CAN_GO_BACK, keys=keys))
    return replace(
        scope_, snapshots=portions.by_snapshot(going), not_in_target=scope_.not_in_target + len(keys) - len(going)
    )


def _begun_with(db: sa.Connection, ref: str) -> int | None:
    """The approval with which the rollback was begun that the journal tells of last."""
    newest = journal.select(db, journal.Asked(wave=ref, event="roll back"), limit=1)
    return next((entry["detail"].get("approval") for entry in newest), None)


def _allowed(
    parts: Parts, db: sa.Connection, scope_: Scope, keys: Sequence[str], cut_off: str | None
) -> dict[str, Any]:
    """To give up what users have done since takes two people; to end what was cut off (its `ref`) takes them once."""
    noun, ref = ("wave", scope_.waves[0].name) if len(scope_.waves) == 1 else ("plan", str(scope_.plan.id))
    if not scope_.waves:
        noun, ref = "user", ", ".join(sorted(keys))
    begun_with = _begun_with(db, cut_off) if cut_off else None
    return approvals.use(db, parts, Act.FORCE_ROLLBACK, noun, ref, begun_with=begun_with, policy=FORCE)


def _end(parts: Parts, scope_: Scope, result: RolledBack) -> None:
    with parts.control.write() as db:
        for wave in scope_.waves:
            now = waves.get(db, wave.id)
            if now.status is Wave.ROLLING_BACK:
                waves.move(db, now, states.step("wave", now.status, "restored", now.name), ended_at=parts.now())
                result.waves.append(now.name)
        crash_point("rollback-end-written")


def _one(
    parts: Parts, job: Part, snapshot: portions.Snapshot, found: Sequence[users.Placed], result: RolledBack
) -> None:
    """All users of one snapshot; where the database refuses them together, user by user."""
    keys = [one.user_key for one in found]
    try:
        kept = opened(parts, job.plan.id, *snapshot)
    except (NotFound, SnapshotDamaged) as damaged:  # it keeps its own users where they are, and nobody else
        why = dict.fromkeys(keys, str(damaged))
        if not job.dry_run:
            record(parts, job.plan, snapshot[0], None, found, [], why)
        result.refused |= why
        return
    set_ = parts.stored_set(kept.set_hash)
    if job.dry_run:
        with parts.target.reading() as reader:
            able, refused = judge(parts.target_schema.tables, reader, reader.rows, set_, kept, keys)
        tally(result, set_, able)
        count(parts, set_, kept, able, result)
        result.take(set_, _differently(parts, job, snapshot, kept, refused))
        return
    done, refused = restore(parts, set_, kept, snapshot[0], keys, halving=not job.hastily)
    if job.hastily and refused:
        result.left.append((snapshot, tuple(one for one in found if one.user_key in refused)))
        refused = {}
    waiting = set(refused) if job.policy != BLOCK else set()
    record(parts, job.plan, snapshot[0], kept, found, done, {} if waiting else refused)
    tally(result, set_, done)
    count(parts, set_, kept, done, result)
    told = _differently(parts, job, snapshot, kept, refused)
    if waiting:
        left = [one for one in found if one.user_key in waiting]
        record(parts, job.plan, snapshot[0], kept, left, told.done, told.refused)
    result.take(set_, told)


def _differently(
    parts: Parts, job: Part, snapshot: portions.Snapshot, kept: KeptBatch, refused: dict[str, str]
) -> Told:
    """Who cannot go back just as he came, by the policy; or (block) not at all."""
    if job.policy == BLOCK or not refused:
        return Told(refused=refused)
    return Carrying(parts, job.plan, snapshot[0], kept, job.policy, job.dry_run).go(sorted(refused))
