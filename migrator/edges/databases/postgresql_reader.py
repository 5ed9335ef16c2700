"""Reading from PostgreSQL: whole results as one CSV text, keys as one array, each shape of question compiled once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement, ColumnElement

from migrator.edges.databases import frames, postgresql_changes, postgresql_printing
from migrator.edges.databases.base import Asked
from migrator.edges.databases.own import LEDGER_COLUMNS
from migrator.edges.databases.postgresql_statements import CopyOut, Named, setting
from migrator.edges.databases.reader import Keyed, SqlReader, in_order
from migrator.edges.databases.statements import Selecting, Statement, known_table, relation
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind, Schema, Table

#: The types by which keys are compared, wide enough to cut nothing off. Other kinds are compared as printed.
_COMPARED_AS = {
    Kind.INTEGER: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.FLOAT: "double precision",
    Kind.BOOLEAN: "boolean",
    Kind.TEXT: "text",
    Kind.UUID: "uuid",
    Kind.BINARY: "bytea",
}
_TIMES_COMPARED_AS = {Kind.DATE: "date", Kind.DATETIME: "timestamp", Kind.TIMESTAMP: "timestamptz"}
_ASKED, _KEY = "asked", "key_{}"  # names of the parameters that hold an array
_FEW = 100  # keys: a look at what is between them costs as much as to look them up


@dataclass(frozen=True, slots=True)
class Shape:
    """A question whose arrays are still open: compiled, with all other parameters."""

    sql: str
    one_by_one: str  # the same for COPY, where the result is too long for one text
    fixed: Mapping[str, Any]
    columns: Mapping[str, Column]
    asked: Column | None = None  # what the keys are held against, where that is one column


Shapes: TypeAlias = dict[Hashable, Shape]


class PostgresqlReader(SqlReader):
    """One transaction of one PostgreSQL connection."""

    collation = "C"
    _by_index = False

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None, shapes: Shapes) -> None:
        super().__init__(connection, schema, namespace)
        self._shapes = shapes

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame."""
        self._prefer_index(self._is_looked_up(query))
        shape = self._shaped(("select", *_name_of(query)), lambda: self._selected(query))
        return self._fetched(shape, _arrays_of(query, shape))

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        self._prefer_index(self._is_looked_up(query))
        return super().count(query)

    def ledger(self, users: Sequence[str]) -> pl.DataFrame:
        """What the ledger says of *users*, as far as they are in it."""
        asked = _asked(pl.Series(users, dtype=pl.String))
        shape = self._shaped("ledger", lambda: self._compiled(self._entries(asked), LEDGER_COLUMNS))
        return self._fetched(shape, {_ASKED: _array(asked, LEDGER_COLUMNS["user_key"])})

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
        compared, array = _comparable(column, declared, _asked(values), _ASKED)
        return compared == sa.func.any(array)

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
        shape = self._shaped(("since", *_name_of(query)), lambda: self._since(query))
        given = {**shape.fixed, **_arrays_of(query, shape), "oldest": str(oldest)}
        rows, young = self._driver.execute(shape.sql, given).fetchone() or (0, True)
        return int(rows), bool(young)

    def _since(self, query: Query) -> Shape:
        selecting = self._selecting(query)
        compiled = self._compile(postgresql_changes.counting(query, selecting))
        return Shape(str(compiled), "", dict(compiled.params), {}, _held_against(query, selecting))

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as numeric."""
        return sa.literal(value)

    def _selected(self, query: Query) -> Shape:
        selecting = self._selecting(query)
        return replace(self._compiled(selecting.rows(), selecting.columns), asked=_held_against(query, selecting))

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        table = known_table(self.schema, name)
        self._prefer_index(_leads(table, keys.columns))
        wanted = in_order(keys) if locked else self._near(table, in_order(keys))
        if wanted.is_empty():
            return super()._rows(name, wanted)
        how = "lock" if locked else "look"
        return self._looked_up(table, wanted, how, lambda: self._looking_up(table, wanted, locked=locked))

    def _looked_up(self, table: Table, keys: pl.DataFrame, how: str, build: Callable[[], Statement]) -> pl.DataFrame:
        """Carry out what *build* makes for keys like these; *how* tells it from what else is asked by such keys."""
        asked = (how, table.name, tuple(keys.columns), tuple(dtype.is_temporal() for dtype in keys.dtypes))
        shape = self._shaped(asked, lambda: self._compiled(build(), table.columns))
        arrays = (_array(keys[column], table.columns[column]) for column in keys.columns)
        return self._fetched(shape, {_KEY.format(place): array for place, array in enumerate(arrays)})

    def _near(self, table: Table, keys: pl.DataFrame) -> pl.DataFrame:
        """
        Leave out keys that nothing is near to: what is between the lowest and the highest is one look at the index.

        Rows that are to be new find little or nothing there.
        """
        name = next((name for name in keys.columns if _leads(table, [name]) and keys.schema[name].is_integer()), None)
        if name is None or table.columns[name].kind is not Kind.INTEGER or keys.height < _FEW:
            return keys
        most = keys.height // 4
        shape = self._shaped((table.name, name, "near"), lambda: self._between(table, name))
        ends = {"low": keys[name].min(), "high": keys[name].max()}
        there = self._fetched(shape, {**ends, "most": most + 1})[name]
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
            _comparable(relation.c[name], columns[name], keys[name], _KEY.format(place))
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
        behind = query.via and next((column for column, name in query.via.take if name in asked), None)
        main = known_table(self.schema, query.table)
        if not query.via or not behind:
            return _leads(main, asked)
        joined = _leads(main, [ours for _, ours in query.via.on])
        return joined and _leads(known_table(self.schema, query.via.table), [behind])

    def _prefer_index(self, wanted: bool) -> None:
        """
        Look some thousand keys up instead of reading a table as a whole for them, as the server else does while it is small.

        Each batch would read all that was moved before it: ten times the users would cost a hundred times the time.
        """
        if wanted is not self._by_index:
            self._connection.execute(setting({"enable_seqscan": "off" if wanted else "on"}))
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
        driver = self._driver
        try:
            with _at_once(driver):
                driver.execute("SAVEPOINT migrator_rows")
                cursor = driver.execute(shape.sql, given)
                driver.execute("RELEASE SAVEPOINT migrator_rows")
            content = cursor.pgresult.get_value(0, 0) if cursor.pgresult else None
        except psycopg.errors.ProgramLimitExceeded:
            driver.execute("ROLLBACK TO SAVEPOINT migrator_rows")
            with driver.cursor() as each, each.copy(shape.one_by_one, given) as lines:
                content = b"".join(lines)
        return postgresql_printing.frame(content, shape.columns)

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


def _arrays_of(query: Query, shape: Shape) -> dict[str, str]:
    if query.among is None or shape.asked is None:
        return {}
    return {_ASKED: _array(_asked(query.among.values), shape.asked)}


def _held_against(query: Query, selecting: Selecting) -> Column | None:
    """Which column the keys of a query are held against, as it is declared."""
    return selecting.find(query.among.column)[1] if query.among else None


def _asked(values: pl.Series) -> pl.Series:
    return values.unique().drop_nulls().sort()


def _compared_as(declared: Column, values: pl.Series) -> str | None:
    """Name the type in which column and values can be compared; None where they are compared as printed."""
    return (_TIMES_COMPARED_AS if values.dtype.is_temporal() else _COMPARED_AS).get(declared.kind)


def _comparable(
    column: ColumnElement[Any], declared: Column, values: pl.Series, name: str
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Give column and values as two that can be compared: in a type that has all of them, or as printed."""
    type_ = _compared_as(declared, values)
    given = sa.bindparam(name, _array(values, declared), type_=sa.types.NullType())
    array = sa.cast(given, Named(f"{type_ or 'text'}[]"))
    printed = type_ is None and declared.kind is not Kind.TEXT
    return sa.cast(column, sa.Text) if printed else column, array


def _array(values: pl.Series, declared: Column) -> str:
    numbers = _compared_as(declared, values) == "bigint"
    return postgresql_printing.array(frames.matchable(values, declared.kind), numbers=numbers)


def _leads(table: Table, columns: Collection[str]) -> bool:
    return any(index and index[0] in columns for index in table.indexes)


def _as_numeric(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    # straight from float8 the server would round to 15 digits
    exact = sa.cast(column, sa.Text) if declared.kind is Kind.FLOAT else column
    return sa.cast(exact, sa.Numeric)


def _at_once(driver: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
    """Several statements in one message, where the server's library can."""
    return driver.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()
