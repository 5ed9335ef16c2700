"""How many users are what is counted as they change; it is what one would count, whoever changes whom and how."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from migrator.rollout.states import User, Wave
from migrator.store import batches, cuts, measures, tables, tallies, users, waves
from migrator.store.control import Control
from tests.flows.memory import NOW, a_plan, a_user, a_wave

ALL = tuple(User)


def counted(db: sa.Connection) -> Counter[tuple[object, ...]]:
    """The truth: every row looked at."""
    columns = [tables.users.c[name] for name in tallies.Group._fields]
    return Counter(tuple(row) for row in db.execute(sa.select(*columns)))


def told(db: sa.Connection) -> Counter[tuple[object, ...]]:
    plans = db.scalars(sa.select(tables.plans.c.id)).all()
    return Counter({tuple(group): n for plan_id in plans for group, n in tallies.of_plan(db, plan_id).items()})


def a_cut_wave(control: Control, count: int) -> waves.Wave:
    """A running wave of users of three tiers, about to be cut."""
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        rows = [{"user_key": f"{n:03}", "place": n, "tier": ("core", "edge", "normal")[n % 3]} for n in range(count)]
        alike = {"code": "010", "f": 1, "m": "0", "home": "legacy", "status": "planned", "changed_at": NOW}
        frame = pl.DataFrame(rows).with_columns(pl.lit(value).alias(name) for name, value in alike.items())
        users.add(db, plan.id, [frame.with_columns(pl.lit(wave.id).alias("wave_id"))])
        cuts.begin(db, wave.id)
        return waves.get(db, wave.id)


def test_whatever_happens_to_users_the_counts_are_what_one_would_count(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave, other = a_wave(db, plan), a_wave(db, plan, name="core-5")
        for key in ("1", "2", "3"):
            a_user(db, plan, key, wave_id=wave.id)
        a_user(db, plan, "4", status="excluded", tier="none")
        a_user(db, plan, "~5", kind="rows", wave_id=other.id)
        assert told(db) == counted(db)

        users.move(db, plan.id, ["1", "2", "4", "nobody"], (User.PLANNED, User.EXCLUDED), User.HELD, NOW)
        assert told(db) == counted(db)
        users.assign(db, plan.id, ["1", "3", "~5"], wave_id=other.id)
        assert told(db) == counted(db)
        users.assign(db, plan.id, ["3"], fence=7)
        assert users.move(db, plan.id, ["1", "2", "3"], ALL, User.LIVE, NOW) == 3
        assert users.move(db, plan.id, ["1"], (User.PLANNED,), User.HELD, NOW) == 0
        assert told(db) == counted(db)
        assert users.count(db, plan.id) == 5
        assert users.count(db, plan.id, other.id) == 3
        assert users.any_of(db, wave.id, User.LIVE) and not users.any_of(db, wave.id, User.PLANNED)
        assert measures.wave_numbers(db, other.id).moved == 2


def test_a_batch_takes_its_users_once_and_they_are_counted(control: Control) -> None:
    wave = a_cut_wave(control, 8)
    with control.write() as db:
        batch_id = cuts.next_batch(db, wave, 5)
        assert batch_id
        assert users.of_batch(db, batch_id) == [f"{n:03}" for n in range(5)]
        users.move(db, wave.plan_id, ["002"], (User.PLANNED,), User.EXCLUDED, NOW)
        batches.add(db, wave.id, 9, ["003"], wave.plan_id, ramp=False)
        first = batches.claim(db, batch_id, None, "worker", timedelta(minutes=1))
        assert first

        assert users.take(db, wave.plan_id, first, NOW) == ["000", "001", "004"]

        assert users.of_batch(db, batch_id) == ["000", "001", "004"]
        assert told(db) == counted(db)
        assert {one.home for one in users.some(db, wave.plan_id, ["000", "001", "004"])} == {"moving"}


def test_who_came_back_to_a_batch_is_taken_again_and_nobody_else(control: Control) -> None:
    wave = a_cut_wave(control, 6)
    with control.write() as db:
        batch_id = cuts.next_batch(db, wave, 3)
        assert batch_id
        first = batches.claim(db, batch_id, None, "worker", timedelta(minutes=1))
        assert first
        taken = users.take(db, wave.plan_id, first, NOW)
        users.move(db, wave.plan_id, taken[:2], (User.MOVING,), User.PLANNED, NOW)
        users.assign(db, wave.plan_id, [taken[0]], batch_id=None)  # he goes with another one
        assert batches.give_back(db, first, "the target is away", timedelta(0))
        again = batches.claim(db, batch_id, None, "worker", timedelta(minutes=1))
        assert again

        assert users.take(db, wave.plan_id, again, NOW) == taken[1:]
        assert told(db) == counted(db)


def test_many_who_change_users_at_once_are_all_counted(control: Control) -> None:
    wave = a_cut_wave(control, 60)

    def change(turn: int) -> None:
        keys = [f"{n:03}" for n in range(turn, 60, 2)]
        with control.write() as db:
            users.move(db, wave.plan_id, keys, (User.PLANNED, User.HELD), (User.HELD, User.FAILED)[turn % 2], NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))

    with control.read() as db:
        assert told(db) == counted(db)
        assert sum(told(db).values()) == 60


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_what_is_undone_was_never_counted(control: Control, ends: str) -> None:
    wave = a_cut_wave(control, 4)
    with control.read() as db:
        before = told(db)

    try:
        with control.write() as db:
            users.move(db, wave.plan_id, ["000"], (User.PLANNED,), User.HELD, NOW)
            waves.note(db, wave.id, status=Wave.PAUSED.value)
            if ends == "badly":
                raise InterruptedError
    except InterruptedError:
        pass

    with control.read() as db:
        assert told(db) == counted(db)
        assert (told(db) == before) is (ends == "badly")
