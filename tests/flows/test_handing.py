"""A row that goes from a moved user to one who is not moved yet: the one waits for the other, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator import crashpoints
from migrator.flows.checking import verify
from migrator.flows.helping import review
from migrator.flows.syncing import sync
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Case as Status
from migrator.store import cases, measures, plans
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


def held_by_a_row_of_another(folder: Path) -> Bakery:
    """Customer 9 was to be moved with what customer 6 was moved with."""
    bakery = _with_a_row_of_another(folder)
    bakery.run()
    assert bakery.users()["9"] == "held"
    return bakery


def _with_a_row_of_another(folder: Path) -> Bakery:
    """Customer 9 is not moved yet, and has by now what customer 6 was moved with."""
    bakery = Bakery(folder, customers=12)
    with bakery.legacy() as db:
        db.execute("update customer set email = '' where id = 9")
    bakery.move(cutover="manual")
    with bakery.legacy() as db:
        db.execute("update customer set email = 'c9@bakery.example' where id = 9")
        db.execute("update purchase set customer_id = 9 where id = 60")
    decide_all(bakery)
    return bakery


def decide_all(bakery: Bakery) -> None:
    for cause in review.listed(bakery.parts)["causes"]:
        review.resolve(bakery.parts, cause["cause"], "fixed-in-source", None)
    review.replay(bakery.parts)


def _open(bakery: Bakery) -> list[cases.Case]:
    with bakery.parts.control.read() as db:
        return cases.select(db, plans.require(db).id, statuses=(Status.OPEN,))


def _all_is_well(bakery: Bakery) -> None:
    found = verify.verify(bakery.parts, verify.scope(bakery.parts))
    assert (found.checked_users, found.difference_count, found.drift_count) == (12, 0, 0)
    assert _open(bakery) == []
    with bakery.parts.control.read() as db:
        assert measures.books_even(db, bakery.wave().id)
        orders = measures.plan_books(db, plans.require(db).id)["orders"]
    assert (orders.read, orders.written) == (36, 36)


def test_the_case_says_what_helps_and_the_next_sync_does_it(tmp_path: Path) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    (case,) = _open(bakery)
    assert (case.rule, case.source_key) == ("on_conflict", "60")
    assert "`migrator sync` brings him over without it, and sends this one again" in (case.note or "")

    done = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert (done.brought, done.sent_again) == (1, 1)
    bakery.run()
    assert set(bakery.users().values()) == {"moved"}
    _all_is_well(bakery)


def test_who_is_held_by_something_else_beside_it_waits_for_that(tmp_path: Path) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    with bakery.target() as db:
        db.execute("insert into accounts values ('other', 'c9@bakery.example', 'Other', 'active')")
    decide_all(bakery)
    bakery.run()
    assert len(_open(bakery)) == 2

    done = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert (done.brought, done.sent_again, bakery.users()["9"]) == (1, 0, "held")
    assert len(_open(bakery)) == 1


def test_a_sync_that_takes_nothing_away_sends_nobody_again(tmp_path: Path) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Another' where id = 2")

    done = sync.passes(bakery.parts, sync.scope(bakery.parts, user="2"))

    assert (done.brought, done.sent_again, bakery.users()["9"]) == (1, 0, "held")


def test_a_row_that_goes_while_its_next_user_is_being_held_is_found_afterwards(tmp_path: Path) -> None:
    bakery = _with_a_row_of_another(tmp_path / "b")
    found = list[sync.Synced]()

    def the_other_is_brought_over(point: str) -> None:
        if point == "batch-mapped" and not found:
            found.append(sync.passes(bakery.parts, sync.scope(bakery.parts)))

    crashpoints.watch(the_other_is_brought_over)
    try:
        bakery.run()
    finally:
        crashpoints.watch(None)
    assert (found[0].brought, found[0].sent_again, bakery.users()["9"]) == (1, 0, "held")

    done = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert done.sent_again == 1
    bakery.run()
    _all_is_well(bakery)


def test_a_row_whose_user_went_back_is_free(tmp_path: Path) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="6"))

    done = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert done.sent_again == 1
    bakery.run()
    assert (bakery.users()["9"], _open(bakery)) == ("moved", [])


def test_an_address_that_its_user_gave_up_is_free_for_the_next_one(tmp_path: Path) -> None:
    bakery = _with_a_row_of_another(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("update purchase set customer_id = 6 where id = 60")
        db.execute("update customer set email = 'six@bakery.example' where id = 6")
        db.execute("update customer set email = 'c6@bakery.example' where id = 9")
    bakery.run()
    assert [case.field for case in _open(bakery)] == ["email"]

    done = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert (done.brought, done.sent_again) == (1, 1)
    bakery.run()
    _all_is_well(bakery)


@pytest.mark.parametrize("effects_done", [4, 5, 6])
def test_whoever_takes_up_a_lost_sync_sends_him_again(tmp_path: Path, effects_done: int) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    plug = Plug()
    plug.limit = effects_done
    with pytest.raises(Power):
        sync.passes(plugged(bakery.parts, plug), sync.scope(bakery.parts))
    bakery.lose_leases()

    sync.passes(bakery.parts, sync.scope(bakery.parts))
    bakery.run()

    _all_is_well(bakery)
