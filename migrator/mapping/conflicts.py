"""Rows that meet rows already in the target: skip, update or hold, as the mapping says. Default: hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl

from migrator.mapping import compare
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import FINDINGS, Book, Mapped
from migrator.mapping.schema import Schema, Table

ROW = "__row"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A set of columns that may be taken already: primary key, a unique key, or what `on_conflict.match` says."""

    mapping: str
    table: str
    columns: tuple[str, ...]


def meetings(set_: MappingSet, target: Schema) -> Iterator[Meeting]:
    """Every key of every mapping whose columns the mapping sets: where to look before writing."""
    for name, document in set_.mappings.items():
        table = target.tables[document.target.table]
        # a unique key around the primary key meets nothing that the primary key does not
        wanted = [table.key, *(key for key in table.uniques if not set(table.key) <= set(key))]
        if document.target.on_conflict:
            wanted.append(document.target.on_conflict.match)
        for columns in dict.fromkeys(tuple(key) for key in wanted if key):
            yield Meeting(name, table.name, columns)


def decide(set_: MappingSet, target: Schema, mapped: Mapped, found: Mapping[Meeting, pl.DataFrame]) -> Mapped:
    """
    Take out the rows that must not be written because others are there.

    Args:
        found: per meeting, all columns of the target rows whose key equals that of a row to be written.

    Returns:
        The batch without skipped rows, held rows and held users; books still balance.
    """
    hit = {meeting: rows for meeting, rows in found.items() if rows.height}
    if not hit:
        return mapped
    rows = {name: frame.with_row_index(ROW) for name, frame in mapped.rows.items()}
    skipped: dict[str, set[int]] = {}
    held_rows: dict[str, pl.DataFrame] = {}
    for meeting, there in hit.items():
        document, table = set_.mappings[meeting.mapping], target.tables[meeting.table]
        met = _meet(rows[meeting.mapping], there, table, meeting.columns)
        skip, hold = _verdicts(document, met, rows[meeting.mapping], there, table, meeting)
        skipped.setdefault(meeting.mapping, set()).update(skip)
        if hold:
            findings = _findings(document, rows[meeting.mapping], hold, meeting)
            before = held_rows.get(meeting.mapping)
            held_rows[meeting.mapping] = findings if before is None else pl.concat([before, findings])
    return _without(set_, mapped, rows, skipped, held_rows)


def _meet(rows: pl.DataFrame, there: pl.DataFrame, table: Table, columns: tuple[str, ...]) -> set[int]:
    """Row numbers whose key is in the target; a null never meets anything."""
    mine = compare.canonical(rows.select(ROW, *columns), table).drop_nulls(list(columns))
    theirs = compare.canonical(there.select(columns), table).unique()
    return set(mine.join(theirs, on=list(columns), how="semi")[ROW].to_list())


def _verdicts(
    document: Document, met: set[int], rows: pl.DataFrame, there: pl.DataFrame, table: Table, meeting: Meeting
) -> tuple[set[int], set[int]]:
    """(rows to skip, rows to hold); what is in neither is written over, by its primary key."""
    action = document.target.on_conflict.action if document.target.on_conflict else "review"
    if action == "skip":
        return met, set()
    if action == "skip_if_equal":
        same = _equal(rows.filter(pl.col(ROW).is_in(met)), there, table, meeting.columns)
        return same, met - same
    if action == "update" and meeting.columns == table.key:
        return set(), set()
    return set(), met


def _equal(rows: pl.DataFrame, there: pl.DataFrame, table: Table, key: tuple[str, ...]) -> set[int]:
    """Rows that stand in the target just so, the id aside (the new system may have given its own)."""
    columns = [name for name in rows.columns if name in table.columns and (name in key or name not in table.key)]
    mine = compare.canonical(rows.select(ROW, *columns), table)
    theirs = compare.canonical(there.select(columns), table).unique()
    return set(mine.join(theirs, on=columns, how="semi", nulls_equal=True)[ROW].to_list())


def _findings(document: Document, rows: pl.DataFrame, hold: set[int], meeting: Meeting) -> pl.DataFrame:
    place = document.target.place
    rule = document.fields.get(meeting.columns[-1])
    if rule is not None:
        place = rule.place
    sensitive = any(document.fields[name].sensitive for name in meeting.columns if name in document.fields)
    shown = pl.concat_str([pl.col(name).cast(pl.String) for name in meeting.columns], separator=", ", ignore_nulls=True)
    return (
        rows.filter(pl.col(ROW).is_in(hold))
        .select(
            pl.col("__user").alias("user"),
            pl.lit(document.name).alias("mapping"),
            pl.col("__key").alias("key"),
            pl.lit(None, pl.String).alias("item_key"),
            pl.lit(", ".join(meeting.columns)).alias("field"),
            pl.lit("on_conflict").alias("rule"),
            shown.alias("value"),
            pl.lit(None, pl.String).alias("after"),
            pl.lit("review").alias("outcome"),
            pl.lit(None, pl.String).alias("waits_for"),
            pl.lit(f"a row with this {', '.join(meeting.columns)} is already in {meeting.table}").alias("note"),
            pl.lit(sensitive).alias("sensitive"),
            pl.lit(place.file).alias("file"),
            pl.lit(place.line, pl.Int64).alias("line"),
            pl.lit(place.column, pl.Int64).alias("column"),
        )
        .cast(FINDINGS)
    )


def _without(
    set_: MappingSet,
    mapped: Mapped,
    rows: Mapping[str, pl.DataFrame],
    skipped: Mapping[str, set[int]],
    held_rows: Mapping[str, pl.DataFrame],
) -> Mapped:
    """The batch that is left: skipped rows gone, held rows gone, all rows of newly held users blocked."""
    held = {
        user
        for name, findings in held_rows.items()
        if set_.mappings[name].on_reject == "hold_user"
        for user in findings["user"].to_list()
    }
    left, books = {}, dict(mapped.books)
    for name, frame in rows.items():
        refused = set(held_rows[name]["key"].to_list()) if name in held_rows else set()
        skip = pl.col(ROW).is_in(skipped.get(name, set()))
        review = pl.col("__key").is_in(refused)
        blocked = pl.col("__user").is_in(held)
        sizes = frame.select(
            written=(~skip & ~review & ~blocked).sum(),
            skipped=(skip & ~review & ~blocked).sum(),
            review=review.sum(),
            blocked=(~review & blocked).sum(),
        ).row(0, named=True)
        left[name] = frame.filter(~skip & ~review & ~blocked).drop(ROW)
        books[name] = _shifted(books[name], frame.height, sizes)
    return Mapped(
        rows=left,
        findings=pl.concat([mapped.findings, *held_rows.values()]),
        books=books,
        held=mapped.held | held,
    )


def _shifted(book: Book, were_written: int, sizes: Mapping[str, int]) -> Book:
    return replace(
        book,
        written=book.written - were_written + sizes["written"],
        skipped=book.skipped + sizes["skipped"],
        review=book.review + sizes["review"],
        blocked=book.blocked + sizes["blocked"],
    )
