"""
The one transaction in a legacy database that carries changes back: what is to be changed is locked and looked at, written,
read back, and written down beside it, all or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Database, Writer
from migrator.edges.databases.several import SEPARATOR
from migrator.errors import DatabaseRefused, InDoubt, Mismatch, Transient
from migrator.flows.moving.kept import in_foreign_key_order
from migrator.flows.moving.reading import ChangedMeanwhile
from migrator.mapping import compare, ids, pairs, values
from migrator.mapping.backward import Carried, Update
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Kind, Table

Part = TypeVar("Part")
USER = "__user"
TABLE, KEY = "__target_table", "__target_key"
OF = "__of "  # before the name of a column that takes the key of a row that is made with it


@dataclass(frozen=True)
class Load:
    """
    All that goes into one legacy database, by its own names of tables.

    `sources`: per table the columns by which the mapping that reads it tells rows apart. See `backward.Carried`.
    """

    updates: Mapping[str, Sequence[Update]] = field(default_factory=dict)
    inserts: Mapping[str, Sequence[pl.DataFrame]] = field(default_factory=dict)
    deletes: Mapping[str, Sequence[Update]] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, carried: Carried, set_: MappingSet, database: str) -> Load:
        """What of it goes into *database*; the name is empty where there is but one."""
        start = f"{database}{SEPARATOR}" if database else ""
        sources = {str(one.source.table).removeprefix(start): one.source.key for one in set_.mappings.values()}
        return cls(
            _within(carried.updates, start), _within(carried.inserts, start), _within(carried.deletes, start), sources
        )

    @property
    def users(self) -> set[str]:
        """Whose rows they are."""
        changes = [one.rows for each in (self.updates, self.deletes) for some in each.values() for one in some]
        made = [rows for some in self.inserts.values() for rows in some]
        return {user for rows in (*changes, *made) for user in rows[USER]}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows per table: updated, inserted, deleted."""
        told = {
            "updated": {name: _distinct(some) for name, some in self.updates.items()},
            "inserted": {name: sum(rows.height for rows in some) for name, some in self.inserts.items()},
            "deleted": {name: _distinct(some) for name, some in self.deletes.items()},
        }
        tables = sorted({table for rows in told.values() for table, count in rows.items() if count})
        return {table: {what: rows.get(table, 0) for what, rows in told.items()} for table in tables}


def _within(tables: Mapping[str, list[Part]], start: str) -> dict[str, list[Part]]:
    return {name.removeprefix(start): part for name, part in tables.items() if name.startswith(start)}


def _distinct(changes: Sequence[Update]) -> int:
    """A row of which several columns change is one row."""
    return len({(one.key, *row) for one in changes for row in one.rows.select(one.key).iter_rows()})


def carry_back(
    database: Database,
    load: Load,
    carry: int,
    generations: Mapping[str, int],
    last_look: Callable[[], None],
) -> None:
    """
    Write it, and write down whose it was.

    Args:
        carry: under what number. generations: of the users, by the ledger in the target.
        last_look: called once all rows are locked, before anything is written: raises where legacy says something else
            by then than was seen.

    Raises:
        ChangedMeanwhile, DatabaseRefused, Mismatch, Transient: nothing was written.
    """
    tables = database.schema().tables
    try:
        with database.writing() as writer:
            crash_point("carry-legacy-begun")
            _lock(writer, load)
            last_look()
            crash_point("carry-legacy-locked")
            _delete(writer, tables, load.deletes)
            crash_point("carry-legacy-deleted")
            _update(writer, tables, load.updates)
            crash_point("carry-legacy-updated")
            made = _insert(writer, tables, load)
            crash_point("carry-legacy-inserted")
            writer.note_carried(_notes(writer, load.users, carry, generations, made))
            crash_point("carry-legacy-before-commit")
    except InDoubt:
        _require_committed(database, load.users, carry)
    crash_point("carry-legacy-committed")


def _lock(writer: Writer, load: Load) -> None:
    """Nobody else changes the rows from now on; all of them are there."""
    for each in (load.updates, load.deletes):
        for table, changes in each.items():
            for one in changes:
                wanted = one.rows.select(one.key).unique()
                if writer.lock(table, wanted).height != wanted.height:
                    said = f"rows of {table} are gone in legacy, or are several"
                    raise ChangedMeanwhile(said, frozenset(one.rows[USER]))


def _delete(writer: Writer, tables: Mapping[str, Table], deletes: Mapping[str, Sequence[Update]]) -> None:
    """Children first; rows that nobody said are to go must not hang on them."""
    going = {name: _whole(writer, tables[name], changes) for name, changes in deletes.items()}
    for name in reversed(in_foreign_key_order(list(going), tables)):
        pointing = writer.referencing(name, going[name], going)
        if pointing.height:
            named = ", ".join(sorted(set(pointing["table"])))
            raise DatabaseRefused(f"rows of {named} in legacy point at rows that are to go", "", "", name)
        if writer.remove(name, going[name]) != going[name].height:
            raise Mismatch(f"rows of {name} that were to be removed are not there")


