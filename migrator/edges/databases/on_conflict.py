"""Writing where the database knows INSERT … ON CONFLICT … RETURNING: ledger, fence and our other tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import polars as pl
import sqlalchemy as sa

from migrator.edges.databases.base import Claim
from migrator.edges.databases.writer import TAKEN, Numbers, SqlWriter, claimed
from migrator.mapping.schema import Table


class OnConflictWriter(SqlWriter):
    """The write transaction of PostgreSQL and SQLite."""

    insert: ClassVar[Callable[..., Any]]  # the dialect's own INSERT

    @abstractmethod
    def _stage(self, target: sa.FromClause, rows: pl.DataFrame) -> sa.TableClause:
        """Put *rows*, whose columns are of *target*, into a temporary table."""

    @abstractmethod
    def _draw_free(self, table: Table, column: str, count: int) -> Numbers:
        """Draw *count* numbers for *column* under which no row stands."""

    def _add_numbered(self, table: Table, rows: pl.DataFrame, column: str) -> list[int]:
        numbers = list(self._draw_free(table, column, rows.height))
        self._add(table, rows.with_columns(pl.Series(column, numbers, dtype=pl.Int64)))
        return numbers

    def _given(self, own: sa.Table, rows: pl.DataFrame) -> sa.FromClause:
        """Make *rows*, whose columns are of one of our own tables, something to select from."""
        return self._stage(own, rows)

    def _raise_fence(self, claim: Claim) -> bool:
        fence = self._own.fence
        statement = self.insert(fence).values(batch=claim.batch, fence=claim.fence)
        raised = statement.on_conflict_do_update(
            index_elements=[fence.c.batch],
            set_={"fence": statement.excluded.fence, "at": sa.func.current_timestamp()},
            where=fence.c.fence <= statement.excluded.fence,
        )
        return self._counted(raised) > 0

    def _take(self, claim: Claim, users: pl.DataFrame) -> set[str]:
        ledger = self._own.ledger
        given = self._given(ledger, users)
        constants = claimed(claim)
        # WHERE keeps SQLite from taking ON CONFLICT for a join's ON
        source = sa.select(*given.c, *(sa.literal(value) for value in constants.values())).where(sa.true())
        statement = self.insert(ledger).from_select([*TAKEN, *constants], source.order_by(given.c[0]))
        fresh = {name: statement.excluded[name] for name in (*TAKEN[1:], *constants)}
        taken = statement.on_conflict_do_update(
            index_elements=[ledger.c.user_key],
            set_=fresh | {"at": sa.func.current_timestamp()},
            where=ledger.c.generation < statement.excluded.generation,
        ).returning(ledger.c.user_key)
        return set(self._connection.execute(taken).scalars().all())

    def _note(self, own: sa.Table, rows: pl.DataFrame) -> None:
        source = sa.select(*self._given(own, rows).c).where(sa.true())
        noted = self.insert(own).from_select(rows.columns, source)
        self._connection.execute(noted.on_conflict_do_nothing())


def merging(statement: Any, key: Sequence[str], changed: Sequence[str]) -> Any:
    """Let an INSERT update *changed* where the row is there by *key*; without a key it only inserts."""
    if not key:
        return statement
    # a table of nothing but its key still counts each row: setting the key to itself changes nothing
    set_ = {name: statement.excluded[name] for name in changed or key}
    return statement.on_conflict_do_update(index_elements=list(key), set_=set_)
