"""A batch has one holder at a time, whoever asks and whenever; only the newest fence may say how it ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa

from migrator.rollout.states import Batch, Wave
from migrator.store import batches, users, waves
from migrator.store.control import Control, clock
from tests.flows.memory import a_plan, a_user, a_wave

MINUTE = timedelta(minutes=1)


def a_waiting_batch(control: Control, *keys: str) -> batches.Batch:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        for key in keys:
            a_user(db, plan, key)
        found = batches.get(db, batches.add(db, wave.id, 1, keys, plan.id, ramp=False))
    assert found is not None
    return found


def claimed(control: Control, batch: batches.Batch, *, lease: timedelta = MINUTE, owner: str = "a") -> batches.Batch:
    with control.write() as db:
        found = batches.claim(db, batch.id, None, owner, lease)
    assert found is not None
    return found


def at_once(work: Callable[[int], object], times: int = 6) -> list[object]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(work, range(times)))


def test_of_many_who_want_a_batch_at_once_one_gets_it(control: Control) -> None:
    batch = a_waiting_batch(control, "1")

    def claim(number: int) -> batches.Batch | None:
        with control.write() as db:
            return batches.claim(db, batch.id, 0, f"worker {number}", MINUTE)

    got = [one for one in at_once(claim) if one is not None]

    assert len(got) == 1
    with control.read() as db:
        assert batches.get(db, batch.id) == got[0]


def test_a_batch_under_lease_is_nobody_elses_until_the_lease_has_run_out(control: Control) -> None:
    batch = a_waiting_batch(control, "1")
    first = claimed(control, batch)
    with control.write() as db:
        assert batches.claim(db, batch.id, None, "b", MINUTE) is None
        batches.renew(db, first, -MINUTE, progressed=True)

    second = claimed(control, batch, owner="b")

    assert (first.fence, second.fence, second.owner) == (1, 2, "b")


def test_who_lost_the_batch_can_neither_renew_nor_end_it(control: Control) -> None:
    batch = a_waiting_batch(control, "1")
    lost = claimed(control, batch, lease=-MINUTE)
    held = claimed(control, batch, owner="b")

    with control.write() as db:
        ends = [
            batches.renew(db, lost, MINUTE, progressed=True),
            batches.finish(db, lost, 1),
            batches.give_back(db, lost, "", MINUTE),
            batches.fail(db, lost, ""),
            batches.close_split(db, lost),
            batches.reap(db, lost),
        ]

    assert ends == [False] * 6
    with control.read() as db:
        assert batches.get(db, batch.id) == held


def test_only_leases_that_have_run_out_are_reaped_and_each_once(control: Control) -> None:
    dead, alive = a_waiting_batch(control, "1"), a_waiting_batch(control, "2")
    claimed(control, dead, lease=-MINUTE)
    claimed(control, alive)
    with control.read() as db:
        found = batches.expired(db)
    assert [one.id for one in found] == [dead.id]

    def reap(_: int) -> bool:
        with control.write() as db:
            return batches.reap(db, found[0])

    assert sorted(at_once(reap)) == [False] * 5 + [True]  # type: ignore[type-var]
    with control.read() as db:
        after = batches.get(db, dead.id)
    assert after is not None
    assert (after.status, after.interruptions, after.owner, after.fence) == (Batch.READY, 1, None, 1)


def test_a_message_counts_only_with_the_newest_number(control: Control) -> None:
    batch = a_waiting_batch(control, "1")
    with control.write() as db:
        assert batches.ring(db, batch) == 1
        assert batches.ring(db, batch) is None  # somebody else has rung meanwhile
        assert batches.claim(db, batch.id, 0, "late", MINUTE) is None
        assert batches.claim(db, batch.id, 1, "in time", MINUTE) is not None


def test_time_is_the_databases_own(control: Control) -> None:
    batch = claimed(control, a_waiting_batch(control, "1"))

    with control.read() as db:
        left = (batch.lease_until or clock(db)) - clock(db)
    assert timedelta(seconds=50) < left <= MINUTE


def test_given_back_it_waits_and_one_attempt_is_used(control: Control) -> None:
    batch = claimed(control, a_waiting_batch(control, "1"))
    with control.write() as db:
        assert batches.give_back(db, batch, "the disk is full", MINUTE)
        after = batches.get(db, batch.id)
        now = clock(db)

    assert after is not None
    assert (after.status, after.attempts, after.error, after.rung_at) == (Batch.READY, 1, "the disk is full", None)
    assert after.not_before is not None and after.not_before > now


def test_a_batch_that_was_taken_once_is_not_dropped_because_only_the_ledger_knows_what_became_of_it(
    control: Control,
) -> None:
    taken = claimed(control, a_waiting_batch(control, "1"))
    with control.write() as db:
        batches.give_back(db, taken, "", timedelta(0))
        plan_id = waves.get(db, taken.wave_id).plan_id
        fresh = batches.add(db, taken.wave_id, 2, [], plan_id, ramp=False)

        assert batches.drop_ready(db, taken.wave_id, "the wave was cancelled") == 1
        statuses = {one.id: one.status for one in batches.of_wave(db, taken.wave_id)}

    assert statuses == {taken.id: Batch.READY, fresh: Batch.FAILED}


def test_a_part_inherits_what_was_used_up_and_takes_its_users_along(control: Control) -> None:
    batch = a_waiting_batch(control, "1", "2")
    with control.write() as db:
        plan_id = waves.get(db, batch.wave_id).plan_id
        part = batches.get(db, batches.add(db, batch.wave_id, 1, ["2"], plan_id, ramp=False, attempts=4))

        assert part is not None
        assert (part.attempts, part.interruptions) == (4, 0)
        assert users.of_batch(db, part.id) == ["2"]
        assert users.of_batch(db, batch.id) == ["1"]


def test_who_pauses_a_wave_sees_the_lease_or_is_seen_by_who_takes_it(control: Control) -> None:
    batch = a_waiting_batch(control, "1")

    def claim_or_pause(number: int) -> str:
        with control.write() as db:
            wave = waves.get(db, batch.wave_id, stays=number == 0)
            if number == 0:
                running = wave.status is Wave.RUNNING
                got = batches.claim(db, batch.id, None, "a", MINUTE) if running else None
                return "taken" if got else "left"
            waves.move(db, wave, Wave.PAUSING)
            return "seen" if batches.leased(db, wave.id) else "unseen"

    assert tuple(at_once(claim_or_pause, 2)) in {("taken", "seen"), ("left", "unseen")}


def test_batches_of_a_wave_are_counted_by_status(control: Control) -> None:
    batch = a_waiting_batch(control, "1")
    claimed(control, batch)
    with control.write() as db:
        plan_id = waves.get(db, batch.wave_id).plan_id
        batches.add(db, batch.wave_id, 2, [], plan_id, ramp=True)

        assert batches.counts(db, [batch.wave_id]) == {batch.wave_id: {"running": 1, "ready": 1}}
        assert batches.leased(db, batch.wave_id) == 1
        assert batches.last_ordinal(db, batch.wave_id) == 2
        assert [one.ramp for one in batches.of_wave(db, batch.wave_id, (Batch.READY,))] == [True]


def test_a_very_long_list_of_batches_is_no_trouble(control: Control) -> None:
    with control.write() as db:
        batches.forget_ring(db, range(70_000))
        assert db.scalar(sa.select(1)) == 1
