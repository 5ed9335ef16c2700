"""Legacy rows that belong to no user, and rows of excluded ones: counted once, read by no batch."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from migrator.mapping import joins, users, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema

_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Unowned:
    """
    Rows of one source that no batch reads: `null` without a user, `unknown` with one that is no key of `users`.

    `sample` are keys of such rows. `excluded` counts rows of users whom `users.where` leaves out: they have an owner.
    """

    null: int
    unknown: int
    sample: tuple[str, ...] = ()
    excluded: int = 0

    @property
    def count(self) -> int:
        """All rows of nobody."""
        return self.null + self.unknown


def unowned(
    mapping: Mapping, set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None = None
) -> Unowned:
    """
    Count the rows of *mapping*'s source that belong to nobody.

    Cost:
        Reads key and user of the whole source, and the whole of the joins its user stands behind.
    """
    frame = _owners(mapping, legacy, fetch)
    known = users.users(set_, legacy, fetch, context)
    none = mapping.source.without_user
    nobody = [columns.literal_text(value) for value in none.values] if none else []
    owner = pl.col("owner")
    is_null = owner.is_null() | owner.is_in([text for text in nobody if text is not None])
    told = frame.with_columns(is_null.alias("null"), owner.is_in(known["key"].implode()).alias("known"))
    told = told.with_columns(pl.col("known").fill_null(False) & ~pl.col("null"))
    lost = told.filter(~pl.col("known"))
    excluded = known.filter("excluded")["key"]
    return Unowned(
        null=int(told["null"].sum()),
        unknown=int((~told["null"] & ~told["known"]).sum()),
        sample=tuple(lost["key"].head(_SAMPLE).to_list()),
        excluded=told.filter(pl.col("known") & owner.is_in(excluded.implode())).height,
    )


def _owners(mapping: Mapping, legacy: Schema, fetch: Fetch) -> pl.DataFrame:
    """`key` and `owner` of every row of the source, in the order of the key."""
    source = mapping.source
    reading = Reading(legacy, fetch, source.null_if, None)
    behind = [
        join for join in source.joins.values() if any(name.startswith(f"{join.name}.") for name in _needed(mapping))
    ]
    table = legacy.tables[str(source.table)]
    wanted = [*source.key, *source.user, *(ours for join in behind for _, ours in join.match)]
    plain = tuple(dict.fromkeys(str(name) for name in wanted if str(name) in table.columns))
    frame = reading.nulled(fetch(Query(table.name, plain)))
    frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
    for join in behind:
        frame, _ = joins.attach(frame, join, uses.of_join(_needed(mapping), join.name), reading, everything=True)
    owners = [columns.text(frame[str(name)]).alias(str(place)) for place, name in enumerate(source.user)]
    owner = pl.DataFrame(owners).select(pl.coalesce(pl.all())).to_series()
    key = next((str(name) for name in source.key if str(name) in table.columns), plain[0])
    return frame.with_columns(owner.alias("owner")).sort(key).select(pl.col(key).cast(pl.String).alias("key"), "owner")


def _needed(mapping: Mapping) -> list[str]:
    """The COLUMNs on the way from a source row to its user."""
    needed = [str(name) for name in mapping.source.user]
    for join in reversed(mapping.source.joins.values()):
        if any(name.startswith(f"{join.name}.") for name in needed):
            needed += [str(ours) for _, ours in join.match]
    return list(dict.fromkeys(needed))
