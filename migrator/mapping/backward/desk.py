"""What all parts of the way back share: the rows, who stays and why, and how a value gets into a column of legacy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import fit
from migrator.mapping import values as columns
from migrator.mapping.backward.cells import Spot
from migrator.mapping.backward.differing import Differing
from migrator.mapping.backward.parents import Rows
from migrator.mapping.backward.putting import Putter
from migrator.mapping.backward.rows import LegacyRows
from migrator.mapping.backward.ways import Ways
from migrator.mapping.draft import Draft
from migrator.mapping.model import MappingSet, Rule
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Column, Kind, Schema, Table
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values


@dataclass(eq=False)
class Desk:
    """
    The rows of some users on their way back.

    `rows` are those of legacy as far as they are changed by now; `drafts` what they gave before, `parents` finds the
    legacy rows behind rows of the target.
    """

    set: MappingSet
    ways: Mapping[str, Ways]
    found: Mapping[str, Differing]
    legacy: Schema
    target: Schema
    context: Context
    rows: LegacyRows
    drafts: Mapping[str, Draft]
    parents: Rows
    refused: dict[str, str] = field(default_factory=dict)

    def refuse(self, mapping: str, column: str, users: pl.Series, why: pl.Series | str) -> None:
        """Note for whom there is no way, and why; the first reason stays."""
        at = f"{mapping}.{column}" if column else mapping
        said = why if isinstance(why, pl.Series) else pl.Series([why], dtype=pl.String).new_from_index(0, len(users))
        told = pl.DataFrame({"user": users, "why": said}).drop_nulls("why").unique("user", keep="first")
        for user, reason in told.iter_rows():
            self.refused.setdefault(user, f"{at}: {reason}")

    def written(self, mapping: str) -> Table:
        """The target table of *mapping*."""
        return self.target.tables[self.ways[mapping].table]

    def legacy_column(self, where: Spot) -> Column:
        """How legacy declares a column."""
        return self.legacy.tables[where.table].columns[where.column]

    def putter(self, name: str, frame: pl.DataFrame) -> Putter:
        """One for rows of a mapping as they are by now."""
        old = self.drafts[name].sheet
        lookups = old.env.lookups
        env = replace(old.env, lookups=lookups and lookups.of(frame["__user"]))
        kinds = self.rows.sources[name].kinds
        sheet = Sheet(name, old.source, frame, old.rules, env, old.evaluate, old.overrides, old.scales, kinds)
        spots = self.rows.spots(name)

        def kind_of(column: str) -> Kind | None:
            where = spots.get(column)
            return self.legacy_column(where).kind if where else None

        return Putter(sheet, self.parents, kind_of)

    def fitted(self, name: str, rule: Rule | None, where: Spot, made: Values) -> tuple[pl.Series, pl.Series]:
        """Values in the type in which they are written to legacy, and why they are not; null where they are."""
        column = self.legacy_column(where)
        fitted = fit.fit(made, column, self.legacy.dialect)
        why = pl.Series([None], dtype=pl.String).new_from_index(0, len(made))
        if fitted.failed is not None:
            why = _where(fitted.failed, f"{where.table}.{where.column} cannot hold it: {fitted.note}", why)
        typed = fitted.values
        if not column.nullable and typed.null_count():
            typed = self._empty(name, rule, column, typed)
            why = _where(typed.is_null() & why.is_null(), f"{where.table}.{where.column} takes no null", why)
        return typed, why

    def _empty(self, name: str, rule: Rule | None, column: Column, typed: pl.Series) -> pl.Series:
        """What legacy keeps for nothing in a column that takes no null: what the mapping makes null."""
        words = [step.args for step in rule.steps[:1] if step.name == "null_if"] if rule else []
        flat = [item for word in words for item in (word if isinstance(word, list | tuple) else [word])]
        for word in (*flat, *self.set.mappings[name].source.null_if):
            made = fit.fit(columns.literal(word, len(typed)), column, self.legacy.dialect)
            if word is not None and made.failed is None and made.values.dtype == typed.dtype:
                return typed.fill_null(made.values)
        return typed


def _where(mask: pl.Series, said: str, why: pl.Series) -> pl.Series:
    return columns.pick(mask, pl.Series([said], dtype=pl.String).new_from_index(0, len(why)), why)
