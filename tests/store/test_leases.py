"""One leads at a time, and who is silent is not alive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from migrator.store import leases
from migrator.store.control import Control

MINUTE = timedelta(minutes=1)


def acquired(control: Control, owner: str, ttl: timedelta = MINUTE) -> bool:
    with control.write() as db:
        return leases.acquire(db, "dispatcher", owner, ttl)


def test_of_many_who_want_to_lead_one_does(control: Control) -> None:
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda number: acquired(control, f"worker {number}"), range(6)))

    assert sum(got) == 1


def test_the_holder_keeps_a_lease_and_others_wait_until_it_has_run_out(control: Control) -> None:
    assert acquired(control, "a")
    assert acquired(control, "a", -MINUTE)
    assert acquired(control, "b")
    assert not acquired(control, "a")


def test_a_lease_given_back_is_free_and_only_its_holder_gives_it(control: Control) -> None:
    acquired(control, "a")
    with control.write() as db:
        leases.release(db, "dispatcher", "b")
        assert leases.held(db, "dispatcher")
        leases.release(db, "dispatcher", "a")
        assert not leases.held(db, "dispatcher")


def test_a_lease_that_has_run_out_is_held_by_nobody(control: Control) -> None:
    acquired(control, "a", -MINUTE)

    with control.read() as db:
        assert not leases.held(db, "dispatcher")


def test_workers_are_alive_as_long_as_they_say_so(control: Control) -> None:
    with control.write() as db:
        leases.seen(db, "a", "host", 1, 2)
        leases.seen(db, "b", "host", 2, 2)
        leases.seen(db, "a", "host", 1, 4)
        leases.gone(db, "b")

        assert [(worker["id"], worker["slots"]) for worker in leases.alive(db)] == [("a", 4)]
        assert leases.alive(db, within=-MINUTE) == []
