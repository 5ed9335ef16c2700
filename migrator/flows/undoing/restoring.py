"""
Put rows back, in one target transaction with fence and ledger: what was not there goes, what was there is as it was.

Compared under the row locks of the transaction that restores; cut off anywhere, it is done again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim, Writer
from migrator.errors import DatabaseRefused, Mismatch, Refused
from migrator.flows.moving import standing, tombstones
from migrator.flows.moving.kept import KeptBatch, TableRows
from migrator.flows.parts import Parts
from migrator.flows.undoing.judging import as_written, hanging_on, judge, keys_of, mine_of, owned_rows, split
from migrator.mapping import compare, conflicts, pairs
from migrator.mapping.groups import closed
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table
from migrator.rollout import plan as drafts
from migrator.store import batches


def restore(
    parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str], *, halving: bool = True
) -> tuple[list[str], dict[str, str]]:
    """Who came with nothing but new rows goes straight; whoever cannot is looked at first."""
    done = _straight(parts, set_, kept, batch_id, keys) if _only_new(set_, kept) else []
    gone = set(done)
    left = [key for key in keys if key not in gone]
    if not left:
        return done, {}
    more, refused = _restore_looking(parts, set_, kept, batch_id, left, halving=halving)
    return done + more, refused


def _only_new(set_: MappingSet, kept: KeptBatch) -> bool:
    return not conflicts.shared_tables(set_) and not any(rows.height for rows in kept.before.values())


class _CloserLook(Exception):
    """Some users may not be able to go back; nothing was done."""

    def __init__(self, users: Collection[str]) -> None:
        super().__init__(users)
        self.users = users


def _straight(parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str]) -> list[str]:
    """Try it with all of them, then without those who need a closer look; who went back."""
    going = list(keys)
    for _ in range(2):
        try:
            if going:
                _take_out(parts, set_, kept, batch_id, going)
        except _CloserLook as found:
            staying = closed(found.users, kept.groups)
            going = [key for key in going if key not in staying]
        except (DatabaseRefused, Mismatch, Refused):  # as of a table whose rules rewrite a DELETE
            return []
        else:
            return going
    return []


def _take_out(parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str]) -> None:
    """
    One target transaction that removes all rows of these users, and is undone unless they are just what we wrote.

    What the database gives back of a row it deletes is what stood there under its lock: N, in the same look.
    """
    with parts.control.write() as db:
        fence = batches.refence(db, batch_id)
    claim = Claim(batch_id, fence, "rollback", kept.set_hash)
    tables = parts.target_schema.tables
    mine = mine_of(kept, keys)
    crash_point("rollback-fence-counted")
    with parts.target.writing() as writer:
        writer.fence(claim)
        crash_point("rollback-fenced")
        ledger = writer.ledger(keys).filter(pl.col("op") == "move")
        _require(keys, ledger["user_key"])
        taken = _rows_taken_out(writer, set_, tables, kept, mine)
        crash_point("rollback-rows-removed")
        _require(keys, set(keys) - compare.changed_rows(as_written(kept, set_, tables, mine), taken))
        _require(keys, writer.take(claim, ledger.select("user_key", pl.col("generation") + 1)))
        crash_point("rollback-users-taken")
        tombstones.refuse(parts, writer, keys)
        for name, rows in mine.items():
            table = tables[set_.mappings[name].target.table]
            if writer.rows(table.name, rows.select(table.key)).height:
                raise Mismatch(f"rows of {table.name} that were removed are there")
        crash_point("rollback-before-commit")
    crash_point("rollback-committed")


def _require(keys: Sequence[str], found: Iterable[str]) -> None:
    missing = set(keys).difference(found)
    if missing:
        raise _CloserLook(missing)


def _rows_taken_out(
    writer: Writer, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """Children first; what still points at a row when its own children are gone is somebody else's."""
    whose = TableRows(set_, tables, mine)
    left = keys_of(whose)
    taken = {}
    for table in reversed(whose.order):
        hanging = hanging_on(writer, whose, table, left)
        if hanging:
            raise _CloserLook(hanging)
        for name in whose.mappings_of(table):
            rows = writer.take_out(table, mine[name].select(tables[table].key))
            if rows.height != mine[name].height:
                raise Mismatch(f"rows of {table} that were to be removed are not there")
            written = [column for column in rows.columns if column in mine[name].columns]
            taken[name] = (owned_rows(rows.select(written), mine[name], tables[table]), tables[table])
        del left[table]
    return taken


