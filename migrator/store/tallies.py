"""
How many users of a plan are what: counted as they change, in the transaction that changes them.

To count a million rows takes seconds, and an index that has the answer costs a batch more than the rows of its users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from migrator.store.tables import tallies

if TYPE_CHECKING:
    import polars as pl

USER = "user"  # what a row is that does not say its kind
NO_WAVE = 0  # as the key has it, which may not be empty


class Group(NamedTuple):
    """Users who are counted together: columns of theirs."""

    plan_id: int
    status: str
    kind: str
    tier: str
    wave_id: int | None


def of_plan(db: sa.Connection, plan_id: int) -> dict[Group, int]:
    """How many users there are of every group that has some."""
    return _read(db, tallies.c.plan_id == plan_id)


def of_wave(db: sa.Connection, wave_id: int) -> dict[Group, int]:
    """The same of one wave."""
    return _read(db, tallies.c.wave_id == wave_id)


def add(db: sa.Connection, changes: Mapping[Group, int]) -> None:
    """There are so many more (or fewer) users of these groups."""
    rows = [
        {**group._asdict(), "wave_id": group.wave_id or NO_WAVE, "users": count}
        for group, count in changes.items()
        if count
    ]
    if not rows:
        return
    # each session of PostgreSQL has rows of its own: nobody waits for another who counts the same users
    writer = 0 if db.dialect.name == "sqlite" else db.scalar(sa.select(sa.func.pg_backend_pid()))
    insert = _insert(db)
    known = insert.on_conflict_do_update(
        index_elements=list(tallies.primary_key.columns), set_={"users": tallies.c.users + insert.excluded.users}
    )
    db.execute(known, [{**row, "writer": writer} for row in rows])


def changed(found: Mapping[Group, int], values: Mapping[str, Any]) -> Counter[Group]:
    """What is to be added when users of these groups get new *values*."""
    new = {name: value for name, value in values.items() if name in Group._fields}
    changes: Counter[Group] = Counter()
    for group, count in found.items():
        changes[group] -= count
        changes[group._replace(**new)] += count
    return changes


def counting(lots: Iterable[pl.DataFrame], plan_id: int, found: Counter[Group]) -> Iterator[pl.DataFrame]:
    """The same lots; when the last one is taken, *found* has counted their users."""
    for lot in lots:
        there = [name for name in Group._fields if name in lot.columns]
        for row in lot.group_by(there).len("users").iter_rows(named=True):
            count = row.pop("users")
            found[Group(**{"plan_id": plan_id, "kind": USER, "wave_id": None, **row})] += count
        yield lot


def _read(db: sa.Connection, whose: sa.ColumnElement[bool]) -> dict[Group, int]:
    by = [tallies.c[name] for name in Group._fields]
    total = sa.func.sum(tallies.c.users)
    query = sa.select(*by, total).where(whose).group_by(*by).having(total != 0).order_by(*by)
    rows = ((Group._make(row[:-1]), int(row[-1])) for row in db.execute(query))
    return {group._replace(wave_id=group.wave_id or None): count for group, count in rows}


def _insert(db: sa.Connection) -> Any:
    if db.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(tallies)
    from sqlalchemy.dialects import postgresql  # late: its import is a tenth of the start of `user show`

    return postgresql.insert(tallies)
