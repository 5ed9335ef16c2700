"""The one target transaction of a batch: fence, ledger, data, read back, compare. All of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim, Writer
from migrator.errors import DatabaseRefused, Transient
from migrator.flows.moving import standing, tombstones
from migrator.flows.moving.heartbeat import Pulse
from migrator.flows.moving.kept import TableRows
from migrator.flows.parts import Parts
from migrator.mapping import compare, conflicts, pairs, values
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Mapped
from migrator.mapping.schema import Table

ROW = "migrator row"  # no column of anybody's is called that


class ReadBackDiffers(Exception):
    """What was read back is not what was meant; the transaction was rolled back. `users` are those concerned."""

    def __init__(self, findings: pl.DataFrame) -> None:
        super().__init__(findings)
        self.findings = findings  # user, mapping, key, field, meant, found


@dataclass(frozen=True, slots=True)
class Look:
    """The target before we touch it."""

    meetings: dict[conflicts.Meeting, pl.DataFrame]
    empty: dict[str, pl.DataFrame]  # per table no rows, in its types
    generations: dict[str, int]
    owners: dict[str, pl.DataFrame]  # per table whose rows may be written over: `key`, `user_key` of ours among them


def look(parts: Parts, set_: MappingSet, mapped: Mapped, user_keys: Sequence[str]) -> Look:
    """Find the rows that are where ours want to be, and the generation of every user."""
    found = {}
    tables = {one.target.table for one in set_.mappings.values()}
    with parts.target.reading() as reader:
        for meeting in conflicts.meetings(set_, parts.target_schema):
            rows = mapped.rows[meeting.mapping]
            if rows.height and all(name in rows.columns for name in meeting.columns):
                found[meeting] = reader.rows(meeting.table, rows.select(meeting.columns))
        nothing = {table: reader.rows(table, _no_keys(parts.target_schema.tables[table])) for table in tables}
        ledger = reader.ledger(user_keys)
        owners = {
            name: reader.owners(name, _met(found, parts.target_schema.tables[name]))
            for name in conflicts.shared_tables(set_)
        }
    known = dict(ledger.select("user_key", "generation").iter_rows())
    return Look(found, nothing, {key: int(known.get(key) or 0) for key in user_keys}, owners)


def _met(found: Mapping[conflicts.Meeting, pl.DataFrame], table: Table) -> list[str]:
    """The keys of all rows of a table that were met."""
    keys = [pairs.key_text(rows, table) for at, rows in found.items() if at.table == table.name and rows.height]
    return pl.concat(keys).unique().to_list() if keys else []


def before_images(
    set_: MappingSet, tables: Mapping[str, Table], rows: Mapping[str, pl.DataFrame], seen: Look
) -> dict[str, pl.DataFrame]:
    """Per table the rows that stand under the keys of our *rows*, all columns, as `look` saw them."""
    whose = TableRows(set_, tables, rows)
    images = {}
    for table in whose.order:
        key = tables[table].key
        there = [rows for at, rows in seen.meetings.items() if at.table == table and at.columns == key]
        some = [rows for rows in there if rows.height]
        if not some:
            images[table] = seen.empty[table]
            continue
        found = pl.concat(some).unique(key, maintain_order=True)
        ours = compare.canonical(_table_keys(whose, table), tables[table])
        at = compare.canonical(found.select(key), tables[table]).with_row_index(ROW).join(ours, on=key, how="semi")
        images[table] = found.with_row_index(ROW).join(at.select(ROW), on=ROW, how="semi").drop(ROW)
    return images


def write(
    parts: Parts,
    set_: MappingSet,
    claim: Claim,
    rows: dict[str, pl.DataFrame],
    users: pl.DataFrame,
    before: Mapping[str, pl.DataFrame],
    left: Mapping[str, pl.DataFrame],
    pulse: Pulse,
    last_look: Callable[[], None],
    first: Callable[[Writer], Mapping[str, pl.DataFrame]] | None = None,
) -> set[str]:
    """
    Write the rows of all users that can be taken, compare every value, commit.

    Args:
        users: user_key, generation of everybody who is to be written.
        before: the before-images as the snapshot has them.
        left: per mapping the values that stay as they are there (`Mapped.left`).
        last_look: called when all is written and compared; what it raises undoes it.
        first: called once the users are taken: makes room for their rows, and gives the rows under their keys as they
            are then.

    Returns:
        The users written: all of them. Where a newer generation has touched one since we looked, nobody is written
        (Transient): everyone of a batch must come out of it with a status.

    Raises:
        Fenced, Transient, DatabaseRefused, InDoubt, ReadBackDiffers: nothing was written (InDoubt: ask the ledger).
    """
    tables = parts.target_schema.tables
    whose = TableRows(set_, tables, rows)
    with _met_since(parts, whose, before), parts.target.writing() as writer:
        crash_point("write-begun")
        writer.fence(claim)
        crash_point("write-fenced")
        taken = writer.take(claim, users)
        crash_point("write-users-taken")
        tombstones.refuse(parts, writer, users["user_key"].to_list())
        if len(taken) < users.height:
            raise Transient(f"{users.height - len(taken)} users were touched by somebody else; the batch is read again")
        before = first(writer) if first else before
        _unchanged(writer, whose, tables, before)
        crash_point("write-looked-again")
        _own(writer, whose, conflicts.shared_tables(set_))
        crash_point("write-owned")
        pulse.progress()
        for table in whose.order:
            for name in whose.mappings_of(table):
                for part in standing.parts(rows[name], left.get(name), before[table], tables[table]):
                    if _is_fresh(whose, table, before):
                        writer.add(table, part)
                    else:
                        writer.write(table, part, tables[table].key)
            crash_point("write-table-written")
            pulse.progress()
        _compare(writer, whose, before, left)
        crash_point("write-compared")
        last_look()
        pulse.progress()
        crash_point("write-before-commit")
    crash_point("write-committed")
    return taken


def _no_keys(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(table.key, pl.String))


def _table_keys(whose: TableRows, table: str) -> pl.DataFrame:
    key = list(whose.tables[table].key)
    return pl.concat([whose.rows[name].select(key) for name in whose.mappings_of(table)]).unique()


def _is_fresh(whose: TableRows, table: str, before: Mapping[str, pl.DataFrame]) -> bool:
    """Whether nothing stood where our rows go, so that they can be inserted, which is cheaper than to merge them."""
    return not before[table].height and len(whose.mappings_of(table)) == 1


@contextmanager
def _met_since(parts: Parts, whose: TableRows, before: Mapping[str, pl.DataFrame]) -> Iterator[None]:
    """Rows that somebody else put where ours were to be inserted are no fault of a user: the batch is read again."""
    try:
        yield
    except DatabaseRefused as refused:
        if refused.table in whose.order and _is_fresh(whose, refused.table, before):
            with parts.target.reading() as reader:
                if reader.rows(refused.table, _table_keys(whose, refused.table)).height:
                    raise Transient(f"rows came into {refused.table} under our keys; the batch is read again") from None
        raise


def _unchanged(
    writer: Writer, whose: TableRows, tables: Mapping[str, Table], before: Mapping[str, pl.DataFrame]
) -> None:
    """
    The before-images are looked at again under our locks: what the snapshot keeps must be what we write over.

    Where nothing stood, what came since is in the way of the insert.
    """
    for table in whose.order:
        if _is_fresh(whose, table, before):
            continue
        keys = _table_keys(whose, table)
        now = compare.canonical(writer.lock(table, keys), tables[table])
        kept = compare.canonical(before[table], tables[table])
        kept = kept.join(compare.canonical(keys, tables[table]), on=list(tables[table].key), how="semi")
        if not _same(now, kept, tables[table].key):
            raise Transient(f"rows of {table} changed between the snapshot and the write; the batch is read again")


def _own(writer: Writer, whose: TableRows, shared: frozenset[str]) -> None:
    """Rows that others may meet are ours from now on; two users who found the same row at once do not both write it."""
    for table in whose.order:
        if table not in shared:
            continue
        for name in whose.mappings_of(table):
            rows = whose.rows[name]
            mine = pl.DataFrame({"key": pairs.key_text(rows, whose.tables[table]), "user_key": rows["__user"]})
            writer.own(table, mine)
            known = writer.owners(table, mine["key"].to_list())
            if known.join(mine, on=["key", "user_key"], how="anti").height:
                raise Transient(f"rows of {table} were written by other users meanwhile; the batch is read again")


def _same(one: pl.DataFrame, other: pl.DataFrame, key: Sequence[str]) -> bool:
    if one.height != other.height:
        return False
    return one.height == 0 or one.sort(key).equals(other.select(one.columns).sort(key), null_equal=True)


def _compare(
    writer: Writer, whose: TableRows, before: Mapping[str, pl.DataFrame], left: Mapping[str, pl.DataFrame]
) -> None:
    findings, tables = [], whose.tables
    for table in whose.order:
        if _is_fresh(whose, table, before) and writer.stands(table):
            continue
        for name in whose.mappings_of(table):
            meant = whose.rows[name]
            if not meant.height:
                continue
            key = list(tables[table].key)
            found = compare.differences(meant, writer.rows(table, meant[key]), tables[table], key)
            if found.height:
                told = standing.compared(owned(found, meant, tables[table], name), left.get(name))
                findings += [told] if told.height else []
    if findings:
        raise ReadBackDiffers(pl.concat(findings))


def owned(found: pl.DataFrame, meant: pl.DataFrame, table: Table, mapping: str) -> pl.DataFrame:
    """Differences with the user and the source key they belong to: user, mapping, key, field, kind, meant, found."""
    key = list(table.key)
    canonical = compare.canonical(meant.select(key), table)
    owners = meant.select("__user", "__key").with_columns(values.text(canonical[name]).alias(name) for name in key)
    joined = found.join(owners, on=key, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(
        pl.col("__user").alias("user"),
        pl.lit(mapping).alias("mapping"),
        pl.col("__key").alias("key"),
        pl.col("column").alias("field"),
        "kind",
        "meant",
        "found",
    )
