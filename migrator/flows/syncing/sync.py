"""
Bring over what changed in legacy since users were moved, until their cutover: pass by pass, as often as it takes.

A pass looks for changes (what legacy says of them itself, and a scan of all), puts the users concerned into a queue that
is durable, and brings over those who are in it. Cut off anywhere, the next pass goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound, Refused
from migrator.flows import portions
from migrator.flows.checking import verify
from migrator.flows.moving.kept import ref_of
from migrator.flows.parts import Parts
from migrator.flows.steering import waves as wave_flows
from migrator.flows.syncing import arrivals, bringing, capture, handing, newcomers
from migrator.flows.syncing.bringing import Brought, Job
from migrator.flows.syncing.newcomers import Arrived
from migrator.flows.undoing import rollbacks
from migrator.mapping.groups import closed
from migrator.rollout.states import User
from migrator.store import changes, journal, plans, users, waves

PASSES = 5  # by default: who writes all the time is never done with
LISTED = 1000
#: What may come of users who changed, as people read it; the first is the usual one.
CLASSES = ("legacy changed", "both", "vanished", "held", "failed")
Progress = Callable[[str, int, int], None]  # what is done, how many are done, of how many


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose changes are brought over: everybody's, one wave's, or some users' (with all who merged with them)."""

    plan: plans.Plan
    wave: waves.Wave | None = None
    users: frozenset[str] | None = None


@dataclass
class Synced:
    """What came of it. `queue`: users who changed and are not brought over yet."""

    dry_run: bool = False
    passes: int = 0
    looked_at: int = 0  # moved users in scope
    changed: int = 0  # users in whom a change was found
    brought: int = 0
    rows_written: int = 0
    rows_removed: int = 0
    classes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))
    users: list[dict[str, Any]] = field(default_factory=list)  # brought over: user, written, removed
    not_brought: list[dict[str, str]] = field(default_factory=list)  # user, class, reason
    busy: int = 0
    queue: int = 0
    new: Arrived = field(default_factory=Arrived)  # users who came to legacy, or went from it
    sent_again: int = 0  # held users whose rows others had until now: they are moved by their waves
    taken_back: int = 0  # users who are gone from legacy, and were put back
    found_by: dict[str, str] = field(default_factory=dict)  # database -> how its changes are found
    remarks: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing is left that another pass could bring over."""
        return not self.queue and not self.busy


def nobody(_what: str, _done: int, _of: int) -> None:
    """Tell nobody how far it is."""


def scope(parts: Parts, *, wave: str | None = None, user: str | None = None, some: Iterable[str] = ()) -> Scope:
    """
    Say whose changes are meant.

    Raises:
        NotFound: there is no plan, wave or user of that name.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None and users.get(db, plan.id, user) is None:
            raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
        named = [user] if user is not None else list(some)
        if named:
            return Scope(plan, None, frozenset(one.user_key for one in users.with_groups(db, plan.id, named)))
        return Scope(plan, waves.find(db, plan.id, wave) if wave is not None else None)


def passes(
    parts: Parts,
    scope_: Scope,
    *,
    most: int = PASSES,
    scan: bool | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    progress: Progress = nobody,
) -> Synced:
    """
    Look for changes and bring them over, again and again until a pass finds nothing new, at most so many times.

    Args:
        scan: Read all rows of everybody again; None: where nothing else tells of all changes, or the last time is long ago.
    """
    result = Synced(dry_run=dry_run, found_by=dict(parts.capture.how))
    for number in range(1 if dry_run else most):
        found = one_pass(parts, scope_, result, scan=scan if number == 0 else None, workers=workers, progress=progress)
        if not dry_run:
            result.sent_again += handing.send_again(parts)
        if not found:
            break
    return result


def one_pass(
    parts: Parts,
    scope_: Scope,
    result: Synced,
    *,
    scan: bool | None,
    workers: int | None = None,
    logs: bool = True,
    progress: Progress = nobody,
) -> bool:
    """One look and, unless it is a dry run, what it found brought over; whether another pass could find more."""
    plan_id = scope_.plan.id
    if not result.dry_run:
        reconcile(parts, scope_)
    movers = _movers(parts, scope_)
    result.looked_at = len(movers)
    looked = capture.look(
        parts, scope_.plan, movers, scan=scan, whole=_is_whole(scope_), logs=logs, workers=workers, progress=progress
    )
    result.remarks = list(dict.fromkeys([*result.remarks, *looked.remarks]))
    result.passes += 1
    if _is_whole(scope_) and (looked.scanned or looked.strangers or not movers):
        _take_in(parts, scope_, result)
    if result.dry_run:
        _would(parts, scope_, movers, looked, result)
        return False
    with parts.control.write() as db:
        capture.keep(db, plan_id, looked, parts.now())
        changes.forget_who_went(db, plan_id)
    before = result.brought
    _bring_queue(parts, scope_, result, workers=workers, progress=progress)
    result.changed += len(looked.changed)
    return result.brought > before


