"""A read of one legacy or target table, said without SQL. `edges/databases` turns it into the dialect."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Test:
    """One pushed-down test on a column: exact in every dialect, so never on text but for null."""

    column: str
    op: str  # eq | ne (null counts as different) | in | not_in (null passes) | null | not_null | gt | gte | lt | lte
    value: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Among:
    """Keep the rows whose `column` is one of `values` (any length; text or integers; the edge casts to the column)."""

    column: str
    values: pl.Series


@dataclass(frozen=True, slots=True)
class Via:
    """One inner join to another table: `(its column, column of the query's table)` pairs."""

    table: str
    on: tuple[tuple[str, str], ...]
    take: tuple[tuple[str, str], ...]  # (its column, the name it gets in the result)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """
    SELECT `columns` of `table`, joined by `via`, where all `tests` and `among` hold.

    `among.column` may be a name that `via` takes. Columns come back under their own names; those of `via` under
    the names in `take`. Without columns only the count is wanted. The order is that of `order` or none.
    With `limit`, at most so many of them.
    """

    table: str
    columns: tuple[str, ...]
    tests: tuple[Test, ...] = ()
    among: Among | None = None
    via: Via | None = None
    order: tuple[str, ...] = ()
    distinct: bool = False
    limit: int | None = None
