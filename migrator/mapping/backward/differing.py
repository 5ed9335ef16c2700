"""What the new system did to the rows of one mapping since they were written: changed, made, removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from migrator.mapping import compare, ids
from migrator.mapping import values as columns
from migrator.mapping.schema import Column, Kind, Table
from migrator.mapping.values import Values

_NOW = " now"


@dataclass(frozen=True, slots=True, eq=False)
class Differing:
    """
    Two looks at rows of one table.

    `both`: `__user`, `__key`, each column as it was written and, as `COLUMN now`, as it is. `made` are rows of now alone,
    `gone` rows that were written and are no more.
    """

    table: Table
    names: tuple[str, ...]
    both: pl.DataFrame
    made: pl.DataFrame
    gone: pl.DataFrame

    @classmethod
    def of(cls, written: pl.DataFrame, now: pl.DataFrame, table: Table) -> Differing:
        """Hold *now* against *written*; both have `__user` and the columns of *table*, *written* `__key`, too."""
        there = set(written.columns) & set(now.columns)
        names = tuple(c.name for c in table.columns.values() if c.name in there and not c.generated)
        then, today = (compare.canonical(frame, table) for frame in (written, now))
        then, today = (frame.with_columns(_key(frame, table).alias("__id")) for frame in (then, today))
        today_ = today.select("__id", *(pl.col(name).alias(f"{name}{_NOW}") for name in names))
        both = then.join(today_, on="__id", how="inner", maintain_order="left")
        made = today.join(then, on="__id", how="anti", maintain_order="left")
        gone = then.join(today, on="__id", how="anti", maintain_order="left")
        return cls(table, names, both, made, gone)

    def cells(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Each column that changed, with its rows: `__user`, `__key`, `was` and `now`."""
        for name in self.names:
            unlike = compare.unlike(self.both[name], self.both[f"{name}{_NOW}"], self.table.columns[name])
            if unlike.any():
                told = (
                    pl.col("__user"),
                    pl.col("__key"),
                    pl.col(name).alias("was"),
                    pl.col(f"{name}{_NOW}").alias("now"),
                )
                yield name, self.both.filter(unlike).select(*told)

    def now(self) -> pl.DataFrame:
        """The rows that are still there as they are, with the `__key` under which they were written."""
        return self.both.select("__user", "__key", *(pl.col(f"{name}{_NOW}").alias(name) for name in self.names))

    def users(self) -> set[str]:
        """Whose rows differ."""
        found = {user for _, frame in self.cells() for user in frame["__user"].to_list()}
        return found | set(self.made["__user"].to_list()) | set(self.gone["__user"].to_list())


def _key(frame: pl.DataFrame, table: Table) -> pl.Series:
    return ids.key([columns.text(frame[name]) for name in table.key])


def values(series: pl.Series, column: Column) -> Values:
    """A column of the target as values: in the kind of the column, where they are all of it."""
    found = columns.of(series)
    if series.dtype == pl.String and column.kind not in columns.PLAIN:
        return Values(series, column.kind if column.kind in _AS_TEXT else Kind.TEXT)
    return found


_AS_TEXT = (Kind.JSON, Kind.UUID, Kind.INET, Kind.ENUM, Kind.TIME, Kind.OTHER)
