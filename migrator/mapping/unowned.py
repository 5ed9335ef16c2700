"""Legacy rows that belong to no user, and rows of excluded ones: counted once; those that move get an owner."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from migrator.mapping import joins, nobody, people, users, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.nobody import Divided, Parents
from migrator.mapping.outcome import Context
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema

_SAMPLE = 5


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
) -> Unowned:
    """
    Count the rows of *mapping*'s source that belong to nobody, and where they move, say whose each is.

    Args:
        parents: The rows of nobody of the mappings before this one; None leaves the owners out.

    Cost:
        Reads key and user of the whole source, and the whole of the joins its user stands behind.
    """
    if mapping.source.table == people.EVERYBODY:
        return Unowned(0, 0)
    moves = parents is not None and nobody.moves(mapping)
    names = uses.names_read(set_, legacy) if moves and uses.asks_unread(mapping.source) else frozenset[str]()
    reading = Reading(legacy, fetch, mapping.source.null_if, context, names)
    frame = _owners(mapping, reading, _dividing(set_, mapping) if moves else [])
    known = _known(mapping, set_, legacy, fetch, context)
    none = mapping.source.without_user
    stands_for_none = [columns.literal_text(value) for value in none.values] if none else []
    owner = pl.col("__owner")
    is_null = owner.is_null() | owner.is_in([text for text in stands_for_none if text is not None])
    told = frame.with_columns(is_null.alias("__null"), owner.is_in(known["key"].implode()).alias("__known"))
    told = told.with_columns(pl.col("__known").fill_null(False) & ~pl.col("__null"))
    lost = told.filter(~pl.col("__known"))
    excluded = known.filter("excluded")["key"]
    divided = None
    if parents is not None and moves:
        divided = nobody.divide(set_, mapping, lost, reading.mask(mapping.source.where, lost), parents)
    return Unowned(
        null=int(told["__null"].sum()),
        unknown=int((~told["__null"] & ~told["__known"]).sum()),
        sample=tuple(columns.text(lost[_shown_key(mapping, lost)].head(_SAMPLE)).to_list()),
        excluded=told.filter(pl.col("__known") & owner.is_in(excluded.implode())).height,
        rows=told.height,
        divided=divided,
    )


def _known(mapping: Mapping, set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None) -> pl.DataFrame:
    """`key`, as the user column of *mapping* holds it, of everybody, and who is `excluded`."""
    if not set_.set.also or context is None or context.records is None:
        return users.users(set_, legacy, fetch, context)
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
