"""Legacy rows of some users, read and shaped: one frame row for each row that is to be mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from migrator.mapping import faults, foldings, ids, joins, nobody, pivots, predicates, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Count, Fetch, Reading
from migrator.mapping.model import Join, Mapping, MappingSet, Predicate, Source
from migrator.mapping.nobody import Known, Parents
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.people import EVERYBODY, USER, People, database, of_mapping, with_everybody
from migrator.mapping.query import Among, Query, Test, Via
from migrator.mapping.schema import Kind, Schema, Table
from migrator.mapping.unowned import Unowned, owner_of, unowned
from migrator.mapping.users import users

__all__ = ["Fetch", "Unowned", "read", "read_rows", "rows", "unowned", "users"]


def read(
    mapping: Mapping,
    set_: MappingSet,
    legacy: Schema,
    fetch: Fetch,
    users: Sequence[str],
    context: Context | None = None,
    count: Count | None = None,
) -> SourceRows:
    """
    Read the source rows of *users* and shape them.

    Args:
        users: User keys as text.
        context: Needed where a condition counts back from the plan's cut-off, and where there are several sources.
        count: Counts the rows of a query; without it they are fetched and counted here.

    Returns:
        Rows in the order of their keys. What is wrong with a row before any rule (two rows where one is joined, two
        values of one name, a key that is none) is in the frame's column `__faults`, which is there only if needed.
    """
    names = uses.names_read(set_, legacy) if uses.asks_unread(mapping.source) else frozenset()
    people = People.of(set_, context)
    if mapping.source.table == EVERYBODY:
        legacy, fetch, count = with_everybody(legacy), _everybody(users, fetch), None
    reading = Reading(legacy, fetch, mapping.source.null_if, context, names, count, people)
    work = _Work(mapping, reading, uses.columns(mapping, legacy), of_mapping(set_.set, mapping), people)
    work.fetch(users)
    work.shape()
    return work.done()


def read_rows(
    mapping: Mapping,
    set_: MappingSet,
    legacy: Schema,
    fetch: Fetch,
    owners: Sequence[str],
    known: Known,
    parents: Parents,
    context: Context | None = None,
) -> SourceRows:
    """
    Read rows of nobody and shape them: those that are *owners* themselves, and those that look up a row of *parents*.

    Args:
        owners: As `unowned` made them, `~MAPPING:KEY`, of any mapping of the set.
        known: Says which texts are keys of users; a user's row is never read here.
        parents: The rows of nobody of the mappings before this one; those of this mapping are added.
    """
    names = uses.names_read(set_, legacy) if uses.asks_unread(mapping.source) else frozenset()
    people = People.of(set_, context)
    reading = Reading(legacy, fetch, mapping.source.null_if, context, names, people=people)
    work = _Work(mapping, reading, uses.columns(mapping, legacy), of_mapping(set_.set, mapping), people)
    work.fetch_rows(set_, [key for key in owners if nobody.mapping_of(set_, key) == mapping.name], known, parents)
    work.shape()
    return work.done()


def _everybody(users: Sequence[str], fetch: Fetch) -> Fetch:
    """Answer for the table that no database has: it holds *users*."""
    told = pl.DataFrame({USER: pl.Series(users, dtype=pl.String)})
    return lambda query: told.select(query.columns) if query.table == EVERYBODY else fetch(query)


def rows(mapping: Mapping, fetch: Fetch) -> int:
    """Count all rows of the source table, whoever they belong to."""
    return fetch(Query(mapping.source.table, (str(mapping.source.key[0]),))).height


@dataclass(eq=False)
class _Work:
    """One source on its way: its rows so far, and what is wrong with them. `whose` keys its user column holds."""

    mapping: Mapping
    reading: Reading
    used: list[str]
    whose: str
    people: People
    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    found: list[pl.DataFrame] = field(default_factory=list)
    count: int = 0
    filtered: int = 0
    expanded: int = 0
    folded: int = 0
    attached: set[str] = field(default_factory=set)

    @property
    def source(self) -> Source:
        """What the mapping says of its source."""
        return self.mapping.source

    def fetch(self, users: Sequence[str]) -> None:
        """Read the users' rows, joins beside them, and leave out those that `where` does not want."""
        wanted = pl.Series(users, dtype=pl.String)
        early, late = _split(self.source.where)
        via = self._via()
        if self._user_column(via) is None:
            self._fetch_all(wanted)
            return
        tests = predicates.pushed(early, self.table, self.source.null_if, self.reading.context)
        rows = self._owned(self._names(via), tests, wanted, via)
        # what the database left out is counted, never just absent
        self.count = self._counted(wanted, via) if tests else rows.height
        rows = self._numbered(rows)
        self.frame = self.reading.where(early, rows)
        for join in self.source.joins.values():
            self._attach(join)
        self.frame = self.reading.where(late, self.frame)
        self.filtered = self.count - self.frame.height

    @property
    def table(self) -> Table:
        """The source table, as the legacy database declares it."""
        return self.reading.legacy.tables[str(self.source.table)]

    def _fetch_all(self, users: pl.Series) -> None:
        """Several user columns, or one behind a pivot or a longer way: only the joined rows tell whose they are."""
        names = tuple(self._names(None))
        nothing = None if len(users) else Among(names[0], users)  # all columns, no row
        self.frame = self._numbered(self.reading.fetch(Query(self.table.name, names, among=nothing)))
        for join in self.source.joins.values():
            if join.user is None:
                self._attach(join)
        owner = self.people.users_of(self.whose, owner_of(self.mapping, self.frame))
        self.frame = self.frame.with_columns(owner.alias("__user"))
        self.frame = self.frame.filter(columns.is_true(owner.is_in(users.implode())))
        for join in self.source.joins.values():
            if join.user is not None:
                self._attach(join)
        owned = self.frame
        self.count = owned.height
        self.frame = self.reading.where(self.source.where, owned)
        self.filtered = self.count - self.frame.height

    def fetch_rows(self, set_: MappingSet, owners: Sequence[str], known: Known, parents: Parents) -> None:
        """Read the rows of nobody that are these owners, and those whose parent was read."""
        self.frame = self._numbered(self._theirs(set_, owners, parents))
        for join in self.source.joins.values():
            self._attach(join)
        own = nobody.owner(self.mapping, self.frame)
        own = own.set(~columns.is_true(own.is_in(pl.Series(owners, dtype=pl.String).implode())), None)
        whose = own.fill_null(nobody.above_of(set_, self.mapping, self.frame, parents))
        is_wanted = whose.is_not_null() & nobody.belongs(self.mapping, owner_of(self.mapping, self.frame), known)
        owned = self.frame.with_columns(whose.alias("__user")).filter(is_wanted)
        parents.owners.update(owned["__user"].unique())
        self.count = owned.height
        self.frame = self.reading.where(self.source.where, owned)
        self.filtered = self.count - self.frame.height
        parents.add(self.mapping, self.frame, self.frame["__user"])

    def _theirs(self, set_: MappingSet, owners: Sequence[str], parents: Parents) -> pl.DataFrame:
        """Rows that could be these owners', each once: by their first key column, and by what they look up."""
        names = tuple(self._names(None))
        key = nobody.key_columns(self.mapping, self.table.columns)
        firsts = pl.Series(nobody.first_parts(self.mapping, owners, len(key)), dtype=pl.String).unique()
        own = self.reading.fetch(Query(self.table.name, names, among=Among(key[0], firsts)))
        up = nobody.way(set_, self.mapping)
        above = parents.of(up.parent) if up else None
        if up is None or above is None or not above.height:
            return own
        among = None
        if all(name in self.table.columns for name in up.by):
            among = Among(up.by[0], above["id"].str.split(ids.SEPARATOR).list.first().unique())
        below = self.reading.fetch(Query(self.table.name, names, among=among))
        is_own = columns.text(below[key[0]]).is_in(columns.text(own[key[0]]).implode())
        return pl.concat([own, below.filter(~columns.is_true(is_own))])

    def _owned(self, names: Sequence[str], tests: tuple[Test, ...], users: pl.Series, via: Via | None) -> pl.DataFrame:
        """Read columns of the users' rows, with `__user`."""
        user = str(self._user_column(via))
        wanted = Among(user, self.people.records_of(self.whose, users))
        frame = self.reading.fetch(Query(self.table.name, tuple(names), tests, wanted, via))
        owners = self.people.users_of(self.whose, columns.text(frame[user])).alias("__user")
        is_theirs = columns.is_true(owners.is_in(users.implode()))
        owned = frame.with_columns(owners)
        owned = owned if is_theirs.all() else owned.filter(is_theirs)
        if via and self.table.key:
            # a join with several rows gives a row several times; that it does is told when it is attached
            owned = owned.unique([*self.table.key, "__user"], keep="first", maintain_order=True)
        return owned

    def _counted(self, users: pl.Series, via: Via | None) -> int:
        """Count the users' rows without any test."""
        if self.reading.count and not via:
            records = self.people.records_of(self.whose, users)
            return self.reading.count(Query(self.table.name, (), (), Among(str(self._user_column(via)), records)))
        return self._owned(self._key_names(via), (), users, via).height

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Number the rows, and make null what `null_if` names; a user key is never made null."""
        nulled = self.reading.nulled(rows)
        users = [rows["__user"]] if "__user" in rows.columns else []
        return nulled.with_columns(*users, pl.int_range(rows.height, dtype=pl.Int64, eager=True).alias("__row"))

    def _names(self, via: Via | None) -> list[str]:
        names = [name for name in self._plain() if name in self.table.columns]
        return list(dict.fromkeys([*names, *self.table.key] if via else names))

    def _key_names(self, via: Via | None) -> list[str]:
        if via and self.table.key:
            return list(self.table.key)
        return [str(self._user_column(via))] if not via else [str(self.source.key[0])]

    def _plain(self) -> list[str]:
        """Names without a dot: columns of the source, or names that only shaping will make."""
        names = [name for name in self.used if "." not in name]
        pivot = self.source.pivot
        if pivot:
            by = [str(pivot.duplicates[1])] if pivot.duplicates else []
            names += [str(pivot.by), str(pivot.names.column), str(pivot.values), *by]
        return names

    def _user_column(self, via: Via | None) -> str | None:
        first = str(self.source.user[0])
        if via:
            return first
        return first if len(self.source.user) == 1 and "." not in first else None

    def _via(self) -> Via | None:
        """A user behind a plain one-row join is one inner join in the SELECT."""
        first = str(self.source.user[0])
        join = self.source.joins.get(first.partition(".")[0])
        if len(self.source.user) != 1 or "." not in first or join is None:
            return None
        if join.keep or join.many or join.pivot or len(join.tables) > 1 or any("." in ours for _, ours in join.match):
            return None
        if join.user is not None or database(join.tables[0]) != database(self.source.table):
            return None
        wanted = [first.partition(".")[2]]
        if joins.is_single(join, self.reading.legacy):
            wanted = uses.of_join(self.used, join.name)
            self.attached.add(join.name)
        pairs = tuple((str(theirs), str(ours)) for theirs, ours in join.match)
        return Via(str(join.tables[0]), pairs, tuple((name, f"{join.name}.{name}") for name in wanted))

    def _attach(self, join: Join) -> None:
        if join.name in self.attached:
            return
        wanted = uses.of_join(self.used, join.name)
        frame = self.frame.drop(f"{join.name}.{name}" for name in wanted if f"{join.name}.{name}" in self.frame.columns)
        if join.user is not None and "__user" not in frame.columns:  # rows of nobody: nothing is of the same user
            frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("__user"))
        self.frame, found = joins.attach(frame, join, wanted, self.reading)
        self.found += found

    def shape(self) -> None:
        """Pivot, group or unnest, as the source says."""
        if self.source.pivot:
            self._pivot()
        elif self.source.group:
            self._group()
        elif self.source.unnest:
            self._unnest()

    def _pivot(self) -> None:
        pivot = self.source.pivot
        assert pivot is not None  # the only caller has looked
        whole = {str(pivot.by), *self.source.key, *self.source.user}
        names = [name for name in self.used if "." not in name and name not in whole]
        names = [name for name in names if name not in set(uses.predicate(self.source.where))]
        before = self.frame.height
        rest = uses.wants_rest(self.mapping)
        key = [str(name) for name in (*self.source.key, *self.source.user)]
        keys = [*key, *self.table.key]
        self.frame, self.found = pivots.fold(self.frame, pivot, names, self.reading, keys, rest=rest)
        self.frame = self.frame.rename({"__new": "__row"})
        self.folded = before - self.frame.height

    def _group(self) -> None:
        assert self.source.group is not None  # the only caller has looked
        before = self.frame.height
        made = foldings.group(
            self.frame, self.source.group, {str(name) for name in (*self.source.key, *self.source.user)}
        )
        became = made.select("__new", "__row").explode("__row")
        self.found = faults.moved(self.found, became)
        self.frame = made.drop("__row").rename({"__new": "__row"})
        self.folded = before - self.frame.height

    def _unnest(self) -> None:
        assert self.source.unnest is not None  # the only caller has looked
        before = self.frame
        made, found = foldings.unnest(before, self.source.unnest)
        self.found = faults.moved(self.found, made.select("__row", "__new")) + found
        kept = made["__row"].n_unique()
        self.folded = before.height - kept  # rows without a part
        self.expanded = made.height - kept
        self.frame = self.reading.nulled(made.drop("__row")).rename({"__new": "__row"})

    def done(self) -> SourceRows:
        """Name the rows by their keys and put them in order."""
        names = [str(name) for name in self.source.key]
        frame = columns.in_order(self.frame, names) if names else self.frame
        parts = [columns.text(frame[name]) for name in names]
        key = ids.key([part.fill_null("") if part.null_count() else part for part in parts])
        frame = frame.with_columns(key.alias("__key"))
        self._complain_of_keys(frame, names, ids.is_broken(parts))
        frame = faults.put(frame, self.found)
        lists = {column.partition(".")[0] for column in self.used}
        kept = [name for name in sorted(frame.columns) if name in {*self.used, *lists, "__rest", "__faults"}]
        ordered = frame[["__user", "__key", *kept]]
        kinds = self._kinds(ordered)
        return SourceRows(ordered, self.count, self.filtered, self.expanded, self.folded, kinds=kinds)

    def _complain_of_keys(self, frame: pl.DataFrame, names: Sequence[str], is_broken: pl.Series) -> None:
        if is_broken.any():
            broken, note = frame.filter(is_broken), "a part of the key is null or holds U+001F"
            self.found += faults.of(broken, names[-1], "key", broken["__key"], note)
        if frame["__key"].n_unique() < frame.height:
            twice = frame.filter(pl.col("__key").is_duplicated() & ~is_broken)
            self.found += faults.of(twice, names[-1], "key", twice["__key"], "the key comes several times")

    def _kinds(self, frame: pl.DataFrame) -> dict[str, Kind]:
        """What columns are declared as that had to be read as text."""
        found, schema = {}, frame.schema
        for name in self.used:
            join, _, column = name.rpartition(".")
            source = self.source.joins.get(join) if join else self.source
            table = None if source is None or source.pivot else self.reading.legacy.tables.get(_only_table(source))
            declared = table.columns.get(column) if table else None
            if declared is not None and declared.kind in columns.PLAIN and _is_text(schema, name):
                found[str(name)] = declared.kind
        return found


def _only_table(source: Source | Join) -> str:
    if isinstance(source, Join):
        return str(source.tables[0]) if len(source.tables) == 1 else ""
    return str(source.table)


def _is_text(schema: pl.Schema, name: str) -> bool:
    """Whether a column holds text, also one that stands in lists, as those of a `many` join and of a group do."""
    join, _, column = name.rpartition(".")
    type_ = schema.get(name) or schema.get(join)
    inner = type_.inner if isinstance(type_, pl.List) else type_
    if isinstance(inner, pl.Struct):
        return any(part.name == column and part.dtype == pl.String for part in inner.fields)
    return inner == pl.String


def _split(where: Predicate) -> tuple[Predicate, Predicate]:
    """What can be asked before the joins, and what only after them."""
    late = tuple(test for test in where.tests if _is_late(Predicate((test,))))
    early = tuple(test for test in where.tests if test not in late)
    if _is_late(Predicate(any=where.any)):
        return Predicate(early), Predicate(late, where.any)
    return Predicate(early, where.any), Predicate(late)


def _is_late(where: Predicate) -> bool:
    return any("." in column for column in uses.predicate(where))
