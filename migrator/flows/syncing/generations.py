"""
Rows of users who are in the target already, and come again: the target seen as if they had never been there, and the
way from the rows of their last generation to those of the next.

The before-images of the first generation are carried from snapshot to snapshot. Whatever was brought over in between,
the newest snapshot alone takes a user back to what was there before he came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Reader, Writer
from migrator.flows.moving import writing
from migrator.flows.moving.kept import KeptBatch, TableRows
from migrator.flows.parts import Parts
from migrator.flows.undoing import judging, restoring
from migrator.mapping import compare, conflicts, ids, pairs
from migrator.mapping import values as columns
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Mapped
from migrator.mapping.schema import Table

ANOTHERS = "a row that legacy gives to this user now is still another user's in the target"


class StaysBehind(Exception):
    """
    Some users cannot be brought over, and nothing was done. `why`: user -> sentence.

    `outcome`: both (the target is not what we wrote, and legacy has changed, too), or vanished.
    """

    def __init__(self, why: Mapping[str, str], outcome: str = "both") -> None:
        super().__init__(why, outcome)
        self.why, self.outcome = why, outcome


@dataclass(frozen=True)
class Past:
    """The last generation of some users: their snapshots, cut down to them, all made by one mapping set."""

    set_: MappingSet
    tables: Mapping[str, Table]
    snapshots: Sequence[KeptBatch]

    def only(self, users: Sequence[str]) -> Past:
        """The same of some of the users."""
        return replace(self, snapshots=[one.only(users) for one in self.snapshots])

    def table(self, name: str) -> Table:
        """The table that a mapping writes."""
        return self.tables[self.set_.mappings[name].target.table]

    def rows(self, name: str) -> list[pl.DataFrame]:
        """The rows of a mapping as they were written."""
        return [one.rows[name] for one in self.snapshots if name in one.rows]

    def keys(self, table: str) -> pl.Series:
        """The primary keys (as texts) of all rows that were written into *table*."""
        names = [name for name, document in self.set_.mappings.items() if document.target.table == table]
        found = [pairs.key_text(rows, self.tables[table]) for name in names for rows in self.rows(name)]
        return pl.concat([pl.Series([], dtype=pl.String), *found])

    def before(self, table: str) -> list[pl.DataFrame]:
        """What stood under these keys before the first generation: of these users' rows alone."""
        mine = self.keys(table).implode()
        images = [one.before[table] for one in self.snapshots if table in one.before]
        return [rows.filter(pairs.key_text(rows, self.tables[table]).is_in(mine)) for rows in images if rows.height]

    def unseen(self, mapped: Mapped, look: writing.Look) -> writing.Look:
        """
        The target as it was before these users came, and as it is now where they never were.

        Their rows are not there, and the rows that they wrote over are there as they were.
        """
        meetings = {
            meeting: self._as_before(meeting, rows, mapped.rows.get(meeting.mapping))
            for meeting, rows in look.meetings.items()
        }
        return replace(look, meetings=meetings)

    def _as_before(self, at: conflicts.Meeting, there: pl.DataFrame, mine: pl.DataFrame | None) -> pl.DataFrame:
        table = self.tables[at.table]
        others = there.filter(~pairs.key_text(there, table).is_in(self.keys(at.table).implode()))
        before = self.before(at.table)
        if not before or mine is None:
            return others
        asked = _text_of(mine, at.columns, table)
        stood = [rows.filter(_text_of(rows, at.columns, table).is_in(asked.implode())) for rows in before]
        return pl.concat([others, *stood], how="vertical_relaxed")


