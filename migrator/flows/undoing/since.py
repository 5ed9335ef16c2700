"""
What the new system has done to the rows of users since we wrote them: changed, removed, and made anew beside them.

Rows that came since are found by what they point at: by foreign key, or where a mapping would point by a lookup. A row of
a table that some mapping writes is one that legacy could get; one of any other table is a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import polars as pl

from migrator.flows.moving import standing
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.undoing.judging import Look, as_written, mine_of, owned_rows
from migrator.mapping import compare, ids, pairs, values
from migrator.mapping.model import Lookup, MappingSet
from migrator.mapping.schema import ForeignKey, Table

#: Of these keys (texts) of a table those under which we have written a row of somebody else.
Others: TypeAlias = Callable[[str, pl.Series], set[str]]
_MARK = "__mark"


@dataclass(frozen=True)
class Since:
    """
    The rows of some users now; every frame in canonical form, with `__user`.

    `written`, `now`: per mapping `__key` and the columns that we write, as we wrote them and as they are. A row that was
    made since has no `__key`. `whole`: per table all columns of all rows, those that were made and strangers among them.
    `strangers`: the tables of those that no mapping writes. `lost`: user -> why nothing of his can be told.
    """

    tables: Mapping[str, Table]
    written: Mapping[str, pl.DataFrame]
    now: Mapping[str, pl.DataFrame]
    whole: Mapping[str, pl.DataFrame]
    strangers: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def rows(self) -> dict[str, tuple[pl.DataFrame, Table]]:
        """All that is there now, to be held against what is there at another time."""
        return {name: (frame, self.tables[name]) for name, frame in self.whole.items()}

    def with_strangers(self) -> dict[str, str]:
        """Users who have rows in tables that no mapping writes, and in which."""
        found: dict[str, list[str]] = {}
        for table in self.strangers:
            for user in sorted(set(self.whole[table]["__user"])):
                found.setdefault(user, []).append(table)
        return {user: ", ".join(tables) for user, tables in found.items()}

    def only(self, users: Collection[str]) -> Since:
        """The same of some of them."""
        mine = pl.col("__user").is_in(list(users))
        cut = ({name: rows.filter(mine) for name, rows in one.items()} for one in (self.written, self.now, self.whole))
        written, now, whole = cut
        lost = {user: why for user, why in self.lost.items() if user in users}
        return replace(self, written=written, now=now, whole=whole, lost=lost)


def changed(one: Since, other: Since) -> frozenset[str]:
    """Users of whom the target says something else at two times."""
    names = one.rows.keys() | other.rows.keys()
    before, after = (
        {name: at.rows.get(name) or _none_of(other.rows.get(name) or one.rows[name]) for name in names}
        for at in (one, other)
    )
    return compare.changed_rows(before, after)


def _none_of(rows: tuple[pl.DataFrame, Table]) -> tuple[pl.DataFrame, Table]:
    return rows[0].clear(), rows[1]


def look(
    see: Look, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, keys: Collection[str], others: Others
) -> Since:
    """
    Find all rows of these users of a batch; *see* reads them, under a lock where they are to be removed.

    Args:
        others: rows of whom else they may be; see `Others`.
    """
    mine = mine_of(kept, list(keys))
    written = {
        name: compare.canonical(rows, table) for name, (rows, table) in as_written(kept, set_, tables, mine).items()
    }
    there = {}
    for name, rows in mine.items():
        table = tables[set_.mappings[name].target.table]
        there[name] = owned_rows(see(table.name, rows.select(table.key)), rows, table)
    search = _Search(see, set_, tables, kept, others)
    for name, rows in there.items():
        search.begin(set_.mappings[name].target.table, rows.drop("__key"))
    search.go_on()
    return Since(
        tables,
        written,
        {name: search.now(name, rows) for name, rows in there.items()},
        search.found,
        tuple(sorted(search.strangers)),
        search.lost,
    )


class _Search:
    """From rows to those that point at them, until nobody points any more."""

    def __init__(
        self, see: Look, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, others: Others
    ) -> None:
        self._see, self._set, self._tables, self._kept, self._others = see, set_, tables, kept, others
        self._writers: dict[str, str] = {}  # table -> the first mapping that writes it
        for name, document in set_.mappings.items():
            self._writers.setdefault(str(document.target.table), name)
        self.found: dict[str, pl.DataFrame] = {}
        self.made: dict[str, pl.DataFrame] = {}  # per table
        self.strangers: set[str] = set()
        self.lost: dict[str, str] = {}

    def begin(self, table: str, rows: pl.DataFrame) -> None:
        """Rows that we wrote, as they are now."""
        known = self.found.get(table)
        self.found[table] = rows if known is None else pl.concat([known, rows], how="vertical_relaxed")

    def go_on(self) -> None:
        """Look for what points at them."""
        latest = dict(self.found)
        while latest:
            new: dict[str, list[pl.DataFrame]] = {}
            for table, rows in latest.items():
                for pointer, link in self._pointing(table):
                    came = self._came(pointer, link, rows)
                    if came.height:
                        self._take(pointer, came)
                        new.setdefault(pointer.name, []).append(came)
            latest = {table: pl.concat(frames, how="vertical_relaxed") for table, frames in new.items()}
        self._refuse_shared()

    def now(self, name: str, there: pl.DataFrame) -> pl.DataFrame:
        """The rows of one mapping as they are now, in the columns it writes."""
        rows = standing.blanked(there, self._kept.left.get(name))
        table = str(self._set.mappings[name].target.table)
        columns = [column for column in self._kept.rows[name].columns if column in rows.columns]
        rows = rows.select(columns)
        made = self.made.get(table) if self._writers[table] == name else None
        if made is None:
            return rows
        new = made.with_columns(pl.lit(None, pl.String).alias("__key")).select(columns)
        return pl.concat([rows, new], how="vertical_relaxed")

    def _pointing(self, table: str) -> Iterator[tuple[Table, ForeignKey]]:
        for pointer in self._tables.values():
            if not pointer.view:
                yield from ((pointer, key) for key in pointer.foreign_keys if key.table == table)
        for document in self._set.mappings.values():
            pointer = self._tables[document.target.table]
            declared = {key.columns for key in pointer.foreign_keys}
            for name, rule in document.fields.items():
                if isinstance(rule.source, Lookup) and not rule.steps and (str(name),) not in declared:
                    parent = self._tables[self._set.mappings[str(rule.source.mapping)].target.table]
                    if parent.name == table and len(parent.key) == 1:
                        yield pointer, ForeignKey((str(name),), table, parent.key)

    def _came(self, pointer: Table, link: ForeignKey, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of *pointer* that point at one of *rows* and are not known yet, with the user of that one."""
        names = dict(zip(link.references, link.columns, strict=True))
        asked = rows.select(pl.col(theirs).alias(ours) for theirs, ours in names.items()).drop_nulls().unique()
        if asked.is_empty():
            return rows.clear()
        hits = compare.canonical(self._see(pointer.name, asked), pointer)
        if hits.is_empty():
            return hits
        owners = rows.select("__user", _text(rows, link.references).alias(_MARK)).drop_nulls().unique(_MARK)
        owned = hits.with_columns(_text(hits, link.columns).alias(_MARK)).join(owners, on=_MARK).drop(_MARK)
        return self._new(pointer, owned)

    def _new(self, pointer: Table, rows: pl.DataFrame) -> pl.DataFrame:
        """Those that are not known; whose row would be taken from somebody else is lost."""
        if not pointer.key:
            self._lose(rows, f"rows of {pointer.name}, which has no primary key, point at the user's rows")
            return rows.clear()
        known = self.found.get(pointer.name)
        keys = pairs.key_text(rows, pointer)
        if known is not None and known.height:
            rows = rows.filter(~keys.is_in(pairs.key_text(known, pointer).implode()))
            keys = pairs.key_text(rows, pointer)
        if rows.is_empty():
            return rows
        theirs = self._others(pointer.name, keys)
        self._lose(rows.filter(keys.is_in(list(theirs))), f"a row of {pointer.name} that is another user's points here")
        return rows.filter(~keys.is_in(list(theirs)))

    def _take(self, table: Table, rows: pl.DataFrame) -> None:
        self.begin(table.name, rows)
        if table.name in self._writers:
            made = self.made.get(table.name)
            self.made[table.name] = rows if made is None else pl.concat([made, rows], how="vertical_relaxed")
        else:
            self.strangers.add(table.name)

    def _refuse_shared(self) -> None:
        """What came since and points at a row of somebody else, too, is not this user's alone."""
        for name in {*self.made, *self.strangers}:
            rows = self.made.get(name, self.found[name])
            for link in self._tables[name].foreign_keys:
                if link.table not in self._writers:
                    continue
                here = rows.select("__user", _text(rows, link.columns).alias(_MARK)).drop_nulls()
                parents = self.found.get(link.table)
                known = _text(parents, link.references).implode() if parents is not None and parents.height else None
                strange = here if known is None else here.filter(~here[_MARK].is_in(known))
                self._lose(strange, f"a row of {name} that came since is somebody else's, too")

    def _lose(self, rows: pl.DataFrame, why: str) -> None:
        for user in sorted(set(rows["__user"])):
            self.lost.setdefault(user, why)


def _text(rows: pl.DataFrame, names: tuple[str, ...]) -> pl.Series:
    """The values of some columns as one text; null where one is."""
    return ids.key([values.text(rows[name]) for name in names])
