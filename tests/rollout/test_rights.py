"""Roles, permissions and the table of commands hang together."""

from __future__ import annotations

import pytest

from migrator.rollout.rights import COMMANDS, ROLES, Permission, Person, Role, read_roles, right_of


def roles_of(command: str) -> set[str]:
    return {role.value for role in right_of(command).roles}


def test_every_permission_but_the_free_one_is_some_roles_and_every_role_may_look() -> None:
    given = frozenset[Permission]().union(*ROLES.values())

    assert given == set(Permission) - {Permission.FREE}
    assert set(ROLES) == set(Role)
    assert all(Permission.LOOK in may for may in ROLES.values())


@pytest.mark.parametrize(
    ("command", "roles"),
    [
        ("status", {"viewer", "support", "engineer", "ops", "approver", "privacy"}),
        ("user show", {"support", "engineer", "ops", "approver", "privacy"}),
        ("review resolve", {"support", "engineer"}),
        ("plan create", {"engineer"}),
        ("plan approve", {"approver"}),
        ("wave start", {"engineer", "ops"}),
        ("rollback wave", {"ops"}),
        ("erase", {"privacy"}),
        ("approval give", {"approver"}),
        ("operator add", {"approver"}),
    ],
)
def test_who_may_do_what_is_as_people_expect_it(command: str, roles: set[str]) -> None:
    assert roles_of(command) == roles


def test_nobody_who_starts_or_asks_may_also_allow() -> None:
    asking = [Permission.OPERATE, Permission.ROLL_BACK, Permission.ERASE, Permission.KEYS, Permission.PLAN]

    assert [role for role, may in ROLES.items() if Permission.APPROVE in may and may & set(asking)] == []


def test_a_person_may_what_any_of_his_roles_may_and_what_is_free() -> None:
    both = Person("ann", frozenset({Role.VIEWER, Role.PRIVACY}))

    assert both.may(Permission.ERASE)
    assert not both.may(Permission.OPERATE)
    assert Person("bob", frozenset()).may(Permission.FREE)


def test_what_needs_no_token_changes_nothing_for_others() -> None:
    assert [name for name, right in COMMANDS.items() if right.permission is Permission.FREE and right.changes] == []


def test_all_words_that_are_no_role_are_named() -> None:
    assert read_roles(["ops", "approver"]) == {Role.OPS, Role.APPROVER}
    with pytest.raises(ValueError, match="no role is called boss, root; roles are viewer, support"):
        read_roles(["boss", "ops", "root"])


def test_a_command_that_is_not_listed_has_no_right() -> None:
    with pytest.raises(KeyError):
        right_of("wave explode")
