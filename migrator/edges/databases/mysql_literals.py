"""Rows written out as SQL literals, a column at a time: the driver would take a call per value for the same text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl
from pymysql.converters import escape_item

from migrator.edges.databases.mysql_values import bindable
from migrator.mapping.schema import Column, Kind

_CHARSET = "utf8mb4"
#: As the driver writes them; our sql_mode has no NO_BACKSLASH_ESCAPES.
_ESCAPED = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z"}


def lines(values: pl.DataFrame, columns: Mapping[str, Column], unknown: Column, *, stamped: bool) -> pl.Series | None:
    """
    Write each row as it stands behind VALUES; None where they hold bytes, which only the driver can write.

    Args:
        unknown: how a column is declared that is not among *columns*.
        stamped: one more column has the time of the server.
    """
    if pl.Binary in values.dtypes:
        return None
    parts = [_literals(column, columns.get(column.name, unknown)) for column in values.get_columns()]
    if stamped:
        parts.append(pl.Series(["CURRENT_TIMESTAMP"]).new_from_index(0, values.height))
    rows = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    return rows.select("(" + pl.concat_str(pl.all(), separator=",") + ")").to_series()


def statements(written: pl.Series, most_bytes: int) -> Iterator[str]:
    """Join the rows that `lines` has written to what goes into one statement each."""
    start, places = 0, written.str.len_bytes().cast(pl.Int64).cum_sum() // most_bytes
    for count in places.rle().struct.field("len").to_list():
        yield str(written.slice(start, count).str.join(",").item())
        start += count


def _literals(series: pl.Series, declared: Column) -> pl.Series:
    if series.dtype == pl.Boolean or series.dtype.is_integer():
        texts = series.cast(pl.Int8) if series.dtype == pl.Boolean else series
        return texts.cast(pl.String).fill_null("NULL")
    values = bindable(series, declared)
    if _is_text(series.dtype, declared):
        texts = pl.Series(values, dtype=pl.String)
        quoted = "'" + texts.str.replace_many(list(_ESCAPED), list(_ESCAPED.values())) + "'"
        return quoted.fill_null("NULL")
    return pl.Series(["NULL" if value is None else escape_item(value, _CHARSET) for value in values], dtype=pl.String)


def _is_text(type_: pl.DataType, declared: Column) -> bool:
    """Whether all the values are text by the time they are bound."""
    if declared.declared.startswith("float"):
        return False
    if type_ == pl.String:
        return declared.kind is not Kind.INTEGER
    return type_.is_decimal() or type_.is_temporal()
