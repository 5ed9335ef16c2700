"""Writing to MySQL and MariaDB: inserts of many rows, in an order in which foreign keys hold after each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import mysql_counters, mysql_literals, mysql_order, mysql_values
from migrator.edges.databases.base import Claim
from migrator.edges.databases.mysql_failures import meaning
from migrator.edges.databases.mysql_reader import MysqlReader
from migrator.edges.databases.mysql_statements import MOST_BYTES, InsertRows, Rows, pieces
from migrator.edges.databases.own import LEDGER_COLUMNS
from migrator.edges.databases.reader import in_order
from migrator.edges.databases.references import as_text
from migrator.edges.databases.statements import relation
from migrator.edges.databases.writer import Numbers, SqlWriter, claimed
from migrator.errors import DatabaseRefused, MigratorError, Refused
from migrator.mapping.schema import Column, Kind, Table

AT = "at"  # of ledger and fence: when it was written
#: Columns of our own tables, whose values go in as they are.
_OURS = Column("", Kind.OTHER)
#: A batch that there is not: its fence is what those who draw numbers wait for.
_DRAWING = 0


class MysqlWriter(SqlWriter, MysqlReader):
    """The write transaction."""

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows as `rows`, locked until the transaction ends."""
        return self._rows(table, keys, locked=True)

    def _meaning(self, error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
        return meaning(error, at_commit=at_commit, table=table)

    def _raise_fence(self, claim: Claim) -> bool:
        fence = self._own.fence
        rows = pl.DataFrame({"batch": [claim.batch], "fence": [claim.fence]})
        self._insert(Rows(fence, rows, changed=("fence", AT), newer="fence", stamped=AT))
        now = self._connection.execute(sa.select(fence.c.fence).where(fence.c.batch == claim.batch)).scalar_one()
        return bool(now == claim.fence)

    def _take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """Update by condition, then see who was: MySQL has no RETURNING here, and IGNORE would ignore too much."""
        ledger, key = self._own.ledger, LEDGER_COLUMNS["user_key"]
        free = self._older(users)
        constants = claimed(claim)
        rows = free.with_columns(pl.lit(value).alias(name) for name, value in constants.items())
        self._insert(Rows(ledger, rows, changed=(*rows.columns[1:], AT), newer="generation", stamped=AT))
        ours = (ledger.c[name] == value for name, value in constants.items())
        mine = self.among(ledger.c.user_key, key, free["user_key"])
        return set(self._fetch(sa.select(ledger.c.user_key).where(mine, *ours), {"user_key": key})["user_key"])

    def _older(self, users: pl.DataFrame) -> pl.DataFrame:
        """Lock what the ledger has of *users*, and leave out those whose generation there is not older."""
        ledger, columns = self._own.ledger, {name: LEDGER_COLUMNS[name] for name in ("user_key", "generation")}
        mine = self.among(ledger.c.user_key, columns["user_key"], users["user_key"])
        there = self._fetch(sa.select(*(ledger.c[name] for name in columns)).where(mine).with_for_update(), columns)
        joined = users.join(there.rename({"generation": "there"}), on="user_key", how="left", maintain_order="left")
        return joined.filter(pl.col("there").is_null() | (pl.col("there") < pl.col("generation"))).drop("there")

    def _merge(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        """
        Insert what is not there by *key*, and update what is.

        ON DUPLICATE KEY meets a row by any unique key of its table, so it may see only rows that are there by *key*:
        another row with the same e-mail must refuse ours, and not be overwritten by it.
        """
        self._require_transactions(table)
        every = Rows(relation(table, None), rows, columns=table.columns)
        if not key:
            return self._insert_ordered(every, table)
        if rows.select(key).is_duplicated().any():
            raise DatabaseRefused("one row twice in one write", "1062", ", ".join(key), table.name)
        there = self._there(table, rows.select(key))
        new = replace(every, values=rows.filter(~there))
        old = replace(every, values=rows.filter(there), changed=[name for name in rows.columns if name not in key])
        # a row that is updated counts as one or as two
        return self._insert_ordered(new, table) + min(self._insert_ordered(old, table), old.values.height)

    def _update(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        """Row by row: a temporary table would need a right that an account for legacy has no other use for."""
        self._require_transactions(table)
        main = relation(table, None)
        values = {name: mysql_values.bindable(rows[name], table.columns[name]) for name in rows.columns}
        met = 0
        for place in range(rows.height):
            row = {name: sa.literal(column[place], sa.types.NullType()) for name, column in values.items()}
            mine = sa.and_(*(main.c[name] == row[name] for name in key))
            set_ = {main.c[name]: value for name, value in row.items() if name not in key}
            met += self._counted(sa.update(main).values(set_).where(mine))
        return met

    def _add_numbered(self, table: Table, rows: pl.DataFrame, column: str) -> list[int]:
        """Row by row: AUTO_INCREMENT is asked for each number with its row, and nobody has to wait for us."""
        self._require_transactions(table)
        relation_ = relation(table, None)
        numbers = []
        for row in rows.iter_slices(1):
            self._insert(Rows(relation_, row, columns=table.columns))
            numbers.append(int(self._connection.execute(sa.select(sa.func.last_insert_id())).scalar_one()))
        if 0 in numbers:
            raise Refused(f"nothing counts {table.name}.{column}")
        return numbers

    def _there(self, table: Table, keys: pl.DataFrame) -> pl.Series:
        """Say of each of *keys* whether a row stands under it."""
        columns = {name: table.columns[name] for name in keys.columns}
        main, condition = self._matched(table, in_order(keys))
        found = self._fetch(sa.select(*(main.c[name] for name in columns)).where(condition).with_for_update(), columns)
        number = pl.Series("number", range(keys.height), dtype=pl.UInt32)
        met = as_text(keys).with_columns(number).join(as_text(found), on=keys.columns, how="semi")
        return number.is_in(met["number"].implode())

    def _insert_ordered(self, rows: Rows, table: Table) -> int:
        """Insert rows of a table that points at itself behind those they point at."""
        if not mysql_order.own_keys(table):
            return self._insert(rows)
        ordered = mysql_order.in_order(rows.values, table)
        met = self._insert(replace(rows, values=ordered.parents_first))
        circle = ordered.circle
        if circle.is_empty():
            return met
        pointers = mysql_order.pointers(table, circle.columns)
        loose = circle.with_columns(pl.lit(None, circle.schema[name]).alias(name) for name in pointers)
        met += self._insert(replace(rows, values=loose))
        self._insert(replace(rows, values=circle, changed=pointers))
        return met

    def _insert(self, rows: Rows) -> int:
        """Insert piece by piece; how many rows the server counts."""
        met = 0
        with self._driver.cursor() as cursor:
            for statement, values in self._inserting(rows):
                met += cursor.execute(statement, values)
        return met

    def _inserting(self, rows: Rows) -> Iterator[tuple[str, list[object] | None]]:
        """Give the statements, and the values that are not written in them."""
        dialect, known = self._connection.dialect, rows.columns
        lines = mysql_literals.lines(rows.values, known, _OURS, stamped=rows.stamped is not None)
        if lines is not None:
            statement = str(InsertRows(rows).compile(dialect=dialect))
            for several in mysql_literals.statements(lines, MOST_BYTES):
                yield statement % (several,), None
            return
        for piece in pieces(rows.values):
            values = [mysql_values.bindable(column, known.get(column.name, _OURS)) for column in piece.get_columns()]
            marked = InsertRows(rows, piece.height).compile(dialect=dialect)
            yield str(marked), [value for row in zip(*values, strict=True) for value in row]

    def _remove(self, table: Table, keys: pl.DataFrame) -> int:
        """Let rows of a table that points at itself go of each other first, or else delete children before parents."""
        self._require_transactions(table)
        own_keys = mysql_order.own_keys(table)
        loose = mysql_order.pointers(table, table.columns)
        if all(set(loose) & set(key.columns) for key in own_keys):
            if own_keys:
                main, condition = self._matched(table, keys)
                self._connection.execute(sa.update(main).where(condition).values(dict.fromkeys(loose, sa.null())))
            return self._delete(table, keys)
        names = list(table.key) or keys.columns
        ordered = mysql_order.in_order(self._rows(table.name, keys, locked=True), table)
        levels = [ordered.circle, *reversed(ordered.levels)]
        return sum(self._delete(table, level.select(names)) for level in levels if level.height)

    def _delete(self, table: Table, keys: pl.DataFrame) -> int:
        main, condition = self._matched(table, in_order(keys))
        return self._counted(sa.delete(main).where(condition))

    def _matched(self, table: Table, keys: pl.DataFrame) -> tuple[sa.TableClause, ColumnElement[bool]]:
        main = relation(table, None)
        return main, self._keyed(main, table.columns, keys)[1]

    def _draw(self, table: Table, column: str, count: int, beside: Sequence[str]) -> Numbers:
        """
        Draw from AUTO_INCREMENT, and let the application count on behind what was drawn.

        Whoever else draws waits here until we commit: numbers that are kept and not written yet are seen by then.
        """
        self._insert(Rows(self._own.fence, pl.DataFrame({"batch": [_DRAWING], "fence": [0]}), changed=()))
        counter = mysql_counters.Counter(self._connection, table, column)
        first = max(counter.next(), self._highest_kept(beside) + 1)
        counter.pass_by(first + count - 1)
        return range(first, first + count)

    def _note(self, own: sa.Table, rows: pl.DataFrame) -> None:
        self._insert(Rows(own, rows, changed=()))

    def _require_transactions(self, table: Table) -> None:
        if table.view or not table.transactional:
            raise Refused(
                f"{table.name} is a view or has an engine without transactions: what is written there cannot be taken"
                f" back; ALTER TABLE {table.name} ENGINE=InnoDB"
            )
