"""
Rows that were made in the new system, as rows that legacy is to get.

Where legacy numbers its rows itself nobody knows the number yet. Each new row gets one that stands for it, so that rows
that hang on it can be told, and so that both can be mapped forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from migrator.mapping import fit, ids, predicates, uses
from migrator.mapping import values as columns
from migrator.mapping.backward.desk import Desk
from migrator.mapping.backward.differing import values
from migrator.mapping.backward.rows import as_read
from migrator.mapping.identities import id_column
from migrator.mapping.joins import OfFrame
from migrator.mapping.model import Lookup, Mapping
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values

#: Numbers that stand for those that legacy will give; they fit 32 bits.
_STANDS_FOR = 2_000_000_000


@dataclass(eq=False)
class Inserts:
    """The new rows: `wanted` per mapping as the target has them, with `__key`; `made` as legacy is to get them."""

    desk: Desk
    wanted: dict[str, pl.DataFrame] = field(default_factory=dict)
    made: dict[str, pl.DataFrame] = field(default_factory=dict)
    _count: int = 0

    def fill(self, name: str) -> None:
        """Make the rows of one mapping; those of its parents are made."""
        new = self.desk.found[name].made
        frame = self._empty(name, new)
        typed: dict[str, pl.Series] = {}
        for column in self.desk.set.mappings[name].fields:
            if str(column) in new.columns:
                frame = self._take_back(name, str(column), new, frame, typed)
        frame = self._keyed(name, new, frame)
        self.desk.refuse(
            name, "", frame.filter(~self._is_read(name, frame))["__user"], "legacy would not read such a row"
        )
        self.wanted[name] = new.with_columns(frame["__key"])
        self.made[name] = self._typed(name, new, frame, typed)
        self.desk.rows.append(name, frame)
        self.desk.parents.add(name, self.wanted[name])

    # ---- a row with nothing in it --------------------------------------------------------------------------------

    def _empty(self, name: str, new: pl.DataFrame) -> pl.DataFrame:
        """Rows as they would be read if nothing were in them but whose they are and what all rows of the source have."""
        frame = self.desk.rows.frame(name).clear(new.height).with_columns(new["__user"])
        source = self.desk.set.mappings[name].source
        frame = self._with(frame, name, str(source.user[0]), Values(new["__user"], Kind.TEXT))
        for column, value in self.desk.ways[name].given.items():
            frame = self._with(frame, name, column, columns.literal(value, new.height))
        numbered = self.desk.ways[name].numbered
        if numbered:
            first = _STANDS_FOR + self._count
            self._count += new.height
            numbers = pl.int_range(first, first + new.height, dtype=pl.Int64, eager=True)
            frame = self._with(frame, name, numbered, Values(numbers, Kind.INTEGER))
        return frame

    def _with(self, frame: pl.DataFrame, name: str, column: str, made: Values) -> pl.DataFrame:
        where = self.desk.rows.spots(name).get(column)
        if where is None:
            return frame.with_columns(made.text.alias(column)) if column in frame.columns else frame
        known = self.desk.legacy_column(where)
        read = as_read(fit.fit(made, known, self.desk.legacy.dialect).values, known.kind)
        return frame.with_columns(read.alias(column))

    # ---- what the target says ------------------------------------------------------------------------------------

    def _take_back(
        self, name: str, column: str, new: pl.DataFrame, frame: pl.DataFrame, typed: dict[str, pl.Series]
    ) -> pl.DataFrame:
        desk = self.desk
        rule = desk.set.mappings[name].fields[column]
        wanted = values(new[column], desk.written(name).columns[column])
        asked = desk.putter(name, frame).put(rule, column, wanted)
        desk.refuse(name, column, new["__user"], asked.refused)
        for source, (made, here) in asked.columns.items():
            where = desk.rows.spots(name).get(source)
            if where is None or where.join or source in self._settled(name):
                desk.refuse(name, column, new.filter(here)["__user"], f"nothing may be written to {source} for it")
                continue
            wish = columns.choose(here, made, columns.of(frame[source]))
            fine, why = desk.fitted(name, rule, where, wish)
            desk.refuse(name, column, new["__user"], columns.blank(why, ~here))
            typed[source] = fine
            read = as_read(fine, desk.legacy_column(where).kind)
            frame = frame.with_columns(read.alias(source))
        return frame

    def _settled(self, name: str) -> set[str]:
        """COLUMNs that are what they are: whose the row is, what all rows have, and what legacy gives."""
        way = self.desk.ways[name]
        user = str(self.desk.set.mappings[name].source.user[0])
        return {user, *way.given, *([way.numbered] if way.numbered else [])}

    def _keyed(self, name: str, new: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
        """Say the key: the id that legacy is to keep, or what the fields said."""
        mapping = self.desk.set.mappings[name]
        if mapping.target.id.how == "keep":
            own = str(id_column(mapping, self.desk.written(name)))
            given = values(new[own], self.desk.written(name).columns[own])
            frame = self._with(frame, name, str(mapping.target.id.columns[0]), given)
        return frame.with_columns(ids.key([columns.text(frame[key]) for key in mapping.source.key]).alias("__key"))

    def _is_read(self, name: str, frame: pl.DataFrame) -> pl.Series:
        where = self.desk.set.mappings[name].source.where
        return predicates.mask(where, OfFrame(frame), self.desk.context) & frame["__key"].is_not_null()

    # ---- as legacy is to get it ----------------------------------------------------------------------------------

    def _typed(self, name: str, new: pl.DataFrame, frame: pl.DataFrame, typed: dict[str, pl.Series]) -> pl.DataFrame:
        """All columns that the mapping reads, so that no default of legacy gets between; but for the number."""
        desk, way = self.desk, self.desk.ways[name]
        read = uses.columns(desk.set.mappings[name], desk.legacy)
        told = [new["__user"], pl.Series("__target_table", [way.table]).new_from_index(0, new.height)]
        told.append(new["__id"].alias("__target_key"))
        for column in (one for one in read if "." not in one and one != way.numbered):
            where = desk.rows.spots(name)[column]
            series, why = desk.fitted(name, None, where, columns.of(frame[column]))
            desk.refuse(name, "", new["__user"], why)
            told.append(typed.get(column, series).alias(column))
        made = pl.DataFrame(told)
        return made.with_columns(part for column in made.columns for part in self._of_parents(name, column, made))

    def _of_parents(self, name: str, column: str, made: pl.DataFrame) -> Iterator[pl.Series]:
        """Where a number stands for one that legacy will give: of which row it is."""
        for parent in _parents(self.desk.set.mappings[name], column):
            if parent not in self.wanted or not self.desk.ways[parent].numbered:
                continue
            new = self.wanted[parent]
            rows = self.desk.ways[parent].table + ids.SEPARATOR + new["__id"]
            of = columns.text(made[column]).replace_strict(new["__key"], rows, default=None, return_dtype=pl.String)
            yield columns.blank(made[column], of.is_not_null())
            yield of.alias(f"__of {column}")

    def context(self) -> Context:
        """What the rows are mapped with, the new ones, too."""
        numbers = dict(self.desk.context.numbers or {})
        for name, rows in self.wanted.items():
            if self.desk.set.mappings[name].target.id.how == "sequence" and name in numbers:
                made_up = pl.int_range(-rows.height, 0, dtype=pl.Int64, eager=True).alias("id")
                more = rows.select("__user", "__key").with_columns(made_up)
                numbers[name] = pl.concat([numbers[name], more], how="diagonal_relaxed")
        return replace(self.desk.context, numbers=numbers if self.desk.context.numbers is not None else None)

    def without(self, users: pl.Series) -> dict[str, list[pl.DataFrame]]:
        """The rows that legacy is to get, but for those of *users*."""
        found: dict[str, list[pl.DataFrame]] = {}
        for name, frame in self.made.items():
            kept = frame.filter(~pl.col("__user").is_in(users.implode()))
            if kept.height:
                found.setdefault(self.desk.ways[name].source, []).append(kept)
        return found


def _parents(mapping: Mapping, column: str) -> Iterator[str]:
    """The mappings whose rows are looked up by *column* alone."""
    for rule in mapping.fields.values():
        source: Any = rule.source
        if isinstance(source, Lookup) and tuple(map(str, source.by)) == (column,):
            yield str(source.mapping)
        for step in rule.steps[:1]:
            if step.name == "lookup" and isinstance(step.args, str) and getattr(source, "columns", ()) == (column,):
                yield step.args
