"""Our rows beside the rows of the target that they met, and which of the values there are ours to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from migrator.mapping import compare, ids, jsons, predicates
from migrator.mapping import values as columns
from migrator.mapping.model import OnConflict
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Kind, Table
from migrator.mapping.values import Values

ROW = "__row"
ALL = "*"  # in `on_conflict.leave`: every column
_THERE = "there "


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """
    Rows of one mapping that met rows of its table, one line per pair.

    `frame` holds ROW (our row's number), `__user`, our columns under their names and theirs as `there NAME`, each in
    canonical form.
    """

    frame: pl.DataFrame
    table: Table

    @classmethod
    def of(cls, rows: pl.DataFrame, there: pl.DataFrame, table: Table, names: Sequence[str]) -> Pairs:
        """Pair rows that agree in the columns *names*; a null agrees with nothing."""
        mine = compare.canonical(rows, table)
        theirs = compare.canonical(there, table).rename(lambda name: f"{_THERE}{name}")
        marks = [f"__mark_{place}" for place in range(len(names))]
        mine = mine.with_columns(columns.text(mine[name]).alias(mark) for name, mark in zip(names, marks, strict=True))
        theirs = theirs.with_columns(
            columns.text(theirs[f"{_THERE}{name}"]).alias(mark) for name, mark in zip(names, marks, strict=True)
        )
        return cls(mine.join(theirs, on=marks, how="inner", maintain_order="left").drop(marks), table)

    @property
    def rows(self) -> pl.Series:
        """Our row of each pair."""
        return self.frame[ROW]

    @property
    def height(self) -> int:
        """How many pairs there are."""
        return self.frame.height

    @property
    def met(self) -> set[int]:
        """Our rows that met some row."""
        return set(self.rows.to_list())

    @property
    def keys(self) -> pl.Series:
        """The primary key of their row as one text."""
        return key_text(self.frame.select(pl.col(f"{_THERE}{name}").alias(name) for name in self.table.key), self.table)

    @property
    def is_ours(self) -> pl.Series:
        """Where their row has the primary key of ours."""
        return self.keys.eq_missing(key_text(self.frame.select(self.table.key), self.table))

    @property
    def several(self) -> set[int]:
        """Our rows that met more than one row."""
        counted = pl.DataFrame({ROW: self.rows, "key": self.keys}).group_by(ROW).agg(pl.col("key").n_unique())
        return set(counted.filter(pl.col("key") > 1)[ROW].to_list())

    def only(self, mask: pl.Series) -> Pairs:
        """The pairs where *mask*."""
        return Pairs(self.frame.filter(mask), self.table)

    def column(self, name: str) -> Values:
        """Say the values of a column of their rows; it is what `leave` asks for."""
        return columns.of(self.frame[f"{_THERE}{name}"])

    @property
    def written(self) -> list[str]:
        """The columns that ours would set there, the primary key aside."""
        known = self.table.columns
        return [
            name
            for name in self.frame.columns
            if name in known and name not in self.table.key and not known[name].generated
        ]

    def left(self, rule: OnConflict, context: Context | None) -> pl.DataFrame:
        """Per column that ours would set, a mask of the pairs where it stays as it is there."""
        names = self.written
        kept = {name: self._protected(rule, name, context) for name in names}
        if rule.action == "fill_nulls":
            kept = {name: kept[name] | self.frame[f"{_THERE}{name}"].is_not_null() for name in names}
        elif rule.action == "update_if_newer":
            older = ~self._newer(str(rule.newer))
            kept = {name: kept[name] | older for name in names}
        return pl.DataFrame([mask.alias(name) for name, mask in kept.items()])

    def same(self, names: Sequence[str], left: pl.DataFrame) -> pl.Series:
        """Where both rows say the same in the columns *names*, those that are left aside."""
        same = self._all(True)
        for name in names:
            equal = self._text(name).eq_missing(self._text(f"{_THERE}{name}", name))
            same = same & (equal | left[name] if name in left.columns else equal)
        return same

    def nothing_left_to_write(self, left: pl.DataFrame) -> pl.Series:
        """Where every value stays as it is there: that row is not touched."""
        return left.select(pl.all_horizontal(pl.all())).to_series() if left.width else self._all(True)

    def _protected(self, rule: OnConflict, name: str, context: Context | None) -> pl.Series:
        mask = self._all(False)
        for column, condition in rule.leave.items():
            if column in (name, ALL):
                mask = mask | (self._all(True) if condition is None else predicates.mask(condition, self, context))
        return mask

    def _newer(self, name: str) -> pl.Series:
        """Where our value is greater; what is there without one is older than everything, and ours is never newer then."""
        mine, theirs = self.frame[name], self.frame[f"{_THERE}{name}"]
        if mine.dtype != theirs.dtype:
            mine, theirs = columns.text(mine), columns.text(theirs)
        return columns.is_true(mine > theirs) | (mine.is_not_null() & theirs.is_null())

    def _text(self, column: str, name: str | None = None) -> pl.Series:
        text = columns.text(self.frame[column])
        is_json = self.table.columns[name or column].kind is Kind.JSON
        return columns.per_distinct(text, jsons.canonical) if is_json else text

    def _all(self, value: bool) -> pl.Series:
        return pl.Series([value], dtype=pl.Boolean).new_from_index(0, self.height)


def key_text(rows: pl.DataFrame, table: Table) -> pl.Series:
    """The primary key of rows of *table* as one text, the same for rows that were computed and rows that were read."""
    canonical = compare.canonical(rows.select(table.key), table)
    return ids.key([columns.text(canonical[name]) for name in table.key])
