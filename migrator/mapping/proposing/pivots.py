"""Names that stand in rows: meta tables and EAV, found by their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from migrator.mapping import values
from migrator.mapping.proposing import words
from migrator.mapping.proposing.facts import MOST_VALUES, Peek, Seen, is_code
from migrator.mapping.proposing.people import Way
from migrator.mapping.schema import Kind, Schema, Table

_VALUE = ("value", "val", "svalue", "meta_value", "content", "data")


@dataclass(frozen=True)
class Names:
    """
    A table (or several alike) of names and values beside rows of `owner` (its `key`).

    `names` are seen by name, each with its values; `table_of` says in which table each is. With a table of names:
    `codes` is that table, `match` its key, `take` the column with the names.
    """

    owner: str
    key: str
    tables: tuple[str, ...]
    match: str
    column: str
    value: str
    names: dict[str, Seen]
    table_of: dict[str, str]
    codes: str | None = None
    codes_key: str | None = None
    codes_take: str | None = None
    order: str | None = None  # a column that tells the newest value of a name


def find(
    legacy: Schema, seen: Mapping[str, Mapping[str, Seen]], ways: Mapping[str, Way], users: str, peek: Peek
) -> list[Names]:
    """Every pivot beside a table that leads to the users; alike tables of one owner are one."""
    found: dict[tuple[str, str, str], Names] = {}
    for table in legacy.tables.values():
        one = _of(legacy, table, seen, ways, users, peek)
        if one is not None:
            shape = (one.owner, one.column, one.value)
            found[shape] = _together(found[shape], one) if shape in found else one
    return list(found.values())


def _of(
    legacy: Schema,
    table: Table,
    seen: Mapping[str, Mapping[str, Seen]],
    ways: Mapping[str, Way],
    users: str,
    peek: Peek,
) -> Names | None:
    mine = seen[table.name]
    value = next((name for name in table.columns if name.lower() in _VALUE), None)
    owner = _owner(legacy, table, ways, users, mine, peek)
    if value is None or owner is None or not mine[value].rows:
        return None
    found = {
        name: coded
        for name in table.columns
        if name not in (value, owner[2], *table.key) and not mine[name].empty
        if (coded := _codes(legacy, table, name, mine[name], peek))
    }
    if not found:
        return None
    # the kind of a thing has few values, its names many
    column = max(found, key=lambda name: (len(found[name][0]), _many(found[name][1][0], peek)))
    said, (codes, codes_key, codes_take) = found[column]
    frame, names = peek.rows(table.name), {}
    for text, called in said.items():
        part = frame.filter(values.text(frame[column]) == text)
        names[called] = Seen.of(table.columns[value], part[value])
    table_of = dict.fromkeys(names, table.name)
    return Names(
        owner[0], owner[1], (table.name,), owner[2], column, value, names, table_of,
        codes, codes_key, codes_take, _order(table, mine),
    )  # fmt: skip


def _many(codes: str | None, peek: Peek) -> int:
    return peek.rows(codes).height if codes else 0


def _owner(
    legacy: Schema, table: Table, ways: Mapping[str, Way], users: str, mine: Mapping[str, Seen], peek: Peek
) -> tuple[str, str, str] | None:
    """(owner, its key, our column)."""
    for key in table.foreign_keys:
        if key.table in ways and len(key.columns) == 1 and legacy.tables[key.table].key == key.references:
            return key.table, key.references[0], key.columns[0]
    way = ways.get(table.name)
    if way is None or table.name == users:
        return None
    if way.column is not None:
        return users, legacy.tables[users].key[0], way.column
    return (way.parent, way.key, way.on) if way.parent and way.key and way.on else None


def _codes(
    legacy: Schema, table: Table, name: str, seen: Seen, peek: Peek
) -> tuple[dict[str, str], tuple[str | None, str | None, str | None]] | None:
    """What each value of a column is called: itself where it is a name, else what a table of names says."""
    few = peek.distinct(table.name, name).drop_nulls()
    if len(few) > MOST_VALUES or len(few) < 1:
        return None
    texts = values.text(few).to_list()
    if seen.column.kind is Kind.TEXT:
        speaks = any(words.means(name, word) for word in ("key", "name", "code")) or name.endswith("key")
        return ({text: text for text in texts}, (None, None, None)) if speaks and all(map(is_code, texts)) else None
    if seen.column.kind is not Kind.INTEGER:
        return None
    for key in table.foreign_keys:
        if key.columns == (name,) and (said := _named(legacy.tables[key.table], key.references[0], few, peek)):
            return said[0], (key.table, key.references[0], said[1])
    return None


def _named(codes: Table, key: str, few: pl.Series, peek: Peek) -> tuple[dict[str, str], str] | None:
    frame = peek.rows(codes.name)
    if key not in frame.columns:
        return None
    mine = frame.filter(values.text(frame[key]).is_in(values.text(few).implode()))
    for name, column in codes.columns.items():
        if column.kind is Kind.TEXT and any(words.means(name, word) for word in ("code", "key")) and mine.height:
            texts = [str(text) for text in mine[name].to_list()]
            if all(map(is_code, texts)) and len(set(texts)) == len(texts) == len(few):
                return dict(zip(values.text(mine[key]).to_list(), texts, strict=True)), name
    return None


def _order(table: Table, mine: Mapping[str, Seen]) -> str | None:
    moments = [name for name in table.columns if words.means(name, "updated") and not mine[name].empty]
    return moments[0] if moments else None


def _together(one: Names, other: Names) -> Names:
    both = {**other.names, **one.names}
    return Names(
        one.owner, one.key, (*one.tables, *other.tables), one.match, one.column, one.value, both,
        {**other.table_of, **one.table_of}, one.codes, one.codes_key, one.codes_take, one.order,
    )  # fmt: skip
