"""SQLite as legacy or target. One writer at a time, readers beside it (WAL); files are opened, never made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames, own, sqlite_counters, sqlite_lists, sqlite_ranges, sqlite_schema
from migrator.edges.databases import scratch as scratches
from migrator.edges.databases.base import Concern
from migrator.edges.databases.carried import ours
from migrator.edges.databases.failures import only_target, translated
from migrator.edges.databases.on_conflict import OnConflictWriter, merging
from migrator.edges.databases.quoting import quote_every_name
from migrator.edges.databases.reader import Keyed, SqlReader
from migrator.edges.databases.sqlite_failures import meaning
from migrator.edges.databases.sqlite_fetching import driver_of, fetch
from migrator.edges.databases.sqlite_rows import insert_rows
from migrator.edges.databases.statements import Statement, known_table, relation
from migrator.edges.databases.totals import grouped
from migrator.edges.databases.writer import Numbers
from migrator.errors import MigratorError, SettingWrong, Unreachable
from migrator.mapping.query import Query
from migrator.mapping.schema import Column, Kind, Schema, Table

_COUNTER_STARTS, _COUNTER_ENDS = 24, 28  # of the file change counter in the head of a SQLite file
BUSY_TIMEOUT_SECONDS = 40
_FEW = 4  # a row too many costs as much to read as four keys to ask by


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
        quote_every_name(self._engine)

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
        connection.execute("PRAGMA cache_size = -32768")  # KiB; of the 2 MB it has by itself an index fills more
        if self._role == "target":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: not behind each batch; commits are as safe
        if mode == "rw":
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

    @contextmanager
    def scratch(self, tables: Sequence[str]) -> Iterator[SqliteWriter]:
        """Write into another file, of the same declarations."""
        only_target(self._role)
        with TemporaryDirectory(prefix="migrator-") as folder:
            path = Path(folder) / "scratch.sqlite"
            with self._connected() as connection:
                scratches.copy_file(driver_of(connection), path, tables)
            other = _Scratch(sa.make_url("sqlite://").set(database=str(path)), self._role)
            try:
                with other.writing() as writer:
                    yield writer
            finally:
                other.close()

    def sequences(self, tables: Sequence[str]) -> list[str]:
        """There are no rights."""
        return []

    def prepare(self) -> None:
        """Create those of our own tables that are missing."""
        only_target(self._role)
        with self._connected() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            own.create(connection, ours(self._role, None))
            connection.commit()

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run."""
        return own.creating_sql(self._engine.dialect, ours(self._role, None))

    def prepared(self) -> bool:
        """Whether all our own tables exist."""
        with self._connected() as connection:
            return own.are_there(connection, ours(self._role, None))

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

    def powers(self) -> list[Concern]:
        """A file has no accounts and no clock."""
        return []

    def concerns(self) -> list[Concern]:
        """What needs to be known is said where it shows."""
        return []

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


class _Scratch(SqliteDatabase):
    """A file without the rows that its own point at."""

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection


class SqliteReader(SqlReader):
    """One transaction on a SQLite file."""

    collation = "BINARY"

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None) -> None:
        super().__init__(connection, schema, namespace)
        self._stages: list[sa.Table] = []
        self._asked: dict[tuple[int, str], tuple[pl.Series, sa.Select[Any]]] = {}

    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Add up in decimals here: SQLite would in binary floats."""
        selecting = self._selecting(query)
        wanted = {by: selecting.find(by)} | {name: selecting.find(name) for name in sums}
        statement = selecting.over(*(column.label(name) for name, (column, _) in wanted.items()))
        rows = self._fetch(statement, {name: declared for name, (_, declared) in wanted.items()})
        return grouped(rows, by, sums)

    def among(self, column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
        """Ask by what has no limit to its length."""
        _, asked = self._asked.get((id(values), declared.kind)) or self._ask(declared, values)
        return column.in_(asked)

    def is_number(self, column: ColumnElement[Any]) -> ColumnElement[bool]:
        """SQLite keeps text in a number column, and takes it for greater than every number."""
        return sa.func.typeof(column).in_(("integer", "real"))

    def number(self, value: Decimal) -> ColumnElement[Any]:
        """Bind it as text, which the column's affinity makes a number again."""
        return sa.literal(frames.plain(value), sa.types.NullType())

    def _rows(self, name: str, keys: pl.DataFrame, *, locked: bool = False) -> pl.DataFrame:
        """Take all rows between the first and the last key where few of them are not wanted."""
        table = known_table(self.schema, name)
        near = sqlite_ranges.of(table, keys)
        found = self._between(near, table, keys.height) if near else None
        if near is None or found is None:
            return super()._rows(name, keys, locked=locked)
        return found.filter(found[near.column].is_in(keys[near.column].implode()))

    def _between(self, near: sqlite_ranges.Range, table: Table, keys: int) -> pl.DataFrame | None:
        main = relation(table, None)
        few = keys // _FEW
        # far apart they are hardly all but known, and that is what counting on would tell
        most = 2 * keys if near.last - near.first < 2 * keys else few + 1
        counted = int(self._connection.execute(near.counted(main, most)).scalar_one())
        if min(counted, abs(counted - keys)) > few:  # neither all but new, nor all but known
            return None
        columns = [main.c[column] for column in table.columns]
        found = self._fetch(sa.select(*columns).where(near.holds(main)), table.columns)
        # a value of a row too many may have made a column text that is none for the others
        fits = all(found[name].dtype == frames.read_type(column.kind) for name, column in table.columns.items())
        return found if fits else None

    def _ask(self, declared: Column, values: pl.Series) -> tuple[pl.Series, sa.Select[Any]]:
        given = self._given_values(frames.loosely_matchable(values.unique().drop_nulls().sort(), declared.kind))
        asked = self._asked[id(values), declared.kind] = values, given
        return asked

    def _given_values(self, values: pl.Series) -> sa.Select[Any]:
        listed = sqlite_lists.holding(values)
        return sa.select(self._staged([values]).c.key_0) if listed is None else listed

    def _keyed(self, relation: sa.FromClause, columns: Mapping[str, Column], keys: pl.DataFrame) -> Keyed:
        matchable = [_matchable(keys[name], columns[name]) for name in keys.columns]
        if len(matchable) == 1:
            return [], relation.c[keys.columns[0]].in_(self._given_values(matchable[0]))
        staged = self._staged(matchable)
        pairs = zip(keys.columns, staged.c, strict=True)
        return [staged], sa.and_(*(relation.c[name] == column for name, column in pairs))

    def _staged(self, values: Sequence[pl.Series]) -> sa.TableClause:
        """Put columns of values into a temporary table whose columns have no type: the other side's decides."""
        name = f"migrator_stage_{len(self._stages)}"
        columns = [sa.Column(f"key_{position}", _Untyped()) for position in range(len(values))]
        table = sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"])
        self._connection.execute(sa.schema.CreateTable(table))
        self._stages.append(table)
        staged = sa.table(name, *(sa.column(column.name) for column in columns))
        frame = pl.DataFrame([column.alias(f"key_{position}") for position, column in enumerate(values)])
        insert_rows(self._driver, self._connection.dialect, insert(staged), frame)
        return staged

    @property
    def _driver(self) -> sqlite3.Connection:
        return driver_of(self._connection)

    def _fetch(self, statement: Statement, columns: Mapping[str, Column]) -> pl.DataFrame:
        return fetch(self._connection, statement, columns, self.schema)


