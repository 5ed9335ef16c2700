"""
How busy a database is, asked from beside the work: short looks on a connection of their own, which never wait long.

One `Watch` per database, primary or replica; what a kind of database cannot tell is None.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import sqlalchemy as sa

from migrator.errors import Refused, SettingWrong

CONNECT_SECONDS = 3
ANSWER_SECONDS = 3
LAG, SESSIONS, STATEMENT = "lag", "sessions", "statement"


@dataclass(frozen=True, slots=True)
class Pressure:
    """`lag` and `statement` (the longest running one of others, or their transaction) in seconds; sessions at work."""

    lag: float | None = None
    sessions: int | None = None
    statement: float | None = None


class Watch(Protocol):
    """One look at a time; Unreachable, Refused or Transient where it cannot be had."""

    dialect: str

    def pressure(self, wanted: Collection[str]) -> Pressure:
        """Measure those of `lag`, `sessions`, `statement` that are wanted and can be told here."""

    def number(self, sql: str) -> float:
        """Run *sql* in a read-only transaction; the one number it gives."""

    def writers(self) -> frozenset[str]:
        """
        The transactions under way in this database that have written or locked a row, each by a name no later one has.

        Nobody, where the kind of database cannot tell.
        """

    def close(self) -> None:
        """Give back the connection."""


def watch(url: str, name: str, *, replica: bool = False) -> Watch:
    """
    Give the watch of the database under *url*; nothing is opened before it is used.

    Args:
        name: How it is named in what is said: target, legacy.shop, replica db2:5432.
        replica: What is behind is the server itself, not those that follow it.
    """
    parsed = sa.make_url(url)
    kind = parsed.get_backend_name()
    if kind in ("postgresql", "postgres"):
        from migrator.edges.databases.postgresql_watch import PostgresqlWatch

        return PostgresqlWatch(parsed, name, replica=replica)
    if kind in ("mysql", "mariadb"):
        from migrator.edges.databases.mysql_watch import MysqlWatch

        return MysqlWatch(parsed, name, replica=replica)
    if kind == "sqlite" and not replica:
        from migrator.edges.databases.sqlite_watch import SqliteWatch

        return SqliteWatch(parsed, name)
    raise SettingWrong(f"[throttle] replicas: {kind} has no replicas that could be asked; use PostgreSQL or MySQL")


def the_number(rows: list[Any]) -> float:
    """The one number among *rows*; Refused for anything else."""
    value = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    raise Refused("the query does not give one number: one row, one column, not null")


def asking(sql: str) -> sa.Select[Any]:
    """
    Make *sql* something that can only be read: where a table is to stand, nothing is created, changed or committed.

    Raises: Refused where it is several statements.
    """
    alone = sql.strip().removesuffix(";")
    if ";" in alone:
        raise Refused("the query is more than one statement")
    inner = sa.text((alone + "\n").replace(":", "\\:"))  # a colon is a colon there, and a comment ends with its line
    return sa.select(sa.text("*")).select_from(inner.columns().subquery("asked"))
