"""Query -> SELECT, keys -> conditions: the SQL that all dialects share. Built by SQLAlchemy Core, never from strings."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, Select

from migrator.errors import Refused
from migrator.mapping.query import Query, Test, Via
from migrator.mapping.schema import Column, Kind, Schema, Table

NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT})
_INTEGER_BITS = 63
Statement: TypeAlias = Select[Any]
#: A column in a statement, and how the database declares it.
Declared: TypeAlias = tuple[ColumnElement[Any], Column]


class Dialect(Protocol):
    """The few points in which the databases differ."""

    def exact(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Give what is equal only where the printed values are, to the last character."""

    def text(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Give the printed value, which is ordered by code point."""

    def ordered(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Order alike everywhere: null first, text by code point."""

    def same(self, one: Declared, other: Declared) -> ColumnElement[bool]:
        """Hold where two columns have the same value."""

    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Hold where the column is one of *values*."""

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Hold where a number column really holds a number."""

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind a number that is not a small integer."""


def relation(table: Table, namespace: str | None) -> sa.TableClause:
    """Give the table as SQLAlchemy names it; its columns have no type, so that no value is converted on the way."""
    return sa.table(table.name, *(sa.column(name) for name in table.columns), schema=namespace)


def known_table(schema: Schema, name: str) -> Table:
    """Find a table, or say that it is not there."""
    try:
        return schema.tables[name]
    except KeyError:
        raise Refused(f"the database has no table {name}; it was there when the mapping was checked") from None


def _column(table: Table, relation: sa.FromClause, name: str) -> Declared:
    try:
        return relation.c[name], table.columns[name]
    except KeyError:
        raise Refused(f"the database has no column {table.name}.{name}") from None


class Selecting:
    """One query on its way to SQL; `columns` are those of the result, by their names there."""

    def __init__(self, query: Query, schema: Schema, namespace: str | None, dialect: Dialect) -> None:
        self._query, self._dialect = query, dialect
        self._table = known_table(schema, query.table)
        self._main = relation(self._table, namespace).alias("main")
        self._source: sa.FromClause = self._main
        self._found = {name: _column(self._table, self._main, name) for name in query.columns}
        if query.via:
            self._join(known_table(schema, query.via.table), query.via, namespace)
        self.columns = {name: column for name, (_, column) in self._found.items()}

    def _join(self, table: Table, via: Via, namespace: str | None) -> None:
        other = relation(table, namespace).alias("via")
        pairs = (
            self._dialect.same(_column(table, other, theirs), _column(self._table, self._main, ours))
            for theirs, ours in via.on
        )
        self._source = self._main.join(other, sa.and_(*pairs))
        self._found |= {name: _column(table, other, column) for column, name in via.take}

    def rows(self) -> Statement:
        """SELECT the columns."""
        if not self._query.distinct:
            statement = self.over(*(column.label(name) for name, (column, _) in self._found.items()))
            ordered = statement.order_by(*(self._dialect.ordered(*self.find(name)) for name in self._query.order))
            return ordered.limit(self._query.limit)
        exact = (self._dialect.exact(*declared).label(name) for name, declared in self._found.items())
        found = self.over(*exact).distinct().subquery("found")  # what orders distinct rows must be one of their columns
        ordering = (self._dialect.ordered(found.c[name], self.columns[name]) for name in self._query.order)
        return sa.select(*found.c).order_by(*ordering).limit(self._query.limit)

    def count(self) -> Statement:
        """SELECT how many rows there are."""
        if self._query.distinct:
            return sa.select(sa.func.count()).select_from(self.rows().order_by(None).subquery("found"))
        return self.over(sa.func.count())

    def over(self, *columns: ColumnElement[Any]) -> Statement:
        """SELECT *columns* from the rows of the query."""
        statement = sa.select(*columns).select_from(self._source)
        for test in self._query.tests:
            statement = statement.where(self._test(test))
        if self._query.among:
            column, declared = self.find(self._query.among.column)
            statement = statement.where(self._dialect.among(column, declared, self._query.among.values))
        return statement

    def find(self, name: str) -> Declared:
        """Find a column by its name in the result, or else in the query's own table."""
        if name in self._found:
            return self._found[name]
        return _column(self._table, self._main, name)

    def _test(self, test: Test) -> ColumnElement[bool]:
        column, declared = _column(self._table, self._main, test.column)
        if test.op in ("null", "not_null"):
            return column.is_(None) if test.op == "null" else column.is_not(None)
        if test.op in _COMPARISONS:
            compared = _COMPARISONS[test.op](column, literal(test.value, declared.kind, self._dialect))
            return sa.and_(self._dialect.is_number(column), compared) if declared.kind in NUMBERS else compared
        wanted: Any = (test.value,) if test.op in ("eq", "ne") else test.value
        found = self._is_one_of(column, declared.kind, tuple(wanted))
        return found if test.op in ("eq", "in") else sa.not_(found)

    def _is_one_of(self, column: ColumnElement[Any], kind: Kind, values: Sequence[object]) -> ColumnElement[bool]:
        """Never null, so that its opposite holds for null: None among *values* is what means null."""
        literals = [literal(value, kind, self._dialect) for value in values if value is not None]
        found = sa.or_(sa.false(), *(column == value for value in literals))
        if None in values:
            return sa.or_(found, column.is_(None))
        return sa.and_(found, column.is_not(None))


def literal(value: object, kind: Kind, dialect: Dialect) -> ColumnElement[Any]:
    """Bind a literal of a mapping; text goes without a type, for the database to take as its column's."""
    if isinstance(value, str):
        return sa.literal(value, sa.types.NullType())
    if kind is Kind.BOOLEAN and value in (0, 1):
        return sa.literal(bool(value))
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        value = Decimal(value)
    return dialect.number(value) if isinstance(value, Decimal) else sa.literal(value)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
