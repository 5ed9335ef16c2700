"""
T4: two workers, a reaper and a crash at any moment, in every order there is, over the very statements that claim, write
and finish a batch; both databases go back to where they stood, and the next order is tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.edges.databases.base import Claim, Database, Writer
from migrator.errors import Fenced
from migrator.rollout.states import Batch, User
from migrator.store import batches, tables, users
from migrator.store.control import Control, clock
from tests.flows.memory import a_control, a_plan, a_user, a_wave

MINUTE = timedelta(minutes=1)
KEYS = ("1", "2")
CLAIMS = 3  # of one worker: more would only repeat what was seen


@dataclass(frozen=True)
class Worker:
    """Where it is: before its claim (idle), with a lease, having written, or dead."""

    at: str = "idle"
    held: batches.Batch | None = None
    generation: int = 0  # that it means to write, as it saw the ledger when it claimed
    claims: int = 0


@dataclass(frozen=True)
class State:
    """The two workers, and whether the one crash and the loss of leases have been."""

    workers: tuple[Worker, Worker] = (Worker(), Worker())
    crashed: bool = False


@dataclass
class Board:
    """Both databases, each in one transaction that is never committed: a step is a savepoint."""

    control: sa.Connection
    target: Writer
    plan_id: int
    wave_id: int
    batch_id: int
    careless: str = (
        ""  # a deliberate defect: `ledger` (nobody is taken in it) or `order` (it is recorded before it is done)
    )
    seen: set[str] = field(default_factory=set)
    ends: int = 0

    def play(self, state: State) -> None:
        """Try every next step, one after the other, each from here."""
        mark = self._mark(state)
        if mark in self.seen:
            return
        self.seen.add(mark)
        self._must_hold()
        steps = list(self._steps(state))
        if not steps:
            self.ends += 1
            self._must_have_ended()
        for step in steps:
            with self._undone():
                self.play(step())

    def _steps(self, state: State) -> Iterator[Callable[[], State]]:
        for number, worker in enumerate(state.workers):
            if worker.at == "dead":
                continue
            if worker.at == "idle" and worker.claims < CLAIMS and self._may_be_claimed():
                yield lambda number=number: self._claim(state, number)
            if worker.at == "claimed":
                yield lambda number=number: self._write(state, number)
            if worker.at == "written" or (worker.at == "claimed" and self.careless == "order"):
                yield lambda number=number: self._finish(state, number)
            if worker.at != "idle" and not state.crashed:
                yield lambda number=number: self._dies(state, number)
        batch = self._batch()
        if batch.status is Batch.RUNNING and self._has_lease(batch):
            yield lambda: self._time_passes(state)
        if batch.status is Batch.RUNNING and not self._has_lease(batch):
            yield lambda: self._reap(state)

    # ---- the steps -------------------------------------------------------------------------------------------------

    def _claim(self, state: State, number: int) -> State:
        held = batches.claim(self.control, self.batch_id, None, f"worker {number}", MINUTE)
        assert held is not None
        known = self.target.ledger(KEYS)
        generation = int(known["generation"].max() or 0) + 1  # type: ignore[arg-type]
        if known.height:  # as the product does: whoever takes a batch over asks the ledger first
            generation = int(known["generation"].max())  # type: ignore[arg-type]
        return _with(
            state, number, at="claimed", held=held, generation=generation, claims=state.workers[number].claims + 1
        )

    def _write(self, state: State, number: int) -> State:
        worker = state.workers[number]
        assert worker.held is not None
        rows = pl.DataFrame(
            {"user_key": KEYS, "generation": [worker.generation] * 2, "read_hash": "", "written_hash": ""}
        )
        try:
            self.target.fence(Claim(self.batch_id, worker.held.fence, "move", "set"))
        except Fenced:
            return _with(state, number, at="idle", held=None)
        taken = self.target.take(Claim(self.batch_id, worker.held.fence, "move", "set"), rows)
        for key in KEYS if self.careless == "ledger" else taken:
            self._count(key)
        return _with(state, number, at="written")

    def _finish(self, state: State, number: int) -> State:
        worker = state.workers[number]
        assert worker.held is not None
        if batches.finish(self.control, worker.held, 0):
            moved = users.move(self.control, self.plan_id, KEYS, (User.PLANNED,), User.MOVED, clock(self.control))
            assert moved == len(KEYS), "recorded twice"
        return _with(state, number, at="idle", held=None)

    def _dies(self, state: State, number: int) -> State:
        return replace(_with(state, number, at="dead", held=None), crashed=True)

    def _time_passes(self, state: State) -> State:
        mine = sa.update(tables.batches).where(tables.batches.c.id == self.batch_id)
        self.control.execute(mine.values(lease_until=clock(self.control) - MINUTE))
        return state

    def _reap(self, state: State) -> State:
        assert batches.reap(self.control, self._batch())
        return state

    # ---- what must hold --------------------------------------------------------------------------------------------

    def _must_hold(self) -> None:
        written = self._written()
        assert set(written.values()) <= {1}, f"written more than once: {written}"
        ledger = self.target.ledger(KEYS)
        assert set(ledger["user_key"]) == set(written)
        if self._batch().status is Batch.DONE:
            assert set(written) == set(KEYS), "done, and somebody was lost"

    def _must_have_ended(self) -> None:
        """Nobody can do anything any more: the batch is done, or both have tried as often as they may."""
        status = self._batch().status
        assert status in (Batch.DONE, Batch.READY), status

    # ---- the two databases -----------------------------------------------------------------------------------------

    @contextmanager
    def _undone(self) -> Iterator[None]:
        target, stages = self.target._connection, self.target._stages  # type: ignore[attr-defined]
        ours, theirs, before = self.control.begin_nested(), target.begin_nested(), len(stages)
        try:
            yield
        finally:
            ours.rollback(), theirs.rollback()
            del stages[before:]  # they went with it

    def _batch(self) -> batches.Batch:
        found = batches.get(self.control, self.batch_id)
        assert found is not None
        return found

    def _has_lease(self, batch: batches.Batch) -> bool:
        return batch.lease_until is not None and batch.lease_until >= clock(self.control)

    def _may_be_claimed(self) -> bool:
        batch = self._batch()
        return batch.status is Batch.READY or (batch.status is Batch.RUNNING and not self._has_lease(batch))

    def _count(self, key: str) -> None:
        target = self.target._connection  # type: ignore[attr-defined]
        counted = "insert into applied values (?, 1) on conflict (user_key) do update set n = n + 1"
        target.exec_driver_sql(counted, (key,))

    def _written(self) -> dict[str, int]:
        target = self.target._connection  # type: ignore[attr-defined]
        return dict(target.exec_driver_sql("select user_key, n from applied").fetchall())

    def _mark(self, state: State) -> str:
        batch = self._batch()
        told = [
            sorted((w.at, w.held.fence if w.held else 0, w.generation, w.claims) for w in state.workers), state.crashed,
            batch.status, batch.fence, self._has_lease(batch), sorted(self._written().items()),
        ]  # fmt: skip
        return hashlib.blake2b(repr(told).encode()).hexdigest()


def _with(state: State, number: int, **changes: object) -> State:
    workers = list(state.workers)
    workers[number] = replace(workers[number], **changes)  # type: ignore[arg-type]
    return replace(state, workers=(workers[0], workers[1]))


@contextmanager
def _board(folder: Path) -> Iterator[Board]:
    control: Control = a_control(folder)
    (folder / "target.db").touch()
    target: Database = connect(f"sqlite:///{folder / 'target.db'}", None, "target")
    target.prepare()
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        for key in KEYS:
            a_user(db, plan, key)
        batch_id = batches.add(db, wave.id, 1, KEYS, plan.id, ramp=False)
    try:
        with control.engine.connect().execution_options(writes=True) as db, target.writing() as writer:
            writer._connection.exec_driver_sql("create table applied (user_key text primary key, n integer)")  # type: ignore[attr-defined]
            with db.begin() as whole:
                yield Board(db, writer, plan.id, wave.id, batch_id)
                whole.rollback()
    finally:
        control.close(), target.close()


@pytest.mark.parametrize("careless", ["ledger", "order"])
def test_where_a_part_of_the_protocol_is_left_out_some_order_shows_it(tmp_path: Path, careless: str) -> None:
    with _board(tmp_path) as board:
        board.careless = careless
        with pytest.raises(AssertionError):
            board.play(State())


def test_in_no_order_of_two_workers_a_reaper_and_a_crash_is_a_user_lost_or_written_twice(tmp_path: Path) -> None:
    with _board(tmp_path) as board:
        board.play(State())

    print(f"T4: {len(board.seen)} states, {board.ends} ends")
    assert len(board.seen) > 200
