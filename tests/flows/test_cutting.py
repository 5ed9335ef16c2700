"""A running wave is cut just ahead of its workers, each batch as large as the last ones say or a person does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.errors import Refused, WrongInput
from migrator.flows.helping import overview
from migrator.flows.steering import orders, waves
from migrator.flows.steering.throttling import Throttle
from migrator.flows.undoing import rollbacks
from migrator.rollout.pace import Pace
from migrator.rollout.states import Batch, User, Wave
from migrator.rollout.throttle import Limits
from migrator.store import batches as batch_store
from migrator.store import journal, leases, tables, users
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged

MOVE = "tasks.batches.move"


def a_bakery(folder: Path, customers: int = 60, size: int = 10, **pace: object) -> Bakery:
    """A bakery whose only wave runs; *pace*: `[batches]` of its settings."""
    bakery = Bakery(folder, customers=customers)
    roomy = replace(Pace(), memory=100_000)  # this process holds what all tests before this one have left
    limits = replace(bakery.parts.limits, pace=replace(roomy, **pace))  # type: ignore[arg-type]
    bakery.parts = replace(bakery.parts, limits=limits)
    bakery.plan(batch_users=size)
    waves.start(bakery.parts, "whole")
    return bakery


def all_batches(bakery: Bakery) -> list[batch_store.Batch]:
    with bakery.parts.control.read() as db:
        return batch_store.of_wave(db, bakery.wave().id)


def sizes(bakery: Bakery) -> list[int]:
    return [batch.users for batch in all_batches(bakery)]


def order(bakery: Bakery, what: str, value: str) -> orders.Order:
    return orders.give(bakery.parts, Throttle(), "whole", what, value)


def no_more_batches(bakery: Bakery) -> bool:
    return bakery.wave().uncut_from is None


def test_only_a_few_batches_are_cut_before_anybody_works(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")

    assert sizes(bakery) == [10, 10]
    assert not no_more_batches(bakery)


def test_quick_batches_grow_step_by_step_and_everybody_arrives(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", customers=90)

    bakery.run()

    found = sizes(bakery)
    assert sum(found) == 90 and found[:2] == [10, 10] and max(found) > 12
    assert all(after <= max(before * 1.2**2, before + 2) for before, after in pairwise(found))
    assert set(bakery.users().values()) == {"live"} and bakery.wave().status is Wave.PASSED


def test_slow_batches_shrink(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", smallest=3)
    bakery.work_once()
    with bakery.parts.control.write() as db:
        for batch in batch_store.of_wave(db, bakery.wave().id, (Batch.DONE,)):
            assert batch.started_at is not None
            late = batch.started_at + timedelta(minutes=1)
            db.execute(sa.update(tables.batches).where(tables.batches.c.id == batch.id).values(finished_at=late))

    bakery.tick()

    assert sizes(bakery) == [10, 10, 6, 6], "two steps down, for the two that took a minute"


def test_without_adapting_each_batch_is_as_the_plan_says(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", customers=45, adaptive=False)

    bakery.run()

    assert sizes(bakery) == [10, 10, 10, 10, 5]


def test_a_worker_that_holds_too_much_gets_smaller_batches(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", memory=1, smallest=2)

    bakery.run()

    found = all_batches(bakery)
    assert all(batch.memory and batch.memory > 1 for batch in found)
    assert sum(sizes(bakery)) == 60 and sizes(bakery)[-2] < 10


def test_the_size_that_a_person_sets_is_the_next_batchs(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")

    given = order(bakery, "batch-size", "7")
    bakery.run()

    assert given.orders == {"batch_size": 7}
    assert sizes(bakery) == [10, 10, 7, 7, 7, 7, 7, 5]


def test_a_person_may_leave_it_to_the_settings_again(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", adaptive=False)
    order(bakery, "batch-size", "7")

    assert order(bakery, "batch-size", "default").orders == {}
    bakery.run()

    assert sizes(bakery) == [10] * 6


def test_no_more_batches_are_under_way_than_a_person_allows(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", adaptive=False)
    with bakery.parts.control.write() as db:
        leases.seen(db, "machine", "machine", 1, 4)

    order(bakery, "workers", "3")
    dispatcher = bakery.dispatcher()

    assert len(bakery.tick(dispatcher)) == 3
    assert bakery.tick(dispatcher) == []
    assert order(bakery, "workers", "9").remark == (
        "4 batches fit on the workers that are alive; start `migrator worker` for more"
    )
    assert len(bakery.tick(dispatcher)) == 3, "six batches there are"


def test_the_last_batches_are_shared_among_all_who_work(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", smallest=1)
    with bakery.parts.control.write() as db:
        leases.seen(db, "machine", "machine", 1, 4)

    bakery.tick(bakery.dispatcher())

    assert sizes(bakery)[-1] < 10


def test_what_is_set_is_in_the_journal_with_who_did_it(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")

    order(bakery, "max-lag", "2.5")

    with bakery.parts.control.read() as db:
        entry = journal.latest(db, 1)[0]
    assert (entry["actor"], entry["event"], entry["ref"]) == ("tester", "set", "whole")
    assert entry["detail"] == {"what": "max-lag", "value": 2.5}
    assert overview.wave_detail(bakery.parts, "whole")["orders"] == {"max_lag": 2.5}


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("batchsize", "5", "there are batch-size, workers, max-lag"),
        ("workers", "0", "whole number above 0"),
        ("workers", "two", "whole number above 0"),
        ("batch-size", "9999999", r"at most 5000 \(\[batches\] largest\)"),
        ("max-lag", "0", "seconds above 0"),
        ("max-lag", "soon", "seconds above 0"),
        ("throttle", "perhaps", "on or off"),
    ],
)
def test_what_cannot_be_set_says_what_can(planned: Bakery, what: str, value: str, said: str) -> None:
    with pytest.raises(WrongInput, match=said):
        order(planned, what, value)


def test_nothing_is_set_for_a_wave_that_is_over(moved: Bakery) -> None:
    with pytest.raises(Refused, match="wave whole is passed"):
        order(moved, "workers", "2")


def test_a_limit_that_nothing_here_tells_is_remarked_on(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")

    assert "nothing here tells it" in str(order(bakery, "max-lag", "5").remark)
    assert Throttle(limits=Limits(5, 20, 30)).untold() == ["max_lag", "max_sessions", "max_statement"]


def test_a_wave_that_is_cancelled_leaves_those_who_have_no_batch_where_they_are(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    bakery.work_once()

    waves.cancel(bakery.parts, "whole")
    bakery.run()

    assert bakery.wave().status is Wave.CANCELLED
    found = list(bakery.users().values())
    assert (found.count("live"), found.count("planned")) == (20, 40)


def test_a_wave_that_was_paused_and_held_is_cut_to_its_end(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    bakery.work_once()
    waves.pause(bakery.parts, "whole")
    bakery.run()
    assert bakery.wave().status is Wave.PAUSED and len(all_batches(bakery)) <= 4
    waves.resume(bakery.parts, "whole")
    waves.hold(bakery.parts, "whole", "a look")
    with pytest.raises(Refused, match="still has batches to run"):
        waves.override(bakery.parts, "whole", "why not")
    waves.resume(bakery.parts, "whole")

    bakery.run()

    assert bakery.wave().status is Wave.PASSED and set(bakery.users().values()) == {"live"}


def test_a_wave_that_went_back_half_way_is_cut_anew(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    bakery.work_once()
    waves.hold(bakery.parts, "whole", "wrong")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"))
    assert set(bakery.users().values()) == {"planned", "rolled_back"}

    waves.retry(bakery.parts, "whole")
    waves.start(bakery.parts, "whole")
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert len(bakery.rows()["accounts"]) == 60


def test_users_of_a_plan_from_before_there_were_places_are_put_in_order(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=30)
    bakery.plan(batch_users=10)
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.users).values(place=None))

    waves.start(bakery.parts, "whole")
    bakery.run()

    first = all_batches(bakery)[0]
    with bakery.parts.control.read() as db:
        assert set(users.of_batch(db, first.id)) == {str(n) for n in range(1, 11)}
    assert set(bakery.users().values()) == {"live"}


def test_the_power_may_be_cut_anywhere_while_batches_are_cut(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "start", customers=45)
    for cut in range(2, 80, 7):
        other = bakery.copy(tmp_path / f"b{cut}")
        plug = Plug()
        plug.limit = cut
        dispatcher = other.dispatcher(plugged(other.parts, plug))
        try:
            other.run(dispatcher.parts)
        except Power:
            pass
        else:
            break
        other.lose_leases()
        with other.parts.control.read() as db:
            there = batch_store.of_wave(db, other.wave().id)
            each = [users.of_batch(db, one.id) for one in there]
            named = {user.user_key for user in users.of_wave(db, other.wave().id) if user.batch_id is not None}
        assert [len(keys) for keys in each] == [one.users for one in there], f"cut {cut}"
        assert sum(map(len, each)) == len(set().union(*each)) and named <= set().union(*each), f"cut {cut}"
        other.run()
        assert set(other.users().values()) == {User.LIVE}, f"cut {cut}"
        other.close()


def test_a_batch_that_was_split_while_others_are_cut_loses_nobody(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", customers=40)
    with bakery.target() as db:
        when = "when new.email = 'c15@bakery.example'"
        db.execute(f"create trigger no before insert on accounts {when} begin select raise(abort, 'no'); end")

    bakery.run()

    found = bakery.users()
    assert [user for user, status in found.items() if status != "live"] == ["15"]
    assert {one.status for one in all_batches(bakery)} == {Batch.DONE, Batch.SPLIT, Batch.FAILED}


def test_a_plan_keeps_users_in_key_order(planned: Bakery) -> None:
    with planned.parts.control.read() as db:
        found = users.of_wave(db, planned.wave().id)

    assert [one.user_key for one in sorted(found, key=lambda one: one.place or 0)] == [str(n) for n in range(1, 13)]
