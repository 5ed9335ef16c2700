"""The people of all sources as they are read, with what each way of `same` says of them."""

from __future__ import annotations

import polars as pl

from migrator.mapping import people, users
from migrator.mapping import values as columns
from migrator.mapping.identity import Claims, Silo
from migrator.mapping.joins import Fetch, Reading
from migrator.mapping.model import Also, MappingSet, Predicate, Way
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Schema


def read(set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None = None) -> list[Silo]:
    """
    Read the people of every source, those of the users first.

    Cost:
        The people's tables as a whole, and the link tables.
    """
    main = people.main_name(set_.set)
    first = Silo(main, users.told(set_.set.users, set_, legacy, fetch, context))
    return [first, *(_silo(also, set_, legacy, fetch, context) for also in set_.set.also.values())]


def _silo(also: Also, set_: MappingSet, legacy: Schema, fetch: Fetch, context: Context | None) -> Silo:
    ids = [way.column for way in also.same if way.how == "id"]
    told = users.told(also.who, set_, legacy, fetch, context, ids)
    reading = Reading(legacy, fetch, set_.set.null_if, context)
    main = people.main_name(set_.set)
    claims = tuple(_claims(way, main, told, reading) for way in also.same)
    return Silo(also.name, told, claims, also.several)


def _claims(way: Way, main: str, told: pl.DataFrame, reading: Reading) -> Claims:
    of = str(way.of) if way.of else main
    if way.how == "id":
        pairs = told.select(pl.col("key").alias("record"), pl.col(users.named(way.column)).alias("other"))
        return Claims("id", of, pairs.drop_nulls().unique())
    if way.how == "link":
        rows = reading.rows(way.table, [way.record, way.column], Predicate(), None)
        pairs = pl.DataFrame(
            {"record": columns.text(rows[str(way.record)]), "other": columns.text(rows[str(way.column)])}
        )
        return Claims("link", of, pairs.drop_nulls().unique())
    return Claims("email")
