"""
The cutover: freeze, drain, mark, delta, verify, flip, unfreeze. Some users at a time, so that each is frozen for seconds.

freeze: their home is `moving`; what asks the Router lets them read only. drain: until no application can act on an older
answer, and whoever was writing to legacy then has ended. mark: from here on legacy says nothing new of them. delta: what
changed in legacy since the move is brought over. verify: every value in the target is compared with what is meant. flip:
home and status in one statement, under a freeze that still holds. unfreeze: who could not go is served by legacy again.
With `[cutover] lock` legacy itself refuses writes to the frozen, for applications that do not ask (`legacy_lock`).

A freeze ends by itself: it is a row with an end, and only who takes that row out decides about the user. A process that
dies anywhere leaves users who are live, or frozen until then; the next cutover, or the dispatcher, lets them write again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.errors import MigratorError, NotFound, OverBudget, Refused
from migrator.flows.checking import verify
from migrator.flows.homes import legacy_lock, thawing
from migrator.flows.parts import Parts
from migrator.flows.syncing import sync
from migrator.flows.telling import notices
from migrator.flows.wave_view import find, held_sentence
from migrator.mapping.groups import closed
from migrator.rollout.states import User, Wave
from migrator.store import changes, cutovers, homes, journal, plans, users, waves
from migrator.store.control import clock

log = logging.getLogger("migrator.cutover")
LOOK_EVERY = 0.2  # seconds between two looks at who still writes to legacy
NAMED = 5  # transactions that a sentence names
#: What is said of a user who is not what he was when he was moved, by the class of `verify`.
WORDS = {
    "legacy changed": "changed in legacy since the move; `migrator sync`, then cut over again",
    "vanished": "is no longer in legacy; `migrator sync`, then cut over again",
    "both": "changed in legacy and in the target since the move; see `migrator verify --user {user}`",
    "target changed": "the target is not what was written; see `migrator verify --user {user}`",
    "extra": "the target has rows that nobody of ours wrote; see `migrator verify --user {user}`",
}


@dataclass
class CutOver:
    """What came of it: `live` users, `left` ones with the reason; `undone` were frozen in vain, `longest` in seconds."""

    asked: int = 0
    live: int = 0
    left: dict[str, str] = field(default_factory=dict)
    undone: int = 0
    longest: float = 0.0
    waves: list[str] = field(default_factory=list)
    stopped: str | None = None  # why nobody else was tried
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "asked": self.asked, "live": self.live, "left": self.left, "undone": self.undone,
            "longest_freeze_seconds": round(self.longest, 3), "waves": self.waves, "stopped": self.stopped, "dry_run": self.dry_run,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Users who are frozen together, and until when."""

    keys: tuple[str, ...]
    groups: dict[str, str]
    frozen_at: datetime
    until: datetime


Told = Callable[[int], None]


