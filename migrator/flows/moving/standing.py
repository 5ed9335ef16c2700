"""Rows that were in the target before: some of their values stay as they are, are not compared, and are not put back."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from migrator.mapping import pairs
from migrator.mapping.schema import Table

_ROW = ["__user", "__key"]
_BETWEEN = "\x1f"


def parts(rows: pl.DataFrame, left: pl.DataFrame | None, before: pl.DataFrame, table: Table) -> Iterator[pl.DataFrame]:
    """
    Cut rows of one mapping into parts to be written, so that what stays is given just as it was read.

    Args:
        rows: `__user`, `__key` and the columns to be set. left: of which of them a value stays (`Mapped.left`).
        before: the before-images of the table.
    """
    for names, part in _by_staying(rows, left):
        if names:
            was = _marked(before, table).select("__mark", *names)
            whole = _marked(part.drop(names), table).join(was, on="__mark", how="left", maintain_order="left")
            part = whole.select(part.columns)
        yield part.drop(_ROW)


def _by_staying(rows: pl.DataFrame, left: pl.DataFrame | None) -> Iterator[tuple[list[str], pl.DataFrame]]:
    """Rows by the columns that stay in them, none for most."""
    if left is None or not left.height:
        if rows.height:
            yield [], rows
        return
    columns = left.group_by(_ROW).agg(pl.col("column").sort().str.join(_BETWEEN).alias("__staying"))
    marked = rows.join(columns, on=_ROW, how="left", maintain_order="left").with_columns(
        pl.col("__staying").fill_null("")
    )
    for (names,), part in marked.group_by("__staying", maintain_order=True):
        yield [name for name in str(names).split(_BETWEEN) if name], part.drop("__staying")


def _marked(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    return rows.with_columns(pairs.key_text(rows, table).alias("__mark"))


def as_before(
    rows: pl.DataFrame,
    ours: list[str],
    left: pl.DataFrame | None,
    before: pl.DataFrame,
    now: pl.DataFrame,
    table: Table,
) -> Iterator[tuple[list[str], pl.DataFrame]]:
    """
    Make of rows as they are *now* those they were *before*, in the values that are ours; whole rows, to be written.

    Args:
        rows: `__user`, `__key` and the primary key. ours: the columns we set, the primary key aside.

    Returns:
        Parts, each with the columns (and the primary key) that go back in it.
    """
    key = [str(name) for name in table.key]
    settable = [name for name in now.columns if not table.columns[name].generated]
    was, is_now = (_marked(frame, table) for frame in (before, now))
    for names, part in _by_staying(rows, left):
        back = [name for name in ours if name not in names]
        stay = [name for name in settable if name not in back]
        marks = _marked(part, table).select("__mark")
        told = marks.join(is_now.select("__mark", *stay), on="__mark").join(was.select("__mark", *back), on="__mark")
        yield [*key, *back], told.select(settable)


def compared(found: pl.DataFrame, left: pl.DataFrame | None) -> pl.DataFrame:
    """Differences (user, key, field, ...) without those in values that were left to the target."""
    if left is None or not left.height:
        return found
    cells = left.select(user="__user", key="__key", field="column")
    return found.join(cells, on=["user", "key", "field"], how="anti", maintain_order="left")


def blanked(rows: pl.DataFrame, left: pl.DataFrame | None) -> pl.DataFrame:
    """Rows (`__user`, `__key`, ...) with null in every value that was left to the target: for hashes of what is ours."""
    if left is None or not left.height:
        return rows
    for (name,), cells in left.group_by("column", maintain_order=True):
        if name in rows.columns:
            mine = rows.select(_ROW).join(
                cells.select(*_ROW, pl.lit(True).alias("is_left")), on=_ROW, how="left", maintain_order="left"
            )
            rows = rows.with_columns(pl.when(mine["is_left"].is_null()).then(pl.col(str(name))).alias(str(name)))
    return rows
