"""What a database must be able to do for us, as legacy or as target. Implemented once per dialect, held by one suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from migrator.mapping.query import Query
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True)
class Claim:
    """Under which batch, fence and act users are taken in the ledger. `op`: move | rollback | erase."""

    batch: int
    fence: int
    op: str
    set_hash: str


class Reader(Protocol):
    """One short read-only snapshot transaction."""

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query* with the frame types of `frames.py` (see there)."""

    def count(self, query: Query) -> int:
        """How many rows *query* has."""

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
        """user_key, generation, op, batch, fence, set_hash, read_hash, written_hash of those in the ledger."""


class Writer(Reader, Protocol):
    """One read-write transaction in the target. Leaving the block without an error commits; an error rolls back."""

    def fence(self, claim: Claim) -> None:
        """Raise the batch's fence to the claim's, or Fenced if a newer one exists."""

    def take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        """
        Take users in the ledger; those whom a newer generation has touched are left out.

        Args: users: user_key, generation, read_hash, written_hash (text).
        Returns: the keys taken.
        """

    def lock(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """`rows`, and nobody else changes them before this transaction ends."""

    def write(self, table: str, rows: pl.DataFrame, key: Sequence[str]) -> None:
        """Merge *rows* (all set columns) into *table* by *key*: staged in bulk, then one statement."""

    def remove(self, table: str, keys: pl.DataFrame) -> int:
        """Delete the rows whose columns equal those of a row of *keys*; how many."""


class Database(Protocol):
    """One database under one URL (and schema, where it has schemas)."""

    dialect: str

    def schema(self) -> Schema:
        """What it holds now, our own `migrator_*` tables left out."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Open a read-only snapshot."""

    def writing(self) -> AbstractContextManager[Writer]:
        """Open a write transaction (SQLite: BEGIN IMMEDIATE). InDoubt when the connection broke at COMMIT."""

    def prepare(self) -> None:
        """Create `migrator_ledger` and `migrator_fence` if they are missing."""

    def prepare_sql(self) -> str:
        """The SQL that `prepare` would run, to be given to whoever may run it."""

    def prepared(self) -> bool:
        """Whether ledger and fence exist."""

    def mark(self) -> str:
        """A text that changes with every commit, here or elsewhere; equal marks mean that nothing was written between."""

    def ping(self) -> str:
        """Server name and version, or Unreachable."""

    def close(self) -> None:
        """Give back all connections."""
