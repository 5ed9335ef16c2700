"""One value of many: of the rows of a `many` join, or of a grouped source."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values

_EXACT = 10**19


def over(sheet: Sheet, column: str, how: str) -> Values:
    """
    Take min, max, sum, count, first or last of a column of items, per row; nulls are left out.

    No items, or nothing but nulls: `count` is 0, all others null.
    """
    join, _, name = column.rpartition(".")
    row_of, frame = sheet.items(join or None)
    kinds = sheet.item_kinds(join or None)
    given = columns.of(frame[name], kinds.get(name)) if name in frame.columns else columns.literal(None, len(row_of))
    if how == "count":
        return Values(_spread(row_of, given.values, pl.col("value").count(), sheet.height).fill_null(0), Kind.INTEGER)
    if how == "sum":
        return sums(row_of, given, sheet.height)
    if how in ("min", "max"):
        ordered = columns.in_order(pl.DataFrame({"row": row_of, "value": given.values}), ["value"])
        row_of, values = ordered["row"], ordered["value"]
    else:
        values = given.values
    some = pl.col("value").drop_nulls()
    taken = some.first() if how in ("min", "first") else some.last()
    return Values(_spread(row_of, values, taken, sheet.height), given.kind)


def sums(row_of: pl.Series, given: Values, height: int) -> Values:
    """Add exactly; a sum of what is no number, or one that cannot be held, fails."""
    number = columns.numbers(given)
    unread = row_of.filter(given.values.is_not_null() & number.is_null()).unique()
    failed = columns.none(height)
    failed = failed.scatter(unread, True) if len(unread) else failed
    total = _totals(row_of, number, height)
    kind = Kind.INTEGER if given.kind is Kind.INTEGER else Kind.DECIMAL
    if kind is Kind.INTEGER:
        total = total.cast(pl.Int64, strict=False)
    some = _spread(row_of, number, pl.col("value").count(), height).fill_null(0) > 0
    return Values(total, kind).fails(failed | (total.is_null() & some), "it cannot be added up exactly")


def _totals(row_of: pl.Series, number: pl.Series, height: int) -> pl.Series:
    some = number.drop_nulls()
    largest = max((abs(value) for value in (some.min(), some.max()) if isinstance(value, Decimal)), default=Decimal(0))
    if largest * len(number) < _EXACT:
        added = pl.when(pl.col("value").count() > 0).then(pl.col("value").sum())
        return _spread(row_of, number, added, height)
    # a sum that overflows would raise for all rows: add these in Python, one row at a time
    lists = pl.DataFrame({"row": row_of, "value": number}).drop_nulls().group_by("row").agg("value")
    totals = [columns.plain_number(sum(values, Decimal(0))) for values in lists["value"].to_list()]
    made = columns.parse_numbers(pl.Series(totals, dtype=pl.String))
    return _spread(lists["row"], made, pl.first("value"), height)


def _spread(row_of: pl.Series, values: pl.Series, taken: pl.Expr, height: int) -> pl.Series:
    rows = pl.DataFrame({"row": pl.int_range(height, eager=True)})
    frame = pl.DataFrame({"row": row_of.cast(pl.Int64), "value": values})
    made = frame.group_by("row", maintain_order=True).agg(taken.alias("value"))
    return rows.join(made, on="row", how="left", maintain_order="left")["value"]
