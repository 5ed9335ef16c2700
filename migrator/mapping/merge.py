"""Rows that are one: which survives, and what its fields become."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import aggregates, ids, jsons
from migrator.mapping import values as columns
from migrator.mapping.model import Merge
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values


@dataclass(frozen=True, slots=True, eq=False)
class Folding:
    """
    Rows after the merge.

    `survivor` is each row's row number, or that of the row it was folded into; `waiting` are rows whose group has one
    that is rejected: adding up the others would give a wrong sum. `differing` names rows whose review_if_different
    columns do not agree, per column.
    """

    survivor: pl.Series
    waiting: pl.Series
    values: dict[str, Values]
    differing: dict[str, pl.Series]

    @property
    def folded(self) -> pl.Series:
        """The rows that are no more, as a mask."""
        return self.survivor != pl.int_range(len(self.survivor), eager=True)


def fold(merge: Merge, sheet: Sheet, values: dict[str, Values], rejected: pl.Series, dropped: pl.Series) -> Folding:
    """
    Fold rows of one user that agree in all `match` columns; nulls never agree.

    Args:
        values: The fields before *fit*.
        rejected: Rows that wait for a person. dropped: rows that are not wanted and take no part.
    """
    groups = _groups(merge, sheet, rejected, dropped)
    ranked = groups.sort("group", "rank", "row")
    survivors = ranked.group_by("group", maintain_order=True).agg(pl.first("row").alias("survivor"), pl.col("row"))
    flat = survivors.explode("row")
    differing = _differing(merge, sheet, flat)
    waiting = _scattered(_groups_of(groups, rejected, ranked), sheet.height)
    apart = waiting.gather(flat["row"]) | rejected.gather(flat["row"])
    for mask in differing.values():
        apart = apart | mask.gather(flat["row"])
    together = flat.filter(~apart)
    survivor = pl.int_range(sheet.height, eager=True).scatter(together["row"], together["survivor"])
    merged = values | {name: _merged(values[name], how, together, name) for name, how in merge.fields.items()}
    return Folding(survivor, waiting & ~rejected, merged, differing)


def _groups(merge: Merge, sheet: Sheet, rejected: pl.Series, dropped: pl.Series) -> pl.DataFrame:
    """`row`, `group`, `rank` (0 survives) of the rows that have a partner."""
    parts = [sheet.column(name).text for name in merge.match]
    frame = pl.DataFrame(
        {
            "row": pl.int_range(sheet.height, eager=True),
            "user": sheet.users,
            "match": ids.key(parts),
            "by": _rank_by(merge, sheet),
            "dropped": dropped,
        }
    )
    some = frame.filter(~pl.col("dropped") & pl.col("match").is_not_null())
    paired = some.filter(pl.struct("user", "match").is_duplicated())
    backwards = merge.keep[0] in ("most_recent", "most_complete")
    ordered = paired.sort("by", descending=backwards, nulls_last=True, maintain_order=True)
    return ordered.with_columns(
        pl.struct("user", "match").rank("dense").alias("group"),
        pl.int_range(pl.len()).over("user", "match").alias("rank"),
    )


def _rank_by(merge: Merge, sheet: Sheet) -> pl.Series:
    how, column = merge.keep
    if how in ("most_recent", "oldest"):
        return sheet.column(column).values
    if how == "most_complete":
        return sheet.frame.select(pl.sum_horizontal(pl.all().is_not_null())).to_series()
    raise WrongInput(f"mapping {sheet.name}: merge_duplicates cannot keep by {how}; use oldest or most_recent")


def _groups_of(groups: pl.DataFrame, rejected: pl.Series, ranked: pl.DataFrame) -> pl.Series:
    broken = groups.filter(rejected.gather(groups["row"]))["group"]
    return ranked.filter(pl.col("group").is_in(broken.implode()))["row"]


def _differing(merge: Merge, sheet: Sheet, flat: pl.DataFrame) -> dict[str, pl.Series]:
    found = {}
    for name in merge.review_if_different:
        told = flat.with_columns(sheet.column(name).text.gather(flat["row"]).alias("value"))
        rows = told.filter(pl.col("value").n_unique().over("survivor") > 1)["row"]
        found[name] = _scattered(rows, sheet.height)
    return found


def _scattered(rows: pl.Series, height: int) -> pl.Series:
    mask = pl.Series([False], dtype=pl.Boolean).new_from_index(0, height)
    return mask.scatter(rows, True) if len(rows) else mask


def _merged(values: Values, how: str, together: pl.DataFrame, name: str) -> Values:
    if not together.height:
        return values
    rows = pl.DataFrame({"survivor": together["survivor"], "value": values.values.gather(together["row"])})
    if how == "sum":
        return _summed(values, rows)
    one = _one(how, values, name)
    made = rows.group_by("survivor", maintain_order=True).agg(one.alias("value"))
    return replace(values, values=_set(values.values, made["survivor"], made["value"]))


def _one(how: str, values: Values, name: str) -> pl.Expr:
    value = pl.col("value")
    some = value.drop_nulls()
    if how in ("min", "max"):
        return value.min() if how == "min" else value.max()
    if how in ("any", "all") and values.kind is Kind.BOOLEAN:
        said = some.any() if how == "any" else some.all()
        return pl.when(value.count() > 0).then(said)
    if how in ("first_not_null", "most_recent"):  # rows stand in the order of survival
        return some.first()
    if how == "longest":
        return some.sort_by(some.cast(pl.String).str.len_chars(), descending=True, maintain_order=True).first()
    if how in ("union", "append") and values.kind is Kind.JSON:
        return some.map_batches(lambda texts: _joined(texts, distinct=how == "union"), pl.String, returns_scalar=True)
    raise WrongInput(f"merge_duplicates: field {name} cannot be merged by {how}")


def _joined(texts: pl.Series, *, distinct: bool) -> pl.Series:
    items = [item for text in texts.to_list() for item in _items(text)]
    if distinct:
        items = [item for place, item in enumerate(items) if item not in items[:place]]
    return pl.Series([jsons.write(items)])


def _items(text: str) -> list[object]:
    value = jsons.read(text)
    return value if isinstance(value, list) else [value]


def _summed(values: Values, rows: pl.DataFrame) -> Values:
    row_of = rows["survivor"].cast(pl.Int64)
    total = aggregates.sums(row_of, replace(values, values=rows["value"]).only(), len(values))
    places = row_of.unique()
    failed = None if total.failed is None else total.failed
    base = values if values.kind is total.kind else columns.as_kind(values, Kind.DECIMAL)
    made = replace(base, values=_set(base.values, places, total.values.gather(places)))
    return made if failed is None else replace(made, failed=failed, note=total.note)


def _set(series: pl.Series, rows: pl.Series, new: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"row": rows.cast(pl.Int64), "new": new, "is_new": [True] * len(rows)})
    base = pl.DataFrame({"row": pl.int_range(len(series), eager=True), "old": series})
    told = base.join(frame, on="row", how="left", maintain_order="left")
    chosen = pl.when(pl.col("is_new").fill_null(False)).then(pl.col("new")).otherwise(pl.col("old"))
    return told.select(chosen.cast(series.dtype)).to_series()
