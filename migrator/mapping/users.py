"""Who the users are: every row of `users.table`, and of the tables under `also`, with what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from migrator.mapping import joins, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import MappingSet, Predicate, Users
from migrator.mapping.outcome import Context
from migrator.mapping.query import Among, Query
from migrator.mapping.schema import Schema


def users(set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None = None) -> pl.DataFrame:
    """
    Read who the users are.

    Returns:
        One row per row of `users.table`, in the order of the key: `key`, `email`, `name`, `locale` (text, null), and
        `excluded` where `users.where` does not hold.
    """
    return told(set_.set.users, set_, legacy, fetch, context).drop("verified")


def told(
    who: Users,
    set_: MappingSet,
    legacy: Schema,
    fetch: Fetch,
    context: Context | None = None,
    more: Sequence[str] = (),
    among: pl.Series | None = None,
) -> pl.DataFrame:
    """
    Read the people of one table.

    Args:
        more: Other COLUMNs that are wanted.
        among: The keys of those who are wanted; None: everybody.

    Returns:
        As `users`, with `verified` (the e-mail address is known to be the person's own) and *more* as text, each as `of COLUMN`.
    """
    shown = [column for column in (who.email, who.name, who.locale) if column]
    asked = [*uses.predicate(who.where), *uses.predicate(who.verified or Predicate())]
    used = sorted({str(column) for column in (who.key, *shown, *asked, *more)})
    used += [str(column) for join in who.joins.values() for _, column in join.match if column not in used]
    reading = Reading(legacy, fetch, set_.set.null_if, context)
    table = legacy.tables[str(who.table)]
    plain = dict.fromkeys(column for column in used if "." not in column)
    asked_for = None if among is None else Among(who.key, among)
    frame = fetch(Query(table.name, tuple(plain), among=asked_for)).sort(str(who.key))
    keys = columns.text(frame[str(who.key)])  # the key is never made null
    frame = reading.nulled(frame).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__row"))
    for join in who.joins.values():
        frame, _ = joins.attach(frame, join, uses.of_join(used, join.name), reading, everything=among is None)
    excluded = ~reading.mask(who.where, frame)
    nowhere = columns.none(frame.height)
    verified = nowhere if who.verified is None else reading.mask(who.verified, frame)
    said = {"email": who.email, "name": who.name, "locale": who.locale, **{named(name): name for name in more}}
    texts = {name: _text_of(frame, column) for name, column in said.items()}
    return pl.DataFrame({"key": keys, **texts, "excluded": excluded, "verified": verified}).drop_nulls("key")


def named(column: str) -> str:
    """How one of *more* is called beside `name` and `email`."""
    return f"of {column}"


def _text_of(frame: pl.DataFrame, column: str | None) -> pl.Series:
    if column is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    return columns.text(frame[str(column)])
