"""Who is an operator: the first one, his tokens, and how nobody is locked out or let in by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.edges.keys import ProjectKey
from migrator.errors import NotFound, NotPermitted, Refused, WrongInput
from migrator.flows.people import access, operators
from migrator.flows.people.office import Office
from migrator.rollout.rights import Person, Role
from migrator.store import journal, tables
from tests.flows.memory import NOW, Clock, a_control

LASTS = timedelta(days=90)
BOTH = (Role.APPROVER, Role.OPS)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Nobody is an operator yet, and nobody has proved who he is."""
    control = a_control(tmp_path)
    yield Office(control, ProjectKey.create(tmp_path / "project.key"), None, "lea@desk", Clock())
    control.close()


@pytest.fixture
def ann(office: Office) -> Office:
    """The first operator has made herself a token, and has shown it."""
    operators.add(office, "ann", BOTH)
    operators.renew(office, "ann", LASTS)
    return as_(office, "ann", *BOTH)


def as_(office: Office, name: str, *roles: Role) -> Office:
    return replace(office, person=Person(name, frozenset(roles)), actor=name)


def let_in(office: Office, command: str, token: str | None = None, **knock: Any) -> Person | None:
    """Knock as the command line does."""
    shown = access.token_print(office.key, token) if token is not None else None
    return access.admit(office.control, access.Knock(command, "lea@desk", office.now(), **knock), lambda: shown)


def entries(office: Office) -> list[tuple[str, str, str]]:
    with office.control.read() as db:
        return [(one["actor"], one["event"], one["ref"]) for one in reversed(journal.latest(db, 100))]


def test_until_there_is_an_operator_everything_is_as_before(office: Office) -> None:
    assert let_in(office, "rollback all") is None
    assert let_in(office, "erase") is None
    assert entries(office) == []


def test_with_the_first_operator_rights_apply(office: Office) -> None:
    operators.add(office, "ann", BOTH)
    token, shown = operators.renew(office, "ann", LASTS)

    assert let_in(office, "rollback all", token) == Person("ann", frozenset(BOTH))
    with pytest.raises(NotPermitted, match="show who you are: set MIGRATOR_TOKEN"):
        let_in(office, "rollback all")
    assert (shown["token"], shown["token_until"]) == ("good", NOW + LASTS)


def test_the_first_operator_is_an_approver(office: Office) -> None:
    with pytest.raises(Refused, match="the first operator needs the role approver"):
        operators.add(office, "ann", (Role.OPS,))

    assert operators.listed(office) == []


def test_the_project_can_ask_for_operators_before_there_is_one(office: Office) -> None:
    with pytest.raises(NotPermitted, match="makes the first"):
        let_in(office, "status", required=True)

    for command in ("operator add", "operator token", "store upgrade", "doctor"):
        assert let_in(office, command, required=True) is None


def test_what_is_kept_of_a_token_is_a_hash_that_another_key_does_not_give(ann: Office, tmp_path: Path) -> None:
    token, _ = operators.renew(ann, None, LASTS)
    with ann.control.read() as db:
        kept = db.scalar(sa.select(tables.operators.c.token_print))

    assert token.startswith("mig_") and len(token) > 43
    assert kept == access.token_print(ann.key, token)
    assert kept != access.token_print(ProjectKey.create(tmp_path / "other.key"), token)
    assert all(token.encode() not in file.read_bytes() for file in tmp_path.glob("control.db*"))


def test_a_new_token_takes_the_place_of_the_old_one(ann: Office) -> None:
    old, _ = operators.renew(ann, None, LASTS)
    new, _ = operators.renew(ann, None, LASTS)

    assert let_in(ann, "status", new)
    with pytest.raises(NotPermitted, match="another has taken its place"):
        let_in(ann, "status", old)


def test_a_token_ends_by_itself(ann: Office) -> None:
    clock: Any = ann.now
    token, _ = operators.renew(ann, None, timedelta(hours=8))
    clock.after(hours=7, minutes=59)
    assert let_in(ann, "status", token)

    clock.after(minutes=1)
    with pytest.raises(NotPermitted, match="the token of ann was good until"):
        let_in(ann, "status", token)
    assert operators.listed(ann)[0]["token"] == "expired"


def test_a_token_and_an_operator_can_be_taken_at_once(ann: Office) -> None:
    operators.add(ann, "bob", (Role.VIEWER,))
    first, _ = operators.renew(ann, "bob", LASTS)
    operators.revoke(ann, "bob")
    with pytest.raises(NotPermitted):
        let_in(ann, "status", first)

    second, _ = operators.renew(ann, "bob", LASTS)
    operators.remove(ann, "bob")
    with pytest.raises(NotPermitted):
        let_in(ann, "status", second)
    with pytest.raises(NotFound, match="no operator is called bob"):
        operators.renew(ann, "bob", LASTS)


