"""What a SQLite table counts its rows by: the rowid, or with AUTOINCREMENT a counter that never goes back."""

from __future__ import annotations

import re

import sqlalchemy as sa

from migrator.errors import Refused
from migrator.mapping.schema import Kind, Table

_SEQUENCE = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))


class Counter:
    """
    The counter of one column, inside a write transaction.

    Raises:
        Refused: the column is no rowid.
    """

    def __init__(self, connection: sa.Connection, table: Table, column: str) -> None:
        self._connection, self._table = connection, table
        found = table.columns.get(str(column))
        if table.key != (column,) or found is None or found.kind is not Kind.INTEGER or not found.has_default:
            raise Refused(f"SQLite counts only an INTEGER PRIMARY KEY, and {table.name}.{column} is none")
        self._column: sa.ColumnClause[int] = sa.column(str(column))
        self._never_goes_back = self._is_autoincrement()

    def highest(self) -> int:
        """The highest number that is in the table, or was once where SQLite remembers it."""
        rows = sa.select(sa.func.max(self._column)).select_from(sa.table(self._table.name))
        there = int(self._connection.execute(rows).scalar() or 0)
        return max(there, self._counted()) if self._never_goes_back else there

    def advance(self, number: int) -> None:
        """Let the application count on behind *number*."""
        if not self._never_goes_back:
            return
        mine = _SEQUENCE.c.name == self._table.name
        self._connection.execute(sa.delete(_SEQUENCE).where(mine))
        self._connection.execute(sa.insert(_SEQUENCE).values(name=self._table.name, seq=number))

    def _counted(self) -> int:
        mine = sa.select(sa.func.max(_SEQUENCE.c.seq)).where(_SEQUENCE.c.name == self._table.name)
        return int(self._connection.execute(mine).scalar() or 0)

    def _is_autoincrement(self) -> bool:
        master = sa.table("sqlite_master", sa.column("type"), sa.column("name"), sa.column("sql"))
        made = sa.select(master.c.sql).where(master.c.type == "table", master.c.name == self._table.name)
        return bool(re.search(r"\bAUTOINCREMENT\b", self._connection.execute(made).scalar_one(), re.IGNORECASE))
