"""Several commands at once: what one has looked at may be another's by the time it acts, and nobody is left in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from migrator import crashpoints
from migrator.errors import Overtaken, Refused
from migrator.flows.erasure import erasing
from migrator.flows.helping import cleaning, review
from migrator.flows.homes import cutover, on_demand
from migrator.flows.plans import identities, planning, tiering
from migrator.flows.steering import campaign, waves
from migrator.flows.syncing import newcomers, sync
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches as batch_store
from migrator.store import cutovers, plans, users
from migrator.store import waves as wave_store
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.doubles import Doubles
from tests.flows.memory import a_control_on
from tests.flows.test_cleaning import STALE, a_bakery
from tests.flows.test_handing import held_by_a_row_of_another
from tests.postgresql_server import PostgresqlServer

STOP = {"verdict": "stop", "findings": [{"check": "failed", "outcome": "stop", "sentence": "too many failed"}]}
NEWCOMER = "insert into customer values (50, 'c50@bakery.example', 'New', 1, 0)"


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Bakery]:
    """Twelve customers who are moved, and served by legacy."""
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(cutover="manual")
    yield bakery
    bakery.close()


@contextmanager
def _at(point: str, does: Callable[[], object]) -> Iterator[None]:
    """The first time that *point* is reached, somebody else does something."""
    left = [does]

    def reached(name: str) -> None:
        if name == point and left:
            left.pop()()

    crashpoints.watch(reached)
    try:
        yield
    finally:
        crashpoints.watch(None)


def _legacy(bakery: Bakery, *statements: str) -> None:
    with bakery.legacy() as db:
        for statement in statements:
            db.execute(statement)


def _sync(bakery: Bakery) -> sync.Synced:
    return sync.passes(bakery.parts, sync.scope(bakery.parts))


def _user(bakery: Bakery, key: str) -> users.User:
    with bakery.parts.control.read() as db:
        found = users.get(db, plans.require(db).id, key)
    assert found is not None
    return found


def _put(bakery: Bakery, status: Wave, **values: Any) -> None:
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), status, **values)


# ---- a rollback, and what happens while somebody is asked whether he means it ------------------------------------------


def test_who_was_cut_over_since_a_rollback_looked_and_writes_there_stays_there(moved: Bakery) -> None:
    scope = rollbacks.scope(moved.parts, wave="whole")
    cutover.cut_over_users(moved.parts, ["6"])
    with moved.target() as db:
        db.execute("update accounts set name = 'new name' where email = 'c6@bakery.example'")

    done = rollbacks.roll_back(moved.parts, scope)

    assert set(done.refused) == {"6"}
    assert (_user(moved, "6").status, _user(moved, "6").home) == (User.LIVE, "target")


def test_who_was_brought_over_since_a_rollback_looked_goes_back_as_he_is_now(moved: Bakery) -> None:
    scope = rollbacks.scope(moved.parts, wave="whole")
    _legacy(moved, "update customer set name = 'Other' where id = 6")
    _legacy(moved, "insert into purchase values (777, 6, 1.5, '2026-01-03 10:00:00')")
    assert _sync(moved).brought == 1

    done = rollbacks.roll_back(moved.parts, scope)

    assert (done.refused, moved.rows()["orders"], moved.rows()["accounts"]) == ({}, [], [])


def test_no_sync_begins_while_a_rollback_does(postgresql: PostgresqlServer, moved: Bakery, tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "p", customers=12)
    bakery.parts = replace(bakery.parts, control=a_control_on(postgresql))
    bakery.move(cutover="manual")
    _legacy(bakery, "update customer set name = 'Other' where id = 6")
    beside = threading.Thread(target=lambda: _sync(bakery))

    def begins() -> None:
        beside.start()
        beside.join(2)

    with _at("rollback-begin-written", begins):
        done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="6"))
    beside.join(60)

    assert (done.refused, _user(bakery, "6").status) == ({}, User.ROLLED_BACK)
    bakery.close()


# ---- plans -------------------------------------------------------------------------------------------------------------


def test_a_plan_in_which_somebody_was_moved_ahead_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan()
    find = identities.find

    def find_later(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(identities, "find", find)
        on_demand.ask(bakery.parts, "7")
        bakery.work_once()
        bakery.tick()
        return find(*args, **options)

    monkeypatch.setattr(identities, "find", find_later)

    with pytest.raises(Overtaken, match="users of plan 1 were moved meanwhile"):
        planning.create(bakery.parts, OPTIONS, TIERS)

    assert (_user(bakery, "7").status, _user(bakery, "7").home) == (User.LIVE, "target")
    bakery.close()


def test_newcomers_go_into_the_plan_as_it_is_by_then(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    planning.create(bakery.parts, replace(OPTIONS, cutover="manual"), TIERS)
    scope = sync.scope(bakery.parts)  # whoever follows has read it while it was a draft
    planning.approve(bakery.parts)
    bakery.start_all()
    for key in (50, 51):
        _legacy(bakery, f"insert into customer values ({key}, 'c{key}@bakery.example', 'New', 1, 0)")
        sync.passes(bakery.parts, scope)

    bakery.start_all()

    assert (bakery.users()["50"], bakery.users()["51"]) == ("moved", "moved")
    with bakery.parts.control.read() as db:
        assert plans.require(db).counts["users"] == 14
    bakery.close()


def test_two_syncs_that_find_the_same_newcomer_place_him_once_and_go_on(
    moved: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    _legacy(moved, NEWCOMER, "update customer set name = 'Other' where id = 6")
    place = tiering.place

    def place_later(*args: Any) -> Any:
        monkeypatch.setattr(tiering, "place", place)
        newcomers.take_in(moved.parts, sync.scope(moved.parts).plan)
        return place(*args)

    monkeypatch.setattr(tiering, "place", place_later)

    done = _sync(moved)

    assert (done.brought, done.new.users, len(moved.users())) == (1, 0, 13)


# ---- what is held stays held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [STOP, {"verdict": "hold"}])
def test_a_sync_sends_nobody_on_his_way_in_a_wave_that_is_held(tmp_path: Path, verdict: dict[str, Any]) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    _put(bakery, Wave.HELD, **verdict)

    assert _sync(bakery).sent_again == 0

    assert (bakery.wave().status, bakery.wave().verdict, bakery.users()["9"]) == (
        Wave.HELD, verdict["verdict"], "held",
    )  # fmt: skip
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), Wave.PASSED)
    assert _sync(bakery).sent_again == 1
    bakery.close()


def test_a_gate_that_says_stop_ends_a_cutover_that_is_under_way(moved: Bakery) -> None:
    parts = replace(moved.parts, cutting=replace(moved.parts.cutting, users=3))
    _put(moved, Wave.CHECKING)

    with _at("cutover-unfrozen", lambda: _put(moved, Wave.HELD, **STOP)):
        found = cutover.cut_over_wave(parts, "whole")

    assert (found.live, len(found.left)) == (3, 9)
    assert "too many failed" in (found.stopped or "")
    assert sorted(moved.users().values()) == ["live"] * 3 + ["moved"] * 9


def _stopped(bakery: Bakery) -> None:
    bakery.move(cutover="manual", on_stop="rollback_wave")
    _put(bakery, Wave.HELD, **STOP)


def test_a_stopped_wave_takes_itself_back_once_a_cutover_lets_go_of_its_users(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    _stopped(bakery)
    with bakery.parts.control.write() as db:
        begun = cutovers.begin(db, plans.require(db).id, bakery.wave().id, "somebody", bakery.parts.now())
        other = cutovers.get(db, begun)
        cutovers.freeze(db, other, ["6"], timedelta(seconds=30))
    dispatcher = bakery.dispatcher()
    bakery.tick(dispatcher)
    assert bakery.wave().status is Wave.HELD

    with bakery.parts.control.write() as db:
        cutovers.thaw(db, other)
    bakery.tick(dispatcher)

    assert bakery.wave().status is Wave.ROLLED_BACK
    bakery.close()


def test_a_wave_that_takes_itself_back_ends_that_when_it_dies_at_the_very_end(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    _stopped(bakery)

    def die() -> None:
        raise crashpoints.Crashed

    with _at("rollback-end-written", die), pytest.raises(crashpoints.Crashed):
        bakery.tick()
    assert bakery.wave().status is Wave.ROLLING_BACK

    bakery.tick()

    assert bakery.wave().status is Wave.ROLLED_BACK
    bakery.close()


# ---- who is sent again, and a wave that ends ---------------------------------------------------------------------------


def test_who_is_sent_again_while_his_wave_ends_is_moved(
    tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.parts = replace(bakery.parts, control=a_control_on(postgresql))
    _legacy(bakery, "update customer set email = '' where id = 9")
    bakery.plan(cutover="manual")
    waves.start(bakery.parts, "whole")
    dispatcher = bakery.dispatcher()
    while _is_open(bakery):
        for task, ids in bakery.tick(dispatcher):
            bakery.work(task, ids)
    assert (bakery.users()["9"], bakery.wave().status) == ("held", Wave.RUNNING)
    _legacy(bakery, "update customer set email = 'c9@bakery.example' where id = 9")
    for cause in review.listed(bakery.parts)["causes"]:
        review.resolve(bakery.parts, cause["cause"], "fixed-in-source", None)
    replan = waves.replan

    def replan_later(*args: Any) -> None:
        monkeypatch.setattr(waves, "replan", replan)
        beside = threading.Thread(target=bakery.tick, args=(dispatcher,))
        beside.start()
        beside.join(20)
        replan(*args)

    monkeypatch.setattr(waves, "replan", replan_later)
    review.replay(bakery.parts)
    bakery.run()

    assert (bakery.users()["9"], bakery.wave().status) == ("moved", Wave.PASSED)
    bakery.close()


def _is_open(bakery: Bakery) -> bool:
    with bakery.parts.control.read() as db:
        wave = bakery.wave()
        return wave.uncut_from is not None or bool(batch_store.of_wave(db, wave.id, (Batch.READY, Batch.RUNNING)))


def test_one_who_cannot_be_cut_over_keeps_nobody_else_who_asked_waiting(
    moved: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("6", "7"):
        on_demand.ask(moved.parts, key, cut_over=True)
    cut_over = cutover.cut_over_users

    def after_a_rollback(*args: Any, **options: Any) -> Any:
        if _user(moved, "6").status is User.MOVED:
            rollbacks.roll_back(moved.parts, rollbacks.scope(moved.parts, user="6"))
        return cut_over(*args, **options)

    monkeypatch.setattr(cutover, "cut_over_users", after_a_rollback)
    moved.work_once()

    assert (_user(moved, "6").status, _user(moved, "7").status) == (User.ROLLED_BACK, User.LIVE)


def test_an_erasure_that_begins_meanwhile_keeps_only_its_own_user_from_being_cut_over(moved: Bakery) -> None:
    begins = lambda: erasing._begin(moved.parts, erasing.subject(moved.parts, "6"), "leave")

    with _at("cutover-verified", begins):
        found = cutover.cut_over_wave(moved.parts, "whole")

    assert (found.live, moved.users()["6"]) == (11, "erased")


def test_a_cleaning_rule_whose_taking_back_was_refused_is_taken_back_the_next_time(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", STALE)
    bakery.move()
    _put(bakery, Wave.RUNNING)
    with pytest.raises(Refused, match="pause"):
        cleaning.take_back(bakery.parts, "orders.stale")
    bakery.run()

    assert cleaning.take_back(bakery.parts, "orders.stale").users

    with pytest.raises(Refused, match="was taken back already"):
        cleaning.take_back(bakery.parts, "orders.stale")
    bakery.close()


# ---- one of two who are one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edited", [True, False], ids=["who stays was changed, too", "nothing else changed"])
def test_who_merged_with_one_who_is_gone_is_moved_again_without_him(tmp_path: Path, *, edited: bool) -> None:
    shop = Doubles(tmp_path / "d")
    shop.move(cutover="manual")
    _legacy(
        shop, *(f"delete from {table} where user_id = 3" for table in ("t_order", "t_cart", "t_user_setting", "t_user"))
    )
    if edited:
        _legacy(shop, "update t_user set nick = 'Other' where user_id = 1")
    scope = sync.scope(shop.parts)
    done = sync.passes(shop.parts, scope)
    assert done.classes["vanished"] == 1

    sync.remove_vanished(shop.parts, scope, done)

    assert (shop.users()["3"], shop.users()["1"], done.sent_again) == ("excluded", "planned", 1)
    shop.run()
    assert shop.users()["1"] == "moved"
    assert _sync(shop).queue == 0
    shop.close()


def test_a_wave_that_runs_again_while_the_next_one_is_about_to_start_is_waited_for(tmp_path: Path) -> None:
    bakery = held_by_a_row_of_another(tmp_path / "b")
    _legacy(bakery, NEWCOMER)
    newcomers.take_in(bakery.parts, sync.scope(bakery.parts).plan)
    now = campaign.look(bakery.parts)
    assert (now.situation, now.wave and now.wave.name) == (campaign.Situation.NEXT, "late")
    _sync(bakery)

    with pytest.raises(Refused, match="one wave at a time"):
        waves.start(bakery.parts, "late")

    assert campaign.look(bakery.parts).situation is campaign.Situation.WORKING  # and so `run` goes on
    bakery.close()
