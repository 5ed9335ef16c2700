"""
The target transaction of users who go back although the new system has changed their rows: what is there now goes, and what
was there before they came is there again.

What the new system has done was looked at before, and was carried back, or given up and kept. It is looked at again under
the locks of this transaction: who was written to meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim, Writer
from migrator.errors import Mismatch
from migrator.flows.moving import tombstones
from migrator.flows.moving.kept import KeptBatch, in_foreign_key_order
from migrator.flows.parts import Parts
from migrator.flows.undoing import since
from migrator.flows.undoing.judging import together
from migrator.flows.undoing.restoring import restore_values
from migrator.flows.undoing.since import Others, Since
from migrator.mapping import compare, conflicts, pairs
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table
from migrator.store import batches

MEANWHILE = "rows were changed in the target while the user went back; the same command again takes them along"


def go_back(
    parts: Parts,
    set_: MappingSet,
    kept: KeptBatch,
    batch_id: int,
    seen: Since,
    keys: Sequence[str],
    others: Others,
    last_look: Callable[[], None],
) -> tuple[list[str], dict[str, str]]:
    """
    Put back who still is as he was seen; who went, and why the others did not.

    Args:
        last_look: called when all is done but the commit; what it raises undoes it.
    """
    with parts.control.write() as db:
        fence = batches.refence(db, batch_id)
    claim = Claim(batch_id, fence, "rollback", kept.set_hash)
    tables = parts.target_schema.tables
    crash_point("carry-fence-counted")
    with parts.target.writing() as writer:
        writer.fence(claim)
        crash_point("carry-fenced")
        ledger = {row["user_key"]: row for row in writer.ledger(keys).iter_rows(named=True)}
        already = [key for key in keys if key in ledger and ledger[key]["op"] == "rollback"]
        going = [key for key in keys if key not in already]
        now = since.look(writer.lock, set_, tables, kept, going, others)
        differing = since.changed(seen.only(going), now)
        refused = {key: MEANWHILE for key in going if key in differing} | dict(now.lost)
        able, refused = together(kept, [key for key in going if key not in refused], refused)
        taken = writer.take(claim, _next(able, ledger))
        able = [key for key in able if key in taken]
        crash_point("carry-users-taken")
        tombstones.refuse(parts, writer, able)
        _put_back(writer, set_, kept, now.only(able), able)
        crash_point("carry-put-back")
        last_look()
        crash_point("carry-before-commit")
    crash_point("carry-committed")
    return already + able, refused


def _next(keys: Sequence[str], ledger: dict[str, dict[str, object]]) -> pl.DataFrame:
    generations = [int(str(ledger[key]["generation"])) + 1 for key in keys]
    return pl.DataFrame(
        {"user_key": list(keys), "generation": generations}, schema={"user_key": pl.String, "generation": pl.Int64}
    )


def _put_back(writer: Writer, set_: MappingSet, kept: KeptBatch, now: Since, keys: Sequence[str]) -> None:
    """Children first: rows that were not there go; then, parents first, what was there is as it was."""
    if not keys:
        return
    order = in_foreign_key_order(list(now.whole), now.tables)
    for name in reversed(order):
        _remove_new(writer, now.tables[name], now.whole[name], kept)
    crash_point("carry-rows-removed")
    shared = conflicts.shared_tables(set_)
    for name in order:
        if name not in kept.before:
            continue
        table = now.tables[name]
        for mapping, rows in now.written.items():
            if set_.mappings[mapping].target.table != name:
                continue
            _restore(writer, kept, mapping, rows, now.whole[name], table)
            if name in shared:
                writer.disown(name, pairs.key_text(rows, table).to_list())


def _remove_new(writer: Writer, table: Table, whole: pl.DataFrame, kept: KeptBatch) -> None:
    keys = pairs.key_text(whole, table)
    before = kept.before.get(table.name)
    if before is not None and before.height:
        whole = whole.filter(~keys.is_in(pairs.key_text(before, table).implode()))
    whole = whole.unique(list(table.key))
    if whole.height and writer.remove(table.name, whole.select(table.key)) != whole.height:
        raise Mismatch(f"rows of {table.name} that were to be removed are not there")


def _restore(
    writer: Writer, kept: KeptBatch, mapping: str, written: pl.DataFrame, whole: pl.DataFrame, table: Table
) -> None:
    """Rows that were there before get their values again, and come again where the new system has removed them."""
    there = pairs.key_text(written, table).is_in(pairs.key_text(whole, table).implode())
    restore_values(writer, kept, mapping, written.filter(there), table)
    before = kept.before[table.name]
    gone = pairs.key_text(before, table).is_in(pairs.key_text(written.filter(~there), table).implode())
    images = before.filter(gone)
    settable = [name for name in images.columns if not table.columns[name].generated]
    writer.add(table.name, images.select(settable))
    back = compare.canonical(writer.rows(table.name, images.select(table.key)), table).select(settable)
    was = compare.canonical(images.select(settable), table)
    if images.height and not back.sort(table.key).equals(was.sort(table.key)):
        raise Mismatch(f"rows of {table.name} do not read back as they were before the move")
