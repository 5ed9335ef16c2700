"""Rows that say of themselves when they were written last: those that were written since a mark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from migrator.errors import Refused
from migrator.flows.parts import Parts
from migrator.mapping import moments
from migrator.mapping import values as columns
from migrator.mapping.query import Query, Test
from migrator.mapping.schema import Kind

_TIMES = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)
_TEXTS = (Kind.TEXT, Kind.OTHER)
_PRINTED = "%Y-%m-%d %H:%M:%S"


def since(
    parts: Parts, table: str, column: str, leading: Sequence[str], mark: str | None, overlap: timedelta
) -> tuple[pl.DataFrame, str | None]:
    """
    Read the leading columns of rows that were written after *mark* less *overlap*, and give the newest time seen.

    The times are compared among themselves, never with a clock of ours: what zone they are in does not matter. A whole
    number counts seconds or, where it is as large, milliseconds or microseconds.
    """
    declared = parts.legacy_schema.tables[table].columns.get(column)
    if declared is None or declared.kind not in (*_TIMES, *_TEXTS, Kind.INTEGER):
        raise Refused(f"changes: {table}.{column} in set.yaml is no column with a time")
    with parts.legacy.reading() as reader:
        if mark is None:
            rows = reader.select(Query(table, (column,)))
            return pl.DataFrame(), _newest(rows[column], declared.kind, None)
        start = _before(mark, declared.kind, overlap)
        wanted = tuple(dict.fromkeys([*leading, column]))
        rows = reader.select(Query(table, wanted, (Test(column, "gte", start),)))
    return rows.select(leading), _newest(rows[column], declared.kind, mark)


def _newest(seen: pl.Series, kind: Kind, mark: str | None) -> str | None:
    if kind is Kind.INTEGER:
        numbers = columns.parse_numbers(columns.text(seen)).drop_nulls()
        newest = str(int(numbers.max())) if len(numbers) else None  # type: ignore[arg-type]
        return newest if mark is None or (newest is not None and int(newest) > int(mark)) else mark
    times = moments.parse(columns.text(seen), Kind.DATETIME) if seen.dtype == pl.String else seen
    latest = times.drop_nulls().cast(pl.Datetime("us")).max()
    if not isinstance(latest, datetime):
        return mark
    found = latest.replace(tzinfo=None).isoformat(sep=" ")
    return found if mark is None else max(mark, found)


def _before(mark: str, kind: Kind, overlap: timedelta) -> int | str:
    seconds = int(overlap.total_seconds())
    if kind is Kind.INTEGER:
        number = int(mark)
        return number - seconds * (1_000_000 if number > 10**14 else 1000 if number > 10**11 else 1)
    at = datetime.fromisoformat(mark).replace(tzinfo=UTC) - overlap
    return at.strftime("%Y-%m-%d" if kind is Kind.DATE else _PRINTED)
