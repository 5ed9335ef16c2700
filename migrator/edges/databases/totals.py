"""Adding up exactly, in decimals, what a database would add up in binary floats."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from migrator.edges.databases.frames import EXACT, text
from migrator.errors import Refused


def grouped(rows: pl.DataFrame, by: str, sums: Sequence[str]) -> pl.DataFrame:
    """Count the rows per value of *by* (as text), and add up the columns *sums*."""
    columns = [text(rows[by]).alias("by"), *(_summable(rows[name]).alias(f"sum {name}") for name in sums)]
    added = (pl.col(f"sum {name}").sum().alias(name) for name in sums)
    found = pl.DataFrame(columns).group_by("by").agg(pl.len().cast(pl.Int64).alias("count"), *added)
    return found.rename({"by": by}).select(by, "count", *sums)


def _summable(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Int64 or column.dtype == EXACT:
        return column.cast(EXACT)
    raise Refused(f"column {column.name} cannot be added up: it holds a value that is no number of up to 38 digits")
