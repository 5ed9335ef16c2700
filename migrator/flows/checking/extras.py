"""Rows in the target that belong to a moved user and were not written by us: the anti-join the other way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.flows.moving.kept import KeptBatch
from migrator.mapping import compare, nobody, pairs
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
    clean: Collection[str] = (),
) -> Iterator[pl.DataFrame]:
    """
    Per table the rows that name a user of ours as owner and are neither meant nor were there before.

    The owner column is the one that holds the id of the user's own row, or of the row of nobody that owns it. A table without one (lines of orders that
    know only their order) is compared row by row all the same, but a row too many cannot be told to be a user's.

    Args:
        clean: Tables of which that is known already; see `owned`.
    """
    for root in roots(set_):
        yield from _of_root(reader, set_, tables, meant, kept, root, clean)


def owned(
    reader: Reader, set_: MappingSet, tables: Mapping[str, Table], meant: Mapping[str, pl.DataFrame], kept: KeptBatch
) -> Iterator[tuple[str, pl.DataFrame]]:
    """
    Per mapping that alone writes a table all rows there that name a user of ours as owner, asked for once.

    Where they are just those that were meant, none is wrong and none too many; else it takes a closer look at both.
    Only where no owner was there before.
    """
    roots_ = roots(set_)
    root = roots_[0] if len(roots_) == 1 else None
    if root is None or root.name not in meant or kept.before.get(root.target.table, meant[root.name].clear()).height:
        return
    table = tables[root.target.table]
    if len(table.key) != 1 or not meant[root.name].height:
        return
    ids = compare.canonical(meant[root.name].select(table.key), table).to_series().cast(pl.String)
    written = Counter(document.target.table for document in set_.mappings.values())
    for name, document in set_.mappings.items():
        column = owner_column(document, root)
        if column is not None and name in meant and written[document.target.table] == 1 and document is not root:
            columns = tuple(tables[document.target.table].columns)
            yield name, reader.select(Query(document.target.table, columns, among=Among(column, ids)))


def roots(set_: MappingSet) -> list[Document]:
    """The mappings whose rows own others: the user's own row, and rows of nobody that are their own owners."""
    own = root_mapping(set_)
    return [*([own] if own else []), *(one for one in nobody.movers(set_) if one is not own)]


def _of_root(
    reader: Reader,
    set_: MappingSet,
    tables: Mapping[str, Table],
    meant: Mapping[str, pl.DataFrame],
    kept: KeptBatch,
    root: Document,
    clean: Collection[str],
) -> Iterator[pl.DataFrame]:
    ids = meant.get(root.name, pl.DataFrame())
    if root is not root_mapping(set_) and ids.height:
        ids = ids.filter(pl.col("__user").str.starts_with(f"{nobody.MARK}{root.name}:"))
    if ids.height:
        ids = new_rows(ids, kept, tables[root.target.table])
    root_key = tables[root.target.table].key
    if len(root_key) != 1 or not ids.height:
        return
    owners = ids.select(
        pl.col("__user"), compare.canonical(ids.select(root_key), tables[root.target.table]).to_series()
    )
    for table_name in dict.fromkeys(document.target.table for document in set_.mappings.values()):
        if table_name in clean:
            continue
        documents = [one for one in set_.mappings.values() if one.target.table == table_name]
        column = owner_column(documents[0], root)
        if column is not None and documents[0].name != root.name:
            yield _extra(reader, tables[table_name], documents, column, owners, meant, kept)


def new_rows(rows: pl.DataFrame, kept: KeptBatch, table: Table) -> pl.DataFrame:
    """Rows that were not there before: of an owner who was, nobody knows which rows were his already."""
    if table.name not in kept.before:
        return rows
    known = pairs.key_text(kept.before[table.name], table)
    return rows.filter(~pairs.key_text(rows, table).is_in(known.implode()))


def root_mapping(set_: MappingSet) -> Document | None:
    """The mapping that makes the user's own row: on the users' table, by the users' key."""
    for document in set_.mappings.values():
        source = document.source
        if (
            source.table == set_.set.users.table
            and source.key == (set_.set.users.key,)
            and document.target.id.how in ("uuid5", "keep", "sequence")
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
