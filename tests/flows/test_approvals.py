"""What needs two people: asked for by one, allowed by another, for this very act, once, within the hour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import NeedsApproval, NotPermitted, Overtaken, Refused
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.flows.plans import planning
from migrator.flows.steering import waves
from migrator.rollout.rights import Act, Role
from migrator.rollout.states import Wave
from migrator.store import journal, people, plans, tables
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.memory import NOW, Clock


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """A bakery with an approved plan of one full wave; nobody is an operator."""
    bakery = Bakery(tmp_path_factory.mktemp("planned") / "bakery", customers=6)
    bakery.plan()
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(planned: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    """Such a one, whose clock a test moves."""
    bakery = planned.copy(tmp_path / "bakery")
    bakery.parts = replace(bakery.parts, now=Clock())
    yield bakery
    bakery.close()


def make_operators(parts: Parts, **roles: tuple[Role, ...]) -> None:
    with parts.control.write() as db:
        for name, has in roles.items():
            people.put(db, name, has, "tester", NOW)


@pytest.fixture
def operators(bakery: Bakery) -> Bakery:
    """The same with ann and bob, who start waves and approve, and eve, who only starts them."""
    both = (Role.OPS, Role.APPROVER)
    make_operators(bakery.parts, ann=both, bob=both, eve=(Role.OPS,))
    return bakery


def as_(bakery: Bakery, name: str) -> Parts:
    return replace(bakery.parts, actor=name)


def detail(parts: Parts, noun: str, ref: object, event: str) -> dict[str, Any]:
    with parts.control.read() as db:
        return next(one["detail"] for one in journal.of(db, noun, [ref]) if one["event"] == event)


def ask(bakery: Bakery, name: str = "ann") -> int:
    """Try to start the full wave; the number of the approval that it needs."""
    with pytest.raises(NeedsApproval):
        waves.start(as_(bakery, name), "whole")
    return int(approvals.listed(as_(bakery, name))[0]["id"])


def test_while_nobody_is_an_operator_one_person_is_enough_and_the_journal_says_so(bakery: Bakery) -> None:
    waves.start(bakery.parts, "whole")

    assert bakery.wave().status is Wave.RUNNING
    assert "one_person" in detail(bakery.parts, "wave", "whole", "start")


def test_a_full_wave_starts_when_another_operator_has_allowed_it(operators: Bakery) -> None:
    number = ask(operators)
    assert operators.wave().status is Wave.APPROVED

    approvals.give(as_(operators, "bob"), number, reason="looked at the pilot")
    waves.start(as_(operators, "ann"), "whole")

    assert operators.wave().status is Wave.RUNNING
    assert detail(operators.parts, "wave", "whole", "start") == {"approval": number, "approved_by": "bob"}
    assert approvals.show(operators.parts, number)["status"] == "used"


def test_the_sentence_names_who_may_allow_it_and_how(operators: Bakery) -> None:
    with pytest.raises(NeedsApproval) as needed:
        waves.start(as_(operators, "ann"), "whole")

    assert str(needed.value) == (
        "full wave (wave whole) needs a second person: bob allows it with `migrator approval give 1` "
        "before 10:30 UTC; then do it again"
    )


def test_nobody_allows_what_he_asked_for_himself(operators: Bakery) -> None:
    number = ask(operators)

    with pytest.raises(NotPermitted, match=f"ann asked for approval {number} himself; it takes a second person: bob"):
        approvals.give(as_(operators, "ann"), number)


@pytest.mark.parametrize("name", ["eve", "tester"])
def test_only_operators_with_the_role_approver_decide(operators: Bakery, name: str) -> None:
    number = ask(operators)

    with pytest.raises(NotPermitted, match="the role approver"):
        approvals.give(as_(operators, name), number)


def test_who_is_no_operator_cannot_even_ask(operators: Bakery) -> None:
    with pytest.raises(NotPermitted, match="needs two operators, and tester is none"):
        waves.start(operators.parts, "whole")


def test_asking_again_asks_once(operators: Bakery) -> None:
    assert ask(operators) == ask(operators)


def test_what_one_may_do_another_may_not(operators: Bakery) -> None:
    approvals.give(as_(operators, "bob"), ask(operators, "ann"))

    with pytest.raises(NeedsApproval):
        waves.start(as_(operators, "eve"), "whole")


def test_after_its_hour_an_approval_is_good_for_nothing(operators: Bakery) -> None:
    clock: Any = operators.parts.now
    given = ask(operators)
    approvals.give(as_(operators, "bob"), given)
    clock.after(minutes=60)

    asked_again = ask(operators)
    assert asked_again != given
    clock.after(minutes=60)
    with pytest.raises(Refused, match="is expired"):
        approvals.give(as_(operators, "bob"), asked_again)


def test_an_approval_is_used_once(operators: Bakery) -> None:
    number = ask(operators)
    approvals.give(as_(operators, "bob"), number)
    parts = as_(operators, "ann")
    with parts.control.write() as db:
        approvals.use(db, parts, Act.FULL_WAVE, "wave", "whole", users=6)

    with pytest.raises(NeedsApproval), approvals.asking(parts), parts.control.write() as db:
        approvals.use(db, parts, Act.FULL_WAVE, "wave", "whole", users=6)


def test_an_approval_is_for_these_arguments_and_no_others(operators: Bakery) -> None:
    approvals.give(as_(operators, "bob"), ask(operators))
    parts = as_(operators, "ann")

    for act, ref, users in ((Act.FULL_WAVE, "whole", 7), (Act.FULL_WAVE, "other", 6), (Act.ERASE, "whole", 6)):
        with pytest.raises(NeedsApproval), approvals.asking(parts), parts.control.write() as db:
            approvals.use(db, parts, act, "wave", ref, users=users)


def test_an_approval_is_for_this_plan_and_no_other(operators: Bakery) -> None:
    number, given = ask(operators), ask(operators, "eve")
    approvals.give(as_(operators, "bob"), given)
    with operators.parts.control.write() as db:
        plan = plans.require(db)
        plans.finish(db, plan.id, "0" * 64, plan.counts)

    with pytest.raises(
        Refused, match=f"the plan is not what it was when approval {number} was asked for; ann asks again"
    ):
        approvals.give(as_(operators, "bob"), number)
    assert ask(operators, "eve") != given


def test_what_a_removed_approver_has_allowed_is_void(operators: Bakery) -> None:
    approvals.give(as_(operators, "bob"), ask(operators))
    with operators.parts.control.write() as db:
        people.remove(db, "bob", NOW)

    with pytest.raises(NeedsApproval, match="an approver adds one"):
        waves.start(as_(operators, "ann"), "whole")


def test_what_is_refused_stays_refused_with_its_reason(operators: Bakery) -> None:
    number = ask(operators)
    approvals.refuse(as_(operators, "bob"), number, "not before Monday")

    assert approvals.listed(operators.parts) == []
    [shown] = approvals.listed(operators.parts, every=True)
    assert (shown["status"], shown["decided_by"], shown["reason"]) == ("refused", "bob", "not before Monday")
    with pytest.raises(Refused, match="is refused"):
        approvals.give(as_(operators, "bob"), number)
    assert ask(operators) != number


def test_two_who_use_one_approval_at_once_do_not_both_succeed(operators: Bakery) -> None:
    from migrator.store import approvals as stored

    number = ask(operators)
    approvals.give(as_(operators, "bob"), number)
    with operators.parts.control.write() as db:
        seen = stored.get(db, number)
        stored.move(db, seen, stored.USED, used_at=NOW)
        with pytest.raises(Overtaken):
            stored.move(db, seen, stored.USED, used_at=NOW)


def test_a_request_of_an_act_that_fails_for_another_reason_is_not_made(operators: Bakery) -> None:
    with operators.parts.control.write() as db:
        db.execute(tables.waves.update().values(status="running"))

    with pytest.raises(Exception, match="cannot start"):
        waves.start(as_(operators, "ann"), "whole")
    assert approvals.listed(operators.parts) == []


def test_who_made_a_plan_does_not_approve_it(operators: Bakery) -> None:
    planning.create(as_(operators, "ann"), OPTIONS, TIERS)

    with pytest.raises(NotPermitted, match=r"ann made plan \d; another operator"):
        planning.approve(as_(operators, "ann"))
    plan = planning.approve(as_(operators, "bob"))

    assert plan.approved_by == "bob"
    assert detail(operators.parts, "plan", plan.id, "approve")["made_by"] == ["ann"]


def test_a_gate_is_overridden_by_two_who_saw_the_same_findings(operators: Bakery) -> None:
    found = [{"check": "held", "outcome": "hold", "sentence": "3 of 6 users are held"}]
    with operators.parts.control.write() as db:
        db.execute(tables.waves.update().values(status="held", verdict="hold", findings=found))
    with pytest.raises(NeedsApproval):
        waves.override(as_(operators, "ann"), "whole", "all are test accounts")
    [asked] = approvals.listed(operators.parts)
    assert asked["arguments"] == {"reason": "all are test accounts", "findings": ["3 of 6 users are held"]}
    approvals.give(as_(operators, "bob"), asked["id"])

    with pytest.raises(NeedsApproval):
        waves.override(as_(operators, "ann"), "whole", "another reason")
    waves.override(as_(operators, "ann"), "whole", "all are test accounts")

    assert operators.wave().status is Wave.PASSED
    assert detail(operators.parts, "wave", "whole", "override")["approved_by"] == "bob"


def test_requests_and_their_ends_stand_in_the_journal(operators: Bakery) -> None:
    number = ask(operators)
    approvals.give(as_(operators, "bob"), number, reason="seen")

    with operators.parts.control.read() as db:
        told = [(one["actor"], one["event"], one["at"]) for one in journal.of(db, "approval", [number])]
    assert told == [("ann", "ask", NOW), ("bob", "give", NOW)]
    assert approvals.show(operators.parts, number)["expires_at"] == NOW + timedelta(hours=1)
