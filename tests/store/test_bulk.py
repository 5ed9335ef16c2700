"""Many rows at once are stored as one by one, and found by the index that is there for them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from migrator.rollout.states import User
from migrator.store import bulk, tables, tiers, users
from migrator.store import control as control_room
from migrator.store.control import Control
from tests.flows.memory import NOW, a_plan, a_wave

ODD = ("plain", "", 'a,"b"', "two\nlines", "\\N", "NULL", "ümläut 😀", " blanks ", None)


def someone(key: str, **changes: Any) -> dict[str, Any]:
    return {
        "user_key": key, "kind": "user", "tier": "core", "code": "111", "r": 3, "f": 2, "m": "1.50",
        "status": "planned", "home": "legacy", "changed_at": NOW, "email_print": None, "contact": None, **changes,
    }  # fmt: skip


def test_what_is_copied_in_bulk_is_what_a_single_row_would_be(control: Control) -> None:
    people = [
        someone(f"u{place}", reason=text, r=None if place % 2 else place, contact=bytes(range(place, 256)))
        for place, text in enumerate(ODD)
    ]
    with control.write() as db:
        plan = a_plan(db)
        other = a_plan(db, salt="another")
        users.add(db, plan.id, [pl.DataFrame(people, infer_schema_length=None)])
        for person in people:
            db.execute(sa.insert(tables.users).values(plan_id=other.id, **person))

        bulky, single = (users.some(db, one.id, [f"u{n}" for n in range(9)]) for one in (plan, other))

    plain = [{name: getattr(one, name) for name in one.__slots__ if name != "plan_id"} for one in bulky]
    assert plain == [{name: getattr(one, name) for name in one.__slots__ if name != "plan_id"} for one in single]
    assert [one.reason for one in bulky] == list(ODD)


def test_more_rows_than_go_at_once_all_arrive(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 2)
    rows = pl.DataFrame(
        [(f"u{n}", "core", "111", None if n == 3 else n, n, f"{n}.5") for n in range(7)],
        schema=["user_key", "tier", "code", "r", "f", "m"],
        orient="row",
    )
    with control.write() as db:
        tiers.replace(db, rows, NOW, {}, "hash", NOW)
        tiers.replace(db, rows, NOW, {}, "hash", NOW)

        assert tiers.every(db).sort("user_key").select(rows.columns).rows() == rows.rows()


def test_a_disk_or_a_row_that_refuses_is_told_as_by_a_single_row(control: Control) -> None:
    with pytest.raises(sa.exc.DBAPIError), control.write() as db:
        plan = a_plan(db)
        users.add(db, plan.id, [pl.DataFrame([someone("1"), someone("1")], infer_schema_length=None)])


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_indexes_are_there_again_once_a_plan_is_filled_or_could_not_be(control: Control, ends: str) -> None:
    before = indexes(control)

    try:
        with control.write() as db, users.filling(db):
            users.add(db, a_plan(db).id, [pl.DataFrame([someone("1")])])
            if ends == "badly":
                raise InterruptedError
    except InterruptedError:
        pass

    assert indexes(control) == before
    assert {"ix_users_batch_id", "ix_users_email_print"} <= set(before)


def test_one_user_and_all_counts_are_found_by_an_index_and_nothing_is_scanned(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        people = [someone(str(n), email_print=f"{n:032x}", wave_id=wave.id) for n in range(3000)]
        with users.filling(db):
            users.add(db, plan.id, [pl.DataFrame(people, infer_schema_length=None)])
        asked: list[tuple[str, Any]] = []

        def note(_db: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            asked.append((statement, values))

        sa.event.listen(control.engine, "before_cursor_execute", note)
        try:
            assert users.get(db, plan.id, "7") is not None
            assert [one.user_key for one in users.by_email(db, plan.id, f"{7:032x}")] == ["7"]
            assert users.with_groups(db, plan.id, ["7"])
            users.any_of(db, wave.id, User.FAILED)
            assert users.of_batch(db, 1) == []
        finally:
            sa.event.remove(control.engine, "before_cursor_execute", note)
        plans = [explained(db, statement, values) for statement, values in asked]

    assert not [plan_ for plan_ in plans if "SCAN users" in plan_ or "Seq Scan on users" in plan_], plans
    assert any("ix_users_email_print" in plan_ for plan_ in plans)


def test_every_combination_is_counted_once(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        people = [someone("1"), someone("2", wave_id=wave.id), someone("3", wave_id=wave.id, tier="edge")]
        people += [someone("~orders:1", kind="rows", wave_id=wave.id), someone("4", wave_id=wave.id)]
        users.add(db, plan.id, [pl.DataFrame(people, infer_schema_length=None)])

        assert set(users.tally(db, plan.id)) == {
            ("rows", wave.id, "core", "planned", 1),
            ("user", None, "core", "planned", 1),
            ("user", wave.id, "core", "planned", 2),
            ("user", wave.id, "edge", "planned", 1),
        }
        assert sorted(users.counts(db, plan.id, "rows")) == [(wave.id, "core", "planned", 1)]


def test_the_newest_revision_is_known_without_alembic(control: Control) -> None:
    script = ScriptDirectory(str(control_room._REVISIONS))

    assert control.head() == control.revision() == script.get_current_head()


def explained(db: sa.Connection, statement: str, values: Any) -> str:
    word = "EXPLAIN QUERY PLAN " if db.dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(str(row) for row in db.exec_driver_sql(word + statement, values))


def indexes(control: Control) -> list[str]:
    with control.read() as db:
        return sorted(str(index["name"]) for index in sa.inspect(db).get_indexes("users"))
