"""A user who is asked for is moved ahead of his wave, under what guards his wave; and the wave goes on without him."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.errors import NotFound, Refused
from migrator.flows.checking import verify
from migrator.flows.helping import review, support
from migrator.flows.homes import on_demand
from migrator.flows.moving import batches
from migrator.flows.plans import planning
from migrator.flows.steering import dispatching, waves
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches as batch_store
from migrator.store import measures, plans, requests, tables, users
from migrator.store import waves as wave_store
from tests.flows.bakery import Bakery

NOW = "tasks.batches.move_now"


def asked(bakery: Bakery, key: str = "7") -> dict[str, Any]:
    found: dict[str, Any] = support.show(bakery.parts, key)["request"]
    return found


def batches_of(bakery: Bakery) -> list[batch_store.Batch]:
    with bakery.parts.control.read() as db:
        return batch_store.of_wave(db, bakery.wave().id)


def work(bakery: Bakery, heard: list[tuple[str, tuple[int, ...]]]) -> None:
    for task, ids in heard:
        bakery.work(task, ids)


def with_cutting(bakery: Bakery, **values: Any) -> dispatching.Dispatcher:
    return bakery.dispatcher(replace(bakery.parts, cutting=replace(bakery.parts.cutting, **values)))


def test_he_is_moved_before_his_wave_has_started_and_the_wave_goes_on_without_him(
    planned: Bakery, tmp_path: Path
) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")

    work(bakery, bakery.tick())
    bakery.tick()

    assert [key for key, status in bakery.users().items() if status != "planned"] == ["7"]
    assert (bakery.users()["7"], bakery.wave().status, asked(bakery)["status"]) == ("live", Wave.APPROVED, "done")
    waves.start(bakery.parts, "whole")
    bakery.run()
    assert bakery.wave().status is Wave.PASSED
    assert set(bakery.users().values()) == {"live"}
    assert [row for row in bakery.ledger() if row[0] == "7"] == [("7", 1, "move")], "moved once"
    with bakery.parts.control.read() as db:
        numbers = measures.wave_numbers(db, bakery.wave().id)
    assert (numbers.users, numbers.moved, numbers.books_even) == (12, 12, True)
    assert verify.verify(bakery.parts, verify.scope(bakery.parts)).difference_count == 0


def test_in_a_running_wave_he_is_rung_for_first_and_taken_out_of_the_batch_he_waited_in(
    started: Bakery, tmp_path: Path
) -> None:
    bakery = started.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")

    heard = bakery.tick()

    assert [task for task, _ in heard] == [NOW, "tasks.batches.move"], "two slots at most, and his is the first"
    work(bakery, heard[:1])
    assert bakery.users()["7"] == "live"
    work(bakery, heard[1:])
    bakery.run()
    assert set(bakery.users().values()) == {"live"}
    assert sorted(one.users for one in batches_of(bakery)) in ([1, 3, 8], [1, 4, 7]), "one of them has one less"
    assert [row for row in bakery.ledger() if row[0] == "7"] == [("7", 1, "move")]


def test_whom_a_batch_has_is_waited_for(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    first = batches_of(bakery)[0]
    taken = batches.claim(bakery.parts, first.id, None, "worker")
    assert taken is not None
    on_demand.ask(bakery.parts, taken.users[0])

    assert NOW not in [task for task, _ in bakery.tick()]

    assert asked(bakery, taken.users[0])["reason"] == f"batch {first.id} moves him now"
    bakery.lose_leases()
    bakery.run()
    assert asked(bakery, taken.users[0])["status"] == "done"
    assert set(bakery.users().values()) == {"live"}


def test_asked_twice_is_asked_once_and_who_has_arrived_is_done(moved: Bakery, planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    on_demand.ask(bakery.parts, "7")
    assert len(bakery.tick()) == 1
    assert len(batches_of(bakery)) == 1

    there = moved.copy(tmp_path / "there")
    assert on_demand.ask(there.parts, "7")["status"] == "done"
    assert there.tick() == []


def test_who_is_held_or_left_out_is_refused_with_what_to_do_first(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    review.exclude(bakery.parts, "7", "an open dispute")

    with pytest.raises(Refused, match=r"user 7: is excluded \(an open dispute\): he stays in legacy"):
        on_demand.ask(bakery.parts, "7")
    with pytest.raises(NotFound, match='no user "99"'):
        on_demand.ask(bakery.parts, "99")
    assert asked(bakery) is None, "what was refused is not kept"


def put(bakery: Bakery, status: Wave, **values: object) -> None:
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), status, **values)


def stop(bakery: Bakery) -> None:
    put(bakery, Wave.HELD, verdict="stop", findings=[{"check": "differences", "sentence": "2 differences"}])


def busy(bakery: Bakery) -> None:
    told = {
        "since": "2030-01-31T09:30:00+00:00",
        "reasons": [{"signal": "sessions", "sentence": "legacy has 90 sessions"}],
    }
    put(bakery, Wave.RUNNING, waiting=told)


def unsigned(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        plans.move(db, 1, "approved", "draft")


def another_schema(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("alter table customer add column birthday date")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (stop, "2 differences"),
        (busy, "legacy has 90 sessions"),
        (unsigned, "plan 1 is a draft"),
        (another_schema, "E801"),
        (lambda bakery: put(bakery, Wave.PAUSED), "wave whole is paused"),
    ],
)
def test_what_keeps_a_wave_keeps_him_too_and_he_goes_when_it_is_over(
    planned: Bakery, tmp_path: Path, what: Callable[[Bakery], None], why: str
) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    what(bakery)

    assert NOW not in [task for task, _ in with_throttle_as_it_is(bakery)]

    assert asked(bakery)["status"] == "open" and why in asked(bakery)["reason"]
    assert bakery.users()["7"] == "planned"


def with_throttle_as_it_is(bakery: Bakery) -> list[tuple[str, tuple[int, ...]]]:
    """What is due, without a look at how busy the databases are."""
    with bakery.parts.control.read() as db:
        now = batch_store.clock(db)
    closed = on_demand.why_closed(bakery.parts)
    with bakery.parts.control.write() as db:
        return on_demand.due(bakery.parts, db, now, closed)


def test_a_cancelled_wave_takes_nobody(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    waves.cancel(bakery.parts, "whole")

    assert bakery.tick() == []

    assert asked(bakery)["status"] == "refused" and "is cancelled" in asked(bakery)["reason"]


def test_no_more_are_taken_in_a_minute_than_the_settings_say(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    for key in ("3", "4", "7"):
        on_demand.ask(bakery.parts, key)
    dispatcher = with_cutting(bakery, asked_per_minute=2)

    assert len(bakery.tick(dispatcher)) == 2

    assert "at most 2 users a minute" in asked(bakery)["reason"]
    with bakery.parts.control.write() as db:
        earlier = batch_store.clock(db) - timedelta(minutes=2)
        db.execute(sa.update(tables.requests).where(tables.requests.c.taken_at.is_not(None)).values(taken_at=earlier))
    assert len(bakery.tick(dispatcher)) == 1


def test_a_worker_that_dies_with_him_costs_a_lease_and_moves_nobody_twice(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    bakery.tick()
    made = batches_of(bakery)[0]
    assert batches.claim(bakery.parts, made.id, None, "lost") is not None
    waves.start(bakery.parts, "whole")
    bakery.lose_leases()

    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert [row for row in bakery.ledger() if row[0] == "7"] == [("7", 1, "move")]
    assert batches_of(bakery)[0].status is Batch.DONE and batches_of(bakery)[0].users == 1


def test_his_batch_is_not_cut_anew_when_his_wave_starts(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    heard = bakery.tick()

    waves.start(bakery.parts, "whole")
    work(bakery, heard)

    assert bakery.users()["7"] == "live"
    bakery.run()
    assert bakery.wave().status is Wave.PASSED and set(bakery.users().values()) == {"live"}


def test_who_is_one_account_with_him_comes_along(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.plan()
    with bakery.parts.control.write() as db:
        users.assign(db, 1, ["2", "5"], group_key="2")
    on_demand.ask(bakery.parts, "5")

    bakery.tick()

    with bakery.parts.control.read() as db:
        assert users.of_batch(db, batches_of(bakery)[0].id) == ["2", "5"]
        assert (requests.get(db, 1, "2"), batches_of(bakery)[0].users) == (None, 2)


@pytest.mark.parametrize("always", [False, True])
def test_with_a_cutover_he_is_served_by_the_target_as_soon_as_he_is_moved(tmp_path: Path, always: bool) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.plan(cutover="manual")
    on_demand.ask(bakery.parts, "5", cut_over=not always)
    dispatcher = with_cutting(bakery, asked_cut_over=always)

    for _ in range(3):
        for task, ids in bakery.tick(dispatcher):
            bakery.work(task, ids, dispatcher.parts)

    assert (bakery.users()["5"], asked(bakery, "5")["status"]) == ("live", "done")
    assert support.show(bakery.parts, "5")["home"] == "target"
    assert {status for key, status in bakery.users().items() if key != "5"} == {"planned"}


def test_whose_cutover_does_not_go_is_moved_and_told_why(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.plan(cutover="manual")
    on_demand.ask(bakery.parts, "5", cut_over=True)
    work(bakery, bakery.tick())
    with bakery.target() as db:
        db.execute("update accounts set name = 'Mallory' where email = 'c5@bakery.example'")

    work(bakery, bakery.tick())

    assert bakery.users()["5"] == User.MOVED
    assert asked(bakery, "5")["status"] == "refused" and "not what was written" in asked(bakery, "5")["reason"]


def test_in_a_plan_of_waves_the_one_he_belongs_to_counts_him(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=2, pilot_share=10)
    with bakery.parts.control.read() as db:
        last = wave_store.of_plan(db, 1)[-1]
        key = users.of_wave(db, last.id)[0].user_key
    on_demand.ask(bakery.parts, key)
    work(bakery, bakery.tick())

    bakery.start_all()

    assert set(bakery.users().values()) == {"live"}
    assert [row for row in bakery.ledger() if row[0] == key] == [(key, 1, "move")]
    with bakery.parts.control.read() as db:
        assert all(measures.wave_numbers(db, one.id).books_even is not False for one in wave_store.of_plan(db, 1))
        assert {one.status for one in wave_store.of_plan(db, 1)} == {Wave.PASSED}


def test_a_plan_that_is_made_anew_forgets_who_was_asked_for(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    on_demand.ask(bakery.parts, "7")
    from tests.flows.bakery import OPTIONS, TIERS

    planning.create(bakery.parts, OPTIONS, TIERS)

    assert bakery.tick() == [] and asked(bakery) is None
