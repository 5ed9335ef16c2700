"""Rows that are one: which survives, and what its fields become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from migrator.mapping import aggregates, fit, groups, ids, jsons, merging
from migrator.mapping import values as columns
from migrator.mapping.model import Merge
from migrator.mapping.schema import Column, Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values


@dataclass(frozen=True, slots=True, eq=False)
class Folding:
    """
    Rows after the merge.

    `survivor` is each row's row number, or that of the row it was folded into; `waiting` are rows whose group has one
    that is rejected: adding up the others would give a wrong sum. `parted` are all rows of such a group. `differing` names rows whose review_if_different
    columns do not agree, per column.
    """

    survivor: pl.Series
    waiting: pl.Series
    parted: pl.Series
    values: dict[str, Values]
    differing: dict[str, pl.Series]

    @property
    def folded(self) -> pl.Series:
        """The rows that are no more, as a mask."""
        return self.survivor != pl.int_range(len(self.survivor), eager=True)


def fold(merge: Merge, sheet: Sheet, values: dict[str, Values], rejected: pl.Series, dropped: pl.Series) -> Folding:
    """
    Fold rows of one user that agree in all `match` columns; nulls never agree. Users who merged are one user.

    Args:
        values: The fields before *fit*.
        rejected: Rows that wait for a person. dropped: rows that are not wanted and take no part.
    """
    frame = pl.DataFrame(
        {
            "row": pl.int_range(sheet.height, eager=True),
            "user": groups.owners(sheet.users, sheet.env.context.groups),
            "match": ids.key([sheet.column(name).text for name in merge.match]),
            "by": rank_by(merge, sheet).values,
        }
    )
    paired = frame.filter(~dropped).filter(pl.col("match").is_not_null(), pl.struct("user", "match").is_duplicated())
    ranked = in_order(paired, merge).select("row", pl.struct("user", "match").rank("dense").alias("group"))
    return _folded(_ranked(ranked), sheet, values, merge.fields, rejected, merge.review_if_different)


def fold_users(
    merge: Merge, sheet: Sheet, values: dict[str, Values], rejected: pl.Series, dropped: pl.Series
) -> Folding:
    """
    Fold the rows of users who merge: who that is was decided when the plan was made, and so was who survives.

    Where the one who should survive has no row any more, the next by `keep` does.
    """
    together = sheet.env.context.groups
    owners = groups.owners(sheet.users, together)
    frame = pl.DataFrame(
        {
            "row": pl.int_range(sheet.height, eager=True),
            "group": owners,
            "first": owners == sheet.users,
            "by": rank_by(merge, sheet).values,
        }
    )
    paired = frame.filter(~dropped).filter(pl.col("group").is_in(_leaders(together)))
    ranked = in_order(paired, merge).sort("first", descending=True, maintain_order=True)
    return _folded(_ranked(ranked.select("row", "group")), sheet, values, merge.fields, rejected)


def fold_children(
    operations: Mapping[str, str],
    sheet: Sheet,
    values: dict[str, Values],
    keys: Sequence[pl.Series],
    rejected: pl.Series,
    dropped: pl.Series,
) -> Folding:
    """
    Fold rows of users who merged where they would be one row of the target (`when_merged`).

    The row of the user who survives stays; where there is none, the first in the order of the rows.

    Args:
        keys: Texts per row; two rows of different users with one text in one of them are one.
        rejected, dropped: as for `fold`.
    """
    together = sheet.env.context.groups
    owners = groups.owners(sheet.users, together)
    frame = pl.DataFrame(
        {"row": pl.int_range(sheet.height, eager=True), "owner": owners, "user": sheet.users}
    ).with_columns(key.alias(f"key {place}") for place, key in enumerate(keys))
    some = frame.filter(~dropped).filter(pl.col("owner").is_in(_leaders(together)))
    clusters = [cluster for place in range(len(keys)) for cluster in _clusters(some, f"key {place}")]
    numbered = [
        {"row": row, "group": number} for number, rows in enumerate(groups.components(clusters)) for row in rows
    ]
    ranked = pl.DataFrame(numbered, schema={"row": pl.Int64, "group": pl.Int64}).join(some, on="row")
    # two rows of one user that meet are no matter of the merge: they go to a person like any others
    ranked = ranked.filter(pl.col("user").is_unique().all().over("group"))
    ranked = ranked.with_columns((pl.col("owner") == pl.col("user")).alias("first"))
    ordered = ranked.sort("first", "row", descending=[True, False], maintain_order=True)
    return _folded(_ranked(ordered.select("row", "group")), sheet, values, operations, rejected)


def rank_by(merge: Merge, sheet: Sheet) -> Values:
    """What `keep` compares."""
    how, column = merge.keep
    if how == "most_complete":
        some = pl.exclude("__user", "__key", "__faults").is_not_null()
        return columns.of(sheet.frame.select(pl.sum_horizontal(some).cast(pl.Int64)).to_series())
    return sheet.column(column)


def in_order(frame: pl.DataFrame, merge: Merge) -> pl.DataFrame:
    """Sort rows by their column `by`, so that who survives comes first; rows without one come last, ties stay."""
    backwards = merge.keep[0] in ("most_recent", "most_complete")
    return columns.in_order(frame, ["by"], backwards=backwards)


def _leaders(together: Mapping[str, str]) -> pl.Series:
    return pl.Series(sorted(set(together.values())), dtype=pl.String).implode()


def _clusters(frame: pl.DataFrame, key: str) -> list[list[int]]:
    met = frame.drop_nulls(key).group_by("owner", key, maintain_order=True).agg("row")
    return met.filter(pl.col("row").list.len() > 1)["row"].to_list()


def _ranked(ordered: pl.DataFrame) -> pl.DataFrame:
    """`survivor` and `row`: all rows that have a partner, group by group, in the order of survival."""
    survivors = ordered.group_by("group", maintain_order=True).agg(pl.first("row").alias("survivor"), pl.col("row"))
    return survivors.explode("row").select("survivor", "row")


def _folded(
    flat: pl.DataFrame,
    sheet: Sheet,
    values: dict[str, Values],
    operations: Mapping[str, str],
    rejected: pl.Series,
    review_if_different: Sequence[str] = (),
) -> Folding:
    differing = _differing(review_if_different, sheet, flat)
    broken = flat.filter(rejected.gather(flat["row"]))["survivor"].unique()
    parted = _scattered(flat.filter(pl.col("survivor").is_in(broken.implode()))["row"], sheet.height)
    apart = parted.gather(flat["row"])
    for mask in differing.values():
        apart = apart | mask.gather(flat["row"])
    together = flat.filter(~apart)
    survivor = pl.int_range(sheet.height, eager=True).scatter(together["row"], together["survivor"])
    merged = values | {name: _merged(values[name], how, together, name) for name, how in operations.items()}
    return Folding(survivor, parted & ~rejected, parted, merged, differing)


def _differing(names: Sequence[str], sheet: Sheet, flat: pl.DataFrame) -> dict[str, pl.Series]:
    found = {}
    for name in names:
        told = flat.with_columns(sheet.column(name).text.gather(flat["row"]).alias("value"))
        rows = told.filter(pl.col("value").n_unique().over("survivor") > 1)["row"]
        found[name] = _scattered(rows, sheet.height)
    return found


def _scattered(rows: pl.Series, height: int) -> pl.Series:
    mask = columns.none(height)
    return mask.scatter(rows, True) if len(rows) else mask


def _merged(values: Values, how: str, together: pl.DataFrame, name: str) -> Values:
    if not together.height:
        return values
    rows = pl.DataFrame({"survivor": together["survivor"], "value": values.values.gather(together["row"])})
    if how in merging.NUMBERS:
        return _summed(values, rows)
    if how in merging.TRUTHS:
        return _judged(values, rows, how)
    if how in merging.LISTS:
        return _listed(values, rows, how)
    made = rows.group_by("survivor", maintain_order=True).agg(_one(how).alias("value"))
    return replace(values, values=_set(values.values, made["survivor"], made["value"]))


def _one(how: str) -> pl.Expr:
    value = pl.col("value")
    some = value.drop_nulls()
    if how in ("min", "max"):
        return value.min() if how == "min" else value.max()
    if how == "longest":
        return some.sort_by(some.cast(pl.String).str.len_chars(), descending=True, maintain_order=True).first()
    return some.first()  # first_not_null and most_recent: rows stand in the order of survival


def _judged(values: Values, rows: pl.DataFrame, how: str) -> Values:
    """Say whether any, or all, of the values are true; null where none is known."""
    said = fit.fit(replace(values.only(), values=rows["value"], bad=None), Column("", Kind.BOOLEAN), "")
    truth = pl.col("truth").drop_nulls()
    told = rows.with_columns(
        said.values.alias("truth"), (pl.col("value").is_not_null() & said.values.is_null()).alias("odd")
    )
    made = told.group_by("survivor", maintain_order=True).agg(
        pl.when(truth.len() > 0).then(truth.any() if how == "any" else truth.all()).alias("truth"), pl.col("odd").any()
    )
    as_text = made["truth"].cast(pl.Int64) if values.kind is Kind.INTEGER else made["truth"].cast(pl.String)
    new = made["truth"] if values.kind is Kind.BOOLEAN else as_text
    new = new.cast(values.values.dtype)
    done = replace(values, values=_set(values.values, made["survivor"], new))
    odd = made.filter("odd")["survivor"]
    return done.fails(_scattered(odd, len(values)), "it is neither true nor false") if len(odd) else done


def _listed(values: Values, rows: pl.DataFrame, how: str) -> Values:
    """Put lists one behind the other; what is no list is a list of one."""
    lists = rows.drop_nulls("value").group_by("survivor", maintain_order=True).agg(pl.col("value").cast(pl.String))
    made = [_joined(texts, distinct=how == "union") for texts in lists["value"].to_list()]
    done = replace(values, values=_set(values.values, lists["survivor"], pl.Series(made, dtype=pl.String)))
    odd = lists["survivor"].filter(pl.Series([text is None for text in made], dtype=pl.Boolean))
    return done.fails(_scattered(odd, len(values)), "it is no JSON") if len(odd) else done


def _joined(texts: Sequence[str], *, distinct: bool) -> str | None:
    try:
        items = [item for text in texts for item in _items(text)]
    except (ValueError, RecursionError):
        return None
    if distinct:
        items = [item for place, item in enumerate(items) if item not in items[:place]]
    return jsons.write(items)


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
