"""What a database must be able to do for us, as legacy or as target. Implemented once per dialect, held by one suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import polars as pl

from migrator.mapping.facts import Listed, Seen
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True)
class Claim:
    """Under which batch, fence and act users are taken in the ledger. `op`: move | rollback | erase."""

    batch: int
    fence: int
    op: str
    set_hash: str


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a database that should be known before users move: warn or fail, in a sentence, with the remedy."""

    result: str
    said: str
    remedy: str


#: A query, and how many rows it gave.
Asked: TypeAlias = tuple[Query, int]


class LegacyReader(Protocol):
    """One short read-only snapshot transaction, as far as legacy needs it."""

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* with the frame types of `frames.py` (see there)."""

    def count(self, query: Query) -> int:
        """How many rows *query* has."""

    def tally(self, query: Query, by: str) -> pl.DataFrame:
        """
        How many rows *query* has per value of *by*, a column of its table or of its `via`: counted by the database.

        Returns: *by*, typed as `select` does, and `count`; a value may come several times where types are loose.
        """

    def unchanged(self, asked: Sequence[Asked], mark: str) -> bool:
        """
        Whether the rows of these queries are still what they were when they were read, after `mark` was taken.

        False where that cannot be told without reading them again.
        """

    def look(self, table: str) -> dict[str, Seen]:
        """What lint may know of the data of each column, from all rows or (of a large table) from a sample."""

    def values(self, table: str, column: str) -> Listed:
        """The distinct values of one column, where they are few."""

    def repeated(self, table: str, columns: Sequence[str]) -> bool:
        """Whether two rows have the same values in *columns*, none of them null."""


class Reader(LegacyReader, Protocol):
    """One short read-only snapshot transaction."""

    def rows(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """All columns (generated ones too) of the rows of *table* whose columns equal those of a row of *keys*."""

    def totals(self, query: Query, by: str, sums: Sequence[str]) -> pl.DataFrame:
        """Per value of *by* (as text): it, `count`, and each of *sums* added up exactly, Decimal(38, 18)."""

    def referencing(self, table: str, keys: pl.DataFrame, ours: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """
        Rows of *table* among *keys* that a row points at (by foreign key) which is not in *ours*.

        Args: ours: per table the key columns of the rows that go as well.
        Returns: `table` (who points) and the columns of *keys*, all text.
        """

    def ledger(self, users: Sequence[str]) -> pl.DataFrame:
        """user_key, generation, op, batch, fence, set_hash of those in the ledger."""

    def moved(self) -> int:
        """How many users the ledger says are here."""

    def numbers(self, mapping: str, keys: Sequence[str]) -> pl.DataFrame:
        """`key` and `id` of those source keys of *mapping* that have a number in `migrator_ids`."""

    def owners(self, table: str, keys: Sequence[str]) -> pl.DataFrame:
        """`key` and `user_key` of those rows of *table* that `migrator_owners` knows; see `Writer.own`."""

    def has_tombstones(self) -> bool:
        """Whether anybody was erased."""

    def erased(self, prints: Sequence[str]) -> set[str]:
        """Those of *prints*, keyed hashes of users, who were erased."""

    def carried(self, users: Sequence[str]) -> pl.DataFrame:
        """In legacy: user_key, generation, carry, made of those whose changes were carried back to it; see `carried.py`."""


class Writer(Reader, Protocol):
    """One read-write transaction in the target. Leaving the block without an error commits; an error rolls back."""

    def fence(self, claim: Claim) -> None:
        """Raise the batch's fence to the claim's, or Fenced if a newer one exists."""

    def take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """
        Take users in the ledger; those whom a newer generation has touched are left out.

        Args: users: user_key (text), generation.
        Returns: the keys taken.
        """

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """`rows`, and nobody else changes them before this transaction ends."""

    def write(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Merge *rows* (all set columns) into *table* by *key*: staged in bulk, then one statement."""

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Insert *rows* (all set columns) into *table* in bulk; DatabaseRefused where a row stands under their key."""

    def stands(self, table: str) -> bool:
        """
        Whether what `add` put into *table* stands there as it was given, in every value, and nothing else of ours.

        False where that cannot be told at a glance: then `rows` says what stands there.
        """

    def update(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Set the other columns of *rows* in the rows of *table* under *key*, and nothing else in them; all are there."""

    def add_numbered(self, table: str, rows: pl.DataFrame, column: str) -> list[int]:
        """Insert *rows*, whose *column* the database counts; their numbers, in the order of the rows."""

    def remove(self, table: str, keys: pl.DataFrame) -> int:
        """Delete the rows whose columns equal those of a row of *keys*; how many."""

    def take_out(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """`remove`, and all columns of the rows as they stood there, told as `rows` tells them."""

    def take_numbers(self, table: str, column: str, mapping: str, keys: Sequence[str], beside: Sequence[str]) -> None:
        """
        Give each of *keys* a number for *column* of *table*, and keep it in `migrator_ids`; read it by `numbers`.

        A key that has a number by then keeps it. The numbers come from what the column itself counts by, in bulk, and
        no row of *table* has them now. This database gives none of them to anybody else, in this transaction or in any
        that runs beside it; what it counts by is not set back when this transaction is. Where a database cannot
        promise that for rows the application inserts (a SQLite table without AUTOINCREMENT), it may lose the race: the
        caller looks again before it writes, drops the number (`drop_numbers`) and asks for another.

        Args:
            mapping: for whose rows. beside: all mappings that write *table*, *mapping* among them: numbers kept for
                them and not written yet are taken.

        Raises:
            Refused: nothing counts this column.
        """

    def drop_numbers(self, mapping: str, keys: Sequence[str]) -> None:
        """Forget the numbers of these keys of *mapping*."""

    def own(self, table: str, rows: pl.DataFrame) -> None:
        """
        Note in `migrator_owners` who writes rows that another user's rows may meet; a row keeps its first owner.

        Args: rows: `key` (the parts of the row's primary key as one text) and `user_key`.
        """

    def disown(self, table: str, keys: Sequence[str]) -> None:
        """Forget who wrote these rows of *table*: they go back."""

    def bury(self, prints: Sequence[str]) -> None:
        """Put up tombstones: these users were erased, and are never written again."""

    def forget(self, users: Sequence[str]) -> None:
        """Take out of the ledger and of the owners what names these users."""

    def note_carried(self, rows: pl.DataFrame) -> None:
        """In legacy: write down whose changes were carried back, in the place of what was said of them; as `carried`."""

    def forget_carried(self, users: Sequence[str]) -> None:
        """In legacy: take out what names these users."""


class Legacy(Protocol):
    """What is only read: one database, or several as one."""

    dialect: str

    def schema(self) -> Schema:
        """What it holds now, our own `migrator_*` tables left out."""

    def reading(self) -> AbstractContextManager[LegacyReader]:
        """Open a read-only snapshot."""

    def mark(self) -> str:
        """A text that changes with every commit, here or elsewhere; equal marks mean that nothing was written between."""

    def ping(self) -> str:
        """Server name and version, or Unreachable."""

    def concerns(self) -> list[Concern]:
        """What about it should be known before users move; nothing where all is well."""

    def powers(self) -> list[Concern]:
        """What our account may do beyond its work, whether others can listen, whether its clock is ours."""

    def close(self) -> None:
        """Give back all connections."""


class Database(Legacy, Protocol):
    """One database under one URL (and schema, where it has schemas)."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Open a read-only snapshot."""

    def writing(self) -> AbstractContextManager[Writer]:
        """Open a write transaction (SQLite: BEGIN IMMEDIATE). InDoubt when the connection broke at COMMIT."""

    def scratch(self, tables: Sequence[str]) -> AbstractContextManager[Writer]:
        """
        Write into empty copies of *tables*, in this database's own types, that nobody else sees and that are gone after.

        Foreign keys and triggers are not copied.
        """

    def sequences(self, tables: Sequence[str]) -> list[str]:
        """The sequences that count columns of *tables*, where they have rights of their own; as SQL has their names."""

    def prepare(self) -> None:
        """Create those of our own tables (`own.OwnTables`) that are missing."""

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run, to be given to whoever may run it."""

    def prepared(self) -> bool:
        """Whether all our own tables exist."""
