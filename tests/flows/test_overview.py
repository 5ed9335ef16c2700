"""The whole migration on one screen: sums that are the plan, and what to do next."""

from __future__ import annotations

from pathlib import Path

from migrator.flows.helping import overview
from migrator.flows.homes import cutover, on_demand
from migrator.flows.plans import tiering
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import User, Wave
from migrator.store import plans, users
from migrator.store import waves as wave_store
from tests.flows.bakery import TIERS, Bakery


def next_step(bakery: Bakery) -> str:
    return str(overview.status(bakery.parts)["next"])


def test_from_the_beginning_it_says_what_comes_next(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    assert "migrator tier assign" in next_step(bakery)
    tiering.assign(bakery.parts, TIERS)
    assert "migrator plan create" in next_step(bakery)
    bakery.plan()
    assert "goes on with wave whole (4 users)" in next_step(bakery)
    waves.start(bakery.parts, "whole")
    assert "no worker is alive" in next_step(bakery)
    bakery.run()
    assert "everybody has arrived" in next_step(bakery)


def test_the_sum_of_all_statuses_is_the_plan(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    for status in User:
        with bakery.parts.control.write() as db:
            users.assign(db, plans.require(db).id, ["3", "4"], status=status.value)

        found = overview.status(bakery.parts)

        assert sum(found["users"].values()) == 12
        assert sum(sum(tier.values()) for tier in found["tiers"].values()) == 12
        assert found["next"]


def test_there_is_a_next_step_whatever_a_wave_is_at(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    for status in Wave:
        with bakery.parts.control.write() as db:
            wave_store.move(db, bakery.wave(), status)

        assert next_step(bakery)
        assert overview.wave_detail(bakery.parts, "whole")["status"] == status


def test_at_the_end_what_is_left_is_said(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    left = [
        (User.MOVED, "1 users are moved and not yet live; `migrator wave cut-over whole`"),
        (User.FAILED, "1 users failed"),
        (User.ROLLED_BACK, "1 users are rolled back"),
        (User.HELD, "1 held users are decided"),
    ]
    for status, words in left:
        with bakery.parts.control.write() as db:
            users.assign(db, plans.require(db).id, ["3"], status=status.value)

        assert words in next_step(bakery)


def test_the_wave_to_cut_over_is_the_first_that_has_somebody_to_cut_over(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(strategy="tiered", pilot_floor=3, gray=(), cutover="manual")
    with bakery.parts.control.read() as db:
        first, second, *_ = wave_store.of_plan(db, plans.require(db).id)
    assert f"`migrator wave cut-over {first.name}`, or `all`" in next_step(bakery)

    cutover.cut_over_wave(bakery.parts, first.name)

    assert f"`migrator wave cut-over {second.name}`, or `all`" in next_step(bakery)


def test_a_wave_shows_its_numbers_and_batches(moved: Bakery) -> None:
    found = overview.wave_detail(moved.parts, "whole")

    assert (found["users"], found["moved"], found["differences"], found["verdict"]) == (12, 12, 0, "go")
    assert [(batch["users"], batch["status"], batch["rows"]) for batch in found["batch_list"]] == [
        (8, "done", 32),
        (4, "done", 16),
    ]


def test_a_rollback_that_was_cut_off_is_told(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rollbacks._begin(bakery.parts, rollbacks.scope(bakery.parts))

    assert "a rollback of wave whole was cut off" in next_step(bakery)


def test_who_is_asked_for_is_counted_with_what_he_waits_for(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.plan()
    assert overview.status(bakery.parts)["requests"] == {"open": 0, "since": None, "waits": []}
    for user in ("2", "3"):
        on_demand.ask(bakery.parts, user)

    found = overview.status(bakery.parts)

    assert found["requests"]["open"] == 2 and found["requests"]["since"] is not None
    assert found["requests"]["waits"] == [{"reason": "a batch is made for him", "users": 2}]
    assert "2 users wait to be moved ahead of their wave and no worker is alive" in found["next"]


def test_who_was_asked_for_and_has_come_is_counted_no_more(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.plan()
    on_demand.ask(bakery.parts, "2")
    for _ in range(4):
        bakery.work_once()

    found = overview.status(bakery.parts)

    assert bakery.users()["2"] == "live"
    assert found["requests"]["open"] == 0 and "goes on with wave" in found["next"]
