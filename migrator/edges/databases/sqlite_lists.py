"""Values that are asked for, given to SQLite as one JSON text: a temporary table would take a step for each."""

from __future__ import annotations

import json

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement


def holding(values: pl.Series) -> sa.Select[tuple[object]] | None:
    """
    SELECT *values*, without any type, so that the other side's decides; None where JSON does not carry them.

    A text with a null byte in it is cut off there by some versions of SQLite.
    """
    if values.dtype == pl.Int64:
        text = f"[{values.drop_nulls().cast(pl.String).str.join(',').item()}]"
    elif values.dtype == pl.String and not values.str.contains("\0", literal=True).any():
        text = json.dumps(values.drop_nulls().to_list(), ensure_ascii=False)
    else:
        return None
    value: ColumnElement[object] = sa.func.json_each(sa.literal(text)).table_valued("value", name="asked").c.value
    return sa.select(value)
