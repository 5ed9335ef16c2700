"""Legacy refuses writes to users who are frozen: from the freeze to every end of it, and not a moment without reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from migrator import crashpoints
from migrator.edges.databases.freeze_lock import FreezeLock
from migrator.edges.databases.lock_scripts import REFUSAL
from migrator.errors import Refused
from migrator.flows.homes import cutover
from migrator.flows.syncing import watching_changes
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Six customers who are moved and served by legacy; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("lock") / "waiting", customers=6)
    bakery.move(cutover="manual", batch_users=8)
    yield bakery
    bakery.close()


@pytest.fixture(autouse=True)
def nobody_watches_afterwards() -> Iterator[None]:
    yield
    crashpoints.watch(None)


def locking(bakery: Bakery, *, installed: bool = True, **values: Any) -> Bakery:
    """The bakery whose legacy refuses."""
    lock = FreezeLock(f"sqlite:///{bakery.folder / 'legacy.db'}", None, "legacy")
    cutting = replace(bakery.parts.cutting, **{"lock": True, **values})
    bakery.parts = replace(bakery.parts, locks={"legacy": lock}, cutting=cutting)
    if installed:
        watching_changes.install_lock(bakery.parts, None)
    return bakery


def write(bakery: Bakery, user: int = 3) -> None:
    """What an application does that does not ask the Router."""
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Renamed' where id = ?", (user,))
    with bakery.legacy() as db:
        db.execute("update purchase set total = 7 where customer_id = ?", (user,))


def refused(bakery: Bakery, user: int = 3) -> bool:
    try:
        write(bakery, user)
    except sqlite3.IntegrityError as said:
        assert str(said) == REFUSAL
        return True
    return False


def locked(bakery: Bakery) -> list[str]:
    with bakery.legacy() as db:
        return [key for (key,) in db.execute("select user_key from migrator_frozen order by user_key")]


STEPS = ["cutover-locked", "cutover-drained", "cutover-marked", "cutover-delta-done", "cutover-verified"]


def test_from_the_freeze_to_the_flip_nothing_of_the_user_is_written_in_legacy(waiting: Bakery, tmp_path: Path) -> None:
    bakery, tries = locking(waiting.copy(tmp_path / "b")), dict[str, bool]()

    def reached(point: str) -> None:
        if point.startswith("cutover-") and point not in tries:
            tries[point] = refused(bakery)

    crashpoints.watch(reached)

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert {point: tries[point] for point in STEPS} == dict.fromkeys(STEPS, True)
    assert tries["cutover-begun"] is False, "nobody is frozen yet"
    assert (found.live, locked(bakery)) == (6, [])
    assert not refused(bakery)


def test_who_is_not_frozen_can_write_all_the_while(waiting: Bakery, tmp_path: Path) -> None:
    bakery, tries = locking(waiting.copy(tmp_path / "b")), list[bool]()
    crashpoints.watch(lambda point: tries.append(refused(bakery, 4)) if point == "cutover-verified" else None)

    assert cutover.cut_over_users(bakery.parts, ["3"]).live == 1

    assert tries == [False]


def test_who_cannot_be_cut_over_can_write_again_when_that_is_known(waiting: Bakery, tmp_path: Path) -> None:
    bakery = locking(waiting.copy(tmp_path / "b"))
    with bakery.target() as db:
        db.execute("update accounts set name = 'Mallory' where email = 'c3@bakery.example'")

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert list(found.left) == ["3"] and locked(bakery) == [] and not refused(bakery)


@pytest.mark.parametrize("point", [*STEPS, "cutover-flip-written"])
def test_after_a_failure_at_any_step_everybody_can_write_again(waiting: Bakery, tmp_path: Path, point: str) -> None:
    bakery = locking(waiting.copy(tmp_path / "b"))

    def fails(name: str) -> None:
        if name == point:
            raise Refused("something is wrong")

    crashpoints.watch(fails)
    with pytest.raises(Refused, match="something is wrong"):
        cutover.cut_over_wave(bakery.parts, "whole")

    assert locked(bakery) == [] and not refused(bakery)


@pytest.mark.parametrize("point", ["cutover-frozen", *STEPS, "cutover-flipped"])
def test_killed_at_any_step_the_lock_ends_by_itself_and_is_swept_by_the_next(
    waiting: Bakery, tmp_path: Path, point: str
) -> None:
    bakery, plug = locking(waiting.copy(tmp_path / "b")), Plug()

    def the_power_is_gone(name: str) -> None:
        if name == point:
            plug.limit = plug.used
            raise Power

    crashpoints.watch(the_power_is_gone)
    with pytest.raises(Power):
        cutover.cut_over_users(plugged(bakery.parts, plug), ["3"])
    crashpoints.watch(None)
    with bakery.legacy() as db:  # time passes
        db.execute("update migrator_frozen set until = strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 seconds')")

    assert not refused(bakery)
    assert cutover.cut_over_users(bakery.parts, ["5"]).live == 1
    assert "3" not in locked(bakery)


def test_the_lock_lasts_no_longer_than_the_freeze_may(waiting: Bakery, tmp_path: Path) -> None:
    bakery, left = locking(waiting.copy(tmp_path / "b"), budget=timedelta(seconds=20)), list[float]()

    def look(point: str) -> None:
        if point == "cutover-locked":
            with bakery.legacy() as db:
                query = "select (julianday(until) - julianday('now')) * 86400 from migrator_frozen"
                left.extend(seconds for (seconds,) in db.execute(query))

    crashpoints.watch(look)
    cutover.cut_over_wave(bakery.parts, "whole")

    assert len(left) == 6 and 0 < min(left) and max(left) < 21


def test_a_lock_that_is_asked_for_and_not_there_freezes_nobody(waiting: Bakery, tmp_path: Path) -> None:
    bakery = locking(waiting.copy(tmp_path / "b"), installed=False)

    with pytest.raises(Refused, match="migrator changes install --lock"):
        cutover.cut_over_wave(bakery.parts, "whole")

    assert set(bakery.users().values()) == {"moved"}


def test_a_legacy_that_is_away_when_it_should_lock_lets_nobody_be_cut_over(waiting: Bakery, tmp_path: Path) -> None:
    bakery = locking(waiting.copy(tmp_path / "b"))
    crashpoints.watch(lambda point: drop(bakery) if point == "cutover-frozen" else None)

    with pytest.raises(Exception, match="migrator_frozen"):
        cutover.cut_over_wave(bakery.parts, "whole")

    assert set(bakery.users().values()) == {"moved"} and not refused(bakery)


def drop(bakery: Bakery) -> None:
    watching_changes.install_lock(bakery.parts, None, drop=True)


def test_tables_that_lead_to_nobody_are_named(waiting: Bakery, tmp_path: Path) -> None:
    bakery = locking(waiting.copy(tmp_path / "b"))

    assert watching_changes.unlocked(bakery.parts, None) == {}
    assert set(watching_changes.lock_scripts(bakery.parts, None)) == {"legacy"}
    assert watching_changes.status(bakery.parts)["locks"] == {"legacy": {"installed": True}}
