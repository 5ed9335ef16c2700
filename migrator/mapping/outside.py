"""Ids that come from the target: numbers that were taken for rows, and those of rows that are there already."""

from __future__ import annotations

import zlib
from dataclasses import replace

import polars as pl

from migrator.errors import Refused
from migrator.mapping import values as columns
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values

_MADE_UP = 1_000_000_000  # and all that is made up still fits 32 bits


def numbers(sheet: Sheet) -> Values:
    """
    Give each row the number that was taken for it; where nothing will be written, one of its own will do.

    Raises:
        Refused: a row has none. To make one up would be to write over another row.
    """
    taken = sheet.env.context.numbers
    if taken is None:
        start = _MADE_UP + zlib.crc32(sheet.name.encode()) % 1000 * 1_000_000  # rows of two mappings must not meet
        return Values(pl.int_range(start, start + sheet.height, eager=True), Kind.INTEGER)
    mine = taken.get(sheet.name)
    known = _by_row(sheet, mine, "id") if mine is not None else pl.Series([None], dtype=pl.Int64).new_from_index(0, 0)
    lacking = sheet.height if mine is None else known.null_count()
    if lacking:
        raise Refused(
            f"no number was taken for {lacking} row(s) of mapping {sheet.name}; this is a defect of the caller"
        )
    return Values(known.cast(pl.Int64), Kind.INTEGER)


def given_way(sheet: Sheet, values: Values) -> tuple[Values, pl.Series]:
    """Put the id of the row that is there in the place of ours; and a mask of the rows whose row there is not touched."""
    standing = sheet.env.context.standing.get(sheet.name)
    nobody = columns.none(sheet.height)
    if standing is None:
        return values, nobody
    theirs = _by_row(sheet, standing, "id")
    stays = columns.is_true(_by_row(sheet, standing, "stays"))
    there = theirs.is_not_null()
    if not there.any():
        return values, nobody
    return replace(columns.choose(there, _alike(theirs, values.kind), values), missing=None, parent=None), stays


def _by_row(sheet: Sheet, told: pl.DataFrame, name: str) -> pl.Series:
    keyed = told.select("__user", "__key", name).unique(["__user", "__key"], keep="first")
    rows = pl.DataFrame({"__user": sheet.users, "__key": sheet.keys})
    return rows.join(keyed, on=["__user", "__key"], how="left", maintain_order="left")[name]


def _alike(texts: pl.Series, kind: Kind) -> Values:
    """Texts in the kind of the ids they take the place of, if they are of it."""
    if kind is Kind.INTEGER:
        numbers = texts.cast(pl.Int64, strict=False)
        if numbers.null_count() == texts.null_count():
            return Values(numbers, Kind.INTEGER)
    return Values(texts, Kind.TEXT)