def cut_over_wave(parts: Parts, name: str, *, dry_run: bool = False, progress: Told = lambda users: None) -> CutOver:
    """
    Serve the moved users of a wave from the target. `all`: of every wave that no gate has stopped.

    Raises:
        Refused: nobody is moved and not yet live, or the wave was stopped.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        if name == "all":
            found = [wave for wave in waves.of_plan(db, plan.id) if not _stopped(wave)]
        else:
            found = [find(db, name)]
            if _stopped(found[0]):
                raise Refused(held_sentence(found[0]))
        moved = {wave.id: users.of_wave(db, wave.id, (User.MOVED,)) for wave in found}
    result = CutOver(asked=sum(map(len, moved.values())), dry_run=dry_run)
    if not result.asked:
        whose = "no wave has a user" if name == "all" else f"wave {name} has no user"
        raise Refused(f"{whose} who is moved and not yet live")
    for wave in found:
        if moved[wave.id] and not result.stopped:
            result.waves.append(wave.name)
            if not dry_run:
                _Cutting(parts, plan, wave, result, progress).carry_out(moved[wave.id])
    return result


def cut_over_users(parts: Parts, keys: Sequence[str], *, dry_run: bool = False) -> CutOver:
    """
    Serve some moved users from the target, and with each all who merged with him.

    Raises:
        NotFound: one of them is not in the plan. Refused: one is not moved, or his wave was stopped.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        found = users.with_groups(db, plan.id, keys)
        unknown = sorted(set(keys) - {one.user_key for one in found})
        if unknown:
            raise NotFound(f'there is no user "{unknown[0]}" in plan {plan.id}; `migrator user find` looks by e-mail')
        by_wave: dict[int, list[users.User]] = {}
        for one in found:
            _require_moved(one, keys)
            by_wave.setdefault(one.wave_id or 0, []).append(one)
        concerned = [waves.get(db, wave_id) for wave_id in sorted(by_wave)]
    for wave in concerned:
        if _stopped(wave):
            raise Refused(held_sentence(wave))
    result = CutOver(asked=len(found), dry_run=dry_run, waves=[wave.name for wave in concerned])
    for wave in concerned if not dry_run else ():
        _Cutting(parts, plan, wave, result, lambda users: None, whole=False).carry_out(by_wave[wave.id])
    return result


def _require_moved(one: users.User, asked: Collection[str]) -> None:
    if one.status is User.MOVED:
        return
    key = one.user_key
    whose = f"user {key}" if key in asked else f"user {key}, who is one account with him,"
    ahead = f"; `migrator user move {key} --cut-over` does both" if one.status is User.PLANNED else ""
    raise Refused(f"{whose} is {one.status}, and only who is moved can be cut over{ahead}")


def _stopped(wave: waves.Wave) -> bool:
    return wave.status is Wave.HELD and wave.verdict == "stop"


