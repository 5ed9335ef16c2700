"""Reading from MySQL and MariaDB: rows come out by a streaming cursor, text is compared to the last byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pymysql
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames, mysql_cursor, mysql_keys, mysql_printing, mysql_values
from migrator.edges.databases.reader import Keyed, SqlReader
from migrator.edges.databases.statements import Declared, Selecting, Statement
from migrator.edges.databases.totals import grouped
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind

#: Kinds that are compared by a collation, or printed with more than they mean.
_COLLATED = frozenset({Kind.TEXT, Kind.ENUM, Kind.JSON, Kind.INET, Kind.OTHER})


class MysqlReader(SqlReader):
    """One transaction of one connection."""

    collation = "utf8mb4_bin"

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame; those that are asked for by keys in one text."""
        selecting = self._selecting(query)
        if mysql_printing.can_print(query, selecting.columns):
            found = {name: selecting.find(name) for name in selecting.columns}
            printed = self._raw(selecting.over(*mysql_printing.printing(found)), 2)
            frame = mysql_printing.frame(printed, selecting.columns)
            if frame is not None:
                return frame
        return super().select(query)

    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Add up on the server, which does so exactly; but not floats."""
        selecting = self._selecting(query)
        if all(selecting.find(name)[1].kind in (Kind.INTEGER, Kind.DECIMAL) for name in sums):
            return self._added(selecting, by, sums)
        wanted = {name: selecting.find(name) for name in (by, *sums)}
        statement = selecting.over(*(column.label(name) for name, (column, _) in wanted.items()))
        return grouped(self._fetch(statement, {name: declared for name, (_, declared) in wanted.items()}), by, sums)

    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Ask by a list in the statement."""
        return mysql_keys.among(column, declared, values.unique().drop_nulls().sort())

    def exact(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Collations know no case and no blank at the end: bytes are compared."""
        return mysql_values.exact(column) if declared.kind in _COLLATED else column

    def text(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Print it in the one character set that has all of them."""
        return sa.collate(mysql_values.text(mysql_values.printed(column, declared)), self.collation)

    def ordered(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Null comes first by itself; the bytes of UTF-8 stand in the order of code points."""
        return self.exact(column, declared).asc()

    def same(self, one: Declared, other: Declared) -> ColumnElement[bool]:
        """Compare numbers by value, anything else as printed: a number is not equal to text that begins with it."""
        (mine, declared), (theirs, declared_too) = one, other
        if declared.kind not in _COLLATED and declared_too.kind not in _COLLATED:
            return mine == theirs
        exactly = mysql_values.exact(mine) == mysql_values.exact(theirs)
        if declared.kind in _COLLATED and declared.collation == declared_too.collation:
            return sa.and_(mine == theirs, exactly)  # so that it finds them by an index
        return exactly

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """A number column holds nothing else here."""
        return sa.true()

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as a decimal."""
        return sa.literal(value)

    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        return [], mysql_keys.matching({name: relation.c[name] for name in keys.columns}, columns, keys)

    def _added(self, selecting: Selecting, by: str, sums: Sequence[str]) -> pl.DataFrame:
        column, declared = selecting.find(by)
        added = [sa.func.coalesce(sa.func.sum(selecting.find(name)[0]), 0).label(name) for name in sums]
        # one of a group, all of whose values are the same
        statement = selecting.over(sa.func.min(column).label(by), sa.func.count().label("count"), *added)
        columns = {by: declared, "count": Column("count", Kind.INTEGER)}
        columns |= {name: Column(name, Kind.DECIMAL) for name in sums}
        found = self._fetch(statement.group_by(self.exact(column, declared)), columns)
        return found.with_columns(frames.text(found[by]))

    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        pairs = zip(statement.selected_columns, columns.values(), strict=True)
        asked = statement.with_only_columns(
            *(mysql_values.printed(column, declared) for column, declared in pairs), maintain_column_froms=True
        )
        return mysql_values.read_frame(self._raw(asked, len(columns)), columns)

    def _raw(self, statement: Statement, width: int) -> pl.DataFrame:
        expanded = statement.compile(dialect=self._connection.dialect).construct_expanded_state()
        return mysql_cursor.fetch(self._driver, expanded.statement, expanded.positional_parameters, width)

    @property
    def _driver(self) -> pymysql.Connection[Any]:
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, pymysql.Connection):
            raise TypeError("the connection is not one of PyMySQL")
        return driver
