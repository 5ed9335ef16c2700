"""AUTO_INCREMENT, drawn from in bulk without a row: what InnoDB has counted once it never counts back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from migrator.errors import Refused
from migrator.mapping.schema import Table

#: A row of nothing but its number passes, whatever its table asks of it; it is gone again at once.
_LAX = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0"


class Counter:
    """
    The counter of one column, inside a write transaction.

    Raises:
        Refused: nothing counts the column, or its numbers are used up.
    """

    def __init__(self, connection: sa.Connection, table: Table, column: str) -> None:
        self._connection, self._table, self._column = connection, table, column
        if not self._is_counted():
            raise Refused(f"nothing counts {table.name}.{column}; make it AUTO_INCREMENT, or use another id")

    def next(self) -> int:
        """Tell the number that the next row of the application gets."""
        tables = _view("tables", "table_schema", "table_name", "auto_increment")
        mine = sa.and_(tables.c.table_schema == sa.func.database(), tables.c.table_name == self._table.name)
        column: sa.ColumnClause[int] = sa.column(self._column)
        highest = self._connection.execute(sa.select(sa.func.max(column)).select_from(sa.table(self._table.name)))
        counted = self._connection.execute(sa.select(tables.c.auto_increment).where(mine)).scalar()
        return max(int(counted or 1), int(highest.scalar() or 0) + 1)

    def pass_by(self, number: int) -> None:
        """
        Let the application count on behind *number*.

        A row with that number is put in and taken back: the counter has moved on then. A table that takes no such row
        (a trigger, a check) leaves it where it was, and the application may be first with a number of ours.
        """
        self._require_room(number)
        row = sa.insert(sa.table(self._table.name, sa.column(self._column))).values({self._column: number})
        with self._lax(), contextlib.suppress(sa.exc.DBAPIError):
            savepoint = self._connection.begin_nested()
            try:
                self._connection.execute(row)
            finally:
                savepoint.rollback()

    def _require_room(self, number: int) -> None:
        declared = self._table.columns[self._column]
        if number >= 2 ** (declared.bits if declared.unsigned else declared.bits - 1):
            raise Refused(f"the numbers of {self._table.name}.{self._column} ({declared.declared}) are used up")

    @contextlib.contextmanager
    def _lax(self) -> Iterator[None]:
        before = self._connection.exec_driver_sql("SELECT @@SESSION.sql_mode, @@SESSION.foreign_key_checks").one()
        self._connection.exec_driver_sql(_LAX)
        try:
            yield
        finally:
            self._connection.exec_driver_sql("SET SESSION sql_mode = %s, foreign_key_checks = %s", tuple(before))

    def _is_counted(self) -> bool:
        columns = _view("columns", "table_schema", "table_name", "column_name", "extra")
        mine = sa.and_(columns.c.table_schema == sa.func.database(), columns.c.table_name == self._table.name)
        found = sa.select(columns.c.extra).where(mine, columns.c.column_name == self._column)
        return "auto_increment" in str(self._connection.execute(found).scalar() or "").lower()


def _view(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns), schema="information_schema")
