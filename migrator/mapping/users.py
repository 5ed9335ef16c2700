"""Who the users are: every row of `users.table`, with what is told of them."""

from __future__ import annotations

import polars as pl

from migrator.mapping import joins, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema


def users(set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None = None) -> pl.DataFrame:
    """
    Read who the users are.

    Returns:
        One row per row of `users.table`, in the order of the key: `key`, `email`, `name`, `locale` (text, null), and
        `excluded` where `users.where` does not hold.
    """
    who = set_.set.users
    told = [column for column in (who.email, who.name, who.locale) if column]
    used = sorted({str(column) for column in (who.key, *told, *uses.predicate(who.where))})
    used += [str(column) for join in who.joins.values() for _, column in join.match if column not in used]
    reading = Reading(legacy, fetch, set_.set.null_if, context)
    table = legacy.tables[str(who.table)]
    plain = dict.fromkeys(column for column in used if "." not in column)
    frame = fetch(Query(table.name, tuple(plain))).sort(str(who.key))
    keys = columns.text(frame[str(who.key)])  # the key is never made null
    frame = reading.nulled(frame).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
    for join in who.joins.values():
        frame, _ = joins.attach(frame, join, uses.of_join(used, join.name), reading, everything=True)
    kept = reading.mask(who.where, frame)
    said = {name: _text_of(frame, column) for name, column in _told(set_).items()}
    return pl.DataFrame({"key": keys, **said, "excluded": ~kept}).drop_nulls("key")


def _told(set_: MappingSet) -> dict[str, str | None]:
    who = set_.set.users
    return {"email": who.email, "name": who.name, "locale": who.locale}


def _text_of(frame: pl.DataFrame, column: str | None) -> pl.Series:
    if column is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    return columns.text(frame[str(column)])
