"""The target rows of one mapping, before it is known who may be written."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from migrator.mapping import identities, ids, troubles
from migrator.mapping import values as columns
from migrator.mapping.lookups import Anchors
from migrator.mapping.model import Mapping
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Trouble
from migrator.mapping.values import Link, Values


@dataclass(eq=False)
class Draft:
    """
    Rows of one mapping on their way; `frame` has one for each row of the sheet, also for those that cannot be written.

    `survivor` says into which row each was folded (itself where it was not); `waiting` rows are in a merge with one
    that was rejected; `parted` are these and the rejected ones: they would be one. Rows that `stay` are in the target already and are not touched there.
    """

    mapping: Mapping
    sheet: Sheet
    frame: pl.DataFrame
    troubles: list[Trouble]
    links: list[Link]
    id_values: Values | None
    survivor: pl.Series
    waiting: pl.Series
    stays: pl.Series
    parted: pl.Series

    @property
    def folded(self) -> pl.Series:
        """The rows that became part of another."""
        return self.survivor != pl.int_range(len(self.survivor), eager=True)

    def anchors(self) -> Anchors:
        """Say under which keys children find these rows; a folded one leads to the row that survived."""
        height = self.sheet.height
        known_by = identities.known_by(self.mapping)
        if self.id_values is None or not known_by:
            nobody = pl.DataFrame(schema={"user": pl.String, "key": pl.String, "row": pl.Int64})
            return Anchors(nobody, columns.literal(None, height))
        keys = ids.key([self.sheet.column(name).text for name in known_by])
        rows = pl.DataFrame({"user": self.sheet.users, "key": keys, "row": self.survivor.cast(pl.Int64)})
        there = rows.filter(~troubles.marked(self.troubles, height, troubles.SKIP))
        return Anchors(there.drop_nulls("key").unique(["user", "key"], keep="first"), self.id_values)
