"""Rows in the target that belong to a moved user and were not written by us: the anti-join the other way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.flows.kept import KeptBatch
from migrator.mapping import compare
from migrator.mapping.model import Lookup, MappingSet
from migrator.mapping.model import Mapping as Document
from migrator.mapping.query import Among, Query
from migrator.mapping.schema import Table


def find(
    reader: Reader,
    set_: MappingSet,
    tables: Mapping[str, Table],
    meant: Mapping[str, pl.DataFrame],
    kept: KeptBatch,
) -> Iterator[pl.DataFrame]:
    """
    Per table the rows that name a user of ours as owner and are neither meant nor were there before.

    The owner column is the one that holds the id of the user's own row. A table without one (lines of orders that
    know only their order) is compared row by row all the same, but a row too many cannot be told to be a user's.
    """
    root = root_mapping(set_)
    if root is None or root.name not in meant:
        return
    ids = meant[root.name]
    root_key = tables[root.target.table].key
    if len(root_key) != 1 or not ids.height:
        return
    owners = ids.select(
        pl.col("__user"), compare.canonical(ids.select(root_key), tables[root.target.table]).to_series()
    )
    for table_name in dict.fromkeys(document.target.table for document in set_.mappings.values()):
        documents = [one for one in set_.mappings.values() if one.target.table == table_name]
        column = owner_column(documents[0], root)
        if column is not None and documents[0].name != root.name:
            yield _extra(reader, tables[table_name], documents, column, owners, meant, kept)


def root_mapping(set_: MappingSet) -> Document | None:
    """The mapping that makes the user's own row: on the users' table, by the users' key."""
    for document in set_.mappings.values():
        source = document.source
        if (
            source.table == set_.set.users.table
            and source.key == (set_.set.users.key,)
            and document.target.id.how
            in (
                "uuid5",
                "keep",
            )
        ):
            return document
    return None


def owner_column(document: Document, root: Document) -> str | None:
    """The target column that holds the id of the user's own row."""
    if document.target.id.how == "lookup" and document.target.id.mapping == root.name:
        return document.target.id.as_
    for name, rule in document.fields.items():
        if isinstance(rule.source, Lookup) and rule.source.mapping == root.name and not rule.steps:
            return name
    return None


def _extra(
    reader: Reader,
    table: Table,
    documents: list[Document],
    column: str,
    owners: pl.DataFrame,
    meant: Mapping[str, pl.DataFrame],
    kept: KeptBatch,
) -> pl.DataFrame:
    key = list(table.key)
    ids = owners[owners.columns[1]]
    columns = tuple(dict.fromkeys([*key, column]))
    there = compare.canonical(
        reader.select(Query(table.name, columns, among=Among(column, ids.cast(pl.String)))), table
    )
    ours = [compare.canonical(meant[one.name].select(key), table) for one in documents if one.name in meant]
    if table.name in kept.before:
        ours.append(compare.canonical(kept.before[table.name].select(key), table))
    strangers = there.join(pl.concat(ours), on=key, how="anti")
    owned = strangers.join(owners.rename({owners.columns[1]: column}), on=column, how="inner")
    return owned.select(
        pl.col("__user").alias("user"),
        pl.lit(documents[0].name).alias("mapping"),
        pl.concat_str([pl.col(name).cast(pl.String) for name in key], separator=",").alias("key"),
        pl.lit(None, pl.String).alias("field"),
        pl.lit("extra").alias("kind"),
        pl.lit(None, pl.String).alias("meant"),
        pl.lit(None, pl.String).alias("found"),
    )
