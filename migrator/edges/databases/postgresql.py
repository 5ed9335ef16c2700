"""PostgreSQL as legacy or target: rows go out and in by COPY, statements are set-based."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import reduce
from io import BytesIO
from itertools import count
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames, own, postgresql_changes, postgresql_schema, postgresql_sequences
from migrator.edges.databases.base import Asked, Concern
from migrator.edges.databases.failures import at_place, driver_error, only_target, translated
from migrator.edges.databases.on_conflict import OnConflictWriter, merging
from migrator.edges.databases.postgresql_statements import CopyIn, CopyOut, Named, OverridingSelect, Stage, setting
from migrator.edges.databases.quoting import as_value, quote_every_name
from migrator.edges.databases.reader import Keyed, SqlReader
from migrator.edges.databases.statements import Statement, known_table, relation
from migrator.edges.databases.writer import Numbers
from migrator.errors import MigratorError, SettingWrong, Unreachable
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind, Schema, Table

try:
    import psycopg

    from migrator.edges.databases.postgresql_failures import meaning, unreachable
except ImportError:  # the extra is not installed: PostgresqlDatabase says so
    psycopg = None  # type: ignore[assignment]

CONNECT_TIMEOUT_SECONDS = 10

#: What our transactions say to the server first. Locks are not waited for longer than a lease lives.
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "jit": "off",  # compiling takes longer than any of our statements
    "lock_timeout": "5s",
    "statement_timeout": "300s",
    "idle_in_transaction_session_timeout": "30s",
}

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

#: What is printed without a character that CSV would have to quote.
_BARE = frozenset({*frames.READ_TYPES, Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.UUID})
_END = 1  # of each line


class PostgresqlDatabase:
    """One schema of one PostgreSQL database. As legacy its transactions are read-only."""

    dialect = "postgresql"

    def __init__(self, url: sa.URL, schema: str | None, role: str) -> None:
        if psycopg is None:
            raise SettingWrong(
                f"[{role}] url is of PostgreSQL: install its driver with pip install 'migrator[postgresql]'"
            )
        self._url, self._role, self._namespace = url, role, schema or "public"
        self._schema: Schema | None = None
        self._engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "migrator",
                "client_encoding": "utf8",
                "prepare_threshold": None,  # a pooler in between would lose prepared statements
            },
        )
        quote_every_name(self._engine)

    def schema(self) -> Schema:
        """What the schema holds now, our own tables left out."""
        with self._begun(read_only=True) as connection:
            self._schema = postgresql_schema.reflect(connection, self._namespace)
        return self._schema

    @contextmanager
    def reading(self) -> Iterator[PostgresqlReader]:
        """Open a read-only snapshot."""
        schema = self._schema or self.schema()
        with self._begun(read_only=True) as connection:
            yield PostgresqlReader(connection, schema, self._namespace)

    @contextmanager
    def writing(self) -> Iterator[PostgresqlWriter]:
        """Open a write transaction."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._begun(read_only=False) as connection:
            yield PostgresqlWriter(connection, schema, self._namespace)
            with translated(meaning, at_commit=True):
                connection.commit()

    def prepare(self) -> None:
        """Create those of our own tables that are missing."""
        only_target(self._role)
        if self.prepared():
            return
        with self._begun(read_only=False) as connection:
            own.create(connection, self._namespace)
            connection.commit()

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run."""
        return own.creating_sql(self._engine.dialect, self._namespace)

    def prepared(self) -> bool:
        """Whether all our own tables exist."""
        with self._begun(read_only=True) as connection:
            return own.are_there(connection, self._namespace)

    def mark(self) -> str:
        """Which transactions had ended: of the whole server, so it may change although nothing here was written."""
        with self._begun(read_only=True) as connection:
            ended = sa.cast(sa.func.txid_current_snapshot(), sa.Text)
            return str(connection.execute(sa.select(ended)).scalar_one())

    def ping(self) -> str:
        """Name and version of the server."""
        with self._begun(read_only=True) as connection:
            version = connection.execute(sa.select(sa.func.current_setting("server_version"))).scalar_one()
        return f"PostgreSQL {version}"

    def concerns(self) -> list[Concern]:
        """What needs to be known is said where it shows."""
        return []

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, *, read_only: bool) -> Iterator[sa.Connection]:
        with translated(meaning), self._connected() as connection:
            # a writer must see what was committed while it waited for a row, a reader must not
            connection.execution_options(
                isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED", postgresql_readonly=read_only
            )
            settings = SESSION | {"search_path": self._search_path()}
            connection.execute(setting(settings))
            yield connection

    def _connected(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Unreachable:
        return unreachable(driver_error(error), f"the {self._role} database {at_place(self._url)}", self._url.password)

    def _search_path(self) -> str:
        quoted = as_value(self._engine.dialect.identifier_preparer.quote_identifier(self._namespace))
        return quoted if self._namespace == "public" else f"{quoted}, public"  # operators of extensions


class PostgresqlReader(SqlReader):
    """One transaction of one PostgreSQL connection."""

    collation = "C"
    _by_index = False

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* as a read frame."""
        self._prefer_index(self._is_looked_up(query))
        return super().select(query)

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        self._prefer_index(self._is_looked_up(query))
        return super().count(query)

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        self._prefer_index(_leads(known_table(self.schema, name), keys.columns))
        return super()._rows(name, keys, locked=locked)

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
        compared, array = self._comparable(column, declared, values.unique().drop_nulls().sort())
        return compared == sa.func.any(array)

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """A number column holds nothing else here."""
        return sa.true()

    def unchanged(self, asked: Sequence[Asked], mark: str) -> bool:
        """Look at which transactions wrote the rows; see `postgresql_changes`."""
        return postgresql_changes.unchanged(self._connection, self._namespace, self.schema, self, asked, mark)

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as numeric."""
        return sa.literal(value)

    def _comparable(
        self, column: ColumnElement[Any], declared: Column, values: pl.Series
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Give column and values as two that can be compared: in a type that has all of them, or as printed."""
        type_ = _COMPARED_AS.get(declared.kind)
        if values.dtype.is_temporal():
            type_ = _TIMES_COMPARED_AS.get(declared.kind)
        printed = type_ in (None, "text")
        array = sa.cast(
            _literal(frames.matchable(values, declared.kind), numbers=type_ == "bigint"), Named(f"{type_ or 'text'}[]")
        )
        return sa.cast(column, sa.Text) if printed and declared.kind is not Kind.TEXT else column, array

    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        pairs = [self._comparable(relation.c[name], columns[name], keys[name]) for name in keys.columns]
        names = [f"key_{position}" for position in range(len(pairs))]
        unnested = sa.func.unnest(*(array for _, array in pairs)).table_valued(*names).render_derived("keys")
        tied = (column == unnested.c[name] for name, (column, _) in zip(names, pairs, strict=True))
        return [unnested], sa.and_(*tied)

    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        """
        Have the server print all rows as one CSV text: half the work, on both sides, of a message for each row.

        Only what is too long for one text (1 GB) comes row by row.
        """
        printed = statement.with_only_columns(
            *(_printed(*found) for found in zip(statement.selected_columns, columns.values(), strict=True)),
            maintain_column_froms=True,
        )
        try:
            with self._connection.begin_nested():
                text = self._connection.execute(_as_one_text(printed, columns)).scalar_one()
        except sa.exc.DBAPIError as error:
            if not isinstance(driver_error(error), psycopg.errors.ProgramLimitExceeded):
                raise
            text = self._copied(printed)
        return _frame(text, columns)

    def _copied(self, statement: Statement) -> bytes:
        """COPY the rows out."""
        copy = CopyOut(statement.add_columns(sa.literal(_END).label("line")))
        compiled = copy.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})
        with self._driver.cursor() as cursor, cursor.copy(str(compiled), dict(compiled.params)) as lines:
            return b"".join(lines)

    @property
    def _driver(self) -> psycopg.Connection[Any]:
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError("the connection is not one of psycopg")
        return driver


