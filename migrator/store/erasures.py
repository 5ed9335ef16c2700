"""Who asked to be forgotten, how far that is, and the tombstones. Only keyed hashes name them here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.rollout.states import User as Status
from migrator.store import users as everybody
from migrator.store.among import among
from migrator.store.tables import (
    approvals,
    batches,
    case_users,
    cases,
    erasures,
    metadata,
    tombstones,
    users,
    warnings,
)

#: What users are called of whom nothing else is left.
ALIAS = "erased:"
_NOTHING = {
    "group_key": None, "code": "000", "r": None, "f": 0, "m": "0", "home": "legacy", "reason": None, "locale": None,
    "email_print": None, "contact": None, "fence": None, "generation": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request; `who` is sealed, and gone when it is done."""

    id: int
    asked_by: str
    asked_at: datetime
    options: dict[str, Any]
    who: bytes | None
    done: dict[str, Any]
    done_at: datetime | None


def add(
    db: sa.Connection, prints: Iterable[str], options: Mapping[str, Any], who: bytes | None, by: str, now: datetime
) -> int:
    """Put up tombstones; the id of the request. One that stands stays."""
    values = {"asked_by": by, "asked_at": now, "options": dict(options), "who": who, "done": {}}
    inserted = db.execute(sa.insert(erasures).values(**values)).inserted_primary_key
    assert inserted is not None
    wanted = sorted(set(prints))
    new = [one for one in wanted if one not in erased(db, wanted)]
    if new:
        db.execute(sa.insert(tombstones), [{"print": one, "erasure_id": int(inserted[0]), "at": now} for one in new])
    return int(inserted[0])


def of(db: sa.Connection, print_: str) -> Erasure | None:
    """The request of one user; None where there is none."""
    query = sa.select(erasures).join(tombstones, tombstones.c.erasure_id == erasures.c.id)
    row = db.execute(query.where(tombstones.c.print == print_)).mappings().first()
    return Erasure(**row) if row else None


def note(db: sa.Connection, erasure_id: int, done: Mapping[str, Any]) -> None:
    """Say how far it is."""
    db.execute(sa.update(erasures).where(erasures.c.id == erasure_id).values(done=dict(done)))


def finish(db: sa.Connection, erasure_id: int, done: Mapping[str, Any], now: datetime) -> None:
    """It is done: not even we know any more who it was."""
    values = {"done": dict(done), "done_at": now, "who": None}
    db.execute(sa.update(erasures).where(erasures.c.id == erasure_id).values(**values))


def erased(db: sa.Connection, prints: Iterable[str]) -> set[str]:
    """Those of *prints* that have a tombstone."""
    return set(db.scalars(sa.select(tombstones.c.print).where(among(db, tombstones.c.print, prints))))


def any_(db: sa.Connection) -> bool:
    """Whether anybody was erased."""
    return db.execute(sa.select(tombstones.c.print).limit(1)).first() is not None


def rows_of(db: sa.Connection, keys: Iterable[str]) -> dict[str, int]:
    """In which tables these users are named, and how often."""
    wanted, found = list(keys), dict[str, int]()
    for table in _naming():
        count = db.scalar(sa.select(sa.func.count()).select_from(table).where(among(db, table.c.user_key, wanted)))
        if count:
            found[table.name] = int(count)
    return found


def forget(db: sa.Connection, named: Mapping[str, str]) -> dict[str, int]:
    """
    Take out all that says anything of these users; what is left is one row per plan with a status and an alias.

    Args:
        named: key -> keyed hash. They are erased, and nothing of them is left that could be moved or told.
    """
    keys = list(named)
    found = rows_of(db, keys)
    theirs = sa.select(case_users.c.case_id).where(among(db, case_users.c.user_key, keys))
    concerned = list(db.scalars(theirs.distinct()))
    _forget_samples(db, keys)
    for table in _naming():
        if table is not users:
            db.execute(sa.delete(table).where(among(db, table.c.user_key, keys)))
    _forget_cases(db, concerned, named)
    _leave(db, keys)
    for key, print_ in named.items():
        mine = sa.update(users).where(users.c.user_key == key)
        db.execute(mine.values(user_key=ALIAS + print_, **_NOTHING))
        _forget_approvals(db, key, print_)
    return found


def _forget_approvals(db: sa.Connection, key: str, print_: str) -> None:
    """What two people were to decide about him, alone or with those who merged with him."""
    asked = sa.select(approvals.c.id, approvals.c.ref).where(approvals.c.noun == "user")
    found = [number for number, ref in db.execute(asked) if ref == key or key in ref.split(", ")]
    # whoever knows a key could make its digest
    nothing: dict[str, Any] = {"ref": ALIAS + print_, "arguments": {}, "digest": "", "reason": None}
    db.execute(sa.update(approvals).where(approvals.c.id.in_(found)).values(**nothing))


def place(db: sa.Connection, plan_id: int, named: Mapping[str, str], now: datetime) -> None:
    """Users of a new plan who were erased before: they are counted, and that is all."""
    for part in _parts(list(named)):
        everybody.move(db, plan_id, part, Status, Status.ERASED, now, wave_id=None, batch_id=None)
    forget(db, named)


def _naming() -> list[sa.Table]:
    """Every table with a column `user_key`, those that point at others first."""
    return [table for table in reversed(metadata.sorted_tables) if "user_key" in table.c]


def _parts(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + 5000] for start in range(0, len(keys), 5000))


def _leave(db: sa.Connection, keys: list[str]) -> None:
    """They are erased in every plan there was, too."""
    theirs = (among(db, users.c.user_key, keys), users.c.status != Status.ERASED.value)
    query = sa.select(users.c.plan_id).where(*theirs).distinct()
    for plan_id in list(db.scalars(query)):
        everybody.assign(db, plan_id, keys, status=Status.ERASED.value)


def _forget_samples(db: sa.Connection, keys: list[str]) -> None:
    """A warning's example may be anybody's of the batch: none of the batches that had these users keeps one."""
    had = sa.select(users.c.batch_id).where(among(db, users.c.user_key, keys), users.c.batch_id.is_not(None))
    waves = sa.select(batches.c.wave_id).where(batches.c.id.in_(had))
    near = sa.select(batches.c.id).where(batches.c.wave_id.in_(waves))
    db.execute(sa.update(warnings).where(warnings.c.batch_id.in_(near)).values(sample=None))


def _forget_cases(db: sa.Connection, concerned: list[int], named: Mapping[str, str]) -> None:
    """Cases that nobody else has go; in those that others share, nothing says that these had a part."""
    others = set(db.scalars(sa.select(case_users.c.case_id).where(case_users.c.case_id.in_(concerned))))
    db.execute(sa.delete(cases).where(cases.c.id.in_(sorted(set(concerned) - others))))
    for key, print_ in named.items():
        db.execute(
            sa.update(cases).where(cases.c.source_key == key, cases.c.id.in_(others)).values(source_key=ALIAS + print_)
        )
        whose = sa.update(cases).where(cases.c.resolution_user == key)
        db.execute(whose.values(resolution_user=None, resolution=None, value=None))
