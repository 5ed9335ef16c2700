"""
What the new system changed since users were moved, as what is to be written to legacy so that it maps to the same.

Nothing is read or written here. Whatever was found in reverse is mapped forward once more before it is believed: a value
that would not come out as it is, or that would change another, refuses its user.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import compile, groups
from migrator.mapping.backward import changing, proof, removing
from migrator.mapping.backward.desk import Desk
from migrator.mapping.backward.differing import Differing
from migrator.mapping.backward.inserting import Inserts
from migrator.mapping.backward.parents import Rows
from migrator.mapping.backward.rows import LegacyRows, Update
from migrator.mapping.backward.ways import Ways
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.schema import Schema

GIVEN_UP = {"user": pl.String, "mapping": pl.String, "key": pl.String, "column": pl.String, "what": pl.String}


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """
    What is to be done in legacy.

    `updates`: per legacy table, rows by key columns and what changes in them. `inserts`: per legacy table, rows with
    `__user`, `__target_table`, `__target_key` and the columns to be set; where `__of COLUMN` is not null, COLUMN takes the
    key that legacy gave to the row made for that target row (`TABLE`, U+001F, key). Tables stand in the order in which
    rows must be made. `deletes`: per legacy table, `__user` and the key columns of rows to be removed. `refused`: users
    who stay, each with MAPPING.COLUMN and the reason; nothing of theirs is in the rest. `given_up`: changes that do not
    count (`user`, `mapping`, `key`, `column`, `what`: changed, made, removed). `sources`: the source rows as they will be
    read.
    """

    updates: dict[str, list[Update]]
    inserts: dict[str, list[pl.DataFrame]]
    deletes: dict[str, list[Update]]
    refused: dict[str, str]
    given_up: pl.DataFrame
    sources: dict[str, SourceRows]

    @property
    def users(self) -> frozenset[str]:
        """Whose rows in legacy change."""
        frames = [one.rows for parts in (*self.updates.values(), *self.deletes.values()) for one in parts]
        frames += [frame for parts in self.inserts.values() for frame in parts]
        return frozenset(user for frame in frames for user in frame["__user"].to_list())


def carried(
    set_: MappingSet,
    ways: Mapping[str, Ways],
    written: Mapping[str, pl.DataFrame],
    now: Mapping[str, pl.DataFrame],
    sources: Mapping[str, SourceRows],
    *,
    legacy: Schema,
    target: Schema,
    context: Context,
    merge: bool = False,
) -> Carried:
    """
    Say what legacy must become so that *sources*, mapped forward, give what is in the target *now*.

    Args:
        written: Per mapping the rows as they were written: `__user`, `__key` and columns of the target.
        now: The same rows as they are, found by the key of their table, and new ones of these users; `__key` may lack.
        sources: The source rows of these users as they are read just now.
        context: With which they were mapped: the plan, decisions, references, numbers, groups.
        merge: Carry only what columns with `owner: target` hold, and give up the rest; rows that were made or removed
            count where the mapping has such a column.

    Cost:
        Maps the users whose rows changed forward twice; the others cost one comparison of frames.
    """
    tables = target.tables
    found = {
        name: Differing.of(written[name], now[name], tables[ways[name].table])
        for name in set_.mappings
        if name in written and name in now and ways[name].target_key
    }
    changed = groups.closed({user for one in found.values() for user in one.users()}, context.groups)
    mine = {name: _of_users(rows, changed) for name, rows in sources.items()}
    if not changed:
        return Carried({}, {}, {}, {}, pl.DataFrame(schema=GIVEN_UP), dict(sources))
    drafts = compile.drafts_of(set_, target, mine, context)
    rows = LegacyRows(set_, legacy, dict(mine))
    parents = Rows(set_, target, {name: one.now() for name, one in found.items()}, rows.sources)
    work = _Work(Desk(set_, ways, found, legacy, target, context, rows, drafts, parents), mine, merge=merge)
    return work.done(sources)


def _of_users(rows: SourceRows, users: Iterable[str]) -> SourceRows:
    return replace(rows, frame=rows.frame.filter(pl.col("__user").is_in(list(users))))


@dataclass(eq=False)
class _Work:
    """The way back of users of whom something changed; `before` are their source rows as they were read."""

    desk: Desk
    before: Mapping[str, SourceRows]
    merge: bool = False
    given_up: list[pl.DataFrame] = field(default_factory=list)

    def done(self, sources: Mapping[str, SourceRows]) -> Carried:
        """Take back every change, then look whether all of it comes out as it is."""
        desk, inserts = self.desk, Inserts(self.desk)
        came = compile.mapped_of(desk.drafts, self.before, desk.context).rows
        made, gone = (set(self._rows(what)) for what in ("made", "removed"))
        wanted = {name: dict(self._values(name)) for name in desk.found}
        for name in (name for name in desk.set.mappings if name in made):  # parents first
            inserts.fill(name)
        for name, values in wanted.items():
            for column, rows in values.items():
                changing.take_back(desk, name, column, rows)
        removed = {name: desk.found[name].gone.select("__user", "__key") for name in gone}
        deletes = removing.remove(desk, removed)
        proof.Proof(desk, wanted, came, inserts.wanted, removed).look(inserts.context())
        out = self._out()
        return Carried(
            desk.rows.without(out),
            inserts.without(out),
            _without(deletes, out),
            desk.refused,
            pl.concat([pl.DataFrame(schema=GIVEN_UP), *self.given_up]).filter(~pl.col("user").is_in(out.implode())),
            {name: self._read_then(name, rows, out) for name, rows in sources.items()},
        )

    def _rows(self, what: str) -> Iterator[str]:
        """The mappings whose rows that were made, or removed, are to be so in legacy."""
        for name, one in self.desk.found.items():
            rows, no = one.made if what == "made" else one.gone, self.desk.ways[name]
            why = no.inserts if what == "made" else no.deletes
            if not rows.height:
                continue
            if self.merge and not no.owned:
                self._give_up(name, rows, "", what)
            elif why is not None:
                self.desk.refuse(name, "", rows["__user"], f"a row was {what}, and {why.reason}")
            else:
                yield name

    def _values(self, name: str) -> Iterator[tuple[str, pl.DataFrame]]:
        """The changed values that count."""
        for column, rows in self.desk.found[name].cells():
            if self.merge and column not in self.desk.ways[name].owned:
                self._give_up(name, rows, column, "changed")
                continue
            kept = changing.as_legacy_says(self.desk, name, column, rows)
            if kept.height:
                yield column, kept

    def _give_up(self, mapping: str, rows: pl.DataFrame, column: str, what: str) -> None:
        key = rows["__key"] if "__key" in rows.columns else rows["__id"]
        told = {"user": rows["__user"], "mapping": mapping, "key": key, "column": column, "what": what}
        self.given_up.append(pl.DataFrame(told, schema_overrides=GIVEN_UP))

    def _out(self) -> pl.Series:
        """Who stays, and with them whoever is one with them."""
        refused, together = self.desk.refused, self.desk.context.groups
        out = sorted(groups.closed(refused, together))
        for user in out:
            refused.setdefault(user, "an account that is one with this one stays")
        return pl.Series(out, dtype=pl.String)

    def _read_then(self, name: str, all_: SourceRows, out: pl.Series) -> SourceRows:
        """Rows of those who did not change or stay, and those of the others as they will be read."""
        stays, after = pl.col("__user").is_in(out.implode()), self.desk.rows.sources[name]
        others = ~pl.col("__user").is_in(self.before[name].frame["__user"].unique().implode())
        kept, new = all_.frame.filter(others | stays), after.frame.filter(~stays)
        both = pl.concat([kept, new], how="vertical_relaxed") if new.height else kept
        return replace(all_, frame=both, kinds={**all_.kinds, **after.kinds})


def _without(deletes: Mapping[str, list[Update]], users: pl.Series) -> dict[str, list[Update]]:
    stay = pl.col("__user").is_in(users.implode())
    kept = {
        table: [Update(one.key, some) for one in parts if (some := one.rows.filter(~stay)).height]
        for table, parts in deletes.items()
    }
    return {table: parts for table, parts in kept.items() if parts}
