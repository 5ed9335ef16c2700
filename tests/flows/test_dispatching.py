"""The minute hand rings for what is due, takes back what was lost, and never gives up a batch or a user."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.edges.databases.base import Claim
from migrator.errors import Fenced, InDoubt, Transient, Unreachable
from migrator.flows import wave_view
from migrator.flows.moving import batches
from migrator.flows.steering import campaign, dispatching, waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches as batch_store
from migrator.store import cases, leases, plans, tables
from migrator.store import waves as wave_store
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged

MOVE, CHECK = "tasks.batches.move", "tasks.waves.check"


class Deaf:
    """A Redis that is away."""

    def __init__(self) -> None:
        self.asked = 0

    def wake(self, task: str, *ids: int) -> None:
        self.asked += 1
        raise Unreachable("cannot reach Redis")


def all_batches(bakery: Bakery) -> list[batch_store.Batch]:
    with bakery.parts.control.read() as db:
        return batch_store.of_wave(db, bakery.wave().id)


def change_batches(bakery: Bakery, **values: object) -> None:
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.batches).values(**values))


def lose_a_worker(bakery: Bakery) -> None:
    """Somebody takes the first batch and is never seen again."""
    with bakery.parts.control.read() as db:
        open_ = batch_store.of_wave(db, bakery.wave().id, (Batch.READY,))
    assert batches.claim(bakery.parts, open_[0].id, None, "lost") is not None
    bakery.lose_leases()


def test_each_batch_is_rung_for_once_and_again_when_nobody_came(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    ids = [batch.id for batch in all_batches(bakery)]

    assert bakery.tick(dispatcher) == [(MOVE, (one, 1)) for one in ids]
    assert bakery.tick(dispatcher) == []
    change_batches(bakery, rung_at=all_batches(bakery)[0].rung_at - timedelta(minutes=2))  # type: ignore[operator]
    assert bakery.tick(dispatcher) == [(MOVE, (one, 2)) for one in ids]


def test_of_two_dispatchers_one_leads(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    other = replace(bakery.dispatcher(), owner="another machine")

    assert bakery.tick()
    assert not other.tick()


def transactions(bakery: Bakery) -> list[str]:
    """BEGIN or BEGIN IMMEDIATE, as they come: only the latter write."""
    begun: list[str] = []

    def heard(_db: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.startswith("BEGIN"):
            begun.append(statement)

    sa.event.listen(bakery.parts.control.engine, "before_cursor_execute", heard)
    return begun


def test_a_tick_in_which_nothing_is_due_asks_once_and_writes_nothing(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    dispatcher.tick()
    begun = transactions(bakery)

    for _ in range(3):
        dispatcher.tick()

    assert begun == ["BEGIN"] * 3


def test_the_lease_is_renewed_at_half_its_time_and_no_sooner(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    dispatcher.tick()
    first = leased_until(bakery)
    dispatcher.tick()
    assert leased_until(bakery) == first

    assert dispatcher.renewed_at is not None
    dispatcher.renewed_at -= bakery.parts.limits.leader.total_seconds() / 2
    assert dispatcher.tick()

    assert leased_until(bakery) > first


def leased_until(bakery: Bakery) -> datetime:
    with bakery.parts.control.read() as db:
        found = db.scalar(sa.select(tables.leases.c.until).where(tables.leases.c.name == "dispatcher"))
    assert isinstance(found, datetime)
    return found


def test_who_was_frozen_too_long_learns_that_another_leads(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    assert dispatcher.tick()
    bakery.lose_leases()
    other = replace(bakery.dispatcher(), owner="another machine")
    assert other.tick()

    assert dispatcher.renewed_at is not None
    dispatcher.renewed_at -= 3600

    assert not dispatcher.tick() and not dispatcher.tick()


def test_what_changes_between_two_ticks_is_seen_by_the_next(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    dispatcher.tick()

    with bakery.parts.control.write() as db:
        wave_store.move(db, wave_store.get(db, bakery.wave().id), Wave.CHECKING)
        db.execute(sa.delete(tables.verifications))
        wave_store.note(db, bakery.wave().id, rung_at=None)

    assert bakery.tick(dispatcher) == [(CHECK, (bakery.wave().id,))]


def test_nothing_is_rung_for_before_its_time(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.read() as db:
        later = batch_store.clock(db) + timedelta(minutes=5)
    change_batches(bakery, not_before=later)

    assert bakery.tick() == []


def test_the_ramp_goes_one_by_one(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=60)
    bakery.plan(batch_users=30)
    waves.start(bakery.parts, "whole")
    first = all_batches(bakery)[0]
    assert first.ramp and first.users == 25

    assert bakery.tick() == [(MOVE, (first.id, 1))]


def test_no_more_is_under_way_than_twice_the_slots(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=20)
    bakery.plan(batch_users=2)
    waves.start(bakery.parts, "whole")
    dispatcher = bakery.dispatcher()
    assert len(bakery.tick(dispatcher)) == 2

    with bakery.parts.control.write() as db:
        leases.seen(db, "machine", "machine", 1, 3)

    assert len(bakery.tick(dispatcher)) == 4


def test_when_redis_is_away_it_is_asked_once_and_nothing_is_lost(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    deaf = Deaf()
    away = replace(bakery.dispatcher(), bell=deaf)

    assert away.tick()

    assert (deaf.asked, away.unreachable) == (1, 1)
    assert [batch.rung_at for batch in all_batches(bakery)] == [None, None]
    assert len(bakery.tick()) == 2


def test_a_check_whose_message_was_lost_is_rung_for_again(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    bakery.run(until=Wave.CHECKING)
    dispatcher = bakery.dispatcher()
    assert bakery.tick(dispatcher) == []

    dispatcher.messages_lost()

    assert bakery.tick(dispatcher) == [(CHECK, (bakery.wave().id,))]
    bakery.lose_leases()
    bakery.run()
    assert bakery.wave().status is Wave.PASSED


def test_messages_that_redis_forgot_are_sent_again(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    dispatcher = bakery.dispatcher()
    assert len(bakery.tick(dispatcher)) == 2

    dispatcher.messages_lost()

    assert len(bakery.tick(dispatcher)) == 2


def test_dead_leases_are_left_alone_until_workers_had_time_to_renew(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    lose_a_worker(bakery)
    limits = replace(bakery.parts.limits, grace=timedelta(minutes=1))
    dispatcher = bakery.dispatcher(replace(bakery.parts, limits=limits))

    bakery.tick(dispatcher)
    assert all_batches(bakery)[0].status is Batch.RUNNING
    dispatcher.silent_until = None
    dispatcher.parts = bakery.parts
    bakery.tick(dispatcher)

    assert (all_batches(bakery)[0].status, all_batches(bakery)[0].interruptions) == (Batch.READY, 1)
    assert set(bakery.users().values()) == {"planned"}


def test_a_paused_wave_with_a_dead_lease_is_paused_and_its_users_wait(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    lose_a_worker(bakery)

    waves.pause(bakery.parts, "whole")
    bakery.tick()

    assert bakery.wave().status is Wave.PAUSED
    assert set(bakery.users().values()) == {"planned"}


def test_users_of_whom_workers_die_are_found_and_the_others_move(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    limit = bakery.parts.limits.interruptions
    deadly = batches.reading.read

    def dying(parts: object, set_: object, keys: tuple[str, ...], context: object) -> object:
        if "7" in keys:
            raise Power
        return deadly(parts, set_, keys, context)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:  # what kills a process cannot be passed in
        patch.setattr(batches.reading, "read", dying)
        for _ in range(2 * limit + 10):
            try:
                bakery.run()
                break
            except Power:
                bakery.lose_leases()

    found = bakery.users()
    assert found.pop("7") == "failed"
    assert set(found.values()) == {"live"}
    with bakery.parts.control.read() as db:
        told = [(case.rule, case.users) for case in cases.select(db, plans.require(db).id)]
    assert told == [("database", ("7",))]


def test_a_worker_lost_once_more_between_commit_and_record_leaves_nobody_behind(
    started: Bakery, tmp_path: Path
) -> None:
    """The third loss in a row: the batch is to be split, but its users are in the target already."""
    bakery = started.copy(tmp_path / "b")
    change_batches(bakery, interruptions=bakery.parts.limits.interruptions - 1)
    plug = Plug()
    first = all_batches(bakery)[0]
    plug.limit = 3  # claim, snapshot, the target's commit | the record
    with pytest.raises(Power):
        batches.move(plugged(bakery.parts, plug), first.id, None, "lost")
    assert len(bakery.ledger()) == 8
    bakery.lose_leases()

    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert Batch.SPLIT not in [batch.status for batch in all_batches(bakery)]
    assert [entry[1:] for entry in bakery.ledger()] == [(1, "move")] * 12


def test_a_commit_in_doubt_at_the_last_attempt_is_looked_up_in_the_ledger(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    change_batches(bakery, attempts=bakery.parts.limits.attempts - 1)
    record = batches.recording.record

    def doubtful(*given: object) -> bool:
        patch.undo()
        raise InDoubt("the connection was lost at COMMIT")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches.recording, "record", doubtful)
        batches.move(bakery.parts, all_batches(bakery)[0].id, None, "worker")
    assert batches.recording.record is record

    assert sorted(bakery.users().values()) == ["live"] * 8 + ["planned"] * 4


def test_who_is_still_committing_is_shut_out_before_the_ledger_is_asked(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    slow = batches.claim(bakery.parts, all_batches(bakery)[0].id, None, "slow")
    assert slow is not None
    bakery.lose_leases()
    with bakery.parts.control.write() as db:
        next_ = batches._take(bakery.parts, db, slow.wave, slow.batch.id, None, "next")
    assert next_ is not None
    assert batches.applied(bakery.parts, next_) is None

    with bakery.parts.target.writing() as writer, pytest.raises(Fenced):
        writer.fence(Claim(slow.batch.id, slow.batch.fence, "move", "x"))


def test_users_whom_somebody_else_touched_are_read_again_and_not_left_moving(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    look = batches.writing.look

    def overtaken(*given: object) -> object:
        seen = look(*given)  # type: ignore[arg-type]
        with bakery.target() as db:
            db.execute(
                "insert or ignore into migrator_ledger (user_key, generation, op, batch, fence, set_hash) "
                "values ('1', 5, 'rollback', 99, 1, 'x')"
            )
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches.writing, "look", overtaken)
        bakery.tick()
        for batch in all_batches(bakery):
            batches.move(bakery.parts, batch.id, None, "worker")
    assert "moving" not in bakery.users().values()
    bakery.lose_leases()
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert ("1", 6, "move") in bakery.ledger()


def test_a_disk_that_is_full_fails_nobody(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    shelf = bakery.parts.snapshots
    full = replace(bakery.parts, snapshots=Full(shelf), limits=replace(bakery.parts.limits, attempts=1))
    for batch in all_batches(bakery):
        batches.move(full, batch.id, None, "worker")
    assert all_batches(bakery)[-1].users == 1
    assert set(bakery.users().values()) == {"planned"}
    bakery.lose_leases()

    bakery.run()

    assert set(bakery.users().values()) == {"live"}


class Full:
    """A shelf that takes nothing more."""

    def __init__(self, real: object) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def keep(self, *given: object) -> str:
        raise Transient("the snapshot folder cannot take a file now")


def test_snapshots_of_attempts_that_came_to_nothing_do_not_stay(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    plug = Plug()
    plug.limit = 2  # claim, snapshot | nothing in the target
    with pytest.raises(Power):
        batches.move(plugged(bakery.parts, plug), all_batches(bakery)[0].id, None, "lost")
    bakery.lose_leases()

    bakery.run()

    kept = sorted(path.name for path in (bakery.folder / "snapshots").rglob("*.snapshot"))
    assert kept == ["1-2.snapshot", "2-1.snapshot"]


def stopped(tmp_path: Path, on_stop: str) -> Bakery:
    """A wave that was stopped after its users had moved."""
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.plan(on_stop=on_stop)
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    with bakery.target() as db:
        db.execute("update accounts set name = 'somebody' where email = 'c3@bakery.example'")
    bakery.lose_leases()
    bakery.run()
    return bakery


def test_a_stop_stops_and_no_more_unless_the_plan_says_so(tmp_path: Path) -> None:
    bakery = stopped(tmp_path, "pause")

    assert (bakery.wave().status, bakery.wave().verdict) == (Wave.HELD, "stop")
    assert set(bakery.users().values()) == {"live"}


def test_where_the_plan_says_so_a_stopped_wave_takes_itself_back_and_nothing_follows(tmp_path: Path) -> None:
    bakery = stopped(tmp_path, "rollback_wave")

    assert bakery.wave().status is Wave.ROLLED_BACK
    found = bakery.users()
    assert found.pop("3") == "live"  # the target was changed: this one is refused
    assert set(found.values()) == {"rolled_back"}
    now = campaign.look(bakery.parts)
    assert now.situation is campaign.Situation.HELD
    assert "was stopped and rolled back" in wave_view.held_sentence(bakery.wave())
    assert not bakery.tick()

    waves.retry(bakery.parts, "whole")

    assert campaign.look(bakery.parts).situation is campaign.Situation.NEXT


def test_what_cannot_be_taken_back_by_itself_is_left_to_people(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.plan(on_stop="rollback_wave")
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    for path in (bakery.folder / "snapshots").rglob("*.snapshot"):
        path.write_bytes(b"torn")
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), Wave.HELD, verdict="stop", findings=[{"check": "x", "sentence": "bad"}])

    bakery.tick()

    assert "6 users could not be taken back: " in wave_view.held_sentence(bakery.wave())
    assert bakery.tick() == []
    assert campaign.look(bakery.parts).situation is not campaign.Situation.WORKING
    assert (set(bakery.users().values()), bakery.wave().status) == ({User.LIVE}, Wave.ROLLED_BACK)
    assert len(rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts)).refused) == 6


def test_the_breaker_looks_when_a_batch_has_ended_and_not_at_every_tick(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    dispatcher: dispatching.Dispatcher = bakery.dispatcher()
    looks = 0
    breaker = waves.tripped

    def counted(*given: object) -> object:
        nonlocal looks
        looks += 1
        return breaker(*given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waves, "tripped", counted)
        heard = bakery.tick(dispatcher)
        bakery.tick(dispatcher)
        assert looks == 1
        bakery.work(*heard[0])
        bakery.tick(dispatcher)
        bakery.tick(dispatcher)

    assert looks == 2
