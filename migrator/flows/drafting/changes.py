"""What writing would change: each row new, an update or the same as it is; each changed value beside the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from migrator.flows.helping import case_view
from migrator.flows.moving import standing, writing
from migrator.flows.parts import Parts
from migrator.mapping import compare, secrecy
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.outcome import Mapped


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """
    Of one mapping: how many rows are new, and `cells`: user, mapping, key, field, before, after of each changed value.

    `updated` names the rows (`user`, `key`) that change; `total` counts all rows to be written.
    """

    total: int
    created: pl.DataFrame
    updated: pl.DataFrame
    cells: pl.DataFrame

    @property
    def unchanged(self) -> int:
        """Rows that stand in the target just so."""
        return self.total - self.created.height - self.updated.height


def of(parts: Parts, set_: MappingSet, rows: Mapped, look: writing.Look) -> dict[str, Changes]:
    """Hold the rows to be written against the rows that stand under their keys now."""
    tables = parts.target_schema.tables
    images = writing.before_images(set_, tables, rows.rows, look)
    found = {}
    for name, frame in rows.rows.items():
        table = tables[set_.mappings[name].target.table]
        meant = frame.drop("__user", "__key")
        lines = compare.differences(meant, images[table.name], table, list(table.key))
        lines = lines.filter(pl.col("kind") != compare.EXTRA)  # rows of other mappings of the same table
        told = standing.compared(writing.owned(lines, frame, table, name), rows.left.get(name))
        found[name] = _split(told, frame.height)
    return found


def _split(lines: pl.DataFrame, total: int) -> Changes:
    created = lines.filter(pl.col("kind") == compare.MISSING).select("user", "key")
    cells = lines.filter(pl.col("kind") == compare.VALUE)
    cells = cells.select("user", "mapping", "key", "field", before=pl.col("found"), after=pl.col("meant"))
    return Changes(total, created, cells.select("user", "key").unique(maintain_order=True), cells)


# ---- what is shown of a value -----------------------------------------------------------------------------------

SECRET = "(secret)"


@dataclass(frozen=True, slots=True)
class Cover:
    """What of one mapping is shown to whom: secrets to nobody, sensitive values to who asks for them by name."""

    secret: frozenset[str]
    sensitive: frozenset[str]
    reveal: bool = False

    @classmethod
    def of(cls, document: Mapping, *, reveal: bool) -> Cover:
        """Cover the target columns of a mapping."""
        return cls(*secrecy.fields(document), reveal=reveal)

    @classmethod
    def of_source(cls, document: Mapping, *, reveal: bool) -> Cover:
        """Cover the source columns of a mapping."""
        return cls(*secrecy.columns(document), reveal=reveal)

    def covers(self, name: str) -> bool:
        """Whether it knows that a column is not for everybody."""
        return bool({name, name.partition(".")[0]} & self.sensitive)

    def shown(self, name: str, value: str | None) -> str | None:
        """The value of a column, or what may be seen of it."""
        top = name.partition(".")[0]
        return covered(
            value,
            secret=bool({name, top} & self.secret),
            sensitive=bool({name, top} & self.sensitive),
            reveal=self.reveal,
        )

    def finding(self, row: dict[str, Any], which: str = "value") -> str | None:
        """The value of a finding, or what may be seen of it."""
        name = row["field"] or ""
        if row["sensitive"] and not self.covers(name):
            return covered(row[which], secret=False, sensitive=True, reveal=self.reveal)
        return self.shown(name, row[which])


def covered(value: str | None, *, secret: bool, sensitive: bool, reveal: bool) -> str | None:
    """A value, enough of it to be recognised, or nothing of it."""
    if value is None or not (secret or sensitive):
        return value
    if secret:
        return SECRET
    return value if reveal else case_view.masked(value)
