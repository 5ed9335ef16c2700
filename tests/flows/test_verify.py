"""What the target holds is compared with what was meant, value by value, by somebody who did not write it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from migrator.errors import NotFound, SnapshotDamaged
from migrator.flows import wave_view
from migrator.flows.checking import verify
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import effects, leases, plans
from migrator.store import waves as wave_store
from tests.flows.bakery import Bakery

SEVEN = "(select id from accounts where email = 'c7@bakery.example')"


def checked(bakery: Bakery, **whom: str) -> verify.Verified:
    return verify.verify(bakery.parts, verify.scope(bakery.parts, **whom))


def change(bakery: Bakery, sql: str) -> None:
    with bakery.target() as db:
        db.execute(sql)


def test_nothing_is_found_where_nothing_was_changed(moved: Bakery) -> None:
    found = checked(moved)

    assert (found.checked_users, found.checked_rows) == (12, 48)
    assert (found.differences, found.drift) == ([], [])
    assert found.sums == {"orders.total": 12}


def test_a_row_that_was_skipped_keeps_only_the_sums_of_its_own_batch_from_being_compared(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=30)
    orders = bakery.folder / "mappings" / "orders.yaml"
    at = "placed_at: {from: bought_at"
    orders.write_text(orders.read_text(encoding="utf-8").replace(at, f"{at}, on_error: skip"), encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("update purchase set bought_at = 'never' where id = 302")
    bakery.plan(batch_users=10)
    waves.start(bakery.parts, "whole")
    bakery.run()

    assert checked(bakery).sums == {"orders.total": 20}


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (f"update orders set total = total + 0.01 where id = (select min(id) from orders where account_id = {SEVEN})", ("orders", "total", "value")),
        (f"delete from orders where id = (select min(id) from orders where account_id = {SEVEN})", ("orders", None, "missing")),
        ("update accounts set name = name || ' ' where email = 'c7@bakery.example'", ("accounts", "name", "value")),
        ("update accounts set name = null where email = 'c7@bakery.example'", ("accounts", "name", "value")),
        (f"insert into orders select 'new', id, 0, '2026-02-01T00:00:00Z' from accounts where id = {SEVEN}", ("orders", None, "extra")),
        (f"insert into orders select 'new', id, 5, '2026-02-01T00:00:00Z' from accounts where id = {SEVEN}", ("orders", None, "extra")),
    ],
)  # fmt: skip
def test_each_change_is_found_once_and_with_its_user(
    moved: Bakery, tmp_path: Path, sql: str, told: tuple[str, str | None, str]
) -> None:
    bakery = moved.copy(tmp_path / "b")
    change(bakery, sql)

    found = checked(bakery)

    assert [(one["mapping"], one["field"], one["kind"]) for one in found.differences] == [told]
    assert (found.differences[0]["user"], found.differences[0]["home"]) == ("7", "target")
    assert found.difference_count == 1
    assert checked(bakery, user="7").difference_count == 1
    assert checked(bakery, user="8").difference_count == 0


def test_legacy_that_changed_is_drift_and_no_difference(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("update purchase set total = total + 1 where customer_id = 3")
        db.execute("delete from customer where id = 4")
        db.execute("insert into purchase values (77777, 5, 1, '2026-01-01 09:00:00')")

    found = checked(bakery)

    assert found.differences == []
    told = {(one["user"], one["kind"], one["home"]) for one in found.drift}
    assert told == {("3", "legacy changed", "target"), ("4", "vanished", "target"), ("5", "legacy changed", "target")}


def test_who_was_rolled_back_is_not_looked_for_and_the_others_are(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7"))

    found = checked(bakery)

    assert (found.checked_users, found.differences) == (11, [])
    assert checked(bakery, user="7").checked_users == 0


def test_who_was_moved_again_is_compared_with_the_second_snapshot(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7"))
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Renamed' where id = 7")
    waves.retry(bakery.parts, "whole")
    bakery.run()

    assert bakery.users()["7"] == "live"
    assert checked(bakery).differences == []
    assert rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts)).restored == 12
    assert bakery.rows()["accounts"] == []


def test_users_and_waves_that_are_not_there_are_said(moved: Bakery) -> None:
    with pytest.raises(NotFound, match='there is no user "99" in plan 1'):
        checked(moved, user="99")
    with pytest.raises(NotFound, match='no wave "pilot"; there are whole'):
        checked(moved, wave="pilot")


def test_a_snapshot_that_was_changed_is_not_believed(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    for path in (bakery.folder / "snapshots").rglob("*.snapshot"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(SnapshotDamaged, match="was changed"):
        checked(bakery)


# ---------------------------------------------------------------- the check of a wave


def checking(started: Bakery, folder: Path) -> Bakery:
    """Everybody is moved, nothing is verified yet."""
    bakery = started.copy(folder)
    bakery.run(until=Wave.CHECKING)
    return bakery


def verifications(bakery: Bakery) -> int:
    with bakery.parts.control.read() as db:
        found = effects.last_verification(db, plans.require(db).id)
    return found["checked_users"] if found else 0


def test_a_wave_is_checked_by_one_at_a_time(started: Bakery, tmp_path: Path) -> None:
    bakery = checking(started, tmp_path / "b")
    with bakery.parts.control.write() as db:
        leases.acquire(db, f"check:{bakery.wave().id}", "another", timedelta(minutes=1))

    verify.check_wave(bakery.parts, bakery.wave().id, "worker")

    assert verifications(bakery) == 0


def test_a_wave_that_is_checked_no_more_is_left_alone(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    wave = bakery.wave()
    with bakery.parts.control.write() as db:
        wave_store.move(db, wave, Wave.ROLLING_BACK)

    verify.check_wave(bakery.parts, wave.id, "worker")

    assert bakery.wave().status is Wave.ROLLING_BACK


def test_a_check_says_nothing_of_users_who_moved_after_it_began(started: Bakery, tmp_path: Path) -> None:
    bakery = checking(started, tmp_path / "b")
    wave = bakery.wave()
    assert wave.checking_at is not None

    class Meanwhile:
        """A target; while it is read, the wave goes on and is to be checked anew."""

        def __getattr__(self, name: str) -> object:
            if name == "reading":
                with bakery.parts.control.write() as db:
                    wave_store.note(db, wave.id, checking_at=wave.checking_at + timedelta(seconds=1))  # type: ignore[operator]
            return getattr(bakery.parts.target, name)

    parts = replace(bakery.parts, target=Meanwhile())  # type: ignore[arg-type]
    verify.check_wave(parts, wave.id, "worker")

    assert verifications(bakery) == 0
    assert bakery.wave().status is Wave.CHECKING


def test_a_wave_that_cannot_be_measured_is_held_and_does_not_wait_for_ever(started: Bakery, tmp_path: Path) -> None:
    bakery = checking(started, tmp_path / "b")
    for path in (bakery.folder / "snapshots").rglob("*.snapshot"):
        path.unlink()

    verify.check_wave(bakery.parts, bakery.wave().id, "worker")

    assert bakery.wave().status is Wave.HELD
    assert "could not be verified" in wave_view.held_sentence(bakery.wave())
