"""
Changes of the new system on their way back to legacy: read what legacy says, take the changes back through the mappings,
keep what is carried, write it. One legacy database after the other; each says for itself what it has got.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from migrator.edges.databases.base import Database
from migrator.edges.databases.several import SEPARATOR
from migrator.errors import MigratorError, SnapshotDamaged
from migrator.flows.moving import reading
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.moving.reading import ChangedMeanwhile
from migrator.flows.parts import Parts
from migrator.flows.undoing import legacy_writing
from migrator.flows.undoing.carried_files import Files
from migrator.flows.undoing.legacy_writing import Load
from migrator.flows.undoing.policies import MERGE, Told, add_counts, add_rows
from migrator.flows.undoing.since import Since
from migrator.mapping import backward, compare, pairs
from migrator.mapping.backward import Carried
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.store import carries

TRIES = 3
ALONE = "legacy"  # what a single legacy database is called in the settings
Rows = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class _Noted:
    """What legacy says of a user whose changes it got in this generation: by which carry, and what was made."""

    carry: int
    made: Mapping[tuple[str, str], str]  # table and key in the target -> key for the mapping


@dataclass(frozen=True, slots=True)
class _Step:
    """What one database has (`base`), and what it is to have; `number` is that of the file."""

    database: str
    base: Rows
    now: Rows
    number: int


@dataclass
class Backing:
    """The way back of what has changed in one batch."""

    parts: Parts
    kept: KeptBatch
    set_: MappingSet
    policy: str
    files: Files
    _files: dict[int, Rows] = field(default_factory=dict)

    def look(self, seen: Since, generations: Mapping[str, int], told: Told) -> None:
        """Say what would be carried; whom it refuses."""
        self._each(seen, generations, told, lambda name, base, now: self._would(name, base, now, told))

    def carry(
        self,
        carry: int,
        seen: Since,
        generations: Mapping[str, int],
        told: Told,
        still_frozen: Callable[[], None],
    ) -> None:
        """
        Carry it back.

        Args:
            carry: the number of the first file. generations: of whom; those who cannot be carried go into *told*.
            still_frozen: called before anything is committed; raises where they are frozen no more.
        """
        numbers = self._numbers(carry, len(generations))
        self._each(
            seen, generations, told,
            lambda name, base, now: self._carried(name, base, now, next(numbers), seen, generations, told, still_frozen),
        )  # fmt: skip

    # ---- one database after the other --------------------------------------------------------------------------

    def _each(
        self,
        seen: Since,
        generations: Mapping[str, int],
        told: Told,
        act: Callable[[str, Rows, Rows], None],
    ) -> None:
        """Call *act* for each database with the rows as it has them, and as they are with what goes there."""
        noted = self._noted(generations, told)
        told.before += len(noted.keys() - told.refused.keys())
        base, last = self._base(seen, noted, told), self._filled(seen.now, noted)
        before = dict(base)
        for name in self._names:
            mine = {mapping for mapping in self.set_.mappings if self._database_of(mapping) == name}
            now = {mapping: last[mapping] if mapping in mine else before[mapping] for mapping in before}
            act(name, *(self._of_others(rows, told.refused) for rows in (before, now)))
            before = now

    def _of_others(self, rows: Rows, out: Collection[str]) -> Rows:
        stay = pl.col("__user").is_in(list(out))
        return {name: frame.filter(~stay) for name, frame in rows.items()}

    def _would(self, name: str, base: Rows, now: Rows, told: Told) -> None:
        carried, _ = self._reversed(base, now)
        told.refused |= carried.refused
        if self._refuses(name, Load.of(carried, self.set_, "" if name == ALONE else name), told):
            carried = replace(carried, updates={}, inserts={}, deletes={})
        _count(carried, told)

    def _carried(
        self,
        name: str,
        base: Rows,
        now: Rows,
        number: int,
        seen: Since,
        generations: Mapping[str, int],
        told: Told,
        still_frozen: Callable[[], None],
    ) -> None:
        """Carry into one database; where legacy is written to at this moment, look again."""
        for tried in range(TRIES):
            mine = _Step(name, self._of_others(base, told.refused), self._of_others(now, told.refused), number)
            try:
                carried = self._written(mine, seen, generations, told, still_frozen)
            except ChangedMeanwhile as changed:
                if tried + 1 == TRIES:
                    told.refused |= dict.fromkeys(sorted(changed.users), str(changed))
            else:
                _count(carried, told)
                return

    def _written(
        self,
        step: _Step,
        seen: Since,
        generations: Mapping[str, int],
        told: Told,
        still_frozen: Callable[[], None],
    ) -> Carried:
        """Take back, keep, write; what was written."""
        carried, sources = self._reversed(step.base, step.now)
        told.refused |= carried.refused
        load = Load.of(carried, self.set_, "" if step.database == ALONE else step.database)
        if self._refuses(step.database, load, told):
            carried, load = replace(carried, updates={}, inserts={}, deletes={}), Load()
        losing = set(carried.given_up["user"]) - told.refused.keys()
        if load.users | losing:
            going = self._of_others(step.now, now_users(step.now) - load.users - losing)
            self.files.keep(step.number, self.policy, seen.only(load.users | losing), now=going)
        if load.users:
            legacy_writing.carry_back(
                self._writable[step.database], load, step.number, generations,
                lambda: self._look_again(load.users, sources, still_frozen),
            )  # fmt: skip
        return carried

    def _refuses(self, database: str, load: Load, told: Told) -> bool:
        """Whether nothing can be written there of what is to be written; then its users stay."""
        why = self._why_not(database) if load.users else None
        if why is not None:
            told.refused |= dict.fromkeys(sorted(load.users), why)
        return why is not None

    def _look_again(
        self, users: Collection[str], sources: dict[str, SourceRows], still_frozen: Callable[[], None]
    ) -> None:
        """Raise where legacy says something else of the users than when their changes were taken back."""
        still_frozen()
        now = self._read(sorted(users))
        mine = {
            name: replace(rows, frame=rows.frame.filter(pl.col("__user").is_in(list(users))))
            for name, rows in sources.items()
        }
        changed = compare.changed_users(mine, now)
        if changed:
            raise ChangedMeanwhile("legacy is written to at this moment", changed)

    def _numbers(self, first: int, count: int) -> Iterator[int]:
        """A file for each database: until it is written there, the file before it says what the others have got."""
        yield first
        while True:
            with self.parts.control.write() as db:
                given = (self.files.plan_id, self.files.batch_id, self.files.set_hash, self.policy, self.parts.actor)
                number = carries.begin(db, *given, count, self.parts.now())
                carries.end(db, number, {"part_of": first}, self.parts.now())
            yield number

    # ---- the reverse -------------------------------------------------------------------------------------------

    def _reversed(self, base: Rows, now: Rows) -> tuple[Carried, dict[str, SourceRows]]:
        """What legacy must become, and what it says."""
        sources = self._read(sorted(now_users(base) | now_users(now)))
        carried = backward.carried(
            self.set_, self._ways, base, now, sources, legacy=self.parts.legacy_schema, target=self.parts.target_schema,
            context=self._context, merge=self.policy == MERGE,
        )  # fmt: skip
        return carried, sources

    def _read(self, users: Sequence[str]) -> dict[str, SourceRows]:
        return reading.read(self.parts, self.set_, users, self._context).sources

    @cached_property
    def _ways(self) -> Mapping[str, backward.Ways]:
        return backward.ways(self.set_, self.parts.legacy_schema, self.parts.target_schema)

    @cached_property
    def _context(self) -> Context:
        kept = self.kept
        return Context(
            kept.plan_id, kept.as_of, kept.overrides, kept.references, keyed=self.parts.key.digest, numbers=kept.numbers,
            standing=kept.standing, groups=kept.groups,
        )  # fmt: skip

    # ---- what legacy has got already ---------------------------------------------------------------------------

    def _noted(self, generations: Mapping[str, int], told: Told) -> dict[str, _Noted]:
        """Of those whose changes were carried in their present generation, what their newest note says."""
        found: dict[str, _Noted] = {}
        for name in self._names:
            if name not in self._writable or self._why_not(name) is not None:
                continue
            with self._writable[name].reading() as reader:
                rows = reader.carried(sorted(generations))
            for row in rows.iter_rows(named=True):
                if row["generation"] != generations[row["user_key"]]:
                    continue
                known = found.get(row["user_key"])
                made = {(table, key): own for table, key, _, own in json.loads(row["made"])}
                newest = max(int(row["carry"]), known.carry if known else 0)
                found[row["user_key"]] = _Noted(newest, {**(known.made if known else {}), **made})
        return found

    def _base(self, seen: Since, noted: Mapping[str, _Noted], told: Told) -> Rows:
        """The rows as legacy has them by now: as they were written, or as they were carried back last."""
        plain = {name: rows.filter(~pl.col("__user").is_in(list(noted))) for name, rows in seen.written.items()}
        by_carry: dict[int, list[str]] = {}
        for user, note in noted.items():
            by_carry.setdefault(note.carry, []).append(user)
        for carry, users in sorted(by_carry.items()):
            try:
                known = self._file(carry)
            except SnapshotDamaged as damaged:
                told.refused |= dict.fromkeys(users, str(damaged))
                continue
            mine = pl.col("__user").is_in(users)
            for name, rows in self._filled(known, noted).items():
                if name in plain:
                    plain[name] = pl.concat(
                        [plain[name], rows.filter(mine).select(plain[name].columns)], how="vertical_relaxed"
                    )
        return plain

    def _file(self, carry: int) -> Rows:
        if carry not in self._files:
            self._files[carry] = self.files.now(carry)
        return self._files[carry]

    def _filled(self, now: Rows, noted: Mapping[str, _Noted]) -> Rows:
        """Rows that legacy has got since have a key there."""
        made = [(user, *at, key) for user, note in noted.items() for at, key in note.made.items()]
        if not made:
            return dict(now)
        schema = dict.fromkeys(("__user", "__table", "__mark", "__made"), pl.String)
        known = pl.DataFrame(made, schema=schema, orient="row")
        found = {}
        for name, rows in now.items():
            table = self.parts.target_schema.tables[self.set_.mappings[name].target.table]
            mine = known.filter(pl.col("__table") == table.name).drop("__table")
            marked = rows.with_columns(pairs.key_text(rows, table).alias("__mark"))
            joined = marked.join(mine, on=["__user", "__mark"], how="left", maintain_order="left")
            found[name] = joined.with_columns(pl.coalesce("__key", "__made").alias("__key")).drop("__mark", "__made")
        return found

    # ---- databases ---------------------------------------------------------------------------------------------

    @property
    def _writable(self) -> Mapping[str, Database]:
        return self.parts.writable

    @cached_property
    def _names(self) -> list[str]:
        """The legacy databases that rows are read from, in order."""
        return sorted({self._database_of(mapping) for mapping in self.set_.mappings})

    def _database_of(self, mapping: str) -> str:
        table = str(self.set_.mappings[mapping].source.table)
        several = self.parts.legacy.dialect == "several"
        return table.partition(SEPARATOR)[0] if several and SEPARATOR in table else ALONE

    def _why_not(self, name: str) -> str | None:
        """Why nothing can be written to a legacy database."""
        if name not in self._ready:
            self._ready[name] = self._looked_at(name)
        return self._ready[name]

    @cached_property
    def _ready(self) -> dict[str, str | None]:
        return {}

    def _looked_at(self, name: str) -> str | None:
        section = "[legacy]" if name == ALONE else f"[legacy.{name}]"
        database = self._writable.get(name)
        if database is None:
            return f"nothing can be carried back to legacy: {section} write_url is not set"
        try:
            there = database.prepared()
        except MigratorError as away:
            return f"nothing can be carried back to legacy: {away}"
        return None if there else "legacy lacks the table migrator_carried: `migrator store upgrade` makes it"


def now_users(rows: Rows) -> set[str]:
    """Whose rows they are."""
    return {user for frame in rows.values() for user in frame["__user"].unique()}


def _count(carried: Carried, told: Told) -> None:
    """Per legacy table, and what does not count per column."""
    load = Load(carried.updates, carried.inserts, carried.deletes)
    add_rows(told.carried, {table: rows for table, rows in load.counts.items()})
    for mapping, column, what in carried.given_up.select("mapping", "column", "what").iter_rows():
        add_counts(told.given_up, {f"{mapping}.{column}" if column else f"{mapping} (rows {what})": 1})
