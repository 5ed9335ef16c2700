"""Where the ids of other rows come from: parents in the same batch, or rows of a reference table in the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from migrator.errors import Refused, WrongInput
from migrator.mapping import ids
from migrator.mapping import values as columns
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Kind
from migrator.mapping.values import Link, Values


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """
    What children find of one mapping's rows: `user`, `key` (the text of its id's parts), `row` (of whoever survived).

    `ids` are the target ids by row number.
    """

    rows: pl.DataFrame
    ids: Values


@dataclass(frozen=True, slots=True, eq=False)
class InBatch:
    """
    Look up among the rows of the batch; *users* are those of the rows that ask.

    *by_user*: mappings with one row per user, found by the user himself because the rows that ask name him otherwise.
    """

    anchors: Mapping[str, Anchors]
    references: Mapping[str, pl.DataFrame]
    users: pl.Series
    by_user: frozenset[str] = frozenset()

    def of(self, users: pl.Series) -> InBatch:
        """Return the same for other rows."""
        return InBatch(self.anchors, self.references, users, self.by_user)

    def parent(self, mapping: str, parts: Sequence[Values]) -> Values:
        """The ids of rows of the same users in another mapping; a row of somebody else is not found."""
        asked = ids.key([part.text for part in parts])
        if mapping in self.by_user:
            asked = columns.blank(self.users, asked.is_null())
        if mapping not in self.anchors:
            return Values(_no_text(len(asked)), Kind.TEXT, missing=asked.is_not_null(), note=asked)
        anchors = self.anchors[mapping]
        frame = pl.DataFrame({"user": self.users, "key": asked})
        rows = frame.join(anchors.rows, on=["user", "key"], how="left", maintain_order="left")["row"]
        found = ~columns.is_null(rows)
        missing = ~(columns.is_null(asked) | found)
        link = Link(mapping, found.arg_true().cast(pl.Int64), rows.filter(found))
        return Values(
            anchors.ids.values.gather(rows),
            anchors.ids.kind,
            missing=missing if missing.any() else None,
            note=asked,
            parent=link,
        )

    def reference(self, table: str, names: Sequence[str], take: str, parts: Sequence[Values]) -> Values:
        """One column of the one row of a reference table; several such rows are a failure."""
        if table not in self.references:
            raise Refused(f"the rows of the reference table {table} were not read; this is a defect of the caller")
        known = self.references[table]
        keys = ids.key([columns.text(known[name]) for name in names])
        rows = pl.DataFrame({"key": keys, "taken": known[take]}).drop_nulls("key")
        single = rows.group_by("key").agg(pl.first("taken"), pl.len().alias("count"))
        asked = ids.key([part.text for part in parts])
        found = pl.DataFrame({"key": asked}).join(single, on="key", how="left", maintain_order="left")
        missing = asked.is_not_null() & found["count"].is_null()
        made = Values(
            found["taken"], columns.of(found["taken"]).kind, missing=missing if missing.any() else None, note=asked
        )
        several = columns.is_true(found["count"] > 1)
        return made.fails(several, "several rows of the reference table have this key") if several.any() else made


@dataclass(frozen=True, slots=True, eq=False)
class Present:
    """Where every row that is looked up is there, for examples: its id is computed, nothing is read."""

    set: MappingSet

    def of(self, users: pl.Series) -> Present:
        """Return the same: it asks for no users."""
        return self

    def parent(self, mapping: str, parts: Sequence[Values]) -> Values:
        """The id that the row would have."""
        return computed(self.set, mapping, parts)

    def reference(self, table: str, names: Sequence[str], take: str, parts: Sequence[Values]) -> Values:
        """Something that stands for the row, the same for the same key."""
        return Values(ids.uuid5(table, [part.text for part in parts]), Kind.TEXT)


def computed(set_: MappingSet, mapping: str, parts: Sequence[Values]) -> Values:
    """
    Compute the id of a row of *mapping* from the parts of its key, without looking for the row.

    Raises:
        WrongInput: its ids cannot be computed.
    """
    id_ = set_.mappings[mapping].target.id
    if id_.how == "uuid5":
        return Values(ids.uuid5(mapping, [part.text for part in parts]), Kind.TEXT)
    if id_.how == "keep":
        return parts[0].only()
    if id_.how == "lookup" and id_.mapping:
        return computed(set_, id_.mapping, parts)
    if id_.how == "sequence":  # some number or other: which one, the target decides
        return columns.literal(1, len(parts[0]))
    raise WrongInput(f"mapping {mapping} makes its ids by {id_.how}; they cannot be looked up")


def _no_text(height: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, height)
