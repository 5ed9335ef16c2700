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
from migrator.edges.databases.base import Asked
from migrator.edges.databases.carried import CARRIED_COLUMNS, carried_table
from migrator.edges.databases.frames import read_type
from migrator.edges.databases.own import IDS_COLUMNS, LEDGER_COLUMNS, OWNERS_COLUMNS, TOMBSTONE_COLUMNS, own_tables
from migrator.edges.databases.statements import Declared, Selecting, Statement, known_table, relation
from migrator.edges.databases.surveys import Survey
from migrator.mapping.facts import Listed, Seen
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind, Schema

#: Keys as relations (none where the condition has them all), and what ties them to the table whose rows are wanted.
Keyed: TypeAlias = tuple[Sequence[sa.FromClause], ColumnElement[bool]]


class SqlReader(ABC):
    """One transaction of one connection; see `base.Reader`."""

    collation: str  # the one that orders by code point

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None) -> None:
        self._connection, self.schema, self._namespace = connection, schema, namespace
        self._own = own_tables(namespace)
        self._carried = carried_table(namespace)

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame."""
        selecting = self._selecting(query)
        return self._fetch(selecting.rows(), selecting.columns)

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        return int(self._connection.execute(self._selecting(query).count()).scalar_one())

    def tally(self, query: Query, by: str) -> pl.DataFrame:
        """How many rows *query* has per value of *by*, told apart to the last character."""
        selecting = self._selecting(query)
        column, declared = selecting.find(by)
        exact = self.exact(column, declared)
        counted = selecting.over(exact.label(by), sa.func.count().label("count")).group_by(exact)
        return self._fetch(counted, {by: declared, "count": Column("count", Kind.INTEGER)})

    def rows(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """All columns of the rows of *table* whose columns equal those of a row of *keys*."""
        return self._rows(table, keys)

    def ledger(self, users: Sequence[str]) -> pl.DataFrame:
        """What the ledger says of *users*, as far as they are in it."""
        return self._fetch(self._entries(pl.Series(users, dtype=pl.String)), LEDGER_COLUMNS)

    def moved(self) -> int:
        """How many users the ledger says are here."""
        ledger = self._own.ledger
        asked = sa.select(sa.func.count()).select_from(ledger).where(ledger.c.op == "move")
        return int(self._connection.execute(asked).scalar_one())

    def numbers(self, mapping: str, keys: Sequence[str]) -> pl.DataFrame:
        """`key` and `id` of those source keys of *mapping* that have a number."""
        ids = self._own.ids
        statement = sa.select(*(ids.c[name] for name in IDS_COLUMNS)).where(self._numbered(mapping, keys))
        return self._fetch(statement, IDS_COLUMNS)

    def owners(self, table: str, keys: Sequence[str]) -> pl.DataFrame:
        """`key` and `user_key` of those rows of *table* whose writer is known."""
        owners = self._own.owners
        statement = sa.select(*(owners.c[name] for name in OWNERS_COLUMNS)).where(self._owned(table, keys))
        return self._fetch(statement, OWNERS_COLUMNS)

    def has_tombstones(self) -> bool:
        """Whether anybody was erased."""
        return self._connection.execute(sa.select(self._own.tombstones.c.print).limit(1)).first() is not None

    def erased(self, prints: Sequence[str]) -> set[str]:
        """Those of *prints* that have a tombstone."""
        stones = self._own.tombstones
        statement = sa.select(stones.c.print).where(self._among_texts(stones.c.print, prints))
        return set(self._fetch(statement, TOMBSTONE_COLUMNS)["print"])

    def carried(self, users: Sequence[str]) -> pl.DataFrame:
        """Of those of *users* whose changes were carried back here what was noted then."""
        noted = self._carried
        statement = sa.select(*(noted.c[name] for name in CARRIED_COLUMNS))
        return self._fetch(statement.where(self._among_texts(noted.c.user_key, users)), CARRIED_COLUMNS)

    def referencing(self, table: str, keys: pl.DataFrame, ours: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Rows of *table* among *keys* that a row points at which is not in *ours*; see `references`."""
        return references.referencing(self, self.schema, table, keys, ours)

    def unchanged(self, asked: Sequence[Asked], mark: str) -> bool:
        """Most databases do not say of a row who wrote it."""
        return False

    def look(self, table: str) -> dict[str, Seen]:
        """What lint may know of each column's data; see `surveys`."""
        return self._survey(table).seen()

    def values(self, table: str, column: str) -> Listed:
        """The distinct values of one column."""
        return self._survey(table).values(column)

    def repeated(self, table: str, columns: Sequence[str]) -> bool:
        """Whether two rows have the same values in *columns*, none of them null."""
        return self._survey(table).repeated(columns)

    @abstractmethod
    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Count and exact sums per value of *by*."""

    def exact(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Most databases compare text to the last character by themselves."""
        return column

    def text(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Print it, and let it be ordered by code point."""
        printed = column if declared.kind is Kind.TEXT else sa.cast(column, sa.Text)
        return sa.collate(printed, self.collation)

    def ordered(self, column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
        """Order alike everywhere: null first, text by code point."""
        ordered = sa.collate(column, self.collation) if declared.kind is Kind.TEXT else column
        return ordered.asc().nulls_first()

    def same(self, one: Declared, other: Declared) -> ColumnElement[bool]:
        """Compare as the database does."""
        return one[0] == other[0]

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
        """Make *keys* relations, with the condition that ties them to *relation*."""

    def _entries(self, users: pl.Series) -> Statement:
        ledger = self._own.ledger
        among = self.among(ledger.c.user_key, LEDGER_COLUMNS["user_key"], users)
        return sa.select(*(ledger.c[name] for name in LEDGER_COLUMNS)).where(among)

    def _numbered(self, mapping: str, keys: Sequence[str]) -> ColumnElement[bool]:
        ids = self._own.ids
        return sa.and_(ids.c.mapping == str(mapping), self._among_texts(ids.c.key, keys))

    def _owned(self, table: str, keys: Sequence[str]) -> ColumnElement[bool]:
        owners = self._own.owners
        return sa.and_(owners.c.table_name == str(table), self._among_texts(owners.c.key, keys))

    def _among_texts(self, column: ColumnElement[Any], texts: Sequence[str]) -> ColumnElement[bool]:
        return self.among(column, Column(str(column.key), Kind.TEXT), pl.Series(texts, dtype=pl.String))

    def _counted(self, statement: Executable) -> int:
        """Run a writing statement and say how many rows it met."""
        # without the option SQLAlchemy may give -1 for INSERT
        return self._connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount

    def _survey(self, name: str) -> Survey:
        dialect = self._connection.dialect.name
        return Survey(self._fetch, known_table(self.schema, name), self._namespace, dialect, self)

    def _selecting(self, query: Query) -> Selecting:
        return Selecting(query, self.schema, self._namespace, self)

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        table = known_table(self.schema, name)
        if keys.is_empty():
            return pl.DataFrame(schema={name: read_type(column.kind) for name, column in table.columns.items()})
        main = relation(table, self._namespace).alias("main")
        matched, condition = self._keyed(main, table.columns, in_order(keys))
        statement = sa.select(*(main.c[name].label(name) for name in table.columns))
        statement = statement.select_from(*matched, main).where(condition)
        return self._fetch(statement.with_for_update(of=main) if locked else statement, table.columns)


def in_order(keys: pl.DataFrame) -> pl.DataFrame:
    """Ask for each key once, and for neighbours one after the other: they lie together."""
    return keys.unique().drop_nulls().sort(keys.columns)
