"""SQLite as legacy or target. One writer at a time, readers beside it (WAL); files are opened, never made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames, sqlite_schema
from migrator.edges.databases.base import Claim
from migrator.edges.databases.failures import only_target, translated
from migrator.edges.databases.own import own_tables
from migrator.edges.databases.reader import Keyed, SqlReader, in_order
from migrator.edges.databases.sqlite_failures import meaning
from migrator.edges.databases.statements import Statement, known_table, relation
from migrator.edges.databases.totals import grouped
from migrator.errors import Fenced, Mismatch, SettingWrong, Unreachable
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Schema

_COUNTER_STARTS, _COUNTER_ENDS = 24, 28  # of the file change counter in the head of a SQLite file
BUSY_TIMEOUT_SECONDS = 40


class SqliteDatabase:
    """One SQLite file. As legacy it is opened read-only."""

    dialect = "sqlite"

    def __init__(self, url: sa.URL, role: str) -> None:
        if not url.database or url.database == ":memory:":
            raise SettingWrong(f"[{role}] url must name a file, as in sqlite:///shop.sqlite")
        self._path, self._role = Path(url.database), role
        self._schema: Schema | None = None
        self._engine = sa.create_engine(
            "sqlite+pysqlite://",
            creator=self._open,
            poolclass=sa.pool.QueuePool,
            pool_size=2,
            hide_parameters=True,
        )

    def _open(self) -> sqlite3.Connection:
        if not self._path.is_file():
            raise Unreachable(f"there is no {self._role} database at {self._path}")
        mode = "ro" if self._role == "legacy" else "rw"
        connection = sqlite3.connect(
            f"file:{quote(str(self._path.absolute()))}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,  # we say BEGIN ourselves
            check_same_thread=False,
        )
        connection.execute("PRAGMA temp_store = MEMORY")
        if self._role == "target":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # the ledger must not forget a commit we have recorded
            connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def schema(self) -> Schema:
        """What the file holds now, our own tables left out."""
        with self._connected() as connection:
            self._schema = sqlite_schema.reflect(connection)
        return self._schema

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        """Open a read-only snapshot."""
        schema = self._schema or self.schema()
        with self._connected() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # BEGIN alone takes no snapshot
            yield SqliteReader(connection, schema, None)

    @contextmanager
    def writing(self) -> Iterator[SqliteWriter]:
        """Open the one write transaction that the file can have."""
        only_target(self._role)
        schema = self._schema or self.schema()
        with self._connected() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            writer = SqliteWriter(connection, schema, None)
            yield writer
            writer.drop_staged()
            with translated(meaning, at_commit=True):
                writer.commit()

    def prepare(self) -> None:
        """Create ledger and fence if they are missing."""
        only_target(self._role)
        with self._connected() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            for table in own_tables(None).both:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            connection.commit()

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run."""
        creating = (sa.schema.CreateTable(table, if_not_exists=True) for table in own_tables(None).both)
        return "\n".join(f"{str(create.compile(self._engine)).strip()};" for create in creating)

    def prepared(self) -> bool:
        """Whether ledger and fence exist."""
        with self._connected() as connection:
            inspector = sa.inspect(connection)
            return all(inspector.has_table(table.name) for table in own_tables(None).both)

    def mark(self) -> str:
        """The change counter in the file's head, and what the file and its write-ahead log look like from outside."""
        try:
            with self._path.open("rb") as file:
                counter = file.read(_COUNTER_ENDS)[_COUNTER_STARTS:].hex()
        except OSError:
            raise Unreachable(f"there is no {self._role} database at {self._path}") from None
        log = self._path.with_name(f"{self._path.name}-wal")
        return f"{counter} {_appearance(self._path)} {_appearance(log)}"

    def ping(self) -> str:
        """Name and version of the library that reads the file."""
        with self._connected() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with translated(meaning), self._engine.connect() as connection:
            yield connection


def _appearance(path: Path) -> str:
    try:
        found = path.stat()
    except FileNotFoundError:
        return "none"
    return f"{found.st_size} {found.st_mtime_ns}"