def delta(parts: Parts, user_keys: Sequence[str]) -> Synced:
    """
    Bring some users to what legacy says now, whoever noticed a change: their rows are all read again.

    For the cutover of users who are frozen in legacy: afterwards `pending` is False for whom it brought over.
    """
    scope_ = scope(parts, some=user_keys)
    result = Synced(found_by=dict(parts.capture.how))
    if not user_keys:
        return result
    one_pass(parts, scope_, result, scan=True, logs=False, workers=1)
    return result


def pending(parts: Parts, user: str) -> bool:
    """Whether a change of this user is known that was not brought over, or is being brought over now."""
    with parts.control.read() as db:
        plan = plans.require(db)
        looked = changes.queued(db, plan.id, [user]) or changes.busy(db, plan.id, [user])
    return bool(looked)


def reconcile(parts: Parts, scope_: Scope) -> int:
    """Take up what a process that died was bringing over; how many batches are still at work."""
    return arrivals.reconcile(parts, scope_.plan.id, [scope_.wave.id] if scope_.wave else None)


def remove_vanished(parts: Parts, scope_: Scope, result: Synced, *, workers: int | None = None) -> None:
    """
    Put back whoever is in the target and no longer in legacy, and leave him out from now on.

    Who merged with one of them goes back, too, and is sent on his way again. Where a wave moves users just now, its own
    stay in the queue, with the reason: the next time takes them.
    """
    plan_id = scope_.plan.id
    with parts.control.read() as db:
        vanished = _in(db, scope_, changes.to_be_taken_back(db, plan_id))
        together = users.with_groups(db, plan_id, vanished)
    if not vanished:
        return
    restored, why = 0, dict[str, str]()
    wave_of = {one.user_key: one.wave_id for one in together}
    for wave_id in sorted({wave_of[key] or 0 for key in vanished}):
        theirs = [key for key in vanished if (wave_of[key] or 0) == wave_id]
        try:
            done = rollbacks.roll_back(parts, rollbacks.scope(parts, some=theirs), workers=workers)
        except Refused as busy:
            why |= dict.fromkeys(theirs, f"{arrivals.GONE}; {busy}")
        else:
            restored += done.restored
            why |= done.refused
    with parts.control.write() as db:
        now, back = parts.now(), (User.ROLLED_BACK,)
        went = [one.user_key for one in users.some(db, plan_id, vanished) if one.status in back]
        users.move(db, plan_id, went, back, User.EXCLUDED, now, reason=newcomers.GONE, group_key=None)
        changes.forget_who_went(db, plan_id)
        result.sent_again += _send_again(parts, db, plan_id, [key for key in wave_of if key not in vanished])
        if went:
            journal.add(db, now, parts.actor, "remove vanished", "plan", plan_id, users=went, restored=restored)
    result.taken_back += len(went)
    result.sent_again += handing.send_again(parts)
    _tell(parts, scope_, result)
    for one in result.not_brought:
        one["reason"] = why.get(one["user"], one["reason"])


def _send_again(parts: Parts, db: sa.Connection, plan_id: int, keys: Sequence[str]) -> int:
    """Who went back along with others, and is in legacy, moves again without them."""
    by_wave: dict[int, list[users.User]] = {}
    for one in users.some(db, plan_id, keys):
        if one.status is User.ROLLED_BACK and one.wave_id is not None:
            by_wave.setdefault(one.wave_id, []).append(one)
    sent = 0
    for wave_id, found in sorted(by_wave.items()):
        wave = waves.hold(db, wave_id)
        if not wave_flows.takes_users(wave):
            continue
        for group in {one.group_key for one in found}:
            left = sorted(one.user_key for one in found if one.group_key == group)
            users.assign(db, plan_id, left, group_key=left[0] if len(left) > 1 else None)
        theirs = sorted(one.user_key for one in found)
        users.move(db, plan_id, theirs, (User.ROLLED_BACK,), User.PLANNED, parts.now(), reason=None, home="legacy")
        wave_flows.replan(parts, db, wave, theirs)
        sent += len(theirs)
    return sent


def _take_in(parts: Parts, scope_: Scope, result: Synced) -> None:
    came = newcomers.take_in(parts, scope_.plan, dry_run=result.dry_run)
    result.new.users += came.users
    result.new.excluded += came.excluded
    result.new.held += came.held
    result.new.gone += came.gone
    for name, count in came.waves.items():
        result.new.waves[name] = result.new.waves.get(name, 0) + count


def _in(db: sa.Connection, scope_: Scope, keys: Sequence[str]) -> list[str]:
    """Those of *keys* who are in scope."""
    if _is_whole(scope_):
        return list(keys)
    found = users.some(db, scope_.plan.id, keys)
    mine = {one.user_key for one in found if scope_.wave is None or one.wave_id == scope_.wave.id}
    return [key for key in keys if key in (mine if scope_.users is None else scope_.users)]


