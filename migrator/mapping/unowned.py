"""Legacy rows that belong to no user, and rows of excluded ones: counted once; those that move get an owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from migrator.mapping import joins, nobody, people, users, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.nobody import Divided, Parents
from migrator.mapping.outcome import Context
from migrator.mapping.query import Among, Query
from migrator.mapping.schema import Kind, Schema

_SAMPLE = 5


class Tallying(Protocol):
    """A database that counts."""

    def count(self, query: Query) -> int:
        """How many rows *query* has."""

    def tally(self, query: Query, by: str) -> pl.DataFrame:
        """How many rows *query* has (`count`) per value of *by*."""


@dataclass(frozen=True, slots=True)
class Unowned:
    """
    Rows of one source that belong to nobody: `null` without a user, `unknown` with one that is no key of `users`.

    `sample` are keys of such rows. `rows` is how many rows the source has, whoever they belong to; `excluded` counts rows of users whom `users.where` leaves out: they have an owner.
    `divided` says what becomes of the rows of nobody where they move.
    """

    null: int
    unknown: int
    sample: tuple[str, ...] = ()
    excluded: int = 0
    rows: int = 0
    divided: Divided | None = None

    @property
    def count(self) -> int:
        """All rows of nobody."""
        return self.null + self.unknown


def unowned(
    mapping: Mapping,
    set_: MappingSet,
    legacy: Schema,
    fetch: Fetch,
    context: Context | None = None,
    parents: Parents | None = None,
    everybody: pl.DataFrame | None = None,
    tallying: Tallying | None = None,
) -> Unowned:
    """
    Count the rows of *mapping*'s source that belong to nobody, and where they move, say whose each is.

    Args:
        parents: The rows of nobody of the mappings before this one; None leaves the owners out.
        everybody: `key` and `excluded` of all users, where they were read already.
        tallying: Counts rows in the database.

    Cost:
        One row per user and source where the database can count and no row moves, nor has to be shown. Else reads key
        and user of the whole source, and the whole of the joins its user stands behind.
    """
    if mapping.source.table == people.EVERYBODY:
        return Unowned(0, 0)
    moves = parents is not None and nobody.moves(mapping)
    known = _known(mapping, set_, legacy, fetch, context, everybody)
    counted = None if moves or tallying is None else _tallied(mapping, set_, legacy, fetch, tallying, known)
    if counted is not None and (not counted.count or mapping.source.without_user is not None):
        return counted
    names = uses.names_read(set_, legacy) if moves and uses.asks_unread(mapping.source) else frozenset[str]()
    reading = Reading(legacy, fetch, mapping.source.null_if, context, names)
    told = _told(mapping, _owners(mapping, reading, _dividing(set_, mapping) if moves else []), known)
    lost = told.filter(~pl.col("__known"))
    divided = None
    if parents is not None and moves:
        divided = nobody.divide(set_, mapping, lost, reading.mask(mapping.source.where, lost), parents)
    return Unowned(
        null=int(told["__null"].sum()),
        unknown=int((~told["__null"] & ~told["__known"]).sum()),
        sample=tuple(columns.text(lost[_shown_key(mapping, lost)].head(_SAMPLE)).to_list()),
        excluded=int(told["__excluded"].sum()),
        rows=told.height,
        divided=divided,
    )


def _told(mapping: Mapping, frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows with `__owner`, and whether he is `__null`, `__known`, `__excluded`."""
    none = mapping.source.without_user
    stands_for_none = [columns.literal_text(value) for value in none.values] if none else []
    owner = pl.col("__owner")
    is_null = owner.is_null() | owner.is_in([text for text in stands_for_none if text is not None])
    told = frame.with_columns(is_null.alias("__null"), owner.is_in(known["key"].implode()).alias("__known"))
    told = told.with_columns(pl.col("__known").fill_null(False) & ~pl.col("__null"))
    excluded = known.filter("excluded")["key"]
    return told.with_columns((pl.col("__known") & owner.is_in(excluded.implode())).fill_null(False).alias("__excluded"))


def _tallied(
    mapping: Mapping, set_: MappingSet, legacy: Schema, fetch: Fetch, tallying: Tallying, known: pl.DataFrame
) -> Unowned | None:
    """The same from rows that the database counted per owner; None where it cannot say whose a row is."""
    found = _per_owner(mapping, set_, legacy, fetch, tallying, known)
    if found is None:
        return None
    told = _told(mapping, found, known)
    rows = pl.col("__rows")
    null, lost, excluded = (
        int(told.filter(mask)["__rows"].sum()) for mask in (pl.col("__null"), ~pl.col("__known"), pl.col("__excluded"))
    )
    return Unowned(null=null, unknown=lost - null, excluded=excluded, rows=int(told.select(rows).sum().item()))


def _per_owner(
    mapping: Mapping, set_: MappingSet, legacy: Schema, fetch: Fetch, tallying: Tallying, known: pl.DataFrame
) -> pl.DataFrame | None:
    """`__owner` and how many `__rows` he has; ordinary users may stand as one."""
    source = mapping.source
    table, user = legacy.tables[str(source.table)], str(source.user[0])
    reading = Reading(legacy, fetch, source.null_if, None)
    if len(source.user) > 1:
        return None
    if table.name == set_.set.users.table and user == set_.set.users.key and not (set_.set.also or source.null_if):
        return known.select(pl.col("key").alias("__owner"), pl.lit(1, dtype=pl.Int64).alias("__rows"))
    if "." not in user:
        counted = tallying.tally(Query(table.name, (user,)), user)
        return _by_owner(reading, counted, user, 0)
    via = joins.promised(source, user, legacy)
    return None if via is None else _behind(mapping, Query(table.name, (), via=via), user, reading, tallying, known)