class SqliteReader(SqlReader):
    """One transaction on a SQLite file."""

    collation = "BINARY"

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None) -> None:
        super().__init__(connection, schema, namespace)
        self._stages: list[sa.Table] = []
        self._asked: dict[tuple[int, str], tuple[pl.Series, sa.TableClause]] = {}

    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Add up in decimals here: SQLite would in binary floats."""
        selecting = self._selecting(query)
        wanted = {by: selecting.find(by)} | {name: selecting.find(name) for name in sums}
        statement = selecting.over(*(column.label(name) for name, (column, _) in wanted.items()))
        rows = self._fetch(statement, {name: declared for name, (_, declared) in wanted.items()})
        return grouped(rows, by, sums)

    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Ask by a temporary table: no limit to its length, and no text that it cannot hold."""
        _, asked = self._asked.get((id(values), declared.kind)) or self._ask(declared, values)
        return column.in_(sa.select(asked.c.key_0))

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQLite keeps text in a number column, and takes it for greater than every number."""
        return sa.func.typeof(column).in_(("integer", "real"))

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as text, which the column's affinity makes a number again."""
        return sa.literal(frames.plain(value), sa.types.NullType())

    def _ask(self, declared: Column, values: pl.Series) -> tuple[pl.Series, sa.TableClause]:
        staged = self._staged([bindable(frames.loosely_matchable(values.unique().drop_nulls().sort(), declared.kind))])
        asked = self._asked[id(values), declared.kind] = values, staged
        return asked

    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        staged = self._staged([bindable(_matchable(keys[name], columns[name])) for name in keys.columns])
        pairs = zip(keys.columns, staged.c, strict=True)
        return staged, sa.and_(*(relation.c[name] == column for name, column in pairs))

    def _staged(self, values: Sequence[Sequence[object]]) -> sa.TableClause:
        """Put columns of values into a temporary table whose columns have no type: the other side's decides."""
        name = f"migrator_stage_{len(self._stages)}"
        columns = [sa.Column(f"key_{position}", _Untyped()) for position in range(len(values))]
        table = sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])
        self._connection.execute(sa.schema.CreateTable(table))
        self._stages.append(table)
        staged = sa.table(name, *(sa.column(column.name) for column in columns))
        self._execute_many(sa.insert(staged), [column.name for column in columns], values)
        return staged

    def _execute_many(self, statement: Any, names: Sequence[str], values: Sequence[Sequence[object]]) -> int:
        """Run *statement* once per row of the columns *values*, past SQLAlchemy, whose price per row is high."""
        compiled = statement.compile(dialect=self._connection.dialect, column_keys=list(names))
        cursor = self._driver.cursor()
        cursor.executemany(str(compiled), zip(*values, strict=True))
        return max(cursor.rowcount, 0)

    @property
    def _driver(self) -> sqlite3.Connection:
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError("the connection is not one of sqlite3")
        return driver

    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        try:
            rows = self._tuples(statement)
        except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
            if "decode to UTF-8" not in str(error):
                raise
            rows = self._leniently(statement)
        values: Sequence[Sequence[object]] = list(zip(*rows, strict=True)) or [()] * len(columns)
        named = zip(columns.items(), values, strict=True)
        return pl.DataFrame([frames.from_driver(name, found, column.kind) for (name, column), found in named])

    def _leniently(self, statement: Statement) -> list[tuple[object, ...]]:
        """Read text that is not UTF-8, at the price of a call per value."""
        self._driver.text_factory = frames.lenient_text
        try:
            return self._tuples(statement)
        finally:
            self._driver.text_factory = str

    def _tuples(self, statement: Statement) -> list[tuple[object, ...]]:
        cursor = self._connection.execute(statement).cursor
        return [] if cursor is None else list(cursor.fetchall())


