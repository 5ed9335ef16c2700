"""Reading, as far as all SQL databases do it alike. Each dialect adds how rows are fetched and keys are matched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.base import Executable

from migrator.edges.databases import references
from migrator.edges.databases.frames import read_type
from migrator.edges.databases.own import LEDGER_COLUMNS, own_tables
from migrator.edges.databases.statements import Selecting, Statement, known_table, relation
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Schema

#: Keys as a relation, and what ties it to the table whose rows are wanted.
Keyed: TypeAlias = tuple[sa.FromClause, ColumnElement[bool]]


class SqlReader(ABC):
    """One transaction of one connection; see `base.Reader`."""

    collation: str

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None) -> None:
        self._connection, self.schema, self._namespace = connection, schema, namespace
        self._own = own_tables(namespace)

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame."""
        selecting = self._selecting(query)
        return self._fetch(selecting.rows(), selecting.columns)

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        return int(self._connection.execute(self._selecting(query).count()).scalar_one())

    def rows(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """All columns of the rows of *table* whose columns equal those of a row of *keys*."""
        return self._rows(table, keys)

    def ledger(self, users: Sequence[str]) -> pl.DataFrame:
        """What the ledger says of *users*, as far as they are in it."""
        ledger = self._own.ledger
        among = self.among(ledger.c.user_key, LEDGER_COLUMNS["user_key"], pl.Series(users, dtype=pl.String))
        statement = sa.select(*(ledger.c[name] for name in LEDGER_COLUMNS)).where(among)
        return self._fetch(statement, LEDGER_COLUMNS)

    def referencing(self, table: str, keys: pl.DataFrame, ours: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Rows of *table* among *keys* that a row points at which is not in *ours*; see `references`."""
        return references.referencing(self, self.schema, table, keys, ours)

    @abstractmethod
    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Count and exact sums per value of *by*."""

    @abstractmethod
    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Hold where the column is one of *values*."""

    @abstractmethod
    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """Hold where a number column really holds a number."""

    @abstractmethod
    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind a number that is not a small integer."""

    @abstractmethod
    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        """Run *statement* and give its rows as a read frame."""

    @abstractmethod
    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        """Make *keys* a relation, with the condition that ties it to *relation*."""

    def _counted(self, statement: Executable) -> int:
        """Run a writing statement and say how many rows it met."""
        # without the option SQLAlchemy may give -1 for INSERT
        return self._connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount

    def _selecting(self, query: Query) -> Selecting:
        return Selecting(query, self.schema, self._namespace, self)

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        table = known_table(self.schema, name)
        if keys.is_empty():
            return pl.DataFrame(schema={name: read_type(column.kind) for name, column in table.columns.items()})
        main = relation(table, self._namespace).alias("main")
        matched, condition = self._keyed(main, table.columns, in_order(keys))
        statement = sa.select(*(main.c[name].label(name) for name in table.columns)).select_from(
            matched.join(main, condition)
        )
        return self._fetch(statement.with_for_update(of=main) if locked else statement, table.columns)


def in_order(keys: pl.DataFrame) -> pl.DataFrame:
    """Ask for each key once, and for neighbours one after the other: they lie together."""
    return keys.unique().drop_nulls().sort(keys.columns)