def _whole(writer: Writer, table: Table, changes: Sequence[Update]) -> pl.DataFrame:
    """The primary keys of the rows, or what else tells them apart."""
    found = []
    for one in changes:
        keys = one.rows.select(one.key)
        found.append(writer.rows(table.name, keys).select(table.key) if table.key else keys)
    return pl.concat(found, how="vertical_relaxed").unique()


def _update(writer: Writer, tables: Mapping[str, Table], updates: Mapping[str, Sequence[Update]]) -> None:
    for name in in_foreign_key_order(list(updates), tables):
        for one in updates[name]:
            rows = one.rows.drop(USER)
            writer.update(name, rows, one.key)
            _require_written(writer, tables[name], rows, one.key)


def _insert(writer: Writer, tables: Mapping[str, Table], load: Load) -> dict[str, list[list[str]]]:
    """As they stand, parents first; per user which row of the target is which of legacy now."""
    made: dict[str, list[list[str]]] = {}
    keys: dict[str, str] = {}  # by table and key in the target
    for name, some in load.inserts.items():
        for given in some:
            rows = _completed(given, tables[name], keys)
            number = _numbered(rows, tables[name])
            if number is not None:
                numbers = writer.add_numbered(name, rows, number)
                rows = rows.with_columns(pl.Series(number, numbers, dtype=pl.Int64))
            else:
                writer.add(name, rows)
            _require_written(writer, tables[name], rows, tables[name].key)
            here = values.text(rows[tables[name].key[0]])
            told = _told_apart(writer, tables[name], rows, load.sources.get(name, tables[name].key))
            for user, table, key, mine, text in zip(given[USER], given[TABLE], given[KEY], here, told, strict=True):
                keys[f"{table}{ids.SEPARATOR}{key}"] = mine
                made.setdefault(user, []).append([table, key, name, text])
    return made


def _completed(given: pl.DataFrame, table: Table, keys: Mapping[str, str]) -> pl.DataFrame:
    """The rows as legacy takes them, each with the keys that the rows it hangs on were given."""
    rows = given.drop(USER, TABLE, KEY)
    for name in [name for name in rows.columns if name.startswith(OF)]:
        column = name.removeprefix(OF)
        got = pl.Series([keys.get(of) if of is not None else None for of in rows[name]], dtype=pl.String)
        was = values.text(rows[column]) if column in rows.columns else pl.Series([None] * rows.height, dtype=pl.String)
        texts = pl.select(pl.when(rows[name].is_not_null()).then(got).otherwise(was)).to_series()
        kind = table.columns[column].kind
        rows = rows.drop(name).with_columns((texts.cast(pl.Int64) if kind is Kind.INTEGER else texts).alias(column))
    return rows


def _numbered(rows: pl.DataFrame, table: Table) -> str | None:
    """The key column that the database counts."""
    return table.key[0] if len(table.key) == 1 and table.key[0] not in rows.columns else None


def _told_apart(writer: Writer, table: Table, rows: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """By what the mapping that reads the rows will know each of them."""
    found = writer.rows(table.name, rows.select(table.key))
    marks = [pairs.key_text(frame, table).alias("__mark") for frame in (rows, found)]
    texts = ids.key([values.text(found[name]) for name in key]).alias("__key")
    known = pl.DataFrame([marks[1], texts])
    return marks[0].to_frame().join(known, on="__mark", how="left", maintain_order="left")["__key"]


def _require_written(writer: Writer, table: Table, rows: pl.DataFrame, key: Sequence[str]) -> None:
    """Every value reads back as it was meant."""
    names = [str(name) for name in key]
    differing = compare.differences(rows, writer.rows(table.name, rows.select(names)), table, names)
    if differing.height:
        columns = ", ".join(sorted(set(differing["column"].drop_nulls())) or ["rows"])
        raise Mismatch(f"what was carried back to {table.name} does not read back as it was written ({columns})")


def _notes(
    writer: Writer,
    users: set[str],
    carry: int,
    generations: Mapping[str, int],
    made: Mapping[str, list[list[str]]],
) -> pl.DataFrame:
    """What was made for a user in the same generation before is kept."""
    known = {row["user_key"]: row for row in writer.carried(sorted(users)).iter_rows(named=True)}
    lines = []
    for user in sorted(users):
        before = known.get(user)
        kept = json.loads(before["made"]) if before and before["generation"] == generations[user] else []
        lines.append((user, generations[user], carry, json.dumps([*kept, *made.get(user, [])])))
    schema = {"user_key": pl.String, "generation": pl.Int64, "carry": pl.Int64, "made": pl.String}
    return pl.DataFrame(lines, schema=schema, orient="row")


def _require_committed(database: Database, users: set[str], carry: int) -> None:
    """Legacy's own table says whether a commit that was not answered came to be."""
    with database.reading() as reader:
        noted = reader.carried(sorted(users))
    if not users <= set(noted.filter(pl.col("carry") == carry)["user_key"]):
        raise Transient("the connection to legacy broke, and nothing was carried back; try again")
