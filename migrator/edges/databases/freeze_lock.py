"""
Whose rows a legacy database refuses to have written, for applications that do not ask the Router: its table of the frozen.

Written on a connection from beside the work; no other table of legacy is touched. Each row ends by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa

from migrator.edges.databases.beside import beside
from migrator.edges.databases.lock_scripts import FROZEN, LockScript
from migrator.edges.databases.own import KeyText
from migrator.mapping.trodden import Trail

#: Of whose people, and the key that he has there.
Person: TypeAlias = tuple[str, str]
_AT_ONCE = 400


class FreezeLock:
    """The lock of one legacy database."""

    def __init__(self, url: str, schema: str | None, name: str) -> None:
        """Nothing is opened before it is used; *name*: what the database is called in what is said."""
        self._place = beside(url, schema, name, "migrator lock")

    def script(self, trails: Mapping[str, Sequence[Trail]], *, drop: bool = False) -> str:
        """The SQL that lets the database refuse, or (`drop`) refuse no more; as a person pastes it into a client."""
        statements = self._statements(trails, drop=drop)
        if self._place.dialect.name != "mysql":
            return "\n".join(f"{statement};" for statement in statements)
        return "\n".join(["DELIMITER $$", *(f"{statement}$$" for statement in statements), "DELIMITER ;"])

    def install(self, trails: Mapping[str, Sequence[Trail]], *, drop: bool = False) -> int:
        """Run it with our own account; how many statements. Refused where the account may not."""
        return self._place.run(self._statements(trails, drop=drop), "migrator changes script --lock")

    def installed(self) -> bool:
        """Whether the table is there."""
        return self._place.has(FROZEN)

    def lock(self, people: Collection[Person], holder: str, lasting: timedelta) -> None:
        """
        Refuse writes to the rows of these people from now on, until so long has passed by the database's clock.

        Args:
            holder: Who alone takes the lock off before; whoever locks the same people after him holds them then.
        """
        with self._writing() as db:
            table = frozen_table(self._place.schema)
            db.execute(sa.delete(table).where(table.c.until <= _now(db, timedelta(0))))
            _forget(db, table, people)
            for some in _parts(people):
                held = sa.literal(holder).label("holder"), _now(db, lasting).label("until")
                rows = [sa.select(_key(whose), _key(key), *held) for whose, key in some]
                db.execute(sa.insert(table).from_select(["people", "user_key", "holder", "until"], sa.union_all(*rows)))

    def unlock(self, people: Collection[Person], holder: str) -> None:
        """Let the rows of those of these people be written again whom this one still holds."""
        table = frozen_table(self._place.schema)
        with self._writing() as db:
            _forget(db, table, people, table.c.holder == holder)

    def close(self) -> None:
        """Give back the connection."""
        self._place.close()

    def _statements(self, trails: Mapping[str, Sequence[Trail]], *, drop: bool) -> list[str]:
        script = LockScript(self._place.dialect, self._place.schema, trails)
        return script.drop() if drop else script.install()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that may write, whatever the account's transactions may do if nobody says anything."""
        with self._place.connected() as db:
            if db.dialect.name == "postgresql":
                db = db.execution_options(postgresql_readonly=False)
            with db.begin():
                yield db


def frozen_table(schema: str | None) -> sa.Table:
    """Describe it as it stands in *schema*."""
    return sa.Table(
        FROZEN, sa.MetaData(schema=schema),
        sa.Column("people", KeyText, primary_key=True),
        sa.Column("user_key", KeyText, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )  # fmt: skip


@contextmanager
def lifted(db: sa.Connection, schema: str | None, people: Collection[Person]) -> Iterator[None]:
    """
    Let this transaction alone write rows of people who are locked: to everybody else they stay so.

    What it takes out of the table it puts back before it ends, and nobody sees what a transaction has not committed.
    """
    table = frozen_table(schema)
    rows: list[Any] = []
    for some in _parts(people):
        found = db.execute(sa.select(table).where(_among(table, some))).mappings()
        rows += [dict(row) for row in found]
    _forget(db, table, people)
    yield
    if rows:
        db.execute(sa.insert(table), rows)


def _forget(db: sa.Connection, table: sa.Table, people: Collection[Person], *only: sa.ColumnElement[bool]) -> None:
    for some in _parts(people):
        db.execute(sa.delete(table).where(_among(table, some), *only))


def _among(table: sa.Table, people: Sequence[Person]) -> sa.ColumnElement[bool]:
    by: dict[str, list[str]] = {}
    for whose, key in people:
        by.setdefault(whose, []).append(key)
    return sa.or_(*(sa.and_(table.c.people == whose, table.c.user_key.in_(keys)) for whose, keys in by.items()))


def _parts(people: Collection[Person]) -> Iterator[list[Person]]:
    """In one order everywhere, so that two who lock the same rows wait for each other and do not deadlock."""
    in_order = sorted(people)
    for start in range(0, len(in_order), _AT_ONCE):
        yield in_order[start : start + _AT_ONCE]


def _key(text: str) -> sa.ColumnElement[Any]:
    return sa.literal(text, KeyText())


def _now(db: sa.Connection, later: timedelta) -> sa.ColumnElement[Any]:
    """The database's own time, so much later, as its column keeps it."""
    seconds = later.total_seconds()
    if db.dialect.name == "sqlite":
        return sa.func.strftime("%Y-%m-%d %H:%M:%f", "now", f"{seconds:+.3f} seconds")
    if db.dialect.name == "postgresql":
        return sa.func.clock_timestamp() + sa.literal(later, sa.Interval)
    unit: sa.ColumnElement[Any] = sa.literal_column("MICROSECOND")
    return sa.func.timestampadd(unit, round(seconds * 1_000_000), sa.func.utc_timestamp(sa.literal_column("6")))
