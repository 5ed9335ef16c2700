"""Reading from PostgreSQL: whole results as one CSV text, keys as one array, each shape of question compiled once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement, ColumnElement

from migrator.edges.databases import postgresql_changes, postgresql_joined, postgresql_keys, postgresql_printing
from migrator.edges.databases.base import Asked
from migrator.edges.databases.own import LEDGER_COLUMNS
from migrator.edges.databases.postgresql_joined import Ends, leads
from migrator.edges.databases.postgresql_keys import Keys
from migrator.edges.databases.postgresql_statements import CopyOut, at_once, setting
from migrator.edges.databases.reader import Keyed, SqlReader, in_order
from migrator.edges.databases.statements import Statement, known_table, relation
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind, Schema, Table

_BY_INDEX, _AS_IT_LIKES = setting({"enable_seqscan": "off"}), setting({"enable_seqscan": "on"})
_KEY = "key_{}"  # name of the parameter that holds an array
_FEW = 100  # keys: a look at what is between them costs as much as to look them up


@dataclass(frozen=True, slots=True)
class Shape:
    """A question whose arrays are still open: compiled, with all other parameters."""

    sql: str
    one_by_one: str  # the same for COPY, where the result is too long for one text
    fixed: Mapping[str, Any]
    columns: Mapping[str, Column]


Shapes: TypeAlias = dict[Hashable, Shape]


class PostgresqlReader(SqlReader):
    """One transaction of one PostgreSQL connection."""

    collation = "C"
    _by_index = False

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None, shapes: Shapes) -> None:
        super().__init__(connection, schema, namespace)
        self._shapes = shapes
        self._last: tuple[pl.Series, Column, Keys] | None = None

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame."""
        self._prefer_index(self._is_looked_up(query))
        keys, near = self._keys_of(query), self._near_join(query)
        name = ("select", *_name_of(query), keys.close, bool(near))
        shape = self._shaped(name, lambda: self._selected(query, near))
        return self._fetched(shape, {**keys.given, **near})

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        self._prefer_index(self._is_looked_up(query))
        return super().count(query)

    def ledger(self, users: Sequence[str]) -> pl.DataFrame:
        """What the ledger says of *users*, as far as they are in it."""
        asked = pl.Series(users, dtype=pl.String)
        shape = self._shaped("ledger", lambda: self._compiled(self._entries(asked), LEDGER_COLUMNS))
        return self._fetched(shape, self._keys(asked, LEDGER_COLUMNS["user_key"]).given)

    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Add up on the server, in numeric."""
        selecting = self._selecting(query)
        grouped = sa.cast(selecting.find(by)[0], sa.Text)
        added = [sa.func.coalesce(sa.func.sum(_as_numeric(*selecting.find(name))), 0).label(name) for name in sums]
        statement = selecting.over(grouped.label(by), sa.func.count().label("count"), *added).group_by(grouped)
        columns = {by: Column(by, Kind.TEXT), "count": Column("count", Kind.INTEGER)}
        return self._fetch(statement, columns | {name: Column(name, Kind.DECIMAL) for name in sums})

    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Ask by one array."""
        return postgresql_keys.among(column, declared, values, self._keys(values, declared))

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """A number column holds nothing else here."""
        return sa.true()

    def unchanged(self, asked: Sequence[Asked], mark: str) -> bool:
        """Whether every query gives as many rows as it gave, none written by a transaction that was open at *mark*."""
        if not postgresql_changes.can_be_told(self._connection, self._namespace, asked):
            return False
        oldest = postgresql_changes.oldest_open(mark)
        return all(self._counted_since(query, oldest) == (rows, False) for query, rows in asked)

    def _counted_since(self, query: Query, oldest: int) -> tuple[int, bool]:
        """How many rows there are, and whether one of them is younger than the transaction *oldest*."""
        self._prefer_index(self._is_looked_up(query))
        keys, near = self._keys_of(query), self._near_join(query)
        shape = self._shaped(("since", *_name_of(query), keys.close, bool(near)), lambda: self._since(query, near))
        given = {**shape.fixed, **keys.given, **near, "oldest": str(oldest)}
        rows, young = self._driver.execute(shape.sql, given).fetchone() or (0, True)
        return int(rows), bool(young)

    def _since(self, query: Query, near: Ends) -> Shape:
        selecting = self._selecting(query)
        counting = postgresql_joined.narrowed(postgresql_changes.counting(query, selecting), query, selecting, near)
        return self._alone(counting)

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as numeric."""
        return sa.literal(value)

    def _selected(self, query: Query, near: Ends) -> Shape:
        selecting = self._selecting(query)
        return self._compiled(postgresql_joined.narrowed(selecting.rows(), query, selecting, near), selecting.columns)

    def _keys_of(self, query: Query) -> Keys:
        """The keys that *query* asks for; none where it asks for all rows."""
        if query.among is None:
            return postgresql_keys.NONE
        behind = postgresql_joined.behind(query)
        table = known_table(self.schema, query.via.table if query.via and behind else query.table)
        declared = table.columns.get(behind or query.among.column)
        return self._keys(query.among.values, declared) if declared else postgresql_keys.NONE

    def _keys(self, values: pl.Series, declared: Column) -> Keys:
        """Most questions of a batch ask for the same keys as the one before."""
        last = self._last
        if last is None or last[1].kind is not declared.kind or not last[0].equals(values, check_dtypes=True):
            last = self._last = values, declared, postgresql_keys.of(values, declared)
        return last[2]

    def _near_join(self, query: Query) -> Ends:
        """Where the rows lie that are joined to those of the keys; empty where that need not be known."""
        keys, behind = self._keys_of(query), postgresql_joined.behind(query)
        if not keys.close or not query.via or not behind or not postgresql_joined.can_be_told(query, self.schema):
            return {}
        name = ("ends", query.via.table, *query.via.on, behind)
        shape = self._shaped(name, lambda: self._alone(self._ends(query, behind)))
        return postgresql_joined.ends(
            *(self._driver.execute(shape.sql, {**shape.fixed, **keys.given}).fetchone() or (0, 0, 0))
        )

    def _ends(self, query: Query, behind: str) -> ClauseElement:
        assert query.via and query.among  # its only caller has looked
        joined = known_table(self.schema, query.via.table)
        columns, ((theirs, _),) = relation(joined, self._namespace).c, query.via.on
        wanted = self.among(columns[behind], joined.columns[behind], query.among.values)
        return postgresql_joined.counting(columns[theirs], wanted)

    def _alone(self, statement: ClauseElement) -> Shape:
        """A question that is answered by one row."""
        compiled = self._compile(statement)
        return Shape(str(compiled), "", dict(compiled.params), {})

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        table = known_table(self.schema, name)
        self._prefer_index(leads(table, keys.columns))
        wanted = in_order(keys if locked else self._near(table, keys))
        if wanted.is_empty():
            return super()._rows(name, wanted)
        how = "lock" if locked else "look"
        return self._looked_up(table, wanted, how, lambda: self._looking_up(table, wanted, locked=locked))

    def _looked_up(self, table: Table, keys: pl.DataFrame, how: str, build: Callable[[], Statement]) -> pl.DataFrame:
        """Carry out what *build* makes for keys like these; *how* tells it from what else is asked by such keys."""
        asked = (how, table.name, tuple(keys.columns), tuple(dtype.is_temporal() for dtype in keys.dtypes))
        shape = self._shaped(asked, lambda: self._compiled(build(), table.columns))
        arrays = (postgresql_keys.array(keys[column], table.columns[column]) for column in keys.columns)
        return self._fetched(shape, {_KEY.format(place): array for place, array in enumerate(arrays)})

    def _near(self, table: Table, keys: pl.DataFrame) -> pl.DataFrame:
        """
        Leave out keys that nothing is near to: what is between the lowest and the highest is one look at the index.

        Rows that are to be new find little or nothing there.
        """
        name = next((name for name in keys.columns if leads(table, [name]) and keys.schema[name].is_integer()), None)
        if name is None or table.columns[name].kind is not Kind.INTEGER or keys.height < _FEW:
            return keys
        most = keys.height // 4
        shape = self._shaped((table.name, name, "near"), lambda: self._between(table, name))
        ends = {"low": keys[name].min(), "high": keys[name].max()}
        there = self._fetched(shape, {**ends, "most": most + 1})[name]
        if not len(there):
            return keys.clear()
        return keys if len(there) > most else keys.filter(pl.col(name).is_in(there.implode()))

    def _between(self, table: Table, name: str) -> Shape:
        column = relation(table, self._namespace).c[name]
        between = column.between(sa.bindparam("low", 0), sa.bindparam("high", 0))
        some = sa.select(column).where(between).limit(sa.bindparam("most", 0))
        return self._compiled(some, {name: table.columns[name]})

    def _looking_up(self, table: Table, keys: pl.DataFrame, *, locked: bool) -> Statement:
        main = relation(table, self._namespace).alias("main")
        matched, condition = self._keyed(main, table.columns, keys)
        statement = sa.select(*(main.c[name].label(name) for name in table.columns))
        statement = statement.select_from(*matched, main).where(condition)
        return statement.with_for_update(of=main) if locked else statement

    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        pairs = [
            _named(relation.c[name], columns[name], keys[name], _KEY.format(place))
            for place, name in enumerate(keys.columns)
        ]
        names = [_KEY.format(position) for position in range(len(pairs))]
        unnested = sa.func.unnest(*(array for _, array in pairs)).table_valued(*names).render_derived("keys")
        tied = (column == unnested.c[name] for name, (column, _) in zip(names, pairs, strict=True))
        return [unnested], sa.and_(*tied)

    def _is_looked_up(self, query: Query) -> bool:
        """Whether an index leads from the keys that are asked for to the rows, over both tables where there are two."""
        if query.among is None:
            return False
        asked = {query.among.column}
        behind = postgresql_joined.behind(query)
        main = known_table(self.schema, query.table)
        if not query.via or not behind:
            return leads(main, asked)
        joined = leads(main, [ours for _, ours in query.via.on])
        return joined and leads(known_table(self.schema, query.via.table), [behind])

    def _prefer_index(self, wanted: bool) -> None:
        """
        Look some thousand keys up instead of reading a table as a whole for them, as the server else does while it is small.

        Each batch would read all that was moved before it: ten times the users would cost a hundred times the time.
        """
        if wanted is not self._by_index:
            self._connection.execute(_BY_INDEX if wanted else _AS_IT_LIKES)
            self._by_index = wanted

    def _shaped(self, name: Hashable, build: Callable[[], Shape]) -> Shape:
        """Compile a question once, however often it is asked with other keys."""
        if name not in self._shapes:
            self._shapes[name] = build()
        return self._shapes[name]

    def _compiled(self, statement: Statement, columns: Mapping[str, Column]) -> Shape:
        rows = postgresql_printing.printed(statement, columns)
        one = self._compile(postgresql_printing.as_one_text(rows, columns))
        each = self._compile(CopyOut(postgresql_printing.with_end(rows)))
        return Shape(str(one), str(each), {**each.params, **one.params}, columns)

    def _compile(self, statement: ClauseElement) -> sa.Compiled:
        return statement.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})

    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        return self._fetched(self._compiled(statement, columns), {})

    def _fetched(self, shape: Shape, given: Mapping[str, Any]) -> pl.DataFrame:
        """
        Have the server print all rows as one CSV text: half the work, on both sides, of a message for each row.

        Only what is too long for one text (1 GB) comes row by row.
        """
        given = {**shape.fixed, **given}
        try:
            content = self._one_text(shape.sql, given)
        except psycopg.errors.ProgramLimitExceeded:
            with self._driver.cursor() as each, each.copy(shape.one_by_one, given) as lines:
                content = b"".join(lines)
        return postgresql_printing.frame(content, shape.columns)

    def _one_text(self, sql: str, given: Mapping[str, Any]) -> bytes | None:
        """The one text that *sql* gives; the transaction outlives one that is too long (ProgramLimitExceeded)."""
        driver = self._driver
        try:
            with at_once(driver):
                driver.execute("SAVEPOINT migrator_rows")
                cursor = driver.execute(sql, given)
                driver.execute("RELEASE SAVEPOINT migrator_rows")
        except psycopg.errors.ProgramLimitExceeded:
            driver.execute("ROLLBACK TO SAVEPOINT migrator_rows")
            raise
        return cursor.pgresult.get_value(0, 0) if cursor.pgresult else None

    @property
    def _driver(self) -> psycopg.Connection[Any]:
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError("the connection is not one of psycopg")
        return driver


def _name_of(query: Query) -> tuple[Hashable, ...]:
    """What tells the shape of a query from others: all but the keys."""
    among = query.among
    return (repr(replace(query, among=None)), among and (among.column, among.values.dtype.is_temporal()))


def _named(
    column: ColumnElement[Any], declared: Column, keys: pl.Series, name: str
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return postgresql_keys.comparable(column, declared, keys, name, postgresql_keys.array(keys, declared))


def _as_numeric(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    # straight from float8 the server would round to 15 digits
    exact = sa.cast(column, sa.Text) if declared.kind is Kind.FLOAT else column
    return sa.cast(exact, sa.Numeric)
