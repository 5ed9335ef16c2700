"""Values on their way out of and into MySQL: which bytes the server prints, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames
from migrator.mapping.schema import Column, Kind

_NUMERAL = re.compile(r"-?\d+")
_FRACTION = r"(\.\d*?)0+$"
_TIMES = frozenset({Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP})
ZONE = "+00"


def printed(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    """Let the server print a value whole: a bit as its number, a float of 32 bits with all of its digits."""
    if declared.declared.startswith("bit("):
        return (column + sa.literal_column("0")).label(column.key)
    if declared.declared.startswith("float"):
        return (column + sa.literal_column("0e0")).label(column.key)
    return column


def exact(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Give the bytes of the printed value, which no collation compares more loosely than they are."""
    return sa.cast(text(column), mysql.BINARY())


def text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Give the printed value in the one character set that has all characters."""
    return sa.cast(column, mysql.CHAR(charset="utf8mb4"))


def read_frame(raw: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Make a read frame of the bytes that the server printed."""
    named = zip(raw.get_columns(), columns.items(), strict=True)
    return pl.DataFrame([typed(series.alias(name), declared) for series, (name, declared) in named])


def typed(raw: pl.Series, declared: Column) -> pl.Series:
    """Read one column of printed values as its kind."""
    kind = declared.kind
    if kind is Kind.BINARY:
        return raw
    texts = _decoded(raw)
    if kind is Kind.INTEGER:
        return _integers(texts)
    if kind is Kind.BOOLEAN:
        return texts == "1"
    if kind is Kind.FLOAT and declared.declared.startswith("float"):
        texts = texts.cast(pl.Float64).cast(pl.Float32).cast(pl.String)  # the shortest text that is this float
    if kind is Kind.DECIMAL:
        return frames.exact_or_text(texts)
    if kind is Kind.FLOAT:
        return frames.float_texts(texts)
    return _moments(texts, kind) if kind in _TIMES else texts


def _decoded(raw: pl.Series) -> pl.Series:
    try:
        return raw.cast(pl.String)
    except pl.exceptions.PolarsError:
        return frames.as_canonical(raw.name, raw.to_list())


def _integers(texts: pl.Series) -> pl.Series:
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() == texts.null_count():
        return numbers
    return texts.str.replace(r"^(-?)0+(\d)", "$1$2")  # ZEROFILL prints them; beyond 63 bits the column is text


def _moments(texts: pl.Series, kind: Kind) -> pl.Series:
    """Print as PostgreSQL does: no zeros behind the second, and the zone of an instant. A zero date stays as it is."""
    short = texts.str.replace(_FRACTION, "$1").str.replace(r"\.$", "")
    if kind is not Kind.TIMESTAMP:
        return short
    return (
        pl.select(pl.when(short.str.starts_with("0000")).then(short).otherwise(short + ZONE))
        .to_series()
        .alias(texts.name)
    )


def bindable(series: pl.Series, declared: Column) -> list[object]:
    """Give a column as values that the server stores as they are meant."""
    type_ = series.dtype
    if declared.declared.startswith("float"):
        # the shortest text of the greatest float of 32 bits is beyond it for a server that reads it with 64
        return series.cast(pl.Float32, strict=False).cast(pl.Float64).to_list()
    if isinstance(type_, pl.Decimal):
        return frames.text(series).to_list()
    if isinstance(type_, pl.Datetime):
        return frames.moments(series, zone="").to_list()
    if type_ == pl.Date:
        return series.cast(pl.String).to_list()
    if type_ == pl.String and declared.kind is Kind.INTEGER:
        return [int(value) if value is not None and _NUMERAL.fullmatch(value) else value for value in series]
    if type_ == pl.String and declared.kind is Kind.TIMESTAMP:
        return series.str.strip_suffix(ZONE).to_list()
    return series.to_list()
