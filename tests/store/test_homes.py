"""Who is served where, in either control database: histories, freezes that end, requests that are made once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.store import batches, cutovers, homes, requests, users
from migrator.store.control import Control, clock
from migrator.store.plans import Plan
from migrator.store.tables import frozen
from migrator.store.tables import users as user_rows
from tests.flows.memory import NOW, a_batch, a_plan, a_user, a_wave

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def plan(control: Control) -> Iterator[Plan]:
    """Five moved users."""
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        for key in "abcde":
            a_user(db, plan, key, status="moved", wave_id=wave.id)
    yield plan


def begin(control: Control, plan: Plan) -> cutovers.Cutover:
    with control.write() as db:
        return cutovers.get(db, cutovers.begin(db, plan.id, None, "ada", NOW))


def test_a_change_of_home_is_written_down_once_and_counted_up(control: Control, plan: Plan) -> None:
    with control.write() as db:
        homes.change(db, plan.id, ["a", "b"], "target", NOW, "first")
        users.assign(db, plan.id, ["a", "b"], home="target")
        homes.change(db, plan.id, ["a", "b"], "target", LATER, "no change")
        homes.change(db, plan.id, ["a", "c"], "legacy", LATER, "back")
        users.assign(db, plan.id, ["a"], home="legacy")

    with control.read() as db:
        assert [(one.version, one.was, one.home, one.since, one.why) for one in homes.history(db, plan.id, "a")] == [
            (1, "legacy", "target", NOW, "first"), (2, "target", "legacy", LATER, "back"),
        ]  # fmt: skip
        assert [one.version for one in homes.history(db, plan.id, "b")] == [1]
        assert homes.history(db, plan.id, "c") == []
        assert (homes.since(db, plan.id, "a"), homes.since(db, plan.id, "c")) == (LATER, plan.created_at)
        assert homes.since(db, plan.id, "z") is None


def test_what_a_batch_did_is_told_by_the_batch_until_somebody_leaves(control: Control, plan: Plan) -> None:
    with control.write() as db:
        wave = a_wave(db, plan, name="second")
        batch = a_batch(db, wave, ["d", "e"])
        users.assign(db, plan.id, ["d", "e"], status="live", home="target")
    with control.read() as db:
        told = homes.history(db, plan.id, "d")
        assert [(one.version, one.home, one.since) for one in told] == [(1, "target", batch.finished_at)]

    with control.write() as db:
        homes.change(db, plan.id, ["d"], "legacy", LATER, "rolled back")
        users.assign(db, plan.id, ["d"], home="legacy", batch_id=None)

    with control.read() as db:
        assert [(one.version, one.home, one.since) for one in homes.history(db, plan.id, "d")] == [
            (1, "target", batch.finished_at), (2, "legacy", LATER),
        ]  # fmt: skip
        assert len(homes.history(db, plan.id, "e")) == 1


def test_two_cutovers_never_freeze_the_same_user(control: Control, plan: Plan) -> None:
    both = [begin(control, plan) for _ in range(2)]

    def freeze(one: cutovers.Cutover) -> list[str]:
        with control.write() as db:
            return cutovers.freeze(db, one, "abcde", timedelta(seconds=30))

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(freeze, both))

    assert sorted(found[0] + found[1]) == list("abcde")
    with control.read() as db:
        assert set(homes.of(db, plan.id, "abcde").values()) == {"moving"}
        assert homes.since(db, plan.id, "a") == db.scalar(sa.select(frozen.c.since).where(frozen.c.user_key == "a"))


def test_only_who_is_moved_and_in_legacy_is_frozen(control: Control, plan: Plan) -> None:
    with control.write() as db:
        users.assign(db, plan.id, ["a"], status="live", home="target")
        users.assign(db, plan.id, ["b"], status="rolling_back")
        one = cutovers.get(db, cutovers.begin(db, plan.id, None, "ada", NOW))

        assert cutovers.freeze(db, one, "abcde", timedelta(seconds=30)) == ["c", "d", "e"]


def test_a_freeze_that_is_over_cannot_be_used_and_is_reaped(control: Control, plan: Plan) -> None:
    one = begin(control, plan)
    with control.write() as db:
        cutovers.freeze(db, one, "ab", timedelta(seconds=30))
        cutovers.freeze(db, one, "c", timedelta(seconds=-1))

    with control.write() as db:
        assert cutovers.take(db, one, ["c"]) == []
        assert cutovers.reap(db) == {one.id: ["c"]}
        assert cutovers.reap(db) == {}
        assert cutovers.take(db, one, "abc") == ["a", "b"]
        assert homes.of(db, plan.id, "abc") == {"a": "moving", "b": "moving", "c": "legacy"}


def test_of_the_reaper_and_the_flip_one_has_the_user(control: Control, plan: Plan) -> None:
    one = begin(control, plan)
    with control.write() as db:
        cutovers.freeze(db, one, "abcde", timedelta(seconds=30))

    def flip(key: str) -> list[str]:
        with control.write() as db:
            held = cutovers.take(db, one, key)
            users.move(db, plan.id, held, (User.MOVED,), User.LIVE, NOW, home="target")
            return held

    def thaw(_: str) -> list[str]:
        with control.write() as db:
            return cutovers.thaw(db, one)

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(act, key) for key in "abcde" for act in (flip, thaw)]
    gone = [key for each in found for key in each.result()]

    assert sorted(gone) == list("abcde")
    with control.read() as db:
        left = {row.user_key: (row.status, row.home) for row in db.execute(sa.select(user_rows))}
    assert set(left.values()) <= {("live", "target"), ("moved", "legacy")}


def test_who_is_put_back_meanwhile_is_left_to_who_puts_him_back(control: Control, plan: Plan) -> None:
    one = begin(control, plan)
    with control.write() as db:
        cutovers.freeze(db, one, "a", timedelta(seconds=30))
        users.assign(db, plan.id, ["a"], status="rolling_back")

        assert cutovers.thaw(db, one) == ["a"]

        assert homes.of(db, plan.id, "a") == {"a": "moving"}


def test_a_request_is_one_row_however_many_ask_at_once(control: Control, plan: Plan) -> None:
    def ask(number: int) -> requests.Request:
        with control.write() as db:
            return requests.ask(db, plan.id, "a", f"door {number}", clock(db), cut_over=number == 7)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(12)))

    with control.read() as db:
        found = requests.open_(db, plan.id)
    assert [(one.user_key, one.cut_over) for one in found] == [("a", True)], "who wants more gets more"


def test_what_was_refused_can_be_asked_for_again(control: Control, plan: Plan) -> None:
    with control.write() as db:
        requests.ask(db, plan.id, "a", "ada", NOW)
        requests.note(db, plan.id, ["a"], status=requests.REFUSED, reason="held", ended_at=NOW)
        assert requests.open_(db, plan.id) == []

        again = requests.ask(db, plan.id, "a", "router", LATER)

    assert (again.status, again.reason, again.asked_by, again.asked_at) == ("open", None, "router", LATER)


def test_whom_a_worker_has_no_other_batch_gets(control: Control, plan: Plan) -> None:
    with control.write() as db:
        wave = a_wave(db, plan, name="second")
        users.assign(db, plan.id, ["a", "b", "c"], status="planned", wave_id=wave.id)
        first = batches.add(db, wave.id, 1, ["a", "b"], plan.id, ramp=False)
        taken = batches.add(db, wave.id, 2, ["c"], plan.id, ramp=False)
        assert batches.claim(db, taken, None, "worker", timedelta(minutes=1)) is not None

        assert (batches.leave(db, first, 1), batches.leave(db, taken, 1)) == (True, False)

        mine = batches.add(db, wave.id, 3, (), plan.id, ramp=False)
        assert requests.put(db, plan.id, ["a"], mine, [first]) == 1
        assert requests.put(db, plan.id, ["c"], mine, []) == 0, "he is in a batch that he has not left"
        left = batches.get(db, first)
    assert left is not None and left.users == 1
