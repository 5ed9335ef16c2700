"""Keys that are whole numbers and lie close together: asked for by the first and the last of them, not one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.mapping.schema import Kind, Table


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers of the rowid *column* from the first to the last that is asked for."""

    column: str
    first: int
    last: int

    def holds(self, relation: sa.FromClause) -> ColumnElement[bool]:
        """Hold for the rows in between."""
        return relation.c[self.column].between(self.first, self.last)

    def counted(self, relation: sa.FromClause, most: int) -> sa.Select[Any]:
        """SELECT how many rows there are in between, but not on and on."""
        some = sa.select(sa.literal(1).label("one")).select_from(relation).where(self.holds(relation))
        return sa.select(sa.func.count()).select_from(some.limit(most).subquery("some"))


def of(table: Table, keys: pl.DataFrame) -> Range | None:
    """
    Give the range of *keys*; None where they are anything else than numbers of the rowid.

    A rowid is always a whole number, which no other column of SQLite is for certain.
    """
    if tuple(keys.columns) != table.key or keys.width != 1 or table.view:
        return None
    numbers, column = keys.to_series(), table.columns[keys.columns[0]]
    is_rowid = column.kind is Kind.INTEGER and column.declared.upper() == "INTEGER"
    first, last = numbers.min(), numbers.max()
    if not is_rowid or not isinstance(first, int) or not isinstance(last, int):
        return None
    return Range(column.name, first, last)
