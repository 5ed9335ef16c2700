"""Who may go back: those of whom the target still says what we wrote (N = A), and at whose rows nobody else's point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.flows.moving import standing
from migrator.flows.moving.kept import KeptBatch, TableRows
from migrator.mapping import compare, pairs
from migrator.mapping.groups import closed
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table

Look: TypeAlias = Callable[[str, pl.DataFrame], pl.DataFrame]
NOT_OURS = "the ledger in the target does not say that we wrote this user"


def judge(
    tables: Mapping[str, Table], reader: Reader, look: Look, set_: MappingSet, kept: KeptBatch, keys: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Who may go back (N = A), and why the others may not; *look* reads rows, under a lock where we mean it."""
    ledger = {row["user_key"]: row for row in reader.ledger(keys).iter_rows(named=True)}
    mine = mine_of(kept, keys)
    changed = compare.changed_rows(as_written(kept, set_, tables, mine), now_there(look, set_, tables, kept, mine))
    able, refused = [], {}
    for key in keys:
        written = ledger.get(key)
        if written is None or written["op"] != "move":
            refused[key] = NOT_OURS
        elif key in changed:
            refused[key] = "rows were changed in the target since the move"
        else:
            able.append(key)
    able, refused = together(kept, able, refused)
    return together(kept, able, refused | _depended_on(reader, set_, tables, kept, able))


def together(kept: KeptBatch, able: Sequence[str], refused: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Who merged goes back together or not at all."""
    cause = {kept.groups[key]: key for key in sorted(refused, reverse=True) if key in kept.groups}
    stay = {
        key: f"merged with user {cause[kept.groups[key]]}, who cannot go back; they go together or not at all"
        for key in sorted(closed(refused, kept.groups).intersection(able) - set(refused))
    }
    why = {**refused, **stay}
    return [key for key in able if key not in why], why


def mine_of(kept: KeptBatch, keys: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Per mapping the rows of these users as they were written."""
    return {name: frame.filter(pl.col("__user").is_in(keys)) for name, frame in kept.rows.items()}


def as_written(
    kept: KeptBatch, set_: MappingSet, tables: Mapping[str, Table], mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """What we wrote, without what was left to the target."""
    return {
        name: (standing.blanked(rows, kept.left.get(name)), tables[set_.mappings[name].target.table])
        for name, rows in mine.items()
    }


def now_there(
    look: Look, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """What stands under the same keys now, in the columns we wrote."""
    found = {}
    for name, rows in mine.items():
        table = tables[set_.mappings[name].target.table]
        there = look(table.name, rows.select(table.key))
        written = [column for column in there.columns if column in rows.columns]
        found[name] = (standing.blanked(owned_rows(there.select(written), rows, table), kept.left.get(name)), table)
    return found


def owned_rows(rows: pl.DataFrame, keys: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Rows of the target with the user they belong to."""
    key = list(table.key)
    owners = compare.canonical(keys.select("__user", "__key", *key), table)
    canonical = compare.canonical(rows, table)
    return canonical.join(owners, on=key, how="inner", nulls_equal=True)


def _depended_on(
    reader: Reader, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, keys: Sequence[str]
) -> dict[str, str]:
    """Users whose rows other rows point at by now: rows that are not ours and would be left hanging."""
    whose = TableRows(set_, tables, _new_rows(set_, tables, kept, keys))
    ours = keys_of(whose)
    refused: dict[str, str] = {}
    for table in whose.order:
        why = f"rows written in the target since then point at the user's rows in {table}"
        refused |= dict.fromkeys(sorted(hanging_on(reader, whose, table, ours)), why)
    return refused


def _new_rows(
    set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, keys: Sequence[str]
) -> dict[str, pl.DataFrame]:
    """The users' rows that go; those that were there before stay, and nothing that points at them is left hanging."""
    found = {}
    for name, mine in mine_of(kept, keys).items():
        table = tables[set_.mappings[name].target.table]
        gone = pairs.key_text(split(kept, table, mine)[0], table)
        found[name] = mine.filter(pairs.key_text(mine, table).is_in(gone.implode()))
    return found


def split(kept: KeptBatch, table: Table, keys: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(keys of rows that were not there before, before-images of those that were)."""
    key = list(table.key)
    wanted = compare.canonical(keys.select(key), table)
    before = kept.before[table.name]
    images = before.with_row_index("__at")
    known = compare.canonical(before.select(key), table).with_row_index("__at")
    fresh = wanted.join(known, on=key, how="anti")
    mine = known.join(wanted, on=key, how="semi")
    return fresh, images.join(mine.select("__at"), on="__at", how="semi").drop("__at")


def keys_of(whose: TableRows) -> dict[str, pl.DataFrame]:
    """Per table the primary keys of all rows."""
    return {
        table: pl.concat([whose.rows[name].select(whose.tables[table].key) for name in whose.mappings_of(table)])
        for table in whose.order
    }


def hanging_on(
    reader: Reader,
    whose: TableRows,
    table: str,
    ours: Mapping[str, pl.DataFrame],
    going: pl.DataFrame | None = None,
) -> set[str]:
    """Users at whose rows of a table (or those *going*) rows point that are not *ours*."""
    found = reader.referencing(table, ours[table] if going is None else going, ours)
    if not found.height:
        return set()
    pointed_at = pairs.key_text(found, whose.tables[table]).implode()
    users = set[str]()
    for name in whose.mappings_of(table):
        rows = whose.rows[name]
        users |= set(rows.filter(pairs.key_text(rows, whose.tables[table]).is_in(pointed_at))["__user"])
    return users
