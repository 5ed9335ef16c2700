"""Users change status only from what they are; a million of them are no other case than three."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from migrator.rollout.states import User
from migrator.store import users
from migrator.store.control import Control
from tests.flows.memory import NOW, a_batch, a_plan, a_user, a_wave


def test_only_users_who_still_are_what_was_thought_change(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_user(db, plan, "1")
        a_user(db, plan, "2", status="excluded")
        a_user(db, a_plan(db, salt="another"), "1")

        moved = users.move(db, plan.id, ["1", "2", "3"], (User.PLANNED,), User.MOVING, NOW, home="moving")

        assert moved == 1
        assert [(one.user_key, one.status, one.home) for one in users.of_plan(db, plan.id, tuple(User))] == [
            ("1", User.MOVING, "moving"),
            ("2", User.EXCLUDED, "legacy"),
        ]


def test_more_users_than_a_statement_takes_values_change_all_the_same(control: Control) -> None:
    many = [str(number) for number in range(70_000)]
    with control.write() as db:
        plan = a_plan(db)
        for key in ("1", "69999"):
            a_user(db, plan, key)

        assert users.move(db, plan.id, many, (User.PLANNED,), User.MOVING, NOW) == 2
        assert [one.user_key for one in users.some(db, plan.id, many)] == ["1", "69999"]
        assert users.counts(db, plan.id) == [(None, "normal", "moving", 2)]


def test_the_users_of_a_batch_change_together_unless_they_are_something_else(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        for key in ("1", "2", "3"):
            a_user(db, plan, key)
        a_user(db, plan, "4", status="excluded")
        batch = a_batch(db, wave, ["1", "2", "4"])

        assert users.move_batch(db, batch.id, (User.PLANNED,), User.MOVING, NOW, home="moving") == 2
        assert [(one.user_key, one.status, one.home) for one in users.of_plan(db, plan.id, tuple(User))] == [
            ("1", User.MOVING, "moving"),
            ("2", User.MOVING, "moving"),
            ("3", User.PLANNED, "legacy"),
            ("4", User.EXCLUDED, "legacy"),
        ]


def test_nobody_walks_through_a_plan_to_change_a_few_users_of_it(control: Control) -> None:
    """SQLite knows nothing of how many users are in a status: by an index that begins with the plan it would look at all."""
    asked: list[tuple[str, Any]] = []
    with control.write() as db:
        plan = a_plan(db)
        sa.event.listen(db, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        users.move(db, plan.id, ["1"], (User.PLANNED,), User.MOVING, NOW)
        users.move_batch(db, 1, (User.PLANNED,), User.MOVING, NOW)
        if control.dialect != "sqlite":
            return
        ways = [
            " ".join(row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given))
            for statement, given in tuple(asked)
        ]

    assert "sqlite_autoindex_users_1 (plan_id=? AND user_key=?)" in ways[0]
    assert "ix_users_batch_id (batch_id=?)" in ways[1]


@pytest.mark.parametrize("statuses", [None, (User.LIVE,)])
def test_users_are_found_by_wave_and_batch_in_key_order(control: Control, statuses: tuple[User, ...] | None) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        for key in ("b", "a"):
            a_user(db, plan, key, wave_id=wave.id, status="live")
        batch = a_batch(db, wave, ["b", "a"])

        assert [one.user_key for one in users.of_wave(db, wave.id, statuses)] == ["a", "b"]
        assert users.of_batch(db, batch.id, statuses) == ["a", "b"]


def test_users_are_found_by_the_snapshot_that_holds_them(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        batch = a_batch(db, wave, [])
        a_user(db, plan, "1", status="live", batch_id=batch.id, fence=1)
        a_user(db, plan, "2", status="live", batch_id=batch.id, fence=2)
        a_user(db, plan, "3", status="held", batch_id=batch.id)

        assert users.of_batches(db, plan.id, tuple(User)) == {(batch.id, 1): ["1"], (batch.id, 2): ["2"]}


def test_however_many_lots_they_come_in_users_are_held_by_their_snapshots(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "_AT_ONCE", 2)
    with control.write() as db:
        plan = a_plan(db)
        wave, other = a_wave(db, plan), a_wave(db, plan, ordinal=2)
        batch, last = a_batch(db, wave, []), a_batch(db, other, [])
        for key in ("5", "é", "4", "1", "3"):
            a_user(db, plan, key, wave_id=wave.id, status="live", batch_id=batch.id, fence=1)
        a_user(db, plan, "2", wave_id=wave.id, status="held", batch_id=batch.id, fence=1)
        a_user(db, plan, "6", wave_id=wave.id, status="live", batch_id=batch.id)
        a_user(db, plan, "7", wave_id=other.id, status="live", batch_id=last.id, fence=3)

        everybody = users.held(db, plan.id, (User.LIVE,))
        of_one_wave = users.held(db, plan.id, (User.LIVE,), other.id)

    assert {snapshot: keys.to_list() for snapshot, keys in everybody.items()} == {
        (batch.id, 1): ["1", "3", "4", "5", "é"],
        (last.id, 3): ["7"],
    }
    assert {snapshot: keys.to_list() for snapshot, keys in of_one_wave.items()} == {(last.id, 3): ["7"]}
