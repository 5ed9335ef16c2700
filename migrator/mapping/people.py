"""Whose key a user column holds, and which user that is: the one place where records of several sources become users."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from migrator.errors import Refused
from migrator.mapping.identities import known_by
from migrator.mapping.model import Mapping, MappingSet, UserSet
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Column, Kind, Schema, Table

#: The table that no database has: one row per user of the plan, whichever source knows him.
EVERYBODY = "$users"
#: Its one column: the key of the user.
USER = "user"


def main_name(users: UserSet) -> str:
    """How the records of the users themselves are called: as their database, or plainly `users`."""
    database, dot, _ = users.users.table.partition(".")
    return database if dot and users.also else "users"


def named(users: UserSet, table: str, said: str | None = None) -> str:
    """
    Say whose keys a user column of *table* holds: *said*, or what goes without saying.

    That is: those of the table itself if it is one of people; else those of the people of its database; else the users'.
    """
    if said is not None:
        return str(said)
    if table == EVERYBODY:
        return EVERYBODY
    main = main_name(users)
    tables = {main: users.users.table, **{name: also.who.table for name, also in users.also.items()}}
    for name, theirs in tables.items():
        if theirs == table:
            return name
    return next((name for name, theirs in tables.items() if database(theirs) == database(table)), main)


def is_users(users: UserSet, name: str) -> bool:
    """Whether keys of *name* are the keys of users as they stand."""
    return name in (EVERYBODY, main_name(users))


def of_mapping(users: UserSet, mapping: Mapping) -> str:
    """Whose keys the user column of *mapping* holds."""
    return named(users, mapping.source.table, mapping.source.user_of)


def parents_by_user(set_: MappingSet, mapping: Mapping) -> frozenset[str]:
    """The mappings with one row per user that *mapping* finds by its user, because its user column holds other keys."""
    if is_users(set_.set, of_mapping(set_.set, mapping)):
        return frozenset()
    return frozenset(
        name
        for name, parent in set_.mappings.items()
        if known_by(parent) == parent.source.user and is_users(set_.set, of_mapping(set_.set, parent))
    )


def with_everybody(legacy: Schema) -> Schema:
    """The same schema with the table of all users in it."""
    table = Table(EVERYBODY, {USER: Column(USER, Kind.TEXT, nullable=False, declared="text")}, key=(USER,))
    return replace(legacy, tables={**legacy.tables, EVERYBODY: table})


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """
    Which record of which source is which user.

    `records` (`source`, `record_key`, `user_key`) is None where there is one source: a record's key is the user's.
    """

    users: UserSet
    records: pl.DataFrame | None = None

    @classmethod
    def of(cls, set_: MappingSet, context: Context | None) -> People:
        """
        As far as *context* knows them.

        Raises:
            Refused: there are several sources, and the records of these users were not read.
        """
        if not set_.set.also:
            return cls(set_.set)
        if context is None or context.records is None:
            raise Refused("the records of these users were not read; this is a defect of the caller")
        return cls(set_.set, context.records)

    def users_of(self, name: str, keys: pl.Series) -> pl.Series:
        """The users with these record keys; null where nobody has it."""
        mine = self._records(name)
        if mine is None:
            return keys
        asked = pl.DataFrame({"record_key": keys})
        return asked.join(mine, on="record_key", how="left", maintain_order="left")["user_key"]

    def records_of(self, name: str, users: pl.Series) -> pl.Series:
        """The keys of the records that these users have."""
        mine = self._records(name)
        return users if mine is None else mine.filter(pl.col("user_key").is_in(users.implode()))["record_key"]

    def _records(self, name: str) -> pl.DataFrame | None:
        if self.records is None or name == EVERYBODY:
            return None
        return self.records.filter(pl.col("source") == name).select("record_key", "user_key")


def database(table: str) -> str:
    """The name of the legacy database that *table* is in; empty where there is one."""
    return table.partition(".")[0] if "." in table else ""
