"""Numbers for rows whose id is a sequence: taken in bulk, kept in the target, found again after a crash or a rollback."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim, Writer
from migrator.flows.parts import Parts
from migrator.mapping.identities import id_column
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Table


def take(parts: Parts, set_: MappingSet, claim: Claim, sources: Mapping[str, SourceRows]) -> dict[str, pl.DataFrame]:
    """
    Give every row that was read, of the mappings that want it, a number of its own, durably.

    One short transaction of its own, before the snapshot is made: the snapshot names the numbers, and whatever is cut
    off later finds the same ones here. It goes through the batch's fence, so that a worker who was given up changes no
    number any more. Rows that come to nothing now (held, rejected) keep theirs for when they come again.

    Returns:
        Per mapping `__user`, `__key` and `id`: what `Context.numbers` takes.
    """
    wanted = {
        name: rows.frame.select("__user", "__key").drop_nulls().unique(["__key"], keep="first", maintain_order=True)
        for name, rows in sources.items()
        if set_.mappings[name].target.id.how == "sequence"
    }
    if not any(rows.height for rows in wanted.values()):
        return {name: rows.with_columns(pl.lit(0, pl.Int64).alias("id")) for name, rows in wanted.items()}
    with parts.target.writing() as writer:
        writer.fence(claim)
        found = {name: _taken(parts, set_, writer, set_.mappings[name], rows) for name, rows in wanted.items()}
        crash_point("numbers-noted")
    crash_point("numbers-taken")
    return found


def _taken(parts: Parts, set_: MappingSet, writer: Writer, document: Document, rows: pl.DataFrame) -> pl.DataFrame:
    table = parts.target_schema.tables[document.target.table]
    column = str(id_column(document, table))
    beside = [one.name for one in set_.mappings.values() if one.target.table == table.name]
    keys = rows["__key"].to_list()
    lost = _lost(writer, document, table, column, rows)
    if lost:
        writer.drop_numbers(document.name, lost)
    writer.take_numbers(table.name, column, document.name, keys, beside)
    known = writer.numbers(document.name, keys).rename({"key": "__key"})
    return rows.join(known, on="__key", how="left", maintain_order="left")


def _lost(writer: Writer, document: Document, table: Table, column: str, rows: pl.DataFrame) -> list[str]:
    """
    Rows whose number somebody else has used by now: nobody of this batch is in the target, so what stands there is his.

    Users who are there after all have been moved by somebody newer; their numbers are not ours to change.
    """
    known = writer.numbers(document.name, rows["__key"].to_list()).rename({"key": "__key"})
    if not known.height:
        return []
    there = writer.rows(table.name, known.select(pl.col("id").alias(column)))[column]
    taken = rows.join(known.filter(pl.col("id").is_in(there.cast(pl.Int64).implode())), on="__key", how="inner")
    if not taken.height:
        return []
    ledger = writer.ledger(taken["__user"].unique().to_list())
    moved = ledger.filter(pl.col("op") == "move")["user_key"]
    return taken.filter(~pl.col("__user").is_in(moved.implode()))["__key"].to_list()