class SqliteWriter(OnConflictWriter, SqliteReader):
    """The write transaction."""

    insert = staticmethod(insert)

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

    def _meaning(self, error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
        return meaning(error, at_commit=at_commit, table=table)

    def _merge(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        target = sa.table(table.name, *(sa.column(name) for name in rows.columns))
        changed = [name for name in rows.columns if name not in key]
        rows = _with_infinities(rows, table)
        if any(foreign_key.table == table.name for foreign_key in table.foreign_keys):
            # only one statement for all rows may meet a child before its parent
            source = sa.select(*self._stage(target, rows).c).where(sa.true())
            return self._counted(merging(insert(target).from_select(rows.columns, source), key, changed))
        return insert_rows(self._driver, self._connection.dialect, merging(insert(target), key, changed), rows)

    def _update(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        main = relation(table, None)
        staged = dict(zip(rows.columns, self._staged(_with_infinities(rows, table).get_columns()).c, strict=True))
        set_ = {main.c[name]: column for name, column in staged.items() if name not in key}
        met = sa.and_(*(main.c[name] == staged[name] for name in key))
        return self._counted(sa.update(main).values(set_).where(met))

    def _draw_free(self, table: Table, column: str, count: int) -> Numbers:
        """Count on behind the highest number that is there, or was ever."""
        counter = sqlite_counters.Counter(self._connection, table, column)
        highest = counter.highest()
        counter.advance(highest + count)
        return range(highest + 1, highest + 1 + count)

    def _remove(self, table: Table, keys: pl.DataFrame) -> int:
        main = relation(table, None)
        columns = [main.c[name] for name in keys.columns]
        if len(columns) == 1:
            return self._counted(sa.delete(main).where(self._keyed(main, table.columns, keys)[1]))
        staged = self._staged([_matchable(keys[name], table.columns[name]) for name in keys.columns])
        each = [column.in_(sa.select(part)) for column, part in zip(columns, staged.c, strict=True)]
        together = sa.tuple_(*columns).in_(sa.select(*staged.c))
        # `each` lets SQLite use the index that `together` alone would not
        return self._counted(sa.delete(main).where(*each, together))

    def _draw(self, table: Table, column: str, count: int, beside: Sequence[str]) -> Numbers:
        """
        Count on behind the highest number that is in *table*, was ever there, or is kept for a row to come.

        Nobody else writes to the file before we commit. An AUTOINCREMENT column is told of what we took; without it
        SQLite counts on behind the rows that are there, so the application may be first with a number of ours.
        """
        counter = sqlite_counters.Counter(self._connection, table, column)
        highest = max(counter.highest(), self._highest_kept(beside))
        counter.advance(highest + count)
        return range(highest + 1, highest + 1 + count)

    def _stage(self, target: sa.FromClause, rows: pl.DataFrame) -> sa.TableClause:
        return self._staged(rows.get_columns())


class _Untyped(sa.types.UserDefinedType[object]):
    """A column that converts nothing."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "BLOB"


def _matchable(series: pl.Series, column: Column) -> pl.Series:
    return frames.loosely_matchable(series, column.kind) if series.dtype == pl.String else series


def _with_infinities(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Say what is too large for a float as the numeral that SQLite takes for it: by its name it would stay a text."""
    held = [
        name
        for name, type_ in rows.schema.items()
        if type_ == pl.String and table.columns[name].kind in (Kind.FLOAT, Kind.DECIMAL)
    ]
    if not held:
        return rows
    said = {"Infinity": "9e999", "-Infinity": "-9e999"}
    return rows.with_columns(pl.col(name).replace(said) for name in held)
