"""What is wrong with source rows before any rule: kept in their frame, so that a snapshot has it, too."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

SCHEMA = pl.Schema({"__row": pl.Int64, "field": pl.String, "rule": pl.String, "value": pl.String, "note": pl.String})


def of(rows: pl.DataFrame, field: str, rule: str, values: pl.Series, note: str) -> list[pl.DataFrame]:
    """Note one fault for each of *rows* (their `__row` says which); nothing for no rows."""
    if not rows.height:
        return []
    told = {
        "__row": rows["__row"],
        "field": pl.Series([field]).new_from_index(0, rows.height),
        "rule": pl.Series([rule]).new_from_index(0, rows.height),
        "value": values.cast(pl.String),
        "note": pl.Series([note]).new_from_index(0, rows.height),
    }
    return [pl.DataFrame(told, schema_overrides=dict(SCHEMA)).cast(SCHEMA)]


def put(frame: pl.DataFrame, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put all faults into the column `__faults` of *frame*; without any it has no such column."""
    here = [part for part in found if part.height]
    if not here:
        return frame
    lists = (
        pl.concat(here)
        .group_by("__row", maintain_order=True)
        .agg(pl.struct("field", "rule", "value", "note").alias("__faults"))
    )
    told = frame.join(lists, on="__row", how="left", maintain_order="left")
    return told if told["__faults"].null_count() < told.height else frame


def moved(found: Sequence[pl.DataFrame], became: pl.DataFrame) -> list[pl.DataFrame]:
    """Follow rows that became others: *became* has `__row` and `__new`."""
    return [
        part.join(became, on="__row", how="inner")
        .with_columns(pl.col("__new").cast(pl.Int64).alias("__row"))
        .drop("__new")
        for part in found
    ]
