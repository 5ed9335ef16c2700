"""Rows that meet in the target: two with one key, or two that share what must be unique."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from migrator.mapping import secrecy, troubles
from migrator.mapping import values as columns
from migrator.mapping.draft import Draft
from migrator.mapping.schema import Table


def check(draft: Draft, drafts: Sequence[Draft], table: Table) -> None:
    """
    Send every row of *draft* to review that meets another one, and the other one too.

    Args:
        drafts: All mappings so far that write *table*, *draft* among them.
    """
    if table.key:
        _meet(draft, drafts, table.key, "target_key")
    for unique in table.uniques:
        _meet(draft, drafts, unique, "unique")


def _meet(draft: Draft, drafts: Sequence[Draft], names: Sequence[str], rule: str) -> None:
    if not set(names) <= set(draft.frame.columns):
        return
    sharing = [one for one in drafts if set(names) <= set(one.frame.columns)]
    if len(names) == 1 and _all_differ([one.frame[str(names[0])].filter(_here(one)) for one in sharing]):
        return  # as it should be
    rows = pl.concat([_rows(one, place, names) for place, one in enumerate(sharing)])
    met = rows.filter(pl.struct(*names).is_duplicated())
    new = [place for place, one in enumerate(sharing) if one is draft]
    if not met.height:
        return
    told = met.with_columns(pl.col("user").unique().sort().str.join(", ").over(*names).alias("users"))
    told = told.filter(pl.col("draft").is_in(new).any().over(*names))
    for (place,), part in told.group_by("draft", maintain_order=True):
        _tell(sharing[int(str(place))], part, names, rule)


def _all_differ(values: Sequence[pl.Series]) -> bool:
    there = pl.concat(values)
    nulls = there.null_count()  # which never meet
    return there.n_unique() - bool(nulls) == len(there) - nulls


def _here(draft: Draft) -> pl.Series:
    """Rows that can meet others: those that are one, and wait for one of them, are not two that meet."""
    skipped = troubles.marked(draft.troubles, draft.sheet.height, troubles.SKIP)
    return ~(draft.folded | draft.stays | draft.parted | skipped)


def _rows(draft: Draft, place: int, names: Sequence[str]) -> pl.DataFrame:
    frame = draft.frame.select(
        pl.lit(place).alias("draft"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        pl.col("__user").alias("user"),
        *names,
    )
    return frame.filter(_here(draft)).drop_nulls(list(names))  # nulls never meet


def _tell(draft: Draft, part: pl.DataFrame, names: Sequence[str], rule: str) -> None:
    height, field = draft.sheet.height, str(names[-1])
    mask = columns.none(height).scatter(part["row"], True)
    known = [trouble for trouble in draft.troubles if trouble.rule == rule and trouble.field == field]
    mask = mask & ~troubles.marked(known, height, troubles.REVIEW)
    if not mask.any():
        return
    note = part.select(pl.format("the same " + ", ".join(names) + " in rows of: {}", "users")).to_series()
    texts = pl.Series([None], dtype=pl.String).new_from_index(0, height).scatter(part["row"], note)
    where = draft.mapping.fields.get(field)
    place = where.place if where else draft.mapping.target.place
    secret, sensitive = secrecy.fields(draft.mapping)
    shown = None if field in secret else columns.text(draft.frame[field])
    draft.troubles.append(
        troubles.made(mask, troubles.REVIEW, field, rule, place, shown, None, texts, sensitive=field in sensitive)
    )
