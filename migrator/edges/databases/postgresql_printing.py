"""What PostgreSQL prints and reads as CSV and array literals, as frames."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import reduce
from io import BytesIO
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames
from migrator.edges.databases.statements import Statement
from migrator.mapping.schema import Column, Kind

#: What is printed without a character that CSV would have to quote.
_BARE = frozenset({*frames.READ_TYPES, Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.UUID})
_END = 1  # of each line: it keeps a row of one null from being an empty line


def printed(statement: Statement, columns: Mapping[str, Column]) -> Statement:
    """Leave it to the server to print the values; only char(n) would lose its padding by a cast."""
    return statement.with_only_columns(
        *(_unpadded(*found) for found in zip(statement.selected_columns, columns.values(), strict=True)),
        maintain_column_froms=True,
    )


def with_end(statement: Statement) -> Statement:
    """Let each row end with the column that `frame` expects."""
    return statement.add_columns(sa.literal(_END).label("line"))


def as_one_text(statement: Statement, columns: Mapping[str, Column]) -> Statement:
    """SELECT all rows of *statement*, in its order, as the lines of one CSV text; null where there is none."""
    rows = statement.subquery("rows")
    fields = [_field(column, declared.kind) for column, declared in zip(rows.c, columns.values(), strict=True)]
    parts: list[Any] = [part for field in fields for part in (field, ",")]
    # no function takes more than a hundred arguments
    pieces = [sa.func.concat(*parts[start : start + 90]) for start in range(0, len(parts), 90)]
    line = reduce(operator.add, [*pieces, sa.literal(str(_END))])
    return sa.select(sa.func.string_agg(line, "\n"))


def frame(content: bytes | None, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Read CSV back as a read frame."""
    types = {str(number): _csv_type(column.kind) for number, column in enumerate(columns.values())}
    found = pl.DataFrame(schema=types)
    if content:
        found = pl.read_csv(content, has_header=False, schema={**types, "line": pl.Int8()})
    named = zip(found.get_columns(), columns.items(), strict=False)  # without the last one
    return pl.DataFrame([_typed(series.alias(name), column.kind) for series, (name, column) in named])


def as_csv(rows: pl.DataFrame) -> BytesIO:
    """Print rows of a write frame as COPY reads them."""
    lines = BytesIO()
    rows.select(_csv_column(column) for column in rows.get_columns()).write_csv(
        lines, include_header=False, quote_style="non_numeric"
    )
    return lines


def array(texts: pl.Series, *, numbers: bool) -> str:
    """Print an array; what is no number is quoted, so that it cannot be taken for something else."""
    if not numbers:
        escaped = texts.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        texts = '"' + escaped + '"'
    return "{" + (texts.fill_null("NULL").str.join(",").item() or "") + "}"


def _unpadded(column: ColumnElement[Any], declared: Column) -> ColumnElement[Any]:
    if declared.kind is Kind.TEXT and declared.declared.startswith("char("):
        return sa.cast(column, sa.Text).label(column.key)
    return column


def _field(column: ColumnElement[Any], kind: Kind) -> ColumnElement[Any]:
    """Quote what may hold anything; null, quoted, stays null, and is printed as nothing."""
    if kind in _BARE:
        return column
    return sa.literal('"') + sa.func.replace(sa.cast(column, sa.Text), '"', '""') + sa.literal('"')


def _csv_type(kind: Kind) -> pl.DataType:
    return pl.Int64() if kind is Kind.INTEGER else pl.String()


def _typed(column: pl.Series, kind: Kind) -> pl.Series:
    if kind is Kind.DECIMAL:
        return frames.exact_or_text(column)
    if kind is Kind.FLOAT:
        return frames.float_texts(column)
    if kind is Kind.BOOLEAN:
        return column == "t"
    if kind is Kind.BINARY:
        return column.str.strip_prefix("\\x").str.decode("hex")
    return column


def _csv_column(column: pl.Series) -> pl.Series:
    """Print what the server would not understand as Polars prints it."""
    if column.dtype == pl.Binary:
        return frames.text(column)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S%.6f") + ("+00" if column.dtype.time_zone else "")
    return column