def test_who_was_removed_and_comes_back_has_no_token(ann: Office) -> None:
    operators.add(ann, "bob", (Role.OPS,))
    operators.renew(ann, "bob", LASTS)
    operators.remove(ann, "bob")

    back = operators.add(ann, "bob", (Role.VIEWER,))

    assert (back["roles"], back["token"]) == (["viewer"], "none")


def test_other_roles_leave_the_token_as_it_is(ann: Office) -> None:
    operators.add(ann, "bob", (Role.OPS,))
    token, _ = operators.renew(ann, "bob", LASTS)

    operators.add(ann, "bob", (Role.VIEWER,))

    assert let_in(ann, "status", token) == Person("bob", frozenset({Role.VIEWER}))


def test_everybody_may_change_his_own_token_and_only_an_approver_that_of_others(ann: Office) -> None:
    operators.add(ann, "bob", (Role.VIEWER,))
    bob = as_(ann, "bob", Role.VIEWER)

    assert let_in(ann, "status", operators.renew(bob, None, LASTS)[0])
    for touch in (lambda: operators.renew(bob, "ann", LASTS), lambda: operators.revoke(bob, "ann")):
        with pytest.raises(NotPermitted, match="bob may not touch the token of ann"):
            touch()


@pytest.mark.parametrize("lose", ["remove", "add"])
def test_somebody_always_is_an_approver(ann: Office, lose: str) -> None:
    operators.add(ann, "bob", (Role.OPS,))
    with pytest.raises(Refused, match="nobody would be an approver any more"):
        operators.remove(ann, "ann") if lose == "remove" else operators.add(ann, "ann", (Role.OPS,))

    assert operators.listed(ann)[0]["roles"] == ["approver", "ops"]


def test_where_no_approver_can_prove_himself_the_key_helps_out_and_the_journal_says_so(ann: Office) -> None:
    clock: Any = ann.now
    operators.add(ann, "bob", (Role.OPS,))
    operators.renew(ann, "bob", timedelta(days=200))
    with pytest.raises(NotPermitted):
        let_in(ann, "operator token")
    clock.after(days=91)

    assert let_in(ann, "operator token") is None
    with pytest.raises(NotPermitted):
        let_in(ann, "rollback all")
    nobody = replace(ann, person=None, actor="lea@desk")
    operators.renew(nobody, "ann", LASTS)

    assert entries(ann)[-1] == ("lea@desk", "token", "ann")
    with ann.control.read() as db:
        assert journal.latest(db, 1)[0]["detail"] == {"by_the_key": "no approver could prove himself"}
    with pytest.raises(NotPermitted):
        let_in(ann, "operator token")


@pytest.mark.parametrize("name", ["Ann", "lea@desk", "", "7up", "dispatcher", "a" * 65, "ann\n"])
def test_a_name_cannot_be_taken_for_a_machine_or_for_ourselves(office: Office, name: str) -> None:
    with pytest.raises(WrongInput, match="cannot be an operator's name"):
        operators.add(office, name, BOTH)


def test_each_act_stands_in_the_journal_with_who_did_it(ann: Office) -> None:
    operators.add(ann, "bob", (Role.OPS,))
    operators.revoke(ann, "bob")
    operators.remove(ann, "bob")

    assert entries(ann) == [
        ("lea@desk", "operator", "ann"), ("lea@desk", "token", "ann"),
        ("ann", "operator", "bob"), ("ann", "revoke", "bob"), ("ann", "remove", "bob"),
    ]  # fmt: skip


def test_the_doctor_is_told_when_one_approver_would_be_alone_and_when_tokens_end(ann: Office) -> None:
    clock: Any = ann.now
    assert access.concern(ann.control, NOW)[1] == (
        "only ann is an approver with a good token: what he asks for, nobody else can allow"
    )

    operators.add(ann, "ann", (Role.APPROVER,))
    assert access.concern(ann.control, NOW) == (1, None, "")
    operators.add(ann, "ann", BOTH)
    operators.add(ann, "bob", (Role.APPROVER,))
    operators.renew(ann, "bob", LASTS)
    assert access.concern(ann.control, NOW) == (2, None, "")
    clock.after(days=84)
    assert access.concern(ann.control, clock())[1] == "tokens end within 7 days: ann, bob"
    clock.after(days=7)
    assert (access.concern(ann.control, clock())[1] or "").startswith("nobody is an approver with a good token")


def test_without_operators_the_doctor_has_nothing_to_say(office: Office) -> None:
    assert access.concern(office.control, NOW) == (0, None, "")
