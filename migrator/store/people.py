"""Operators: who may do what, how each proves himself, and until when. As soon as there is one, rights apply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound
from migrator.rollout.rights import Person, Role
from migrator.store.tables import operators


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator as stored; of his token nothing but until when it is good."""

    name: str
    roles: frozenset[Role]
    added_by: str
    added_at: datetime
    removed_at: datetime | None
    token_at: datetime | None
    token_until: datetime | None

    @property
    def person(self) -> Person:
        """Who he is to the table of rights."""
        return Person(self.name, self.roles)

    def can_prove_himself(self, now: datetime) -> bool:
        """Whether there is a token of his that is good now."""
        return self.removed_at is None and self.token_until is not None and now < self.token_until


_SHOWN = [column for column in operators.c if column.name != "token_print"]


def _operator(row: Any) -> Operator:
    return Operator(**{**row, "roles": frozenset(map(Role, row["roles"]))})


def exist(db: sa.Connection) -> bool:
    """Whether anybody is or ever was an operator: from then on rights apply."""
    return db.scalar(sa.select(operators.c.name).limit(1)) is not None


def everybody(db: sa.Connection) -> list[Operator]:
    """All operators by name, those who were removed, too."""
    return [_operator(row) for row in db.execute(sa.select(*_SHOWN).order_by(operators.c.name)).mappings()]


def find(db: sa.Connection, name: str) -> Operator | None:
    """An operator who is not removed."""
    query = sa.select(*_SHOWN).where(operators.c.name == name, operators.c.removed_at.is_(None))
    row = db.execute(query).mappings().first()
    return _operator(row) if row else None


def require(db: sa.Connection, name: str) -> Operator:
    """The same, or NotFound."""
    found = find(db, name)
    if found is None:
        raise NotFound(f"no operator is called {name}; see `migrator operator list`")
    return found


def of_token(db: sa.Connection, token_print: str) -> Operator | None:
    """Whose token this is; an expired one is still somebody's."""
    row = db.execute(sa.select(*_SHOWN).where(operators.c.token_print == token_print)).mappings().first()
    return _operator(row) if row else None


def put(db: sa.Connection, name: str, roles: Iterable[Role], by: str, now: datetime) -> None:
    """Store an operator, or the new roles of one; whoever was removed is back, without a token."""
    known = db.execute(sa.select(operators.c.removed_at).where(operators.c.name == name)).first()
    values: dict[str, Any] = {"roles": sorted(roles), "added_by": by, "added_at": now}
    if known is None:
        db.execute(sa.insert(operators).values(name=name, **values))
        return
    back = {"removed_at": None} if known.removed_at else {}
    db.execute(sa.update(operators).where(operators.c.name == name).values(**values, **back))


def give_token(db: sa.Connection, name: str, token_print: str, now: datetime, until: datetime) -> None:
    """From now on this is his token; the one before is good for nothing."""
    values = {"token_print": token_print, "token_at": now, "token_until": until}
    db.execute(sa.update(operators).where(operators.c.name == name).values(**values))


def take_token(db: sa.Connection, name: str) -> None:
    """He cannot prove himself until he gets another."""
    gone = {"token_print": None, "token_at": None, "token_until": None}
    db.execute(sa.update(operators).where(operators.c.name == name).values(**gone))


def remove(db: sa.Connection, name: str, now: datetime) -> None:
    """He is no operator any more; the name stays."""
    take_token(db, name)
    db.execute(sa.update(operators).where(operators.c.name == name).values(removed_at=now))
