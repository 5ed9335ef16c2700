"""Who may do what: roles, the permissions each gives, and which permission a command needs. One table for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

#: How long somebody else may think about an act that needs two people.
APPROVAL_LASTS = timedelta(hours=1)


class Role(StrEnum):
    """What a person is here for."""

    VIEWER = "viewer"
    SUPPORT = "support"
    ENGINEER = "engineer"
    OPS = "ops"
    APPROVER = "approver"
    PRIVACY = "privacy"


class Permission(StrEnum):
    """What may be done. `FREE` needs no role: it touches only files of whoever runs it, or acts for nobody."""

    FREE = "free"
    LOOK = "look"  # at numbers; never at one user's data
    SEE_USERS = "see users"  # one user's account, cases, notices
    MAP = "map"  # try mappings on what is in legacy
    PLAN = "plan"  # tiers and plans
    DECIDE = "decide"  # cases, exclusions, cleaning rules
    MOVE_USER = "move one user"  # ahead of his wave
    TELL = "tell users"
    OPERATE = "operate waves"
    ROLL_BACK = "roll back"
    KEEP_HOUSE = "keep house"  # control database, snapshots, the read-only switch
    KEYS = "keys"
    AUDIT = "audit"
    ERASE = "erase"  # and what belongs to it: legal holds
    APPROVE = "approve"  # plans, and what others ask for
    PEOPLE = "people"  # who is an operator


_P = Permission
ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({_P.LOOK}),
    Role.SUPPORT: frozenset({_P.LOOK, _P.SEE_USERS, _P.DECIDE, _P.MOVE_USER}),
    Role.ENGINEER: frozenset({_P.LOOK, _P.SEE_USERS, _P.MAP, _P.PLAN, _P.DECIDE, _P.MOVE_USER, _P.TELL, _P.OPERATE}),
    Role.OPS: frozenset(
        {_P.LOOK, _P.SEE_USERS, _P.MOVE_USER, _P.TELL, _P.OPERATE, _P.ROLL_BACK, _P.KEEP_HOUSE, _P.KEYS, _P.AUDIT}
    ),
    Role.APPROVER: frozenset({_P.LOOK, _P.SEE_USERS, _P.AUDIT, _P.APPROVE, _P.PEOPLE}),
    Role.PRIVACY: frozenset({_P.LOOK, _P.SEE_USERS, _P.AUDIT, _P.ERASE}),
}


@dataclass(frozen=True, slots=True)
class Right:
    """What a command needs, and whether it changes anything: that is refused while the read-only switch is on."""

    permission: Permission
    changes: bool = True

    @property
    def roles(self) -> tuple[Role, ...]:
        """Who has it."""
        return tuple(role for role, may in ROLES.items() if self.permission in may)


def _looks(permission: Permission) -> Right:
    return Right(permission, changes=False)


#: Every command of `migrator`, by the words one types. Who adds a command adds its line here.
#: People and approvals count as no change: a token must be taken back, whatever else stands still.
COMMANDS: Mapping[str, Right] = {
    "init": _looks(_P.FREE),
    "demo": _looks(_P.FREE),
    "doctor": _looks(_P.FREE),
    "worker": _looks(_P.FREE),  # a service: it moves what somebody with the right to do so has started
    "assess": _looks(_P.MAP),
    "run": Right(_P.OPERATE),
    "status": _looks(_P.LOOK),
    "verify": _looks(_P.LOOK),
    "report": _looks(_P.LOOK),
    "sync": Right(_P.OPERATE),
    "changes script": _looks(_P.MAP),
    "changes status": _looks(_P.LOOK),
    "changes install": Right(_P.OPERATE),
    "erase": Right(_P.ERASE),
    "mapping lint": _looks(_P.FREE),
    "mapping test": _looks(_P.FREE),
    "mapping schema": _looks(_P.FREE),
    "mapping snapshot": _looks(_P.MAP),
    "mapping preview": _looks(_P.MAP),
    "mapping explain": _looks(_P.MAP),
    "mapping diff": _looks(_P.MAP),
    "mapping draft": _looks(_P.MAP),
    "mapping example add": _looks(_P.MAP),
    "tier assign": Right(_P.PLAN),
    "tier show": _looks(_P.LOOK),
    "tier explain": _looks(_P.SEE_USERS),
    "plan create": Right(_P.PLAN),
    "plan show": _looks(_P.LOOK),
    "plan check": _looks(_P.LOOK),
    "plan approve": Right(_P.APPROVE),
    "plan revise": Right(_P.PLAN),
    "wave list": _looks(_P.LOOK),
    "wave show": _looks(_P.LOOK),
    "wave watch": _looks(_P.LOOK),
    "wave start": Right(_P.OPERATE),
    "wave pause": Right(_P.OPERATE),
    "wave resume": Right(_P.OPERATE),
    "wave hold": Right(_P.OPERATE),
    "wave cancel": Right(_P.OPERATE),
    "wave approve": Right(_P.OPERATE),
    "wave set": Right(_P.OPERATE),
    "wave retry": Right(_P.OPERATE),
    "wave cut-over": Right(_P.OPERATE),
    "wave settle": Right(_P.OPERATE),
    "user show": _looks(_P.SEE_USERS),
    "user find": _looks(_P.SEE_USERS),
    "user move": Right(_P.MOVE_USER),
    "user cut-over": Right(_P.MOVE_USER),
    "user exclude": Right(_P.DECIDE),
    "review list": _looks(_P.SEE_USERS),
    "review show": _looks(_P.SEE_USERS),
    "review resolve": Right(_P.DECIDE),
    "review replay": Right(_P.DECIDE),
    "rollback user": Right(_P.ROLL_BACK),
    "rollback wave": Right(_P.ROLL_BACK),
    "rollback all": Right(_P.ROLL_BACK),
    "rollback kept": _looks(_P.SEE_USERS),
    "clean list": _looks(_P.SEE_USERS),
    "clean export": _looks(_P.SEE_USERS),
    "clean undo": Right(_P.DECIDE),
    "notice lint": _looks(_P.LOOK),
    "notice preview": _looks(_P.SEE_USERS),
    "notice list": _looks(_P.SEE_USERS),
    "notice send": Right(_P.TELL),
    "snapshot list": _looks(_P.LOOK),
    "snapshot check": _looks(_P.KEEP_HOUSE),
    "snapshot expire": Right(_P.KEEP_HOUSE),
    "snapshot hold": Right(_P.ERASE),
    "snapshot release": Right(_P.ERASE),
    "snapshot rekey": Right(_P.KEYS),
    "audit verify": _looks(_P.AUDIT),
    "audit head": _looks(_P.AUDIT),
    "audit list": _looks(_P.AUDIT),
    "audit export": _looks(_P.AUDIT),
    "store upgrade": Right(_P.KEEP_HOUSE),
    "store purge": Right(_P.KEEP_HOUSE),
    "store grants": _looks(_P.LOOK),
    "store read-only on": _looks(_P.KEEP_HOUSE),
    "store read-only off": _looks(_P.KEEP_HOUSE),
    "operator add": _looks(_P.PEOPLE),
    "operator list": _looks(_P.LOOK),
    "operator remove": _looks(_P.PEOPLE),
    "operator token": _looks(_P.LOOK),  # one's own; that of somebody else: `PEOPLE`, checked there
    "approval list": _looks(_P.LOOK),
    "approval show": _looks(_P.LOOK),
    "approval give": _looks(_P.APPROVE),
    "approval refuse": _looks(_P.APPROVE),
}


class Act(StrEnum):
    """What one person asks for and another, with the role approver, allows."""

    FULL_WAVE = "full wave"
    OVERRIDE = "gate override"
    FORCE_ROLLBACK = "forced rollback"
    ERASE = "erase"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has proved who he is."""

    name: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        """Whether one of his roles gives it."""
        return permission is Permission.FREE or any(permission in ROLES[role] for role in self.roles)


def read_roles(words: Iterable[str]) -> frozenset[Role]:
    """
    Take roles as they were typed.

    Raises:
        ValueError: naming every word that is no role.
    """
    said = list(words)
    unknown = [word for word in said if word not in [role.value for role in Role]]
    if unknown:
        raise ValueError(f"no role is called {', '.join(unknown)}; roles are {', '.join(Role)}")
    return frozenset(map(Role, said))


def right_of(command: str) -> Right:
    """
    What a command needs.

    Raises:
        KeyError: it is not in the table, so nobody may call it.
    """
    return COMMANDS[command]