@dataclass
class _Cutting:
    """The cutover of users of one wave."""

    parts: Parts
    plan: plans.Plan
    wave: waves.Wave
    result: CutOver
    progress: Told
    whole: bool = True  # the wave, and not just some of it
    cutover: cutovers.Cutover = field(init=False)

    def carry_out(self, moved: Sequence[users.User]) -> None:
        """Cut over whoever of these users still is moved; whom another cutover has frozen, when that is over."""
        self._writers()  # where we may not look, nobody is frozen first
        legacy_lock.require(self.parts)
        with self.parts.control.write() as db:
            thawing.reap(self.parts, db)
            now, name = self.parts.now(), self.wave.name
            begun = cutovers.begin(db, self.plan.id, self.wave.id, self.parts.actor, now)
            self.cutover = cutovers.get(db, begun)
            whom = {"whole": True} if self.whole else {"asked": len(moved)}
            journal.add(db, now, self.parts.actor, "begin cutover", "wave", name, cutover=begun, **whom)
        crash_point("cutover-begun")
        try:
            if self.whole:  # while nobody is frozen: what is left to be brought over then takes a moment
                sync.passes(self.parts, sync.scope(self.parts, wave=self.wave.name))
            others = self._all(moved)
            if others:
                self._wait_for(others)
                self._all([one for one in moved if one.user_key in others])
        finally:
            with self.parts.control.write() as db:
                cutovers.end(db, self.cutover.id, self.parts.now())
        crash_point("cutover-ended")

    def _all(self, moved: Sequence[users.User]) -> set[str]:
        """Chunk by chunk; whom somebody else has frozen."""
        waiting, others = deque(_chunks(moved, self.parts.cutting.users)), set[str]()
        while waiting:
            part = waiting.popleft()
            try:
                others |= self._chunk(part)
            except _NobodyElse as why:
                self.result.stopped = str(why)
                self.result.left |= {one.user_key: str(why) for each in (part, *waiting) for one in each}
                return set()
            except OverBudget as late:
                smaller = _chunks(part, max(1, len(part) // 2))
                if len(smaller) > 1:
                    waiting.extendleft(reversed(smaller))
                    continue
                self.result.left |= {one.user_key: str(late) for one in part}
            self.progress(len(part))
        return others

    def _chunk(self, part: Sequence[users.User]) -> set[str]:
        """All steps for users who are frozen together; whom somebody else has frozen."""
        asked = {one.user_key for one in part}
        chunk = self._freeze(part)
        if chunk is None:
            return self._frozen_by_others(asked)
        with self._ending(chunk):
            try:
                legacy_lock.put_on(self.parts, self.plan, chunk.keys, self._holder, chunk.until - self._clock())
                crash_point("cutover-locked")
                self._drain(chunk)
                self._step("mark")
                crash_point("cutover-marked")
                troubled = self._delta(chunk)
                troubled |= self._verify(chunk, troubled)
                self._flip(chunk, troubled)
            except BaseException:
                self._undo(chunk)
                raise
            self._unfreeze(chunk, troubled)
        return self._frozen_by_others(asked - set(chunk.keys))

    def _freeze(self, part: Sequence[users.User]) -> _Chunk | None:
        """Read-only from now on, for as long as the budget at most; None where nobody of them can be frozen."""
        with self.parts.control.write() as db:
            cutovers.step(db, self.cutover.id, "freeze", self.parts.now())
            keys = cutovers.freeze(db, self.cutover, [one.user_key for one in part], self.parts.cutting.budget)
            frozen_at = clock(db)
            until = cutovers.frozen_until(db, self.plan.id, keys)
        if until is None:
            return None
        thawing.forget(self.parts, self.plan, keys)
        crash_point("cutover-frozen")
        groups = {one.user_key: one.group_key for one in part if one.group_key}
        return _Chunk(tuple(keys), groups, frozen_at, until)

    @contextmanager
    def _ending(self, chunk: _Chunk) -> Iterator[None]:
        """However long a step takes: when the time of the users is over, they are served by legacy again."""
        alarm = threading.Timer(max(0.0, (chunk.until - self._clock()).total_seconds()), self._time_is_over)
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def _time_is_over(self) -> None:
        try:
            with self.parts.control.write() as db:
                thawing.reap(self.parts, db)
        except MigratorError as away:
            log.warning(
                "users of cutover %s stay frozen until somebody can reach the control database: %s",
                self.cutover.id,
                away,
            )

    def _drain(self, chunk: _Chunk) -> None:
        """Wait until nobody can act on an older answer, and until whoever wrote to legacy then has ended."""
        self._step("drain")
        pause = (chunk.frozen_at + self.parts.cutting.drain - self._clock()).total_seconds()
        time.sleep(max(0.0, pause))
        marked = self._writers()
        while any(marked.values()):
            if self._clock() >= chunk.until:
                raise _NobodyElse(_named(marked, self.parts.cutting.budget))
            time.sleep(LOOK_EVERY)
            now = self._writers()
            marked = {name: then & now[name] for name, then in marked.items()}
        crash_point("cutover-drained")

    def _writers(self) -> dict[str, frozenset[str]]:
        """The transactions that write to legacy now."""
        try:
            return {name: watch.writers() for name, watch in self.parts.watches.items()}
        except MigratorError as hidden:
            raise Refused(
                f"who writes to legacy cannot be seen ({hidden}), so nobody can be cut over safely; "
                "grant our account the right to look (MySQL: PROCESS)"
            ) from hidden

    def _delta(self, chunk: _Chunk) -> dict[str, str]:
        """Bring over what changed in legacy since the move; who could not be brought up to date, and why."""
        self._step("delta")
        found = sync.delta(self.parts, chunk.keys)
        crash_point("cutover-delta-done")
        return {one["user"]: one["reason"] for one in found.not_brought if one["user"] in chunk.keys}

    def _verify(self, chunk: _Chunk, troubled: Collection[str]) -> dict[str, str]:
        """Whom the target, or legacy, tells something else of than was meant; and who is one account with such a one."""
        self._step("verify")
        found = trouble(self.parts, self.plan, [key for key in chunk.keys if key not in troubled])
        along = closed({*found, *troubled}, chunk.groups) - set(found) - set(troubled)
        crash_point("cutover-verified")
        return found | {key: "is one account with a user who cannot be cut over" for key in sorted(along)}

    def _flip(self, chunk: _Chunk, troubled: dict[str, str]) -> None:
        """Served by the target from now on: all of the chunk who may, in one statement, if their freeze still holds."""
        with self.parts.control.write() as db:
            now = clock(db)  # the soak before `settle` goes by it
            cutovers.step(db, self.cutover.id, "flip", now)
            going = self._settled_in_legacy(db, chunk, troubled)
            held = cutovers.take(db, self.cutover, going)
            if len(held) < len(going):
                raise OverBudget(_late(self.parts.cutting.budget))
            homes.change(db, self.plan.id, held, homes.TARGET, now, f"cutover {self.cutover.id} by {self.parts.actor}")
            live = users.move(db, self.plan.id, held, (User.MOVED,), User.LIVE, now, home=homes.TARGET)
            if live < len(held):
                raise OverBudget(
                    f"put back or erased, or beside one who was, while it was cut over ({len(held) - live})"
                )
            notices.queue(db, self.parts, self.plan.id, self.wave, "done", users.some(db, self.plan.id, held), now)
            seconds = (clock(db) - chunk.frozen_at).total_seconds()
            cutovers.count(db, self.cutover.id, live=live, seconds=seconds if held else 0.0)
            if held:
                journal.add(
                    db, now, self.parts.actor, "cut over", "wave", self.wave.name,
                    users=held, live=live, cutover=self.cutover.id, seconds=round(seconds, 3),
                )  # fmt: skip
            crash_point("cutover-flip-written")
        crash_point("cutover-flipped")
        legacy_lock.take_off(self.parts, self.plan, held, self._holder)
        thawing.forget(self.parts, self.plan, held)
        self.result.live += live
        self.result.longest = max(self.result.longest, seconds)

    def _settled_in_legacy(self, db: sa.Connection, chunk: _Chunk, troubled: dict[str, str]) -> list[str]:
        """Whom nothing is to be brought over for: a sync beside us has seen no more of them, and has none on the way."""
        wave = waves.hold(db, self.wave.id)  # none begins before we are done, and then finds them live
        if _stopped(wave):
            raise _NobodyElse(held_sentence(wave))
        going = [key for key in chunk.keys if key not in troubled]
        changed = {one.user_key for one in changes.queued(db, self.plan.id, going)} | changes.busy(
            db, self.plan.id, going
        )
        for key in closed(changed, chunk.groups).intersection(going):
            troubled[key] = WORDS["legacy changed"]
        return [key for key in going if key not in troubled]

    def _unfreeze(self, chunk: _Chunk, troubled: dict[str, str]) -> None:
        """Who could not go is served by legacy again, and may write."""
        self.result.left |= troubled
        if troubled:
            self._thaw(chunk, "left", troubled)
        crash_point("cutover-unfrozen")

    def _undo(self, chunk: _Chunk) -> None:
        """The way back: nothing but the freeze is to be taken back, as nothing else was done to be seen."""
        try:
            self._thaw(chunk, "undone", chunk.keys)
        except MigratorError as away:  # the dispatcher does it, when their time is over
            log.warning("users of cutover %s stay frozen until %s: %s", self.cutover.id, chunk.until, away)

    def _thaw(self, chunk: _Chunk, what: str, whom: Collection[str]) -> None:
        with self.parts.control.write() as db:
            now = self.parts.now()
            cutovers.step(db, self.cutover.id, "unfreeze", now)
            thawed = cutovers.thaw(db, self.cutover)
            seconds = (clock(db) - chunk.frozen_at).total_seconds()
            cutovers.count(db, self.cutover.id, undone=len(thawed), seconds=seconds)
            if thawed:
                journal.add(
                    db, now, self.parts.actor, "unfreeze", "wave", self.wave.name,
                    users=thawed, cutover=self.cutover.id, unfrozen=len(thawed), why=what,
                )  # fmt: skip
        legacy_lock.take_off(self.parts, self.plan, thawed, self._holder)
        thawing.forget(self.parts, self.plan, thawed)
        self.result.undone += len(chunk.keys) if what == "undone" else 0
        self.result.longest = max(self.result.longest, seconds)

    def _frozen_by_others(self, keys: Collection[str]) -> set[str]:
        """Those of the users who are moved and frozen: somebody else is at it, or was and died."""
        if not keys:
            return set()
        with self.parts.control.read() as db:
            found = users.some(db, self.plan.id, keys)
        return {one.user_key for one in found if one.status is User.MOVED and one.home == homes.MOVING}

    def _wait_for(self, keys: Collection[str]) -> None:
        """Until the freeze of others is over, which is soon: they are done, or they are dead."""
        with self.parts.control.read() as db:
            until = cutovers.frozen_until(db, self.plan.id, keys)
        while until is not None and self._frozen_by_others(keys):
            pause = (until - self._clock()).total_seconds()
            if pause <= 0:
                break
            time.sleep(min(pause, LOOK_EVERY))
        with self.parts.control.write() as db:
            thawing.reap(self.parts, db)

    def _step(self, name: str) -> None:
        with self.parts.control.write() as db:
            cutovers.step(db, self.cutover.id, name, self.parts.now())

    @property
    def _holder(self) -> str:
        """As whom it locks users in legacy."""
        return f"cutover {self.cutover.id}"

    def _clock(self) -> datetime:
        with self.parts.control.read() as db:
            return clock(db)


class _NobodyElse(OverBudget):
    """What stands in the way stands in everybody's: a transaction in legacy that does not end, a gate that said STOP."""


def trouble(parts: Parts, plan: plans.Plan, keys: Sequence[str]) -> dict[str, str]:
    """
    Who of these moved users cannot be served by the target, and why: each value there is compared with what was meant,
    and what legacy says of each with what it said when he was moved.
    """
    with parts.control.read() as db:
        placed = [one for one in map(users.Placed.of, users.some(db, plan.id, keys)) if one is not None]
    job = verify.Part(plan.id, verify.scope_of(plan, placed).in_order(), drift=True)
    told = dict.fromkeys(sorted(set(keys) - {one.user_key for one in placed}), "has no snapshot to be compared with")
    looked = verify.part(parts, job)
    told |= dict.fromkeys(sorted(looked.busy), "was written anew at this moment; `migrator wave cut-over` again")
    found = looked.by_class()
    return told | {key: WORDS[found[key]].format(user=key) for key in keys if key in found}


def _chunks(moved: Sequence[users.User], size: int) -> list[list[users.User]]:
    """Neighbours by snapshot, about *size* of them; who is one account stays together."""
    in_order = sorted(moved, key=lambda one: (one.batch_id or 0, one.group_key or one.user_key, one.user_key))
    return list(_cut(in_order, size))


def _cut(in_order: Sequence[users.User], size: int) -> Iterator[list[users.User]]:
    part: list[users.User] = []
    for one in in_order:
        together = bool(part) and one.group_key is not None and one.group_key == part[-1].group_key
        if len(part) >= size and not together:
            yield part
            part = []
        part.append(one)
    if part:
        yield part


def _late(budget: timedelta) -> str:
    return (
        f"could not be cut over within {budget.total_seconds():g} s; legacy serves as before. "
        "Fewer at once ([cutover] users), or more time ([cutover] budget)"
    )


def _named(marked: dict[str, frozenset[str]], budget: timedelta) -> str:
    told = "; ".join(f"{name}: {', '.join(sorted(then)[:NAMED])}" for name, then in sorted(marked.items()))
    return (
        f"a transaction that writes to legacy did not end within {budget.total_seconds():g} s ({told}); "
        "legacy serves as before. Let it end, then cut over again"
    )