class SqliteWriter(SqliteReader):
    """The write transaction."""

    def drop_staged(self) -> None:
        """Drop the temporary tables, which would stay with the pooled connection; a rollback drops them by itself."""
        for table in self._stages:
            self._connection.execute(sa.schema.DropTable(table))

    def commit(self) -> None:
        """Commit, or end the transaction: SQLite leaves it open when a deferred foreign key refuses."""
        try:
            self._connection.commit()
        except BaseException:
            self._driver.rollback()
            raise

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows as `rows`; BEGIN IMMEDIATE has locked them all."""
        return self.rows(table, keys)

    def fence(self, claim: Claim) -> None:
        """Raise the batch's fence, or Fenced if a newer one exists."""
        fence = self._own.fence
        statement = insert(fence).values(batch=claim.batch, fence=claim.fence)
        raised = statement.on_conflict_do_update(
            index_elements=[fence.c.batch],
            set_={"fence": statement.excluded.fence, "at": sa.func.current_timestamp()},
            where=fence.c.fence <= statement.excluded.fence,
        )
        if self._counted(raised) == 0:
            raise Fenced(f"batch {claim.batch} has a newer lease than {claim.fence}")

    def take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """Take users in the ledger; those whom a newer generation has touched are left out."""
        ledger = self._own.ledger
        names = ["user_key", "generation", "read_hash", "written_hash"]
        staged = self._staged([users[name].to_list() for name in names])
        constants = {"op": claim.op, "batch": claim.batch, "fence": claim.fence, "set_hash": claim.set_hash}
        statement = insert(ledger).from_select(
            [*names, *constants],
            # WHERE keeps SQLite from taking ON CONFLICT for a join's ON
            sa.select(*staged.c, *(sa.literal(value) for value in constants.values())).where(sa.true()),
        )
        fresh = {name: statement.excluded[name] for name in (*names[1:], *constants)}
        taken = statement.on_conflict_do_update(
            index_elements=[ledger.c.user_key],
            set_=fresh | {"at": sa.func.current_timestamp()},
            where=ledger.c.generation < statement.excluded.generation,
        ).returning(ledger.c.user_key)
        return set(self._connection.execute(taken).scalars())

    def write(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Merge *rows* into *table* by *key*, or insert them where there is no key."""
        if rows.is_empty():
            return
        known = known_table(self.schema, table)
        values = [bindable(column) for column in rows.get_columns()]
        target = sa.table(table, *(sa.column(name) for name in rows.columns))
        points_at_itself = any(foreign_key.table == table for foreign_key in known.foreign_keys)
        with translated(lambda error, at_commit=False: meaning(error, table=table)):
            if points_at_itself:  # only one statement for all rows may meet a child before its parent
                source = sa.select(*self._staged(values).c).where(sa.true())
                merge = _merged(insert(target).from_select(rows.columns, source), rows.columns, key)
                written = self._counted(merge)
            else:
                written = self._execute_many(_merged(insert(target), rows.columns, key), rows.columns, values)
        if written != rows.height:
            raise Mismatch(f"{rows.height} rows were given to {table}, {written} were written")

    def remove(self, table: str, keys: pl.DataFrame) -> int:
        """Delete the rows whose columns equal those of a row of *keys*; how many."""
        known = known_table(self.schema, table)
        if keys.is_empty():
            return 0
        main = relation(known, None)
        keys = in_order(keys)
        values = [bindable(_matchable(keys[name], known.columns[name])) for name in keys.columns]
        staged = self._staged(values)
        columns = [main.c[name] for name in keys.columns]
        each = [column.in_(sa.select(part)) for column, part in zip(columns, staged.c, strict=True)]
        together = sa.tuple_(*columns).in_(sa.select(*staged.c))
        # `each` lets SQLite use the index that `together` alone would not
        statement = sa.delete(main).where(*each, *([together] if len(columns) > 1 else []))
        with translated(lambda error, at_commit=False: meaning(error, table=table)):
            return self._counted(statement)


class _Untyped(sa.types.UserDefinedType[object]):
    """A column that converts nothing."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "BLOB"


def _matchable(series: pl.Series, column: Column) -> pl.Series:
    return frames.loosely_matchable(series, column.kind) if series.dtype == pl.String else series


def _merged(statement: Any, columns: Sequence[str], key: Sequence[str]) -> Any:
    if not key:
        return statement
    # a table of nothing but its key still counts each row: setting the key to itself changes nothing
    changed = [name for name in columns if name not in key] or list(key)
    return statement.on_conflict_do_update(
        index_elements=list(key), set_={name: statement.excluded[name] for name in changed}
    )


def bindable(series: pl.Series) -> list[object]:
    """Give a column as values that SQLite stores as they are meant: decimals and times as text, booleans as 0 and 1."""
    kind = series.dtype
    if kind == pl.Boolean:
        return series.cast(pl.Int8).to_list()
    if isinstance(kind, pl.Decimal):
        return frames.text(series).to_list()
    if isinstance(kind, pl.Datetime):
        return frames.moments(series, zone="+00:00").to_list()
    if kind == pl.Date:
        return series.cast(pl.String).to_list()
    return series.to_list()
