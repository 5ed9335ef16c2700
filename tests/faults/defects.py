"""
T3: ten deliberate defects of the protocol. Each is a change that a child makes to the product before it begins; the
product itself has no switch for any of them. The campaign must see each.

    python -m tests.faults.defects --seed 7 --only "no ledger"
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults import cinema, crashes, figures, zombies
from tests.faults.cinema import PLAIN, STANDING
from tests.faults.oracle import Finding
from tests.faults.rounds import Aim, Change, Ground, Round, Told, unchanged

MOST = 500  # kills or zombies within which each must have been seen


def no_ledger(_folder: Path) -> None:
    """Users are written without being taken in the ledger."""
    from migrator.edges.databases.writer import SqlWriter

    SqlWriter.take = _everybody  # type: ignore[method-assign]


def ledger_apart(_folder: Path) -> None:
    """Users are taken in a transaction of its own, before that of the data."""
    from migrator.edges.databases.writer import SqlWriter
    from migrator.flows.moving import writing

    take, write = SqlWriter.take, writing.write

    def apart(parts: Any, set_: Any, claim: Any, rows: Any, users: Any, *rest: Any, **more: Any) -> Any:
        with parts.target.writing() as writer:
            writer.fence(claim)
            take(writer, claim, users)
        with _instead(SqlWriter, "take", _everybody):
            return write(parts, set_, claim, rows, users, *rest, **more)

    writing.write = apart


def no_fence(_folder: Path) -> None:
    """Nobody looks whether a newer lease exists."""
    from migrator.edges.databases.writer import SqlWriter

    SqlWriter.fence = _nothing  # type: ignore[method-assign]


def fence_outside(_folder: Path) -> None:
    """The fence is looked at, and then the transaction begins."""
    from migrator.crashpoints import crash_point
    from migrator.edges.databases.writer import SqlWriter
    from migrator.flows.moving import writing

    write = writing.write

    def outside(parts: Any, set_: Any, claim: Any, *rest: Any, **more: Any) -> Any:
        with parts.target.writing() as writer:
            writer.fence(claim)
        crash_point("write-fenced")
        with _instead(SqlWriter, "fence", _nothing):
            return write(parts, set_, claim, *rest, **more)

    writing.write = outside


def finish_without_token(_folder: Path) -> None:
    """A batch is done whoever says so."""
    import sqlalchemy as sa

    from migrator.store import batches, tables

    def finish(db: Any, batch: Any, *_: Any, **__: Any) -> bool:
        db.execute(sa.update(tables.batches).where(tables.batches.c.id == batch.id).values(status="done"))
        return True

    batches.finish = finish


def snapshot_after_the_write(_folder: Path) -> None:
    """What was there before is kept once it has been written over."""
    from migrator.edges.snapshots import Snapshots
    from migrator.flows.moving import writing

    keep, write = Snapshots.keep, writing.write
    waiting: list[Any] = []

    def later(self: Any, *given: Any) -> str:
        waiting.append((self, given))
        return "later"

    def first(*given: Any, **more: Any) -> Any:
        taken = write(*given, **more)
        while waiting:
            keeper, what = waiting.pop()
            keep(keeper, *what)
        return taken

    Snapshots.keep = later  # type: ignore[method-assign]
    writing.write = first


def outbox_after_the_commit(_folder: Path) -> None:
    """That a user was moved is told in a transaction of its own, after the one that says so."""
    from migrator.flows.moving import recording

    record, tell = recording.record, recording._tell
    waiting: list[Any] = []

    def after(parts: Any, *given: Any, **more: Any) -> Any:
        done = record(parts, *given, **more)
        while waiting:
            with parts.control.write() as db:
                tell(db, *waiting.pop())
        return done

    recording._tell = lambda db, *given: waiting.append(given)  # type: ignore[assignment]
    recording.record = after


def clock_of_the_worker(folder: Path) -> None:
    """Leases go by the clock of whoever looks; those of two machines differ by an hour."""
    from migrator.store import batches, leases
    from tests.faults.clocks import machine

    wrong = timedelta(hours=-1 if machine(folder) % 2 else 1)
    batches.clock = leases.clock = lambda db: datetime.now(UTC) + wrong


def reaper_without_grace(_folder: Path) -> None:
    """Dead leases are judged at once, although nobody could renew them while the database was away."""
    from migrator.flows.steering.dispatching import Dispatcher

    may = Dispatcher._may_reap

    def at_once(self: Dispatcher, now: datetime) -> bool:
        self.silent_until = now
        return may(self, now)

    Dispatcher._may_reap = at_once  # type: ignore[method-assign]


def rollback_without_compare(_folder: Path) -> None:
    """What stands in the target is written over, whoever wrote it."""
    from migrator.mapping import compare

    compare.changed_rows = lambda *_: set()


def by_kills(change: Change, seed: int) -> Told:
    """Look for it by killing."""
    return crashes.campaign(MOST, seed, change=change, kinds=(PLAIN, STANDING), findings=1)


def by_zombies(change: Change, seed: int) -> Told:
    """Look for it by waking zombies, at first those who froze just before and just after what they may not do."""
    first = ("snapshot-kept", "write-fenced", "write-committed")
    return zombies.campaign(MOST, seed, change=change, kinds=(PLAIN,), findings=1, first=first)


def by_waiting(change: Change, seed: int) -> Told:
    """A worker is killed; when its lease is over, by every clock on the wall, the batch must be resumed."""
    limits = replace(cinema.LIMITS, lease=timedelta(seconds=1), leader=timedelta(seconds=1))
    told = Told()
    ground = Ground(figures.a_folder(), [PLAIN], change, limits)
    aim = Aim(told, random.Random(seed))
    try:
        for _ in range(6):
            one = Round(ground, PLAIN, aim)
            code, seen, _child = one.begun("move", "snapshot-kept:1:kill")
            assert code == -9, f"ended with {code}"
            told.kills[seen[-1]] += 1
            _resumed(one)
            if told.findings:
                break
    finally:
        ground.close()
    return told


def _resumed(one: Round) -> None:
    """Whether others can go on within the lease and some seconds."""
    until = time.monotonic() + 1 + 20
    child = one.ground.child(one.cinema, "move")
    while time.monotonic() < until:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            child.ended = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.05)
    if child.ended != 0:
        child.kill()
        one.told.findings.append(Finding("lost", "a batch was not resumed when its lease was over"))
        return
    one.settle("move")


def by_hiccup(change: Change, seed: int) -> Told:
    """The control database was away for longer than a lease; when it is back, nobody who lives may lose his batch."""
    told = Told()
    ground = Ground(figures.a_folder(), [PLAIN], change, replace(cinema.LIMITS, grace=timedelta(seconds=60)))
    aim = Aim(told, random.Random(seed))
    try:
        for _ in range(3):
            one = Round(ground, PLAIN, aim)
            code, _seen, worker = one.begun("shift", "batch-mapped:1:stop")
            assert code is None, f"ended with {code}"
            cinema.leases_run_out(ground.work)
            assert ground.child(one.cinema, "look").wait() == 0
            worker.go_on()
            worker.wait()
            with cinema.opened(ground.work / "control.db") as db:
                taken = db.execute("select count(*) from batches where interruptions > 0").fetchone()[0]
            if taken:
                told.findings.append(Finding("stale", f"{taken} batches were taken from workers who live"))
                break
    finally:
        ground.close()
    return told


def by_writing(change: Change, seed: int) -> Told:
    """The new system writes to a user who was moved; a rollback must leave him alone."""
    told = Told()
    ground = Ground(figures.a_folder(), [PLAIN, STANDING], change)
    aim = Aim(told, random.Random(seed))
    try:
        for kind in (PLAIN, STANDING):
            one = Round(ground, kind, aim)
            one.calmly("move")
            with cinema.opened(ground.work / "target.db") as db:
                db.execute("update members set name = 'Written since' where email = 'v1@cinema.example'")
            code = ground.child(one.cinema, "back").wait()
            with cinema.opened(ground.work / "target.db") as db:
                left = db.execute("select count(*) from members where name = 'Written since'").fetchone()[0]
            if code or not left:
                told.findings.append(Finding("lost", "what the new system wrote was written over by a rollback"))
                break
    finally:
        ground.close()
    return told


@dataclass(frozen=True, slots=True)
class Defect:
    """A change, and what finds it."""

    name: str
    change: Change
    found: Callable[[Change, int], Told]


DEFECTS = (
    Defect("no ledger", no_ledger, by_kills),
    Defect("ledger in its own transaction", ledger_apart, by_kills),
    Defect("no fence", no_fence, by_zombies),
    Defect("fence outside the transaction", fence_outside, by_zombies),
    Defect("finish without token", finish_without_token, by_zombies),
    Defect("snapshot after the write", snapshot_after_the_write, by_kills),
    Defect("leases by the worker's clock", clock_of_the_worker, by_waiting),
    Defect("outbox after the commit", outbox_after_the_commit, by_kills),
    Defect("reaper without grace", reaper_without_grace, by_hiccup),
    Defect("rollback without compare", rollback_without_compare, by_writing),
)
WAYS = (by_waiting, by_hiccup, by_writing)  # those that T1 and T2 do not go


def _everybody(_self: object, _claim: object, users: Any) -> set[str]:
    return set(users["user_key"])


def _nothing(_self: object, _claim: object) -> None:
    return None


@contextmanager
def _instead(owner: Any, name: str, other: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, before)


def main(given: list[str] | None = None) -> int:
    """Run each defect until it is seen, and the product itself by the same ways; one line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    parser.add_argument("--only", action="append", default=[], choices=["none", *(one.name for one in DEFECTS)])
    asked = parser.parse_args(given)
    code = 0
    for way in WAYS if not asked.only or "none" in asked.only else ():
        began = time.monotonic()
        told = way(unchanged, asked.seed)
        seconds = time.monotonic() - began
        code |= figures.say(f"T3 no defect, {way.__name__}", asked.seed, 1, told.findings, seconds)
    for one in DEFECTS:
        if asked.only and one.name not in asked.only:
            continue
        began = time.monotonic()
        told = one.found(one.change, asked.seed)
        missed = [] if told.findings else [Finding("lost", f"{one.name} was not seen")]
        amount = told.killed + told.zombies.total()
        seen = [f"{found.what}: {found.said}" for found in told.findings]
        code |= figures.say(f"T3 {one.name}", asked.seed, amount, missed, time.monotonic() - began, seen=seen)
    return code


if __name__ == "__main__":
    sys.exit(main())