def _restore_looking(
    parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str], *, halving: bool
) -> tuple[list[str], dict[str, str]]:
    """One target transaction; halved where the database refuses, down to the user (or those who merged) it is about."""
    with parts.control.write() as db:
        fence = batches.refence(db, batch_id)
    claim = Claim(batch_id, fence, "rollback", kept.set_hash)
    try:
        with parts.target.writing() as writer:
            writer.fence(claim)
            crash_point("restore-fenced")
            done = _restore_in(parts, writer, set_, kept, claim, keys)
            crash_point("restore-before-commit")
        crash_point("restore-committed")
        return done
    except DatabaseRefused as refused:
        if not halving:
            raise
        halves = drafts.halves(keys, kept.groups)
        if len(halves) == 1:
            return [], dict.fromkeys(keys, f"{refused}; something in the target depends on these rows")
        parted = [_restore_looking(parts, set_, kept, batch_id, half, halving=True) for half in halves]
        return [key for back, _ in parted for key in back], {
            key: why for _, whys in parted for key, why in whys.items()
        }


def _restore_in(
    parts: Parts, writer: Writer, set_: MappingSet, kept: KeptBatch, claim: Claim, keys: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    ledger = {row["user_key"]: row for row in writer.ledger(keys).iter_rows(named=True)}
    already = [key for key in keys if key in ledger and ledger[key]["op"] == "rollback"]
    able, refused = judge(
        parts.target_schema.tables, writer, writer.lock, set_, kept, [key for key in keys if key not in already]
    )
    taken = writer.take(
        claim,
        pl.DataFrame(
            {
                "user_key": able,
                "generation": [int(ledger[key]["generation"]) + 1 for key in able],
            },
            schema={"user_key": pl.String, "generation": pl.Int64},
        ),
    )
    able = [key for key in able if key in taken]
    crash_point("restore-users-taken")
    tombstones.refuse(parts, writer, able)
    put_back(parts, writer, set_, kept, able)
    return already + able, refused


def put_back(parts: Parts, writer: Writer, set_: MappingSet, kept: KeptBatch, keys: Sequence[str]) -> None:
    """Children first: rows that were not there go, of rows that were there what we wrote is put back; then look again."""
    if not keys:
        return
    tables = parts.target_schema.tables
    whose = TableRows(set_, tables, mine_of(kept, keys))
    shared = conflicts.shared_tables(set_)
    for table_name in reversed(whose.order):
        for name in whose.mappings_of(table_name):
            fresh, _ = split(kept, tables[table_name], whose.rows[name])
            if fresh.height and writer.remove(table_name, fresh) != fresh.height:
                raise Mismatch(f"rows of {table_name} that were to be removed are not there")
    crash_point("restore-new-rows-removed")
    for table_name in whose.order:
        table = tables[table_name]
        for name in whose.mappings_of(table_name):
            restore_values(writer, kept, name, whose.rows[name], table)
            if table_name in shared:
                writer.disown(table_name, pairs.key_text(whose.rows[name], table).to_list())


def restore_values(writer: Writer, kept: KeptBatch, name: str, mine: pl.DataFrame, table: Table) -> None:
    """What we wrote over gets its before-image; what the new system wrote since beside it stays."""
    there = mine.filter(pairs.key_text(mine, table).is_in(pairs.key_text(kept.before[table.name], table).implode()))
    now = writer.rows(table.name, mine.select(table.key))
    if now.height != there.height:
        raise Mismatch(f"rows of {table.name} that were to be removed are there, or others are not")
    if not there.height:
        return
    ours = [column for column in kept.rows[name].columns[2:] if column not in table.key]
    for columns, part in standing.as_before(there, ours, kept.left.get(name), kept.before[table.name], now, table):
        writer.write(table.name, part, table.key)
        back = compare.canonical(writer.rows(table.name, part.select(table.key)), table).select(columns)
        if not back.sort(table.key).equals(compare.canonical(part, table).select(columns).sort(table.key)):
            raise Mismatch(f"rows of {table.name} do not read back as they were before the move")
