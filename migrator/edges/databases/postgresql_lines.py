"""
New rows as one text that PostgreSQL takes and prints again character by character: one comparison checks every value.

Values that it may print otherwise than they were given are told apart by what is printed, and compared one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.edges.databases import frames
from migrator.mapping.schema import Column, Kind, Table

BETWEEN = "\x1f"  # no text of a person has it, and what has one is not said so
_NULL = "\\N"
_SAID = frozenset(
    {
        Kind.INTEGER,
        Kind.DECIMAL,
        Kind.BOOLEAN,
        Kind.TEXT,
        Kind.ENUM,
        Kind.DATE,
        Kind.DATETIME,
        Kind.TIMESTAMP,
        Kind.UUID,
    }
)
_MOST_COLUMNS = 45  # no function of the server takes more than a hundred arguments
_MOST_BYTES = 500_000_000  # the server gives no text of more than 1 GB
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Said:
    """Rows as COPY takes them: a line each, `BETWEEN` between values."""

    columns: tuple[str, ...]
    lines: memoryview

    def is_printed_as(self, printed: bytes | None) -> bool:
        """Whether the server prints these rows and no others; a few may lie elsewhere than they were put."""
        ours = bytes(self.lines[:-1])  # a view would be compared byte by byte
        if printed is None or len(printed) != len(ours):
            return False
        return ours == printed or sorted(ours.split(b"\n")) == sorted(printed.split(b"\n"))


def said(rows: pl.DataFrame, table: Table) -> Said | None:
    """Say *rows* of a write frame; None where a value would have to be escaped, or is printed in the server's own way."""
    columns = [table.columns[name] for name in rows.columns]
    if len(columns) > _MOST_COLUMNS or any(column.kind not in _SAID for column in columns):
        return None
    values = [_value(rows[column.name], column) for column in columns]
    told = [value for value in values if value is not None]
    if len(told) < len(columns):
        return None
    lines = BytesIO()
    pl.DataFrame(told).write_csv(
        lines, include_header=False, separator=BETWEEN, null_value=_NULL, quote_style="never", line_terminator="\n"
    )
    nulls = sum(value.null_count() for value in told)
    plain = _is_plain(lines.getvalue(), rows.height, len(columns), nulls)
    return Said(tuple(rows.columns), lines.getbuffer()) if plain else None


def printed(rows: sa.Select[Any]) -> sa.Select[tuple[str]]:
    """SELECT *rows*, in their order, as one text of such lines; the last one has no end."""
    fields: list[Any] = []
    for column in rows.subquery("rows").c:
        fields += [BETWEEN, sa.func.coalesce(sa.cast(column, sa.Text), _NULL)]
    return sa.select(sa.func.string_agg(sa.func.concat(*fields[1:]), "\n"))


def _value(values: pl.Series, column: Column) -> pl.Series | None:
    """Print values as the server does; None where it may print them otherwise."""
    kind = values.dtype
    if kind.is_float() or kind in (pl.Binary, pl.Null) or not _of_four_digits(values):
        return None
    if isinstance(kind, pl.Datetime):
        return frames.moments(values, zone="+00")
    if column.kind is Kind.DECIMAL and (kind.is_decimal() or kind.is_integer()):
        return _number(values, column.scale)
    return values


def _of_four_digits(values: pl.Series) -> bool:
    """Whether the years of days and moments are as everybody prints them."""
    if values.dtype not in (pl.Date, pl.Datetime):
        return True
    years = values.dt.year()
    return years.is_between(1, 9999).all()


def _number(values: pl.Series, scale: int | None) -> pl.Series | None:
    """Print as many digits behind the point as the column has; as many as there are where it has them all."""
    if scale is None:
        return frames.text(values)
    cut = values.cast(pl.Decimal(_MOST_DIGITS, scale), strict=False)
    same = cut.cast(frames.EXACT, strict=False).eq_missing(values.cast(frames.EXACT, strict=False))
    return cut if same.all() else None


def _is_plain(text: bytes, rows: int, columns: int, nulls: int) -> bool:
    """Whether no value holds a character that means something in these lines."""
    return (
        len(text) <= _MOST_BYTES
        and b"\r" not in text
        and text.count(b"\n") == rows
        and text.count(BETWEEN.encode()) == rows * (columns - 1)
        and text.count(b"\\") == nulls
    )
