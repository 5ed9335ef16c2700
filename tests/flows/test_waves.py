"""What a person orders of a wave, and what becomes of its users then: nobody is left where no order reaches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from migrator.errors import NotAllowed, Refused
from migrator.flows import wave_view
from migrator.flows.helping import review
from migrator.flows.homes import cutover
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches, plans, users
from migrator.store import waves as wave_store
from tests.flows.bakery import Bakery

REFUSE_SEVEN = (
    "create trigger no_seven before insert on accounts when new.email = 'c7@bakery.example' "
    "begin select raise(abort, 'not this one'); end"
)


def put(bakery: Bakery, status: Wave, **values: object) -> None:
    """Set the wave's status as if it had come to it."""
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), status, **values)


def batch_statuses(bakery: Bakery) -> list[Batch]:
    with bakery.parts.control.read() as db:
        return [one.status for one in batches.of_wave(db, bakery.wave().id)]


def set_user(bakery: Bakery, key: str, status: User) -> None:
    """Put a user into a status as if they had come to it."""
    with bakery.parts.control.write() as db:
        users.assign(db, plans.require(db).id, [key], status=status.value)


def rolled_back(bakery: Bakery, **whom: str) -> None:
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, **whom))


def test_a_wave_starts_once_and_alone(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")

    waves.start(bakery.parts, "whole")

    assert batch_statuses(bakery) == [Batch.READY, Batch.READY]
    with pytest.raises(NotAllowed, match="cannot start wave whole: it is running"):
        waves.start(bakery.parts, "whole")


def test_a_second_wave_does_not_start_beside_the_first(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=2, pilot_share=10)
    waves.start(bakery.parts, "pilot")

    with pytest.raises(Refused, match="wave pilot is running; one wave at a time"):
        waves.start(bakery.parts, "2")


def test_a_pause_is_a_fact_once_the_last_batch_has_ended(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        first = batches.of_wave(db, bakery.wave().id)[0]
        held = batches.claim(db, first.id, None, "worker", timedelta(minutes=1))
    assert held is not None
    assert waves.pause(bakery.parts, "whole").status is Wave.PAUSING
    bakery.tick()
    assert bakery.wave().status is Wave.PAUSING

    with bakery.parts.control.write() as db:
        batches.give_back(db, held, "", timedelta(0))
    bakery.tick()

    assert bakery.wave().status is Wave.PAUSED
    waves.resume(bakery.parts, "whole")
    bakery.run()
    assert set(bakery.users().values()) == {"live"}


def test_cancelled_nobody_else_moves_and_who_was_moved_stays(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")

    assert waves.cancel(bakery.parts, "whole").status is Wave.CANCELLED

    bakery.run()
    assert batch_statuses(bakery) == [Batch.FAILED, Batch.FAILED]
    assert set(bakery.users().values()) == {"planned"}


def test_a_wave_of_which_nobody_can_move_ends_in_a_hold_and_not_never(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    for key in bakery.users():
        review.exclude(bakery.parts, key, "closed for winter")

    waves.start(bakery.parts, "whole")
    bakery.run()

    assert bakery.wave().status is Wave.HELD
    assert "nothing was measured" in wave_view.held_sentence(bakery.wave())


def test_a_batch_whose_users_were_all_excluded_meanwhile_ends(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.read() as db:
        last = batches.of_wave(db, bakery.wave().id)[-1]
        left_out = users.of_batch(db, last.id)
    for key in left_out:
        review.exclude(bakery.parts, key, "closed for winter")

    bakery.run()

    assert batch_statuses(bakery) == [Batch.DONE, Batch.DONE]
    assert bakery.wave().status is Wave.PASSED
    assert sorted(bakery.users().values()) == ["excluded"] * 4 + ["live"] * 8


def test_held_by_hand_it_waits_and_resumed_it_goes_on(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    waves.hold(bakery.parts, "whole", "support sees complaints")
    bakery.run()
    assert set(bakery.users().values()) == {"planned"}
    assert "support sees complaints" in wave_view.held_sentence(bakery.wave())
    with pytest.raises(Refused, match="still has batches to run"):
        waves.override(bakery.parts, "whole", "because")

    waves.resume(bakery.parts, "whole")
    bakery.run()

    assert bakery.wave().status is Wave.PASSED


def test_after_stop_there_is_no_resume_no_override_and_no_cutover(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    put(bakery, Wave.HELD, verdict="stop", findings=[{"check": "differences", "sentence": "2 differences"}])

    for order in (
        lambda: waves.resume(bakery.parts, "whole"),
        lambda: waves.override(bakery.parts, "whole", "because"),
        lambda: cutover.cut_over_wave(bakery.parts, "whole"),
    ):
        with pytest.raises(Refused, match="2 differences"):
            order()


def test_a_hold_is_overridden_with_a_reason_that_stays(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    with bakery.target() as db:
        db.execute(REFUSE_SEVEN.replace("c7@", "c1@"))
    bakery.move()
    assert bakery.wave().status is Wave.HELD

    waves.override(bakery.parts, "whole", "a test account")

    assert (bakery.wave().status, bakery.wave().verdict) == (Wave.PASSED, "override")
    with bakery.target() as db:
        db.execute("drop trigger no_seven")
    assert waves.retry(bakery.parts, "whole") == 1
    bakery.run()
    assert set(bakery.users().values()) == {"live"}
    assert bakery.wave().status is Wave.PASSED


def test_with_manual_cutover_users_are_moved_and_live_only_by_command(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.move(cutover="manual", soak_seconds=86400)  # nobody waits for a soak of users whom nobody has switched
    assert bakery.wave().status is Wave.PASSED
    assert set(bakery.users().values()) == {"moved"}

    assert cutover.cut_over_wave(bakery.parts, "all").live == 4

    assert set(bakery.users().values()) == {"live"}
    with pytest.raises(Refused, match="no wave has a user who is moved"):
        cutover.cut_over_wave(bakery.parts, "all")


def test_a_wave_soaks_before_its_gate_decides(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.plan(soak_seconds=3600)
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    bakery.lose_leases()
    for _ in range(3):
        bakery.work_once()
    assert bakery.wave().status is Wave.CHECKING

    put(bakery, Wave.CHECKING, checking_at=bakery.wave().checking_at.replace(year=2020))  # type: ignore[union-attr]
    bakery.work_once()

    assert bakery.wave().status is Wave.PASSED


def test_who_was_rolled_back_alone_is_moved_again_with_the_next_retry(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = bakery.rows()
    rolled_back(bakery, user="7")

    assert waves.retry(bakery.parts, "whole") == 1
    bakery.run()

    assert bakery.rows() == before
    assert bakery.wave().status is Wave.PASSED
    assert ("7", 3, "move") in bakery.ledger()


def test_a_wave_rolled_back_half_way_moves_everybody_when_it_is_tried_again(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    bakery.work(*bakery.tick()[0])
    waves.hold(bakery.parts, "whole", "half of it is enough")
    assert sorted(bakery.users().values()) == ["live"] * 8 + ["planned"] * 4

    rolled_back(bakery, wave="whole")
    assert waves.retry(bakery.parts, "whole") == 12
    waves.start(bakery.parts, "whole")
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert bakery.wave().status is Wave.PASSED


def test_planned_users_of_a_rolled_back_wave_are_not_forgotten(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rolled_back(bakery)
    for key in bakery.users():
        set_user(bakery, key, User.EXCLUDED if key != "7" else User.PLANNED)

    assert waves.retry(bakery.parts, "all") == 1

    assert bakery.wave().status is Wave.APPROVED


@pytest.mark.parametrize("status", [Wave.CANCELLED, Wave.ROLLING_BACK])
def test_one_wave_that_takes_nobody_does_not_stop_a_retry_of_all(moved: Bakery, tmp_path: Path, status: Wave) -> None:
    bakery = moved.copy(tmp_path / "b")
    set_user(bakery, "7", User.FAILED)
    put(bakery, status)

    with pytest.raises(Refused, match=f"wave whole is {status}"):
        waves.retry(bakery.parts, "whole")
    with pytest.raises(Refused, match="no user of any wave is failed or rolled back"):
        waves.retry(bakery.parts, "all")
    assert bakery.users()["7"] == "failed"


def test_rows_in_review_stop_a_wave_until_they_are_decided(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    path = bakery.folder / "mappings" / "accounts.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "limits: {abort_above: 10%}\n", encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id <= 3")
    bakery.move(batch_users=4)
    assert bakery.wave().status is Wave.HELD
    assert "wait for review" in wave_view.held_sentence(bakery.wave())
    assert sorted(set(bakery.users().values())) == ["held", "live", "planned"]

    review.resolve(bakery.parts, "all", "use", "active")
    review.replay(bakery.parts)
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert bakery.wave().status is Wave.PASSED


def test_machines_whose_clocks_are_hours_apart_hold_up_no_wave(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(batch_users=6)
    waves.start(bakery.parts, "whole")
    right = bakery.parts.now
    machines = [
        bakery.dispatcher(replace(bakery.parts, now=lambda hours=hours: right() + timedelta(hours=hours)))
        for hours in (1, -1)
    ]

    for _ in range(10):
        for machine in machines:
            for task, ids in bakery.tick(machine):
                bakery.work(task, ids)  # by a third clock

    assert bakery.wave().status is Wave.PASSED
    assert set(bakery.users().values()) == {"live"}
