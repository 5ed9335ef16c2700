"""Rows of (name, value) become columns: attributes beside a row, or a source that is nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from migrator.mapping import faults, joins
from migrator.mapping import values as columns
from migrator.mapping.model import Join, Names, Pivot, Predicate
from migrator.mapping.query import Among

if TYPE_CHECKING:
    from migrator.mapping.joins import Reading

_TWICE = "the name has several values"


def attach(
    frame: pl.DataFrame, join: Join, wanted: Sequence[str], reading: Reading, among: Among | None
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Put each of the *wanted* names beside the rows as `join.name`; only these names are read."""
    assert join.pivot is not None  # the only caller has looked
    known = names(join.pivot.names, reading, wanted)
    parts = [_rows(table, join, known, reading, among) for table in join.tables]
    found: list[pl.DataFrame] = []
    for name in wanted:
        frame, wrong = _one(frame, join, name, parts)
        found += wrong
    return frame, found


def names(where: Names, reading: Reading, wanted: Sequence[str] | None) -> pl.DataFrame | None:
    """
    Read the table of names: `id` as it stands beside the values, and `name`; None where the names stand there themselves.

    Args:
        wanted: Only these names; None for all of them.
    """
    if where.table is None:
        return None
    rows = reading.rows(where.table, [str(where.match), str(where.take)], where.where, None)
    told = rows.select(pl.col(str(where.match)).alias("id"), columns.text(rows[str(where.take)]).alias("name"))
    return told if wanted is None else told.filter(pl.col("name").is_in(list(wanted)))


def _rows(table: str, join: Join, known: pl.DataFrame | None, reading: Reading, among: Among | None) -> pl.DataFrame:
    """`name`, `value`, the columns to match by, and what says which of two wins."""
    assert join.pivot is not None  # the only caller has looked
    pivot = join.pivot
    declared = reading.legacy.tables[table]
    by = [pivot.duplicates[1]] if pivot.duplicates else []
    needed = [*(theirs for theirs, _ in join.match), pivot.names.column, pivot.values, *by, *declared.key]
    rows = reading.joined(table, join, needed, _where(join.where, pivot, known), among)
    return _named(rows, pivot, known, declared.key)


def _where(where: Predicate, pivot: Pivot, known: pl.DataFrame | None) -> Predicate:
    """Ask only for the names that are known, where they are numbers."""
    if known is None or known["id"].dtype != pl.Int64:
        return where
    from migrator.mapping.model import Place
    from migrator.mapping.model import Test as Condition

    test = Condition(pivot.names.column, "in", tuple(known["id"].to_list()), Place("", 0, 0))
    return Predicate((*where.tests, test), where.any)


def _named(rows: pl.DataFrame, pivot: Pivot, known: pl.DataFrame | None, key: Sequence[str]) -> pl.DataFrame:
    column = str(pivot.names.column)
    told = rows.with_columns(rows[str(pivot.values)].alias("__value"))
    if known is None:
        told = told.with_columns(columns.text(rows[column]).alias("__name"))
    else:
        told = _looked_up(told, column, known)
    if not pivot.duplicates:
        return told.filter(pl.col("__value").is_not_null())
    how, by = pivot.duplicates
    order = [str(name) for name in (by, *key)]
    return columns.in_order(told, order, backwards=how in ("most_recent", "last"))


def _looked_up(told: pl.DataFrame, column: str, known: pl.DataFrame) -> pl.DataFrame:
    if told[column].dtype == known["id"].dtype:
        return told.join(
            known.rename({"name": "__name"}), left_on=column, right_on="id", how="inner", maintain_order="left"
        )
    texts = known.select(columns.text(known["id"]).alias("__id"), pl.col("name").alias("__name"))
    keyed = told.with_columns(columns.text(told[column]).alias("__id"))
    return keyed.join(texts, on="__id", how="inner", maintain_order="left").drop("__id")


