"""A case is opened once for its cause, opened again when the cause is still there, and its decision outlives the plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.errors import NotFound
from migrator.rollout.states import Case as Status
from migrator.store import cases, waves
from migrator.store.control import Control
from tests.flows.memory import NOW, a_case, a_plan, a_user, a_wave

LATER = NOW + timedelta(hours=1)


def again(db: sa.Connection, case: cases.Case, **changes: Any) -> int:
    """The same finding once more, as a batch reports it."""
    names = ("plan_id", *cases.IDENTITY[1:], "cause", "value", "sensitive", "note", "file", "line", "position", "holds")
    return cases.open_all(db, [{name: getattr(case, name) for name in names} | {"users": case.users} | changes], LATER)


def test_the_same_finding_is_one_case_however_often_it_is_met(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_case(db, plan, ["1"])
        case = cases.select(db, plan.id)[0]

        assert again(db, case, users=["1", "2"]) == 0
        after = cases.get(db, case.id)

    assert (after.users, after.attempts, after.first_seen, after.last_seen) == (("1", "2"), 2, NOW, LATER)


@pytest.mark.parametrize("replayed", [False, True])
def test_a_decided_case_is_open_again_when_its_cause_is_still_there(control: Control, replayed: bool) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_case(db, plan, ["1"])
        case = cases.select(db, plan.id)[0]
        assert cases.resolve(db, case.id, "use", b"sealed", "ada", NOW)
        if replayed:
            cases.replayed(db, [case.id])
        assert [one.id for one in cases.decided_for(db, plan.id, ["1"])] == [case.id]

        again(db, case)

        assert cases.get(db, case.id).status is Status.OPEN
        assert cases.decided_for(db, plan.id, ["1"]) == []
        assert cases.open_users(db, plan.id) == {"1"}


def test_a_case_that_was_replayed_is_not_decided_once_more(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_case(db, plan, ["1"])
        case = cases.select(db, plan.id)[0]
        cases.resolve(db, case.id, "skip row", None, "ada", NOW)
        cases.replayed(db, [case.id])

        assert not cases.resolve(db, case.id, "use", b"other", "bob", NOW)
        assert cases.get(db, case.id).action == "skip row"


def test_cases_are_found_by_status_cause_and_user(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_case(db, plan, ["1", "2"], cause="aaaaaaaa")
        a_case(db, plan, ["3"], source_key="9", cause="bbbbbbbb", holds=False)

        assert [one.users for one in cases.select(db, plan.id, user="2")] == [("1", "2")]
        assert [one.users for one in cases.select(db, plan.id, cause="bbbbbbbb")] == [("3",)]
        assert cases.select(db, plan.id, statuses=(Status.RESOLVED,)) == []
        assert cases.open_users(db, plan.id) == {"1", "2"}  # a held row holds nobody


def test_rows_that_wait_are_counted_for_a_wave_until_they_are_decided(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        a_user(db, plan, "1", wave_id=wave.id)
        a_user(db, plan, "2")
        a_case(db, plan, ["1"], source_key="row 1", field="status")
        a_case(db, plan, ["1"], source_key="row 1", field="total")
        a_case(db, plan, ["2"], source_key="row 2")

        assert cases.open_rows(db, waves.get(db, wave.id).id) == {"orders": 1}
        for case in cases.select(db, plan.id):
            cases.resolve(db, case.id, "accept null", None, "ada", NOW)
        assert cases.open_rows(db, wave.id) == {}


def test_what_was_decided_holds_under_the_next_plan(control: Control) -> None:
    with control.write() as db:
        before, after = a_plan(db), a_plan(db, salt="shop-2")
        a_case(db, before, ["1", "2"], value=b"sealed")
        a_case(db, before, ["3"], source_key="3")
        case = cases.select(db, before.id)[0]
        cases.resolve(db, case.id, "use", b"mine", "ada", NOW, user="2")

        assert cases.carry(db, before.id, after.id, LATER) == 1
        found = cases.decided_for(db, after.id, ["2"])

    assert [(one.users, one.resolution, one.resolution_user, one.status) for one in found] == [
        (("1", "2"), b"mine", "2", Status.REPLAYED)
    ]


def test_very_many_cases_are_no_trouble(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        cases.replayed(db, range(70_000))
        assert cases.decided_for(db, plan.id, [str(number) for number in range(6_000)]) == []


def test_a_case_that_is_not_there_is_said(control: Control) -> None:
    with control.read() as db, pytest.raises(NotFound, match="there is no case 7"):
        cases.get(db, 7)
