"""Writing, as far as all SQL databases do it alike. Each dialect adds how rows come in and what a merge looks like."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import polars as pl
import sqlalchemy as sa

from migrator.edges.databases.base import Claim
from migrator.edges.databases.carried import CARRIED_COLUMNS
from migrator.edges.databases.failures import translated
from migrator.edges.databases.reader import SqlReader, in_order
from migrator.edges.databases.statements import known_table
from migrator.errors import Fenced, MigratorError, Mismatch
from migrator.mapping.schema import Table

#: What a user is taken with, the key first; the rest of the ledger is the claim's.
TAKEN = ("user_key", "generation")
Numbers: TypeAlias = Sequence[int]


class SqlWriter(SqlReader):
    """One write transaction; see `base.Writer`."""

    def fence(self, claim: Claim) -> None:
        """Raise the batch's fence, or Fenced if a newer one exists."""
        if not self._raise_fence(claim):
            raise Fenced(f"batch {claim.batch} has a newer lease than {claim.fence}")

    def take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """Take users in the ledger; those whom a newer generation has touched are left out."""
        # in one order, so that two batches that share users wait instead of deadlocking
        return self._take(claim, users.select(TAKEN).sort("user_key"))

    def write(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Merge *rows* into *table* by *key*, or insert them where there is no key."""
        self._written(table, rows, partial(self._merge, key=list(key)))

    def update(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Set the other columns of *rows* in the rows that are there by *key*."""
        self._written(table, rows, partial(self._update, key=list(key)))

    def add_numbered(self, table: str, rows: pl.DataFrame, column: str) -> list[int]:
        """Insert *rows*, whose *column* the database counts; the numbers."""
        known = known_table(self.schema, table)
        if rows.is_empty():
            return []
        with translated(partial(self._meaning, table=table)):
            return self._add_numbered(known, rows.drop(column, strict=False), column)

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Insert *rows* into *table*; refused where one is there."""
        self._written(table, rows, self._add)

    def stands(self, table: str) -> bool:
        """Most databases are asked for the rows."""
        return False

    def remove(self, table: str, keys: pl.DataFrame) -> int:
        """Delete the rows whose columns equal those of a row of *keys*; how many."""
        known = known_table(self.schema, table)
        if keys.is_empty():
            return 0
        with translated(partial(self._meaning, table=table)):
            return self._remove(known, in_order(keys))

    def take_out(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Delete rows and give them as they stood there."""
        found = self.lock(table, keys)
        if self.remove(table, keys) != found.height:
            raise Mismatch(f"other rows of {table} were removed than were looked at")
        return found

    def take_numbers(self, table: str, column: str, mapping: str, keys: Sequence[str], beside: Sequence[str]) -> None:
        """Give each of *keys* a number, and keep it; see `base.Writer`."""
        known = set(self.numbers(mapping, keys)["key"])
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if not new:
            return
        numbers = self._draw(known_table(self.schema, table), str(column), len(new), beside)
        # whoever was first with a key has chosen its number
        self._note(self._own.ids, pl.DataFrame({"mapping": [str(mapping)] * len(new), "key": new, "id": list(numbers)}))

    def drop_numbers(self, mapping: str, keys: Sequence[str]) -> None:
        """Forget the numbers of these keys."""
        self._connection.execute(sa.delete(self._own.ids).where(self._numbered(mapping, keys)))

    def own(self, table: str, rows: pl.DataFrame) -> None:
        """Note who writes these rows; a row keeps its first owner."""
        named = rows.select(pl.lit(str(table)).alias("table_name"), "key", "user_key").sort("key")
        self._note(self._own.owners, named)

    def disown(self, table: str, keys: Sequence[str]) -> None:
        """Forget who wrote these rows."""
        self._connection.execute(sa.delete(self._own.owners).where(self._owned(table, keys)))

    def bury(self, prints: Sequence[str]) -> None:
        """Put up tombstones; one that stands stays."""
        self._note(self._own.tombstones, pl.DataFrame({"print": list(prints)}, schema={"print": pl.String}))

    def forget(self, users: Sequence[str]) -> None:
        """Take these users out of the ledger, and out of the owners of rows."""
        for table in (self._own.ledger, self._own.owners):
            theirs = self._among_texts(table.c.user_key, users)
            self._connection.execute(sa.delete(table).where(theirs))

    def note_carried(self, rows: pl.DataFrame) -> None:
        """Write down whose changes were carried back here."""
        self.forget_carried(rows["user_key"].to_list())
        self._note(self._carried, rows.select(list(CARRIED_COLUMNS)))

    def forget_carried(self, users: Sequence[str]) -> None:
        """Take out what names these users."""
        self._connection.execute(sa.delete(self._carried).where(self._among_texts(self._carried.c.user_key, users)))

    def _written(self, table: str, rows: pl.DataFrame, way: Callable[[Table, pl.DataFrame], int]) -> None:
        if rows.is_empty():
            return
        known = known_table(self.schema, table)
        with translated(partial(self._meaning, table=table)):
            written = way(known, rows)
        if written != rows.height:
            raise Mismatch(f"{rows.height} rows were given to {table}, {written} were written")

    def _add(self, table: Table, rows: pl.DataFrame) -> int:
        """Insert *rows*; how many were written."""
        return self._merge(table, rows, [])

    @abstractmethod
    def _add_numbered(self, table: Table, rows: pl.DataFrame, column: str) -> list[int]:
        """Insert *rows*, and let the database number them in *column*."""

    @abstractmethod
    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows as `rows`, and nobody else changes them before this transaction ends."""

    @abstractmethod
    def _meaning(self, error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
        """Translate one error of the driver."""

    @abstractmethod
    def _raise_fence(self, claim: Claim) -> bool:
        """Whether the fence is the claim's now."""

    @abstractmethod
    def _take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """Put *users* (the columns TAKEN, by key) into the ledger where the generation there is older; who was."""

    @abstractmethod
    def _merge(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        """Insert *rows*, or update those that are there by *key*; how many were met."""

    @abstractmethod
    def _update(self, table: Table, rows: pl.DataFrame, key: list[str]) -> int:
        """Set the other columns of *rows* in the rows under *key*; how many were met."""

    @abstractmethod
    def _remove(self, table: Table, keys: pl.DataFrame) -> int:
        """Delete the rows under *keys*; how many."""

    @abstractmethod
    def _draw(self, table: Table, column: str, count: int, beside: Sequence[str]) -> Numbers:
        """Draw *count* numbers for *column*; those kept for the mappings *beside* are taken."""

    @abstractmethod
    def _note(self, own: sa.Table, rows: pl.DataFrame) -> None:
        """Insert *rows* into one of our own tables; one whose key is there stays as it is."""

    def _highest_kept(self, mappings: Sequence[str]) -> int:
        ids = self._own.ids
        kept = sa.select(sa.func.max(ids.c.id)).where(ids.c.mapping.in_([str(name) for name in mappings]))
        return int(self._connection.execute(kept).scalar() or 0)


def claimed(claim: Claim) -> dict[str, object]:
    """Give what the ledger says of all users of a claim."""
    return {"op": claim.op, "batch": claim.batch, "fence": claim.fence, "set_hash": claim.set_hash}
