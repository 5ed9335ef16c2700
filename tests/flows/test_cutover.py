"""Users are frozen for seconds, brought up to date, compared and served by the target; or nothing of it has happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator import crashpoints
from migrator.edges.home_cache import HomeCache
from migrator.edges.redis import EmbeddedRedis
from migrator.errors import Refused
from migrator.flows.homes import cutover, settling, thawing
from migrator.flows.parts import Parts, utc_now
from migrator.flows.undoing import rollbacks
from migrator.routing import Home, Router
from migrator.store import cutovers, homes, journal, plans, tables, users
from migrator.store.control import clock
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Twelve customers who are moved and served by legacy; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("cutover") / "waiting", customers=12)
    bakery.move(cutover="manual", batch_users=8)
    assert set(bakery.users().values()) == {"moved"}
    yield bakery
    bakery.close()


def homes_of(bakery: Bakery) -> dict[str, str]:
    with bakery.parts.control.read() as db:
        return homes.of(db, plans.require(db).id, list(bakery.users()))


def frozen(bakery: Bakery) -> list[str]:
    with bakery.parts.control.read() as db:
        return sorted(db.scalars(sa.select(tables.frozen.c.user_key)))


def cutting(bakery: Bakery, **values: Any) -> Parts:
    return replace(bakery.parts, cutting=replace(bakery.parts.cutting, **values))


def at_point(name: str, act: Callable[[], None]) -> Callable[[str], None]:
    """Do something the first time a named point is reached."""
    done = []

    def reached(point: str) -> None:
        if point == name and not done:
            done.append(point)
            act()

    return reached


@pytest.fixture(autouse=True)
def nobody_watches_afterwards() -> Iterator[None]:
    yield
    crashpoints.watch(None)


def test_while_users_are_cut_over_they_are_moving_and_afterwards_the_target_serves_them(
    waiting: Bakery, tmp_path: Path
) -> None:
    bakery = waiting.copy(tmp_path / "b")
    meanwhile: list[dict[str, str]] = []
    crashpoints.watch(at_point("cutover-frozen", lambda: meanwhile.append(homes_of(bakery))))

    found = cutover.cut_over_wave(cutting(bakery, users=5), "whole")

    assert sorted(meanwhile[0].values()) == ["legacy"] * 7 + ["moving"] * 5
    assert (found.live, found.left, found.undone) == (12, {}, 0)
    assert set(homes_of(bakery).values()) == {"target"}
    assert set(bakery.users().values()) == {"live"}
    assert frozen(bakery) == []
    with bakery.parts.control.read() as db:
        entries = [one for one in journal.of(db, "wave", ["whole"]) if one["event"] == "cut over"]
        one = cutovers.latest(db, 1)
    assert [entry["detail"]["live"] for entry in entries] == [5, 5, 2], "one entry per chunk, none per user"
    assert one is not None and (one.step, one.live) == ("done", 12)


def test_what_changed_in_legacy_since_the_move_is_brought_over_before_the_target_serves(
    waiting: Bakery, tmp_path: Path
) -> None:
    bakery = waiting.copy(tmp_path / "b")

    def one_more_order() -> None:
        with bakery.legacy() as db:
            db.execute("update customer set name = 'Renamed' where id = 7")

    crashpoints.watch(at_point("cutover-frozen", one_more_order))

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert (found.live, found.left) == (12, {})
    with bakery.target() as db:
        assert db.execute("select name from accounts where email = 'c7@bakery.example'").fetchone() == ("Renamed",)


def test_who_changes_after_the_last_look_stays_in_legacy_and_the_others_go(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")

    def somebody_does_not_ask() -> None:
        with bakery.legacy() as db:
            db.execute("update customer set name = 'Renamed' where id = 7")

    crashpoints.watch(at_point("cutover-delta-done", somebody_does_not_ask))

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert found.live == 11 and list(found.left) == ["7"]
    assert "changed in legacy" in found.left["7"] and "migrator sync" in found.left["7"]
    assert homes_of(bakery)["7"] == "legacy" and bakery.users()["7"] == "moved"
    assert frozen(bakery) == []


def test_whose_target_is_not_what_was_written_stays_in_legacy(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    with bakery.target() as db:
        db.execute("update accounts set name = 'Mallory' where email = 'c3@bakery.example'")

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert found.live == 11 and "not what was written" in found.left["3"]
    assert homes_of(bakery)["3"] == "legacy"


POINTS = [
    "cutover-begun", "cutover-frozen", "cutover-locked", "cutover-drained", "cutover-marked", "cutover-delta-done", "cutover-verified",
    "cutover-flip-written", "cutover-flipped", "cutover-unfrozen", "cutover-ended",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_killed_after_any_step_it_completes_when_it_is_run_again(waiting: Bakery, tmp_path: Path, point: str) -> None:
    bakery = waiting.copy(tmp_path / "b")
    plug = Plug()

    def the_power_is_gone() -> None:
        plug.limit = plug.used
        raise Power

    crashpoints.watch(at_point(point, the_power_is_gone))
    with pytest.raises(Power):
        cutover.cut_over_wave(plugged(cutting(bakery, users=5), plug), "whole")
    time_passes(bakery)

    if "moved" in bakery.users().values():
        assert cutover.cut_over_wave(cutting(bakery, users=5), "whole").left == {}

    assert set(homes_of(bakery).values()) == {"target"}
    assert set(bakery.users().values()) == {"live"}
    assert frozen(bakery) == []
    with bakery.parts.control.read() as db:
        told = {key: [one.home for one in homes.history(db, 1, key)] for key in bakery.users()}
    assert set(map(tuple, told.values())) == {("target",)}, "each has come to the target once"


def time_passes(bakery: Bakery) -> None:
    """Every freeze is over."""
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.frozen).values(until=clock(db) - timedelta(seconds=1)))


def test_whom_a_dead_cutover_left_frozen_the_dispatcher_lets_write_again(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        dead = cutovers.get(db, cutovers.begin(db, 1, None, "somebody", bakery.parts.now()))
        cutovers.freeze(db, dead, ["3", "4"], timedelta(seconds=30))
    bakery.tick()
    assert frozen(bakery) == ["3", "4"], "their time is not over"

    time_passes(bakery)
    bakery.tick()

    assert frozen(bakery) == [] and set(homes_of(bakery).values()) == {"legacy"}
    with bakery.parts.control.read() as db:
        assert cutovers.get(db, dead.id).undone == 2


def test_a_cutover_whose_freeze_was_taken_from_it_serves_nobody_from_the_target(
    waiting: Bakery, tmp_path: Path
) -> None:
    bakery = waiting.copy(tmp_path / "b")

    def it_takes_too_long() -> None:
        time_passes(bakery)
        with bakery.parts.control.write() as db:
            assert thawing.reap(bakery.parts, db) == 1

    crashpoints.watch(at_point("cutover-verified", it_takes_too_long))

    found = cutover.cut_over_users(bakery.parts, ["7"])

    assert (found.live, found.undone) == (0, 1) and "within 30 s" in found.left["7"]
    assert homes_of(bakery)["7"] == "legacy" and bakery.users()["7"] == "moved"


def test_what_is_too_much_for_the_budget_is_undone_and_tried_in_smaller_parts(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")

    def it_takes_too_long() -> None:
        time_passes(bakery)

    crashpoints.watch(at_point("cutover-verified", it_takes_too_long))

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert (found.live, found.undone, found.left) == (12, 12, {})


def test_however_long_a_step_takes_nobody_is_frozen_longer_than_the_budget(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    homes_after: list[str] = []

    def it_hangs() -> None:
        until = time.monotonic() + 30
        while frozen(bakery) and time.monotonic() < until:
            time.sleep(0.05)
        homes_after.append(homes_of(bakery)["7"])

    crashpoints.watch(at_point("cutover-verified", it_hangs))

    found = cutover.cut_over_users(cutting(bakery, budget=timedelta(seconds=1)), ["7"])

    assert homes_after == ["legacy"], "while the step still hung"
    assert found.live == 0 and bakery.users()["7"] == "moved"


def test_whom_another_cutover_has_frozen_is_waited_for_and_not_taken_from_it(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        other = cutovers.get(db, cutovers.begin(db, 1, None, "somebody", bakery.parts.now()))
        cutovers.freeze(db, other, ["3"], timedelta(seconds=1))

    found = cutover.cut_over_wave(bakery.parts, "whole")

    assert (found.live, found.left) == (12, {}), "its freeze ended by itself, and then it was his turn"


class Writes:
    """A legacy database in which somebody writes for so many looks."""

    dialect = "postgresql"

    def __init__(self, looks: int) -> None:
        self.left = looks

    def writers(self) -> frozenset[str]:
        self.left -= 1
        return frozenset({"3/141"} if self.left > 0 else set())


def test_it_waits_for_who_was_writing_to_legacy_when_users_were_frozen(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    writes = Writes(4)

    found = cutover.cut_over_users(replace(bakery.parts, watches={"legacy": writes}), ["7"])  # type: ignore[dict-item]

    assert found.live == 1 and writes.left == 0


def test_where_somebody_does_not_end_writing_nobody_else_is_tried(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    parts = replace(cutting(bakery, users=5, budget=timedelta(seconds=1)), watches={"legacy": Writes(10**9)})  # type: ignore[dict-item]

    found = cutover.cut_over_wave(parts, "whole")

    assert (found.live, found.undone, len(found.left)) == (0, 5, 12)
    assert found.stopped is not None and "legacy: 3/141" in found.stopped
    assert frozen(bakery) == [] and set(homes_of(bakery).values()) == {"legacy"}


def test_who_is_one_account_goes_together_or_not_at_all(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    bakery.move(cutover="manual")
    with bakery.parts.control.write() as db:
        users.assign(db, 1, ["2", "5"], group_key="2")
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Renamed' where id = 5")
    with bakery.target() as db:
        db.execute("update accounts set name = 'Mallory' where email = 'c5@bakery.example'")

    found = cutover.cut_over_users(bakery.parts, ["2"])

    assert (found.asked, found.live) == (2, 0)
    assert "one account with a user who cannot be cut over" in found.left["2"]


def test_only_who_is_moved_can_be_cut_over(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    cutover.cut_over_users(bakery.parts, ["7"])

    with pytest.raises(Refused, match="user 7 is live, and only who is moved"):
        cutover.cut_over_users(bakery.parts, ["7"])


def test_a_dry_run_freezes_nobody(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")

    found = cutover.cut_over_wave(bakery.parts, "all", dry_run=True)

    assert (found.asked, found.live, found.waves) == (12, 0, ["whole"])
    assert set(bakery.users().values()) == {"moved"} and set(homes_of(bakery).values()) == {"legacy"}


def test_who_is_put_back_while_he_is_cut_over_is_put_back(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")

    with bakery.parts.control.write() as db:
        one = cutovers.get(db, cutovers.begin(db, 1, None, "somebody", bakery.parts.now()))
        cutovers.freeze(db, one, ["7"], timedelta(seconds=30))
    with pytest.raises(Refused, match="being cut over"):
        rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7"))

    assert bakery.users()["7"] == "moved"


def test_history_tells_every_change_of_home_once_with_its_reason(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")  # cut over at once, by batches
    with bakery.parts.control.read() as db:
        assert [(one.version, one.was, one.home) for one in homes.history(db, 1, "7")] == [(1, "legacy", "target")]
        assert db.scalar(sa.select(sa.func.count()).select_from(tables.homes)) == 0, "batches write no history"

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7"))

    with bakery.parts.control.read() as db:
        told = homes.history(db, 1, "7")
        assert homes.since(db, 1, "7") == told[-1].since
    assert [(one.version, one.was, one.home) for one in told] == [(1, "legacy", "target"), (2, "target", "legacy")]
    assert told[0].since < told[1].since and "rolled back" in told[1].why


def test_applications_that_share_a_redis_see_the_freeze_and_the_flip_at_once(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    server = EmbeddedRedis(tmp_path)
    server.start()
    try:
        router = Router(f"sqlite:///{bakery.folder / 'control.db'}", server.url)
        assert router.home("7") is Home.LEGACY
        parts = replace(bakery.parts, homes=HomeCache(server.url))
        meanwhile: list[Home] = []
        crashpoints.watch(at_point("cutover-drained", lambda: meanwhile.append(router.home("7"))))

        cutover.cut_over_users(parts, ["7"])

        assert (meanwhile, router.home("7")) == ([Home.MOVING], Home.TARGET)
        rollbacks.roll_back(parts, rollbacks.scope(parts, user="7"))
        assert router.home("7") is Home.LEGACY
        router.close()
    finally:
        server.stop()


def test_a_rollback_waits_for_no_cutover_that_is_dead(waiting: Bakery, tmp_path: Path) -> None:
    bakery = waiting.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        one = cutovers.get(db, cutovers.begin(db, 1, None, "somebody", bakery.parts.now()))
        cutovers.freeze(db, one, ["7"], timedelta(seconds=30))
    time_passes(bakery)

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"))

    assert set(bakery.users().values()) == {"rolled_back"} and set(homes_of(bakery).values()) == {"legacy"}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_of_the_machine_neither_lengthens_a_soak_nor_ends_it(
    waiting: Bakery, tmp_path: Path, hours: int
) -> None:
    bakery = waiting.copy(tmp_path / "b")
    elsewhere = replace(bakery.parts, now=lambda: utc_now() + timedelta(hours=hours))
    cutover.cut_over_wave(bakery.parts if hours > 0 else elsewhere, "whole")
    with bakery.parts.control.write() as db:
        settings = db.scalar(sa.select(tables.plans.c.settings))
        db.execute(sa.update(tables.plans).values(settings={**settings, "soak_seconds": 1800}))
    with pytest.raises(Refused, match="it soaks until "):
        settling.settle(elsewhere if hours > 0 else bakery.parts, "whole")
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.plans).values(settings={**settings, "soak_seconds": 0}))

    settling.settle(elsewhere if hours < 0 else bakery.parts, "whole")

    assert set(bakery.users().values()) == {"settled"}
