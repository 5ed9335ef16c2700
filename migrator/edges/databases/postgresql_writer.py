"""Writing to PostgreSQL: rows come in by COPY, new ones straight into their table, others through a temporary one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import (
    frames,
    postgresql_adding,
    postgresql_lines,
    postgresql_printing,
    postgresql_removing,
    postgresql_sequences,
)
from migrator.edges.databases.base import Claim
from migrator.edges.databases.failures import translated
from migrator.edges.databases.on_conflict import OnConflictWriter, merging
from migrator.edges.databases.postgresql_adding import Manner
from migrator.edges.databases.postgresql_failures import meaning
from migrator.edges.databases.postgresql_lines import Said
from migrator.edges.databases.postgresql_reader import PostgresqlReader, Shape, Shapes
from migrator.edges.databases.postgresql_removing import Pointer
from migrator.edges.databases.postgresql_statements import CopyIn, LockTable, Named, OverridingSelect, Stage, setting
from migrator.edges.databases.quoting import as_value
from migrator.edges.databases.reader import in_order
from migrator.edges.databases.statements import Statement, known_table, relation
from migrator.edges.databases.writer import Numbers, claimed
from migrator.errors import DatabaseRefused, MigratorError
from migrator.mapping.schema import ForeignKey, Schema, Table

_RANGES_BY_PLACE = 140000  # from this version on the server reads a table from one block on
_SPARED, _LOOKED_UP = (setting({"session_replication_role": role}) for role in ("replica", "origin"))
_WITH_ROOM = 640  # last blocks that may have room: where several add rows, the server makes up to 512 ahead
_XID = 2**32  # transaction numbers of rows go round


class PostgresqlWriter(OnConflictWriter, PostgresqlReader):
    """The write transaction."""

    insert = staticmethod(insert)

    def __init__(self, connection: sa.Connection, schema: Schema, namespace: str | None, shapes: Shapes) -> None:
        super().__init__(connection, schema, namespace, shapes)
        self._numbers = count(1)
        self._may_spare: bool | None = None
        self._begin = dict[str, int]()  # by table: the block from which on our new rows lie
        self._added = dict[str, list[pl.DataFrame]]()  # by table: new rows that are there as they were given
        self._said = dict[str, Said | None]()  # by table: all that we did to it, where that can be said so

    def rows(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """All columns of these rows; where they are those that we added, they are found together where they lie."""
        found = self._where_they_lie(table) if table in self._begin else None
        if found is not None and _are_of(found, keys):
            return found
        return super().rows(table, keys)

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows as `rows`, locked until the transaction ends."""
        return self._rows(table, keys, locked=True)

    def _meaning(self, error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
        return meaning(error, at_commit=at_commit, table=table)

    def stands(self, table: str) -> bool:
        """Have the server print what we added, and hold it against what we said."""
        said = self._said.get(table)
        if said is None or table not in self._begin:
            return False
        shape = self._shaped((table, "said", said.columns), lambda: self._saying(known_table(self.schema, table), said))
        try:
            printed = self._one_text(shape.sql, {**shape.fixed, **self._place(table)})
        except psycopg.errors.ProgramLimitExceeded:
            return False  # a trigger has added to it
        return said.is_printed_as(printed)

    def _take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        if (users["generation"] == 1).all() and self._entered(claim, users):
            return set(users["user_key"].to_list())
        return super()._take(claim, users)

    def _entered(self, claim: Claim, users: pl.DataFrame) -> bool:
        """Put users into the ledger by COPY, a third of the work; False, and none is, where somebody is in it."""
        entries = users.with_columns(pl.lit(value).alias(name) for name, value in claimed(claim).items())
        into = CopyIn(self._own.ledger, entries.columns)
        self._driver.execute("SAVEPOINT migrator_ledger")
        try:
            self._copy_in(into, postgresql_printing.as_csv(entries).getbuffer())
        except psycopg.errors.UniqueViolation:
            self._driver.execute("ROLLBACK TO SAVEPOINT migrator_ledger")
            return False
        self._driver.execute("RELEASE SAVEPOINT migrator_ledger")
        return True

    def _merge(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        self._touched(table.name)
        target = relation(table, self._namespace)
        staged = self._stage(target, rows)
        # an identity that is GENERATED ALWAYS takes a value with a new row, and none afterwards
        changed = [name for name in rows.columns if name not in key and not table.columns[name].insert_only]
        inserted = insert(target).from_select(rows.columns, OverridingSelect(*staged.c))
        return self._counted(merging(inserted, key, changed))

    def _add(self, table: Table, rows: pl.DataFrame) -> int:
        """COPY straight into the table, unless who may see which row is decided row by row: COPY cannot ask that."""
        target = relation(table, self._namespace)
        manner = self._manner(target)
        if not manner.copied:
            return self._merge(table, rows, [])
        if manner.blocks is not None and self._server_version >= _RANGES_BY_PLACE:
            self._begin.setdefault(table.name, max(manner.blocks - _WITH_ROOM, 0))
        said = postgresql_lines.said(rows, table)
        self._said[table.name] = None if table.name in self._said else said
        if manner.references is None or not all(self._stands(table, rows, one) for one in manner.references):
            return self._copied(target, rows, said)  # the server says what does not stand
        with self._lookups_spared():
            written = self._copied(target, rows, said)
        self._added.setdefault(table.name, []).append(rows)
        return written

    def _copied(self, target: sa.TableClause, rows: pl.DataFrame, said: Said | None) -> int:
        if said is None:
            return self._copy_in(CopyIn(target, rows.columns), postgresql_printing.as_csv(rows).getbuffer())
        return self._copy_in(CopyIn(target, rows.columns, postgresql_lines.BETWEEN), said.lines)

    def _touched(self, table: str) -> None:
        """What we added to it need not stand there any more as we gave it."""
        self._added.pop(table, None)
        self._said[table] = None

    def _manner(self, target: sa.TableClause) -> Manner:
        locking, may_spare = self._locking(target), self._spares_lookups()
        return postgresql_adding.manner(self._driver, locking, self._literal(target), may_spare=may_spare)

    def _locking(self, target: sa.TableClause) -> str:
        return self._shaped(("lock", target.name), lambda: self._alone(LockTable(target))).sql

    def _spares_lookups(self) -> bool:
        if self._may_spare is None:
            self._may_spare = postgresql_adding.may_spare_lookups(self._connection, self._server_version)
        return self._may_spare

    def _stands(self, table: Table, rows: pl.DataFrame, reference: ForeignKey) -> bool:
        """Whether what *rows* point at is there, and stays there until we end; half a reference is none."""
        parent = self.schema.tables.get(reference.table)
        if parent is None or not {*reference.columns} <= {*rows.columns}:
            return False
        pairs = dict(zip(reference.columns, reference.references, strict=True))
        asked = rows.select(pl.col(ours).alias(theirs) for ours, theirs in pairs.items()).drop_nulls().unique()
        known = self._added.get(parent.name, [])
        if all(table.columns[ours].kind is parent.columns[theirs].kind for ours, theirs in pairs.items()):
            for frame in [*known, rows] if parent is table else known:
                asked = postgresql_adding.without_known(asked, frame, parent)
        return asked.is_empty() or self._locked(parent, asked) == asked.height

    def _locked(self, parent: Table, keys: pl.DataFrame) -> int:
        """Lock these rows as the server does for a reference; how many there are."""
        main = relation(parent, self._namespace).alias("main")
        matched, condition = self._keyed(main, parent.columns, keys)
        locking = sa.select(sa.literal(1)).select_from(*matched, main).where(condition)
        locking = locking.with_for_update(of=main, read=True, key_share=True)
        self._prefer_index(True)
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(locking.subquery())).scalar_one())

    @contextmanager
    def _lookups_spared(self) -> Iterator[None]:
        self._connection.execute(_SPARED)
        yield  # after an error nothing of this transaction stays
        self._connection.execute(_LOOKED_UP)

    def _where_they_lie(self, name: str) -> pl.DataFrame:
        """Rows of this transaction from the block on where ours began."""
        table = known_table(self.schema, name)
        statement = partial(self._lying, table, tuple(table.columns))
        shape = self._shaped((name, "where they lie"), lambda: self._compiled(statement(), table.columns))
        return self._fetched(shape, self._place(name))

    def _saying(self, table: Table, said: Said) -> Shape:
        compiled = self._compile(postgresql_lines.printed(self._lying(table, said.columns)))
        return Shape(str(compiled), "", dict(compiled.params), {})

    def _place(self, table: str) -> dict[str, str]:
        return {"place": f"({self._begin[table]},0)"}

    def _lying(self, table: Table, columns: Sequence[str]) -> sa.Select[tuple[object, ...]]:
        main = relation(table, self._namespace).alias("main")
        place = sa.cast(sa.bindparam("place", "(0,0)", type_=sa.types.NullType()), Named("tid"))
        ours = sa.cast(sa.cast(sa.func.txid_current() % _XID, sa.Text), Named("xid"))
        return sa.select(*(main.c[column].label(column) for column in columns)).where(
            sa.literal_column("main.ctid") >= place, sa.literal_column("main.xmin") == ours
        )

    def _given(self, own: sa.Table, rows: pl.DataFrame) -> sa.FromClause:
        """Give few, narrow rows as arrays: a temporary table would cost more than they do."""
        arrays = (
            sa.cast(_open(frames.text(column), numbers=number), Named("bigint[]" if number else "text[]"))
            for column, number in ((column, column.dtype.is_integer()) for column in rows.get_columns())
        )
        return sa.func.unnest(*arrays).table_valued(*rows.columns).render_derived("given")

    def _literal(self, target: sa.TableClause) -> str:
        """Name the table as a literal of regclass does."""
        return as_value(self._connection.dialect.identifier_preparer.format_table(target))

    def take_out(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Delete rows and have the server print what they were: one look at them instead of two."""
        self._touched(table)
        known, wanted = known_table(self.schema, table), in_order(keys)
        if wanted.is_empty():
            return self._rows(table, wanted)
        with translated(partial(self._meaning, table=table)):
            pointers = self._pointers(known)
            if not pointers:
                return self._taken_out(known, wanted)
            with self._lookups_spared():
                taken = self._taken_out(known, wanted)
            for pointer in pointers:
                self._nothing_points(known, taken, pointer)
            return taken

    def _taken_out(self, table: Table, keys: pl.DataFrame) -> pl.DataFrame:
        return self._looked_up(table, keys, "take out", lambda: self._taking_out(table, keys))

    def _pointers(self, table: Table) -> Sequence[Pointer]:
        """Who may point at rows of the table, to be looked for by us; nobody, too, where the server does it."""
        target = relation(table, self._namespace)
        if not self._spares_lookups():
            return ()
        found = postgresql_removing.pointers(self._driver, self._locking(target), self._literal(target))
        known = all(
            one.table in self.schema.tables and {*one.columns} <= {*self.schema.tables[one.table].columns}
            for one in found
        )
        return found if known else ()

    def _nothing_points(self, table: Table, gone: pl.DataFrame, pointer: Pointer) -> None:
        pairs = zip(pointer.columns, pointer.references, strict=True)
        asked = gone.select(pl.col(ours).alias(theirs) for theirs, ours in pairs)
        if self._rows(pointer.table, in_order(asked)).height:
            raise DatabaseRefused("foreign key", "23503", pointer.constraint, table.name)

    def _taking_out(self, table: Table, keys: pl.DataFrame) -> Statement:
        main = relation(table, self._namespace)
        _, condition = self._keyed(main, table.columns, keys)
        gone = sa.delete(main).where(condition).returning(*(main.c[name] for name in table.columns)).cte("gone")
        return sa.select(*gone.c)

    def _update(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        self._touched(table.name)
        target = relation(table, self._namespace)
        staged = self._stage(target, rows)
        set_ = {target.c[name]: staged.c[name] for name in rows.columns if name not in key}
        met = sa.and_(*(target.c[name] == staged.c[name] for name in key))
        return self._counted(sa.update(target).values(set_).where(met))

    def _draw_free(self, table: Table, column: str, count: int) -> Numbers:
        return self._draw(table, column, count, ())

    def _remove(self, table: Table, keys: pl.DataFrame) -> int:
        self._touched(table.name)
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
        self._copy_in(CopyIn(staged, rows.columns), postgresql_printing.as_csv(rows).getbuffer())
        return staged

    def _copy_in(self, statement: CopyIn, lines: memoryview) -> int:
        """Send the rows that *lines* are; how many arrived."""
        copy = str(statement.compile(dialect=self._connection.dialect))
        with self._driver.cursor() as cursor:
            with cursor.copy(copy, {"none": None}) as into:
                into.write(lines)
            return cursor.rowcount

    @property
    def _server_version(self) -> int:
        return self._driver.info.server_version


def _open(texts: pl.Series, *, numbers: bool) -> ColumnElement[object]:
    return sa.literal(postgresql_printing.array(texts, numbers=numbers), sa.types.NullType())


def _are_of(found: pl.DataFrame, keys: pl.DataFrame) -> bool:
    """Whether *found* are the rows under *keys*, each once, and no others."""
    if found.height != keys.height:
        return False
    one, other = (rows.select(frames.text(rows[name]).alias(name) for name in keys.columns) for rows in (found, keys))
    return one.equals(other) or (
        one.n_unique() == other.height and one.join(other, on=one.columns, how="anti").is_empty()
    )
