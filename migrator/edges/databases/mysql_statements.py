"""INSERT of many rows that may meet others: MySQL's own, and the only statement SQLAlchemy has no quick words for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.base import Executable

from migrator.mapping.schema import Column

_MOST_ROWS = 1000
MOST_BYTES = 1_000_000  # of one statement; a server takes 16 MiB and more
_BYTES_OF_A_NUMBER = 24


@dataclass(frozen=True, slots=True)
class Rows:
    """
    What is put into a table, and what becomes of a row whose key is there.

    It is refused where *changed* is None. Else *changed* is updated (a row whose list is empty stays as it is), always
    or where *newer* is greater than it was. *stamped* is set to the time of the server.
    """

    into: sa.FromClause
    values: pl.DataFrame
    columns: Mapping[str, Column] = field(default_factory=dict)
    changed: Sequence[str] | None = None
    newer: str | None = None
    stamped: str | None = None


class InsertRows(Executable, ClauseElement):
    """
    INSERT *count* rows at once; their values are given when it is run, one row after the other.

    Without *count* there is one place for all rows, to be filled with what `mysql_literals` writes.
    """

    inherit_cache = False

    def __init__(self, rows: Rows, count: int | None = None) -> None:
        self.rows, self.count = rows, count


class OneOfNumbers(sa.ColumnElement[bool]):
    """A column is one of these whole numbers, which stand in the statement: thousands of parameters cost more."""

    inherit_cache = False
    type = sa.Boolean()

    def __init__(self, column: sa.ColumnElement[Any], numbers: Sequence[int]) -> None:
        self.column, self.numbers = column, numbers


def pieces(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut *rows* into what goes into one statement each."""
    size = pl.Series([_BYTES_OF_A_NUMBER * rows.width], dtype=pl.Int64).new_from_index(0, rows.height)
    for column in rows.get_columns():
        size += _bytes(column)
    number = pl.Series(range(rows.height), dtype=pl.Int64)
    for _, piece in rows.with_columns(
        (size.cum_sum() // MOST_BYTES).alias(_BY_SIZE), (number // _MOST_ROWS).alias(_BY_COUNT)
    ).group_by(_BY_SIZE, _BY_COUNT, maintain_order=True):
        yield piece.drop(_BY_SIZE, _BY_COUNT)


_BY_SIZE, _BY_COUNT = "migrator piece by size", "migrator piece by count"  # no column of anybody's is called that


def _bytes(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        size = column.str.len_bytes()
    elif column.dtype == pl.Binary:
        size = column.bin.size()
    else:
        return pl.Series([0], dtype=pl.Int64).new_from_index(0, len(column))
    return size.cast(pl.Int64).fill_null(0)


@compiles(OneOfNumbers)
def _one_of_numbers(element: OneOfNumbers, compiler: Any, **options: Any) -> str:
    column: str = compiler.process(element.column, **options)
    return column + " IN (" + ", ".join(map(str, element.numbers)) + ")"


@compiles(InsertRows)
def _insert_rows(element: InsertRows, compiler: Any, **_: Any) -> str:
    quote, rows = compiler.preparer.quote, element.rows
    into: str = compiler.preparer.format_table(rows.into)
    names = [quote(name) for name in rows.values.columns]
    row = ["%s"] * len(names)
    if rows.stamped:
        names, row = [*names, quote(rows.stamped)], [*row, "CURRENT_TIMESTAMP"]
    lines = "%s" if element.count is None else ", ".join(["(" + ", ".join(row) + ")"] * element.count)
    words = ["INSERT INTO", into, "(" + ", ".join(names) + ")", "VALUES", lines]
    if rows.changed is not None:
        # one after the other: what decides must be changed last
        changed = sorted(rows.changed, key=lambda name: name == rows.newer)
        newer = quote(rows.newer) if rows.newer else None
        nothing = names[0] + " = " + into + "." + names[0]
        changes = ", ".join(_change(into, quote(name), newer) for name in changed) or nothing
        words += ["ON DUPLICATE KEY UPDATE", changes]
    return " ".join(words)


def _change(into: str, name: str, newer: str | None) -> str:
    fresh = "VALUES(" + name + ")"
    if newer is None:
        return name + " = " + fresh
    is_newer = into + "." + newer + " < VALUES(" + newer + ")"
    return name + " = IF(" + is_newer + ", " + fresh + ", " + into + "." + name + ")"