class PostgresqlWriter(OnConflictWriter, PostgresqlReader):
    """The write transaction."""

    insert = staticmethod(insert)

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None) -> None:
        super().__init__(connection, schema, namespace)
        self._numbers = count(1)

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows as `rows`, locked until the transaction ends."""
        return self._rows(table, keys, locked=True)

    def _meaning(self, error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
        return meaning(error, at_commit=at_commit, table=table)

    def _merge(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        target = relation(table, self._namespace)
        staged = self._stage(target, rows)
        # an identity that is GENERATED ALWAYS takes a value with a new row, and none afterwards
        changed = [name for name in rows.columns if name not in key and not table.columns[name].insert_only]
        inserted = insert(target).from_select(rows.columns, OverridingSelect(*staged.c))
        return self._counted(merging(inserted, key, changed))

    def _add(self, table: Table, rows: pl.DataFrame) -> int:
        """COPY straight into the table, unless who may see which row is decided row by row: COPY cannot ask that."""
        target = relation(table, self._namespace)
        if self._connection.execute(sa.select(sa.func.row_security_active(self._regclass(target)))).scalar_one():
            return self._merge(table, rows, [])
        return self._copy_in(CopyIn(target, rows.columns), rows)

    def _given(self, own: sa.Table, rows: pl.DataFrame) -> sa.FromClause:
        """Give few, narrow rows as arrays: a temporary table would cost more than they do."""
        arrays = (
            sa.cast(_literal(frames.text(column), numbers=number), Named("bigint[]" if number else "text[]"))
            for column, number in ((column, column.dtype.is_integer()) for column in rows.get_columns())
        )
        return sa.func.unnest(*arrays).table_valued(*rows.columns).render_derived("given")

    def _regclass(self, target: sa.TableClause) -> ColumnElement[Any]:
        name = as_value(self._connection.dialect.identifier_preparer.format_table(target))
        return sa.cast(sa.literal(name, sa.types.NullType()), Named("regclass"))

    def _remove(self, table: Table, keys: pl.DataFrame) -> int:
        main = relation(table, self._namespace)
        _, condition = self._keyed(main, table.columns, keys)
        return self._counted(sa.delete(main).where(condition))

    def _draw(self, table: Table, column: str, count: int, beside: Sequence[str]) -> Numbers:
        """Draw from the sequence of the column as an insert of the application would: nobody gets a number twice."""
        sequence = postgresql_sequences.Sequence.of(self._connection, self._namespace, table.name, column)
        return self._drawn(sequence, relation(table, self._namespace).c[column], count)

    def _drawn(self, sequence: postgresql_sequences.Sequence, column: ColumnElement[Any], count: int) -> list[int]:
        """Numbers under which no row stands; a sequence that lags behind its table is drawn on until it has caught up."""
        free = list[int]()
        while len(free) < count:
            drawn = sequence.draw(count - len(free))
            among = column == sa.func.any(sa.cast(sa.literal(drawn, sa.types.NullType()), Named("bigint[]")))
            taken = set(self._connection.execute(sa.select(column).where(among)).scalars())
            free += [number for number in drawn if number not in taken]
            if taken:
                highest = self._connection.execute(sa.select(sa.func.max(column))).scalar_one()
                sequence.pass_by(int(highest) - drawn[-1])
        return free

    def _stage(self, target: sa.FromClause, rows: pl.DataFrame) -> sa.TableClause:
        """COPY *rows* into a temporary table whose columns are those of the target."""
        staged = sa.table(f"migrator_stage_{next(self._numbers)}", *(sa.column(name) for name in rows.columns))
        self._connection.execute(Stage(staged, sa.select(*(target.c[name] for name in rows.columns))))
        self._copy_in(CopyIn(staged, rows.columns), rows)
        return staged

    def _copy_in(self, statement: CopyIn, rows: pl.DataFrame) -> int:
        """Send *rows* as CSV; how many arrived."""
        lines = BytesIO()
        rows.select(_csv_column(column) for column in rows.get_columns()).write_csv(
            lines, include_header=False, quote_style="non_numeric"
        )
        copy = str(statement.compile(dialect=self._connection.dialect))
        with self._driver.cursor() as cursor:
            with cursor.copy(copy, {"none": None}) as into:
                into.write(lines.getbuffer())
            return cursor.rowcount


def _literal(texts: pl.Series, *, numbers: bool) -> ColumnElement[Any]:
    """Give texts as the literal of an array; what is no number is quoted, so that it cannot be taken for something else."""
    if not numbers:
        escaped = texts.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        texts = '"' + escaped + '"'
    elements = texts.fill_null("NULL").str.join(",").item() or ""
    return sa.literal("{" + elements + "}", sa.types.NullType())


def _leads(table: Table, columns: Collection[str]) -> bool:
    return any(index and index[0] in columns for index in table.indexes)


def _as_numeric(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    # straight from float8 the server would round to 15 digits
    exact = sa.cast(column, sa.Text) if declared.kind is Kind.FLOAT else column
    return sa.cast(exact, sa.Numeric)


def _printed(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    """Leave it to the server to print the value; only char(n) loses its padding by a cast."""
    if declared.kind is Kind.TEXT and declared.declared.startswith("char("):
        return sa.cast(column, sa.Text).label(column.key)
    return column


def _as_one_text(statement: Statement, columns: Mapping[str, Column]) -> Statement:
    """SELECT all rows of *statement*, in its order, as the lines of one CSV text; null where there is none."""
    rows = statement.subquery("rows")
    fields = [_field(column, declared.kind) for column, declared in zip(rows.c, columns.values(), strict=True)]
    parts: list[Any] = [part for field in fields for part in (field, ",")]
    # no function takes more than a hundred arguments
    pieces = [sa.func.concat(*parts[start : start + 90]) for start in range(0, len(parts), 90)]
    line = reduce(operator.add, [*pieces, sa.literal(str(_END))])
    return sa.select(sa.func.string_agg(line, "\n"))


def _field(column: ColumnElement[Any], kind: Kind) -> ColumnElement[Any]:
    """Quote what may hold anything; null, quoted, stays null, and is printed as nothing."""
    if kind in _BARE:
        return column
    return sa.literal('"') + sa.func.replace(sa.cast(column, sa.Text), '"', '""') + sa.literal('"')


def _frame(text: str | bytes | None, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Read CSV back. A last column keeps a row of one null from being an empty line."""
    types = {str(number): _csv_type(column.kind) for number, column in enumerate(columns.values())}
    frame = pl.DataFrame(schema=types)
    if text:
        content = text.encode() if isinstance(text, str) else text
        frame = pl.read_csv(content, has_header=False, schema={**types, "line": pl.Int8()})
    named = zip(columns.items(), types, strict=True)
    return pl.DataFrame([_typed(frame[position].alias(name), column.kind) for (name, column), position in named])


def _csv_type(kind: Kind) -> pl.DataType:
    return pl.Int64() if kind is Kind.INTEGER else pl.String()


def _typed(column: pl.Series, kind: Kind) -> pl.Series:
    if kind is Kind.DECIMAL:
        return frames.exact_or_text(column)
    if kind is Kind.FLOAT:
        return frames.float_texts(column)
    if kind is Kind.BOOLEAN:
        return column == "t"
    if kind is Kind.BINARY:
        return column.str.strip_prefix("\\x").str.decode("hex")
    return column


def _csv_column(column: pl.Series) -> pl.Series:
    """Print what the server would not understand as Polars prints it."""
    if column.dtype == pl.Binary:
        return frames.text(column)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S%.6f") + ("+00" if column.dtype.time_zone else "")
    return column