@dataclass(frozen=True)
class Step:
    """
    From one generation to the next: rows to be written, per mapping; rows that go, per snapshot of the past.

    `whole`: everything goes and comes again, where a database does not take the rows one by one: two users change what
    must be unique, a child gets another parent while the first one goes.
    """

    past: Past
    new: KeptBatch
    whole: bool
    write: Mapping[str, pl.DataFrame]
    leaving: Sequence[Mapping[str, pl.DataFrame]]

    @classmethod
    def of(cls, past: Past, new: KeptBatch, *, whole: bool = False) -> Step:
        """Say what is to be done; rows that are what they were are left alone."""
        if whole:
            return cls(past, new, True, new.rows, [one.rows for one in past.snapshots])
        staying = {name: _keys(past, new.rows, past.table(name)) for name in past.set_.mappings}
        leaving = [
            {name: _without(rows, staying[name], past.table(name)) for name, rows in one.rows.items()}
            for one in past.snapshots
        ]
        return cls(past, new, False, {name: _changed(past, new, name) for name in new.rows}, leaving)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are written and removed, over all tables."""
        written = sum(rows.height for rows in self.write.values())
        return {"written": written, "removed": sum(rows.height for one in self.leaving for rows in one.values())}

    def met(self, look: writing.Look) -> dict[str, pl.DataFrame]:
        """What stood in the target under the keys to be written when it was looked at."""
        return writing.before_images(self.past.set_, self.past.tables, self.write, look)

    def make_room(self, parts: Parts, writer: Writer) -> dict[str, pl.DataFrame]:
        """
        Make sure that the target still is what we wrote, under its locks, and take out what goes.

        Returns:
            Per table the rows under the keys to be written as they are then; where we never wrote, as they were kept.

        Raises:
            StaysBehind: it is not.
        """
        changed = self._changed_in_target(writer)
        if changed:
            raise StaysBehind(dict.fromkeys(sorted(changed), "rows were changed in the target since the move"))
        hanging = self._pointed_at(writer)
        if hanging:
            raise StaysBehind(dict.fromkeys(sorted(hanging), "rows written in the target point at rows that go"))
        taken = self._held_by_others(writer)
        if taken:
            raise StaysBehind(dict.fromkeys(sorted(taken), ANOTHERS), "failed")
        crash_point("sync-compared")
        for one, rows in zip(self.past.snapshots, self.leaving, strict=True):
            keys = [user for user in one.users if user not in one.held]
            restoring.put_back(parts, writer, self.past.set_, replace(one, rows=dict(rows)), keys)
        crash_point("sync-rows-gone")
        return self._standing(writer)

    def _changed_in_target(self, writer: Writer) -> frozenset[str]:
        changed = frozenset[str]()
        for one in self.past.snapshots:
            meant = judging.as_written(one, self.past.set_, self.past.tables, one.rows)
            now = judging.now_there(writer.lock, self.past.set_, self.past.tables, one, one.rows)
            changed |= compare.changed_rows(meant, now)
        return changed

    def _pointed_at(self, reader: Reader) -> set[str]:
        """Users at whose going rows others point; our own rows that point there are written or go themselves."""
        ours: dict[str, list[pl.DataFrame]] = {}
        for one in self.past.snapshots:
            whose = TableRows(self.past.set_, self.past.tables, one.rows)
            for table, keys in judging.keys_of(whose).items():
                ours.setdefault(table, []).append(keys)
        known = {table: pl.concat(keys, how="vertical_relaxed") for table, keys in ours.items()}
        found: set[str] = set()
        for one, rows in zip(self.past.snapshots, self.leaving, strict=True):
            fresh = {name: _new_there(one, part, self.past.table(name)) for name, part in rows.items()}
            whose = TableRows(self.past.set_, self.past.tables, {n: part for n, part in fresh.items() if part.height})
            for table, keys in judging.keys_of(whose).items():
                found |= judging.hanging_on(reader, whose, table, known, keys)
        return found

    def _held_by_others(self, writer: Writer) -> set[str]:
        """Users to whom a row goes that still is another's in the target: whoever gave it must be brought over first."""
        found: set[str] = set()
        for name, rows in self.write.items():
            table = self.past.table(name)
            known = pl.concat([self.past.keys(table.name), pairs.key_text(self.new.before[table.name], table)])
            fresh = _without(rows, known, table)
            there = writer.lock(table.name, fresh.select(table.key)) if fresh.height else fresh
            met = pairs.key_text(fresh, table).is_in(pairs.key_text(there, table).implode())
            found |= set(fresh.filter(met)["__user"])
        return found

    def _standing(self, writer: Writer) -> dict[str, pl.DataFrame]:
        whose = TableRows(self.past.set_, self.past.tables, self.write)
        found = {}
        for table in whose.order:
            known = self.past.tables[table]
            keys = pl.concat([self.write[name].select(known.key) for name in whose.mappings_of(table)]).unique()
            ours = self.past.keys(table)
            now = writer.lock(table, keys)
            now = now.filter(pairs.key_text(now, known).is_in(ours.implode()))
            kept = self.new.before[table]
            kept = kept.filter(~pairs.key_text(kept, known).is_in(ours.implode()))
            wanted = pairs.key_text(keys, known)
            kept = kept.filter(pairs.key_text(kept, known).is_in(wanted.implode()))
            found[table] = pl.concat([now, kept], how="vertical_relaxed") if kept.height else now
        return found


def _keys(past: Past, rows: Mapping[str, pl.DataFrame], table: Table) -> pl.Series:
    """The primary keys of all rows that go into a table, by whatever mapping."""
    found = [pairs.key_text(frame, table) for name, frame in rows.items() if past.table(name).name == table.name]
    return pl.concat([pl.Series([], dtype=pl.String), *found])


def _without(rows: pl.DataFrame, keys: pl.Series, table: Table) -> pl.DataFrame:
    return rows.filter(~pairs.key_text(rows, table).is_in(keys.implode()))


def _new_there(one: KeptBatch, rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Rows that were not there before the first generation: those that are removed when they go."""
    return _without(rows, pairs.key_text(one.before[table.name], table), table)


def _changed(past: Past, new: KeptBatch, name: str) -> pl.DataFrame:
    """Rows of a mapping that are new, or of which a value is; those of which a part is the target's own as well."""
    rows, table = new.rows[name], past.table(name)
    before = past.rows(name)
    if not rows.height or not before:
        return rows
    known = pl.concat(before, how="diagonal_relaxed").drop("__user", "__key")
    lines = compare.differences(rows.drop("__user", "__key"), known, table, table.key)
    changed = ids.key([lines[name] for name in table.key])
    shared = [one.left[name] for one in (*past.snapshots, new) if name in one.left and one.left[name].height]
    mine = pairs.key_text(rows, table).is_in(changed.implode())
    if shared:
        some = pl.concat([left.select("__user", "__key") for left in shared]).unique()
        marked = rows.join(
            some.with_columns(is_shared=pl.lit(True)), on=["__user", "__key"], how="left", maintain_order="left"
        )
        mine = mine | marked["is_shared"].fill_null(False)
    return rows.filter(mine)


def _text_of(rows: pl.DataFrame, names: Sequence[str], table: Table) -> pl.Series:
    """The values of some columns as one text; null where one is."""
    canonical = compare.canonical(rows.select(names), table)
    return ids.key([columns.text(canonical[name]) for name in names])