def _behind(
    mapping: Mapping, rows: Query, user: str, reading: Reading, tallying: Tallying, known: pl.DataFrame
) -> pl.DataFrame:
    """
    The same of rows whose user stands in another table.

    Few rows there have no ordinary user, mostly none: only what hangs on those is told apart by owner.
    """
    assert rows.via is not None  # the only caller has found one
    ((column, _),) = rows.via.take
    above = tallying.tally(Query(rows.via.table, (column,)), column)
    told = _told(mapping, _by_owner(reading, above, column, 0), known)
    odd = above.filter(~told["__known"] | told["__excluded"])
    joined = tallying.count(rows)
    without = tallying.count(Query(rows.table, ())) - joined
    is_asked_for = reading.legacy.tables[rows.via.table].columns[column].kind in (Kind.INTEGER, Kind.TEXT)
    if odd[column].null_count() or (odd.height and not is_asked_for):
        return _by_owner(reading, tallying.tally(rows, user), user, without)
    counted = pl.DataFrame(schema={user: odd[column].dtype, "count": pl.Int64})
    if odd.height:
        counted = tallying.tally(replace(rows, among=Among(user, columns.text(odd[column]))), user)
    found = _by_owner(reading, counted, user, without)
    ordinary = told.filter(pl.col("__known") & ~pl.col("__excluded"))["__owner"].head(1)
    rest = pl.DataFrame({"__owner": ordinary, "__rows": [joined - int(counted["count"].sum())] * len(ordinary)})
    return pl.concat([found, rest.cast({"__owner": pl.String, "__rows": pl.Int64})])


def _by_owner(reading: Reading, counted: pl.DataFrame, user: str, without: int) -> pl.DataFrame:
    """Owners as texts; *without*: rows that nothing is joined to."""
    owners = columns.text(reading.nulled(counted.select(user))[user])
    found = pl.DataFrame({"__owner": owners, "__rows": counted["count"]})
    nobody_ = pl.DataFrame({"__owner": [None], "__rows": [without]}, schema=found.schema)
    return pl.concat([found, nobody_]) if without else found


def _known(
    mapping: Mapping,
    set_: MappingSet,
    legacy: Schema,
    fetch: Fetch,
    context: Context | None,
    everybody: pl.DataFrame | None,
) -> pl.DataFrame:
    """`key`, as the user column of *mapping* holds it, of everybody, and who is `excluded`."""
    if not set_.set.also or context is None or context.records is None:
        return users.users(set_, legacy, fetch, context) if everybody is None else everybody
    mine = context.records.filter(pl.col("source") == people.of_mapping(set_.set, mapping))
    return mine.select(pl.col("record_key").alias("key"), "excluded")


def _owners(mapping: Mapping, reading: Reading, more: list[str]) -> pl.DataFrame:
    """Every row of the source with `__owner`, in the order of the key; *more* are other COLUMNs that are wanted."""
    source = mapping.source
    needed = _with_joins(mapping, [*map(str, source.user), *more])
    behind = [join for join in source.joins.values() if any(name.startswith(f"{join.name}.") for name in needed)]
    table = reading.legacy.tables[str(source.table)]
    wanted = [*source.key, *needed]
    plain = tuple(dict.fromkeys(str(name) for name in wanted if str(name) in table.columns))
    frame = reading.nulled(reading.fetch(Query(table.name, plain)))
    frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
    for join in behind:
        frame, _ = joins.attach(frame, join, uses.of_join(needed, join.name), reading, everything=True)
    return frame.with_columns(owner_of(mapping, frame)).sort(_shown_key(mapping, frame))


def owner_of(mapping: Mapping, frame: pl.DataFrame) -> pl.Series:
    """Whose each row is, by the columns that say so: the first that is not null."""
    owners = [columns.text(frame[str(name)]).alias(str(place)) for place, name in enumerate(mapping.source.user)]
    return pl.DataFrame(owners).select(pl.coalesce(pl.all())).to_series().alias("__owner")


def _shown_key(mapping: Mapping, frame: pl.DataFrame) -> str:
    return next((str(name) for name in mapping.source.key if str(name) in frame.columns), frame.columns[0])


def _dividing(set_: MappingSet, mapping: Mapping) -> list[str]:
    """The COLUMNs that say whether a row of nobody is wanted, and whose it is."""
    up = nobody.way(set_, mapping)
    return [*map(str, uses.predicate(mapping.source.where)), *nobody.id_columns(mapping), *(up.by if up else ())]


def _with_joins(mapping: Mapping, names: list[str]) -> list[str]:
    """These COLUMNs and those on the way to them."""
    needed = list(names)
    for join in reversed(mapping.source.joins.values()):
        if any(name.startswith(f"{join.name}.") for name in needed):
            needed += [str(ours) for _, ours in join.match]
    return list(dict.fromkeys(needed))
