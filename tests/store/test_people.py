"""Operators, approvals and the switch are kept alike in both kinds of control database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.errors import NotFound, Overtaken
from migrator.rollout.rights import Person, Role
from migrator.store import approvals, people, switches
from migrator.store.control import Control
from tests.flows.memory import NOW

LATER = NOW + timedelta(hours=1)


def an_approval(db: sa.Connection, **changes: Any) -> approvals.Approval:
    values: dict[str, Any] = {
        "act": "full wave", "noun": "wave", "ref": "whole", "arguments": {"users": 6}, "plan_hash": "f" * 64,
        "digest": "d" * 64, "requested_by": "ann", "requested_at": NOW, "expires_at": LATER,
    }  # fmt: skip
    return approvals.get(db, approvals.add(db, **values | changes))


def test_an_operator_comes_back_as_he_was_stored(control: Control) -> None:
    with control.write() as db:
        assert not people.exist(db)
        people.put(db, "ann", (Role.OPS, Role.APPROVER), "lea@desk", NOW)
        people.give_token(db, "ann", "a" * 64, NOW, LATER)

    with control.read() as db:
        found = people.of_token(db, "a" * 64)
        assert people.exist(db)
    assert found is not None
    assert found.person == Person("ann", frozenset({Role.OPS, Role.APPROVER}))
    assert (found.added_by, found.added_at, found.token_until) == ("lea@desk", NOW, LATER)
    assert (found.can_prove_himself(NOW), found.can_prove_himself(LATER)) == (True, False)


def test_whoever_was_removed_is_still_known_but_not_found(control: Control) -> None:
    with control.write() as db:
        people.put(db, "ann", (Role.APPROVER,), "lea@desk", NOW)
        people.give_token(db, "ann", "a" * 64, NOW, LATER)
        people.remove(db, "ann", NOW)

        assert people.exist(db)
        assert (people.find(db, "ann"), people.of_token(db, "a" * 64)) == (None, None)
        assert [one.removed_at for one in people.everybody(db)] == [NOW]
        with pytest.raises(NotFound, match="migrator operator list"):
            people.require(db, "ann")


def test_one_token_is_one_persons(control: Control) -> None:
    with control.write() as db:
        for name in ("ann", "bob"):
            people.put(db, name, (Role.OPS,), "lea@desk", NOW)
        people.give_token(db, "ann", "a" * 64, NOW, LATER)

    with pytest.raises(sa.exc.IntegrityError), control.write() as db:
        people.give_token(db, "bob", "a" * 64, NOW, LATER)


def test_the_request_that_counts_is_the_last_of_the_same_person_for_the_same_act(control: Control) -> None:
    with control.write() as db:
        an_approval(db)
        last = an_approval(db)
        an_approval(db, requested_by="bob")
        an_approval(db, digest="e" * 64)

        assert approvals.pending(db, "d" * 64, "ann", NOW) == last
        assert approvals.pending(db, "d" * 64, "ann", LATER) is None
        assert approvals.waiting(db, NOW) == 4
        assert approvals.waiting(db, LATER) == 0


def test_what_is_used_or_refused_waits_no_more(control: Control) -> None:
    with control.write() as db:
        one, other = an_approval(db), an_approval(db)
        approvals.move(db, other, approvals.REFUSED, decided_by="bob", decided_at=NOW, reason="no")
        approvals.move(db, one, approvals.GIVEN, decided_by="bob", decided_at=NOW)
        given = approvals.get(db, one.id)
        approvals.move(db, given, approvals.USED, used_at=NOW)

        assert approvals.pending(db, "d" * 64, "ann", NOW) is None
        with pytest.raises(Overtaken, match="no longer given"):
            approvals.move(db, given, approvals.USED, used_at=NOW)


def test_the_switch_is_on_with_its_last_reason_until_it_is_off(control: Control) -> None:
    with control.write() as db:
        assert switches.read_only(db) is None
        switches.turn_on(db, "an audit", "ann", NOW)
        switches.turn_on(db, "a restore", "bob", LATER)

    with control.write() as db:
        found = switches.read_only(db)
        assert found is not None
        assert found.sentence == "the project is read-only since 2030-01-31 10:30:00 UTC (bob: a restore)"
        assert switches.turn_off(db)
        assert not switches.turn_off(db)
