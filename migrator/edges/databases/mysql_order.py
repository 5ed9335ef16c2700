"""Rows of a table that points at itself, in an order in which InnoDB, which checks row by row, takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from migrator.edges.databases.references import as_text
from migrator.mapping.schema import ForeignKey, Table


@dataclass(frozen=True, slots=True)
class Ordered:
    """`levels`: rows that point only at rows of levels before theirs. `circle`: those for which there is no order."""

    levels: tuple[pl.DataFrame, ...]
    circle: pl.DataFrame

    @property
    def parents_first(self) -> pl.DataFrame:
        """Give the rows that have an order, in it."""
        return pl.concat([self.circle.clear(), *self.levels])


def own_keys(table: Table) -> tuple[ForeignKey, ...]:
    """List the foreign keys by which *table* points at itself."""
    return tuple(key for key in table.foreign_keys if key.table == table.name)


def pointers(table: Table, names: Iterable[str]) -> list[str]:
    """List those of *names* by which rows point at *table* itself and need not."""
    pointing = {name for key in own_keys(table) for name in key.columns}
    return [name for name in names if name in pointing and table.columns[name].nullable]


def in_order(rows: pl.DataFrame, table: Table) -> Ordered:
    """Put *rows* of a table that points at itself behind the rows they point at."""
    keys = [key for key in own_keys(table) if {*key.columns, *key.references} <= set(rows.columns)]
    levels = []
    while rows.height:
        waits = _waits(rows, keys)
        if waits.all():
            break
        levels.append(rows.filter(~waits))
        rows = rows.filter(waits)
    return Ordered(tuple(levels), rows)


def _waits(rows: pl.DataFrame, keys: list[ForeignKey]) -> pl.Series:
    """Say of each row whether it points at another of *rows*."""
    number = pl.Series(range(rows.height), dtype=pl.UInt32)
    texts, waits = as_text(rows), pl.Series([False]).new_from_index(0, rows.height)
    for key in keys:
        ours = [texts[name].alias(f"key {place}") for place, name in enumerate(key.columns)]
        theirs = [texts[name].alias(f"key {place}") for place, name in enumerate(key.references)]
        pointing = pl.DataFrame([*ours, number.alias("row")])
        met = pointing.join(pl.DataFrame([*theirs, number.alias("other")]), on=[part.name for part in ours])
        waits |= number.is_in(met.filter(pl.col("row") != pl.col("other"))["row"].implode())
    return waits