def _one(
    frame: pl.DataFrame, join: Join, name: str, parts: Sequence[pl.DataFrame]
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    assert join.pivot is not None  # the only caller has looked
    here = [some for part in parts if (some := part.filter(pl.col("__name") == name)).height]
    column = f"{join.name}.{name}"
    if not here:
        return frame.with_columns(pl.lit(None, dtype=pl.String).alias(column)), []
    matching = [str(theirs) for theirs, _ in joins.pairs(join)]
    firsts = [
        part.unique(matching, keep="first", maintain_order=True) if join.pivot.duplicates else part for part in here
    ]
    rows = joins.stacked([part.select(*matching, "__value") for part in firsts])
    left, right = joins.matched(frame, rows, join)
    rows = rows.with_columns(right.alias("__match")).drop_nulls("__match")
    twice = rows.filter(pl.col("__match").is_duplicated())
    hit = columns.is_true(left.is_in(twice["__match"].unique().implode()))
    # no value at all rather than one of them: a field that is not required must not take a guess
    sure = rows.filter(~pl.col("__match").is_duplicated()).select("__match", pl.col("__value").alias(column))
    keyed = frame.with_columns(left.alias("__match"))
    made = keyed.join(sure, on="__match", how="left", maintain_order="left", validate="m:1").drop("__match")
    return made, _several(frame.filter(hit), column, left.filter(hit), twice)


def _several(hit: pl.DataFrame, field: str, left: pl.Series, twice: pl.DataFrame) -> list[pl.DataFrame]:
    if not hit.height:
        return []
    texts = twice.with_columns(columns.text(twice["__value"]).alias("__text"))
    shown = texts.group_by("__match").agg(pl.col("__text").str.join(" | "))
    values = pl.DataFrame({"__match": left}).join(shown, on="__match", how="left", maintain_order="left")["__text"]
    return faults.of(hit, field, "pivot", values, _TWICE)


def fold(
    frame: pl.DataFrame, pivot: Pivot, wanted: Sequence[str], reading: Reading, key: Sequence[str], *, rest: bool
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """
    Make one row of all source rows with one user and one `by`: its names become columns.

    Args:
        wanted: The names that rules read. rest: also collect all others, as JSON, in `__rest`.

    Returns:
        `__new` numbers the new rows; `__row` of the old ones is gone.
    """
    known = names(pivot.names, reading, None)
    told = _named(frame, pivot, known, [name for name in key if name in frame.columns])
    groups = _groups(frame, str(pivot.by), key)
    told = told.join(
        groups.select("__user", "__by", "__new"),
        left_on=["__user", str(pivot.by)],
        right_on=["__user", "__by"],
        how="inner",
        maintain_order="left",
        nulls_equal=True,
    )
    made, found = groups.drop("__by"), list[pl.DataFrame]()
    for name in wanted:
        some = told.filter(pl.col("__name") == name)
        made, wrong = _folded(made, name, some, sure=bool(pivot.duplicates))
        found += wrong
    if rest:
        made = _with_rest(made, told.filter(~pl.col("__name").is_in(list(wanted))))
    return made, found


def _groups(frame: pl.DataFrame, by: str, key: Sequence[str]) -> pl.DataFrame:
    firsts = [pl.col(name).first() for name in dict.fromkeys([by, *key]) if name in frame.columns and name != by]
    grouped = frame.group_by("__user", by, maintain_order=True).agg(*firsts)
    return (
        grouped.with_columns(pl.col(by).alias("__by"))
        .with_row_index("__new")
        .with_columns(pl.col("__new").cast(pl.Int64))
    )


def _folded(
    made: pl.DataFrame, name: str, some: pl.DataFrame, *, sure: bool
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    if sure:
        some = some.unique("__new", keep="first", maintain_order=True)
    if some["__new"].n_unique() == some.height:  # as it should be
        nowhere = pl.Series([None], dtype=pl.Int64).new_from_index(0, made.height)
        places = nowhere.scatter(some["__new"], pl.int_range(some.height, dtype=pl.Int64, eager=True))
        return made.with_columns(some["__value"].gather(places).alias(name)), []
    twice = some.filter(pl.col("__new").is_duplicated())
    single = some.filter(~pl.col("__new").is_duplicated()).select("__new", pl.col("__value").alias(name))
    told = made.join(single, on="__new", how="left", maintain_order="left")
    shown = twice.with_columns(columns.text(twice["__value"]).alias("__text"))
    lists = shown.group_by("__new", maintain_order=True).agg(pl.col("__text").str.join(" | "))
    rows = lists.select(pl.col("__new").alias("__row"), "__text")
    return told, faults.of(rows, name, "pivot", rows["__text"], _TWICE)


def _with_rest(made: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    single = others.unique(["__new", "__name"], keep="first", maintain_order=True).sort("__new", "__name")
    entries = (
        columns.quoted(single["__name"]) + ":" + columns.json_text(columns.of(single["__value"])).fill_null("null")
    )
    rows = pl.DataFrame({"__new": single["__new"], "entry": entries})
    joined = rows.group_by("__new").agg(pl.col("entry").str.join(","))
    objects = joined.select("__new", ("{" + pl.col("entry") + "}").alias("__rest"))
    return made.join(objects, on="__new", how="left", maintain_order="left").with_columns(
        pl.col("__rest").fill_null("{}")
    )
