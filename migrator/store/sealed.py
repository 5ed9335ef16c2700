"""All columns that hold sealed values, for whoever puts another key in the place of the one that sealed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from migrator.store.tables import cases, erasures, mapping_sets, metadata, notices, users, warnings

AT_ONCE = 2000
#: The primary key of a row.
Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One that is sealed; `told_by`: the keyed hash beside it, under which what is sealed is looked up."""

    table: str
    name: str
    told_by: str | None = None


COLUMNS = (
    Column(users.name, "contact", told_by="email_print"),
    Column(cases.name, "value"),
    Column(cases.name, "resolution"),
    Column(warnings.name, "sample"),
    Column(notices.name, "address"),
    Column(notices.name, "variables"),
    Column(erasures.name, "who"),
)


def count(db: sa.Connection) -> int:
    """How many values are sealed."""
    return sum(int(db.scalar(sa.select(sa.func.count(_table(one).c[one.name]))) or 0) for one in COLUMNS)


def after(db: sa.Connection, column: Column, last: Key | None) -> list[tuple[Key, bytes]]:
    """The next sealed values of a column, each with its row, in the order of the rows; an empty list at the end."""
    table = _table(column)
    key, sealed = list(table.primary_key), table.c[column.name]
    query = sa.select(*key, sealed).where(sealed.is_not(None)).order_by(*key).limit(AT_ONCE)
    if last is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*last))
    return [(tuple(row[:-1]), row[-1]) for row in db.execute(query)]


def put(db: sa.Connection, column: Column, values: Mapping[Key, bytes], hashes: Mapping[Key, str | None]) -> None:
    """Write sealed values anew, and the hashes beside them where there are some."""
    if not values:
        return
    table = _table(column)
    key = list(table.primary_key)
    mine = [one == sa.bindparam(f"k{place}") for place, one in enumerate(key)]
    change: dict[str, Any] = {column.name: sa.bindparam("sealed")} | (
        {column.told_by: sa.bindparam("print")} if column.told_by else {}
    )
    rows = [
        {f"k{place}": part for place, part in enumerate(row)} | {"sealed": blob, "print": hashes.get(row)}
        for row, blob in values.items()
    ]
    wanted = [row if column.told_by else {name: row[name] for name in row if name != "print"} for row in rows]
    db.execute(sa.update(table).where(*mine).values(**change), wanted)


def sets(db: sa.Connection) -> Iterator[tuple[str, dict[str, str]]]:
    """Every stored mapping set: code in it is sealed, too."""
    yield from (
        (hash_, dict(texts)) for hash_, texts in db.execute(sa.select(mapping_sets.c.hash, mapping_sets.c.texts))
    )


def put_set(db: sa.Connection, hash_: str, texts: Mapping[str, str]) -> None:
    """Store the texts of a set anew."""
    db.execute(sa.update(mapping_sets).where(mapping_sets.c.hash == hash_).values(texts=dict(texts)))


def _table(column: Column) -> sa.Table:
    return metadata.tables[column.table]
