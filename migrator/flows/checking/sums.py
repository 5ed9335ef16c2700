"""Declared sums: per user, a column of the target adds up to a column of legacy. Plain arithmetic, no mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.flows.checking import extras
from migrator.flows.moving.kept import KeptBatch
from migrator.mapping import nobody
from migrator.mapping.groups import closed, owners
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.query import Among, Query
from migrator.mapping.schema import Table

MONEY = pl.Decimal(38, 18)


def find(
    reader: Reader,
    set_: MappingSet,
    tables: Mapping[str, Table],
    meant: Mapping[str, pl.DataFrame],
    kept: KeptBatch,
    users: Sequence[str],
) -> Iterator[tuple[str, int, pl.DataFrame]]:
    """Per declared sum (`mapping.column`): how many users were compared, and the differences. Rows of nobody have none."""
    users, _ = nobody.apart(set_, users)
    root = extras.root_mapping(set_)
    for name, document in set_.mappings.items():
        column = extras.owner_column(document, root) if root else None
        if not users or root is None or column is None or not document.sums or name not in meant:
            continue
        table = tables[document.target.table]
        if _somebody_elses_too(set_, document) or not kept.is_whole(name):
            continue
        new = _of_new_accounts(root, users, meant[root.name], kept, tables[root.target.table])
        there = _in_target(reader, table, column, meant[root.name], tables[root.target.table], document)
        for target_column, legacy_column in document.sums.items():
            found = _compare(document, target_column, legacy_column, there, kept, name, new)
            yield f"{name}.{target_column}", len(new), found


def _of_new_accounts(
    root: Document, users: Sequence[str], rows: pl.DataFrame, kept: KeptBatch, table: Table
) -> list[str]:
    """Where accounts may have been there before, only those of the others: nobody knows what theirs held already."""
    if root.target.on_conflict is None or root.target.on_conflict.action == "review":
        return list(users)
    new = closed(extras.new_rows(rows, kept, table)["__user"].to_list(), kept.groups)
    return [user for user in users if user in new]


def _somebody_elses_too(set_: MappingSet, document: Document) -> bool:
    """Another mapping writes the same table: its sums are not this mapping's."""
    return sum(other.target.table == document.target.table for other in set_.mappings.values()) > 1


def _in_target(
    reader: Reader, table: Table, column: str, ids: pl.DataFrame, root: Table, document: Document
) -> pl.DataFrame:
    wanted = ids[root.key[0]].cast(pl.String)
    query = Query(table.name, (column, *document.sums), among=Among(column, wanted))
    totals = reader.totals(query, column, tuple(document.sums))
    owners = ids.select("__user", pl.col(root.key[0]).cast(pl.String).alias(column))
    return totals.with_columns(pl.col(column).cast(pl.String)).join(owners, on=column, how="inner")


def _compare(
    document: Document,
    target_column: str,
    legacy_column: str,
    there: pl.DataFrame,
    kept: KeptBatch,
    name: str,
    users: Sequence[str],
) -> pl.DataFrame:
    source = kept.sources[name].frame.filter(pl.col("__user").is_in(users))
    read = (
        source.with_columns(owners(source["__user"], kept.groups).alias("__user"))  # who merged has one sum
        .group_by("__user")
        .agg(pl.col(legacy_column).cast(MONEY, strict=False).sum().alias("meant"))
    )
    written = there.select("__user", pl.col(target_column).cast(MONEY, strict=False).alias("found"))
    zero = pl.lit(0).cast(MONEY)
    both = read.join(written, on="__user", how="left").with_columns(pl.col("meant", "found").fill_null(zero))
    wrong = both.filter(pl.col("meant") != pl.col("found"))
    return wrong.select(
        pl.col("__user").alias("user"),
        pl.lit(document.name).alias("mapping"),
        pl.col("__user").alias("key"),
        pl.lit(target_column).alias("field"),
        pl.lit("sum").alias("kind"),
        pl.col("meant").cast(pl.String),
        pl.col("found").cast(pl.String),
    )