def _is_whole(scope_: Scope) -> bool:
    return scope_.wave is None and scope_.users is None


def _movers(parts: Parts, scope_: Scope) -> list[changes.Mover]:
    with parts.control.read() as db:
        return changes.movers(db, scope_.plan.id, scope_.users, scope_.wave.id if scope_.wave else None)


def _bring_queue(parts: Parts, scope_: Scope, result: Synced, *, workers: int | None, progress: Progress) -> None:
    """Everybody in scope who is in the queue; what stood in the way of one may have gone with another."""
    jobs = _jobs(parts, scope_)
    wanted = sum(len(job.users) for job in jobs)
    found, done = Brought(), 0
    progress("bringing over", 0, wanted)
    with closing(
        portions.share(parts, "sync", jobs, lambda job: bringing.bring(parts, job), users=wanted, workers=workers)
    ) as going:
        for place, one in going:
            found.add(one)
            done += len(jobs[place].users)
            progress("bringing over", done, wanted)
    result.brought += found.brought
    result.rows_written += found.written
    result.rows_removed += found.removed
    result.users += [dict(one) for one in found.users[: max(0, LISTED - len(result.users))]]
    result.busy = len(found.busy)
    _tell(parts, scope_, result)


def _tell(parts: Parts, scope_: Scope, result: Synced) -> None:
    """What is left in the queue, by why it is."""
    movers = {one.user_key for one in _movers(parts, scope_)}
    with parts.control.read() as db:
        left = [one for one in changes.queued(db, scope_.plan.id) if one.user_key in movers]
    result.queue = len(left)
    result.classes = dict.fromkeys(CLASSES, 0) | {CLASSES[0]: result.brought}
    result.not_brought = []
    for one in left:
        class_ = one.outcome or CLASSES[0]
        result.classes[class_] += 1
        if len(result.not_brought) < LISTED:
            reason = one.reason or "changed again; the next pass takes it"
            result.not_brought.append({"user": one.user_key, "class": class_, "reason": reason})


def _jobs(parts: Parts, scope_: Scope) -> list[Job]:
    """The queue in portions: per wave and mapping set, who merged together."""
    plan_id = scope_.plan.id
    with parts.control.read() as db:
        wanted = {one.user_key for one in changes.queued(db, plan_id)}
        wanted = {one.user_key for one in users.with_groups(db, plan_id, wanted)}
        groups = users.groups(db, plan_id, wanted)
    movers = [one for one in _movers(parts, scope_) if one.user_key in wanted]
    sets = {
        snapshot: ref_of(parts, plan_id, *snapshot).set_hash for snapshot in {(m.batch_id, m.fence) for m in movers}
    }
    by: dict[tuple[int, str], list[changes.Mover]] = {}
    for one in movers:
        by.setdefault((one.wave_id, sets[one.batch_id, one.fence]), []).append(one)
    return [
        Job(plan_id, wave_id, part, hash_)
        for (wave_id, hash_), found in sorted(by.items())
        for part in _cut(found, groups, parts.limits.users)
    ]


def _cut(found: Sequence[changes.Mover], groups: Mapping[str, str], size: int) -> list[tuple[str, ...]]:
    """Near rows together, as they were moved; who merged is never parted."""
    parts_: list[list[str]] = []
    seen: set[str] = set()
    there = {one.user_key for one in found}
    for one in sorted(found, key=lambda one: (one.batch_id, one.user_key)):
        if one.user_key in seen:
            continue
        together = sorted(closed([one.user_key], groups) & there)
        if not parts_ or len(parts_[-1]) + len(together) > size:
            parts_.append([])
        parts_[-1] += together
        seen |= set(together)
    return [tuple(part) for part in parts_]


def _would(
    parts: Parts, scope_: Scope, movers: Sequence[changes.Mover], looked: capture.Looked, result: Synced
) -> None:
    """Who would be brought over, and who not: nothing is changed, the queue neither."""
    with parts.control.read() as db:
        known = {one.user_key for one in changes.queued(db, scope_.plan.id)}
    concerned = [one for one in movers if one.user_key in looked.changed | looked.gone | known]
    found = verify.verify(parts, verify.scope_of(scope_.plan, concerned), workers=1)
    result.changed = len(concerned)
    for user, class_ in sorted(found.by_class().items()):
        if class_ not in ("legacy changed", "both", "vanished"):
            continue  # what the target alone has is for `verify`
        result.classes[class_] += 1
        if len(result.not_brought) < LISTED:
            result.not_brought.append({"user": user, "class": class_, "reason": _WOULD[class_]})


_WOULD = {
    "legacy changed": "would be brought over",
    "both": "would be left alone: the target was changed, too",
    "vanished": arrivals.GONE,
}
