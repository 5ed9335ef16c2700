"""Batches are cut off a wave one by one: everybody into one, nobody parted who belongs together, whoever else cuts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from migrator.rollout.pace import Ended
from migrator.rollout.states import User, Wave
from migrator.store import batches, cuts, tables, users, waves
from migrator.store.control import Control
from tests.flows.memory import NOW, a_control, a_plan, a_wave


def a_cut_wave(control: Control, units: list[int], *, held: frozenset[int] = frozenset()) -> int:
    """A running wave of groups of these sizes, one behind the other, that is about to be cut; its id."""
    rows = []
    for unit, size in enumerate(units):
        for member in range(size):
            status = User.HELD if unit in held else User.PLANNED
            leader = f"{unit:03}-000" if size > 1 else None
            rows.append({"user_key": f"{unit:03}-{member:03}", "group_key": leader, "status": status.value})
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        frame = pl.DataFrame(rows, schema={"user_key": pl.String, "group_key": pl.String, "status": pl.String})
        alike = {"tier": "normal", "code": "010", "f": 1, "m": "0", "home": "legacy", "changed_at": NOW}
        frame = frame.with_columns(pl.lit(value).alias(name) for name, value in alike.items())
        frame = frame.with_row_index("place").with_columns(pl.lit(wave.id).alias("wave_id"))
        users.add(db, plan.id, [frame])
        cuts.begin(db, wave.id)
    return wave.id


def cut_one(control: Control, wave_id: int, size: int) -> int | None:
    with control.write() as db:
        return cuts.next_batch(db, waves.get(db, wave_id), size)


def cut_all(control: Control, wave_id: int, size: int) -> list[list[str]]:
    """Everybody, batch by batch."""
    found = []
    while (batch_id := cut_one(control, wave_id, size)) is not None:
        with control.read() as db:
            found.append(users.of_batch(db, batch_id))
            batch = batches.get(db, batch_id)
            assert batch is not None and batch.users == len(found[-1])
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    control = a_control(tmp_path_factory.mktemp("cuts"))
    yield control
    control.close()


@given(st.lists(st.integers(1, 9), max_size=25), st.integers(1, 12), st.frozensets(st.integers(0, 24), max_size=6))
def test_everybody_planned_is_in_one_batch_and_no_group_is_parted(
    small: Control, units: list[int], size: int, held: frozenset[int]
) -> None:
    try:
        parts = cut_all(small, a_cut_wave(small, units, held=held), size)
    finally:
        with small.write() as db:
            for table in reversed(tables.metadata.sorted_tables):
                db.execute(table.delete())

    planned = [f"{unit:03}-{member:03}" for unit, n in enumerate(units) if unit not in held for member in range(n)]
    assert [user for part in parts for user in part] == planned
    groups = [{user.partition("-")[0] for user in part} for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups)), "a group is in two batches"
    for part, of in zip(parts, groups, strict=True):
        assert len(part) <= size or len(of) == 1, "larger than it should be for the sake of no group"


def test_batches_are_cut_in_order_until_nobody_is_left(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 5)

    assert [len(part) for part in cut_all(control, wave_id, 2)] == [2, 2, 1]
    with control.read() as db:
        assert waves.get(db, wave_id).uncut_from is None
        assert [one.ordinal for one in batches.of_wave(db, wave_id)] == [1, 2, 3]


def test_who_is_in_a_batch_already_is_not_cut_again(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 6)
    with control.write() as db:
        batches.add(db, wave_id, 1, ["001-000", "004-000"], waves.get(db, wave_id).plan_id, ramp=True)

    assert cut_all(control, wave_id, 3) == [["000-000", "002-000", "003-000"], ["005-000"]]


def test_of_many_who_cut_at_once_nobody_cuts_the_same(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 40)

    with ThreadPoolExecutor(4) as pool:
        made = [one for one in pool.map(lambda _: cut_one(control, wave_id, 5), range(8)) if one is not None]

    with control.read() as db:
        each = [set(users.of_batch(db, one)) for one in made]
    assert len(set(made)) == len(made) >= 1
    assert sum(map(len, each)) == len(set().union(*each)) == 5 * len(made)
    cut_all(control, wave_id, 5)
    with control.read() as db:
        assert sum(one.users for one in batches.of_wave(db, wave_id)) == 40


def test_a_mark_that_was_moved_by_somebody_else_cuts_nothing(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 4)
    with control.read() as db:
        seen = waves.get(db, wave_id)
    cut_one(control, wave_id, 2)

    with control.write() as db:
        assert cuts.next_batch(db, seen, 2) is None
        assert len(batches.of_wave(db, wave_id)) == 1


def test_a_wave_that_does_not_run_is_not_cut(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 4)
    with control.write() as db:
        waves.move(db, waves.get(db, wave_id), Wave.PAUSED)

    assert cut_one(control, wave_id, 2) is None


def test_only_batches_that_were_done_at_the_first_try_are_measured(control: Control) -> None:
    wave_id = a_cut_wave(control, [1] * 6)
    first, again, open_ = (cut_one(control, wave_id, 2) for _ in range(3))
    assert first and again and open_
    with control.write() as db:
        for batch_id, tries in ((first, 1), (again, 2)):
            for attempt in range(tries):
                claimed = batches.claim(db, batch_id, None, "worker", timedelta(minutes=1))
                assert claimed is not None
                if attempt + 1 < tries:
                    assert batches.give_back(db, claimed, "the target is away", timedelta(0))
            assert batches.finish(db, claimed, 2, memory=321)
        db.execute(sa.update(tables.batches).where(tables.batches.c.id == first).values(started_at=NOW))
        after = NOW + timedelta(seconds=3)
        db.execute(sa.update(tables.batches).where(tables.batches.c.id == first).values(finished_at=after))

        assert cuts.ended(db, wave_id) == (1, [Ended(2, 3.0, 321)])


def test_a_wave_is_cut_by_its_index_however_large_it_is(tmp_path: Path) -> None:
    control = a_control(tmp_path)
    wave_id = a_cut_wave(control, [1])
    asked: list[str] = []
    sa.event.listen(control.engine, "before_cursor_execute", lambda *words: asked.append(words[2]))
    cut_one(control, wave_id, 2)

    with control.read() as db:
        of_users = [sql for sql in asked if "users.place" in sql]
        assert of_users
        for sql in of_users:
            plan = " ".join(str(row) for row in db.exec_driver_sql(f"explain query plan {sql}", (1,) * sql.count("?")))
            assert "users_wave_id_users_place" in plan and "SCAN" not in plan, plan
    control.close()
