"""What went wrong while rows were mapped: kept sparsely, as row numbers with what there is to say about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.model import Place
from migrator.mapping.outcome import FINDINGS
from migrator.mapping.values import Link, Values

#: What a finding shows: texts for all rows, one text, nothing, or a function that gives the texts of some rows.
Told: TypeAlias = pl.Series | str | Callable[[pl.Series], pl.Series] | None

REVIEW = "review"  # the row waits for a person
ITEM = "item"  # an item of a collect waits for a person; the row goes on without it
WARNING = "warning"  # the row goes on, changed
SKIP = "skip"  # the row is not wanted
ABORT = "abort"  # the row waits for a person, and so does the run


@dataclass(frozen=True, slots=True, eq=False)
class Trouble:
    """One kind of trouble of one field: `rows` are row numbers, the other series belong to them one by one."""

    rows: pl.Series
    outcome: str
    field: str
    rule: str
    place: Place
    value: pl.Series
    after: pl.Series
    note: pl.Series
    items: pl.Series
    sensitive: bool = False

    def only(self, mask: pl.Series) -> Trouble:
        """Return the part of it in the rows where *mask*."""
        kept = mask.gather(self.rows)
        return self._filtered(kept)

    def _filtered(self, kept: pl.Series) -> Trouble:
        return replace(
            self,
            rows=self.rows.filter(kept),
            value=self.value.filter(kept),
            after=self.after.filter(kept),
            note=self.note.filter(kept),
            items=self.items.filter(kept),
        )

    def lifted(self, row_of: pl.Series, keys: pl.Series) -> Trouble:
        """Say the trouble of items as trouble of their rows; `items` names them by their keys."""
        return replace(self, rows=row_of.gather(self.rows), items=keys.gather(self.rows))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a rule gives: values, troubles and links to parents."""

    values: Values
    troubles: tuple[Trouble, ...] = ()
    links: tuple[Link, ...] = ()

    def only(self, mask: pl.Series) -> Result:
        """Return the same values, with troubles and links only where *mask*."""
        troubles = tuple(part for trouble in self.troubles if len(part := trouble.only(mask)))
        return Result(self.values, troubles, tuple(link.only(mask) for link in self.links))


def made(
    mask: pl.Series,
    outcome: str,
    field: str,
    rule: str,
    place: Place,
    value: Told = None,
    after: Told = None,
    note: pl.Series | str = "",
    sensitive: bool = False,
) -> Trouble:
    """
    Make a trouble of the rows where *mask*.

    Args:
        value, after, note: As long as *mask*, or one text for all, or what gives the texts of some rows: few rows have
            troubles, and making text of all of them costs more than all else.
    """
    rows = mask.arg_true().cast(pl.Int64)

    def told(what: Told) -> pl.Series:
        if callable(what):
            return what(rows)
        if isinstance(what, pl.Series):
            return what.gather(rows)
        return pl.Series([what or None], dtype=pl.String).new_from_index(0, len(rows))

    nothing = told(None)
    return Trouble(rows, outcome, field, rule, place, told(value), told(after), told(note), nothing, sensitive)


def marked(troubles: tuple[Trouble, ...] | list[Trouble], height: int, *outcomes: str) -> pl.Series:
    """The rows, as a mask, that have a trouble of one of *outcomes*."""
    rows = [trouble.rows for trouble in troubles if trouble.outcome in outcomes and len(trouble)]
    mask = columns.none(height)
    return mask.scatter(pl.concat(rows).unique(), True) if rows else mask


def findings(trouble: Trouble, mapping: str, users: pl.Series, keys: pl.Series) -> pl.DataFrame:
    """Say a trouble as rows of FINDINGS."""
    count = len(trouble)
    outcome = WARNING if trouble.outcome == WARNING else REVIEW
    same = {
        "mapping": mapping,
        "field": trouble.field,
        "rule": trouble.rule,
        "outcome": outcome,
        "waits_for": None,
        "sensitive": trouble.sensitive,
        "file": trouble.place.file,
        "line": trouble.place.line,
        "column": trouble.place.column,
    }
    columns = {
        "user": users.gather(trouble.rows),
        "key": keys.gather(trouble.rows),
        "item_key": trouble.items,
        "value": trouble.value,
        "after": trouble.after,
        "note": trouble.note,
    }
    constants = {name: pl.Series([said], dtype=FINDINGS[name]).new_from_index(0, count) for name, said in same.items()}
    return pl.DataFrame(columns | constants).select(list(FINDINGS)).cast(FINDINGS)
