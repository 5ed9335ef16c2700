"""Who the users are in both schemas, and how every other table leads to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrator.mapping.proposing import words
from migrator.mapping.proposing.facts import Peek, Seen
from migrator.mapping.schema import Schema, Table

_PEOPLE = ("user", "customer", "member", "account", "person", "client", "people", "subscriber", "patient", "student")
_MARKS = ("email", "password", "login", "phone", "birth", "registered")
_STAFF = ("admin", "staff", "employee", "operator", "session", "log", "group", "role", "token", "address")
_KNOWN_SHARE = 0.6  # of the values of a column that leads somewhere must be found there


@dataclass(frozen=True, slots=True)
class Way:
    """
    How a legacy table leads to the user: by its own `column`, or by `on` to a row of `parent` (its `key`), which does.

    `loose` where values lead to nobody (0, null, strangers): rows of nobody are there.
    """

    column: str | None = None
    on: str | None = None
    parent: str | None = None
    key: str | None = None
    take: str | None = None
    loose: bool = False
    zero: bool = False


def users_table(legacy: Schema, seen: Mapping[str, Mapping[str, Seen]]) -> str | None:
    """The legacy table that most looks like users: by name, by its columns, and by who points at it."""
    scored = {name: _looks_like_people(legacy, table, seen[name]) for name, table in legacy.tables.items()}
    best = max(scored, key=lambda name: scored[name], default=None)
    return best if best is not None and scored[best] > 0 else None


def _looks_like_people(legacy: Schema, table: Table, seen: Mapping[str, Seen]) -> float:
    rows = max((one.rows for one in seen.values()), default=0)
    if not rows or len(table.key) != 1:
        return 0.0
    parts = words.words(table.name)
    name = max((words.weight(p) for p in parts if p in _PEOPLE), default=0.0) * 3
    staff = 2.0 * sum(part in _STAFF for part in parts)
    marks = sum(any(words.means(column, mark) for column in table.columns) for mark in _MARKS)
    pointing = sum(
        any(key.table == table.name for key in other.foreign_keys)
        or any(column in other.columns for column in (table.key[0], f"{parts[-1]}_id") if column != "id")
        for other in legacy.tables.values()
        if other.name != table.name
    )
    has_mail = 2.0 if any("email" in one.looks for one in seen.values()) else 0.0
    return name + marks + has_mail + min(pointing, 8) * 0.4 - staff - 0.3 * max(0, len(parts) - 2)


def target_root(target: Schema) -> str | None:
    """The target table that most other tables point at, and that looks like people."""

    def score(table: Table) -> float:
        pointed = sum(key.table == table.name for other in target.tables.values() for key in other.foreign_keys)
        parts = words.words(table.name)
        name = any(words.alike(part, word) >= 0.9 for part in parts for word in _PEOPLE)
        marks = sum(any(words.means(column, mark) for column in table.columns) for mark in _MARKS)
        return pointed + 3 * name + marks

    return max(target.tables, key=lambda name: score(target.tables[name]), default=None)


def ways(legacy: Schema, users: str, seen: Mapping[str, Mapping[str, Seen]], peek: Peek) -> dict[str, Way]:
    """How each table that has rows leads to the users, if it does: at once, or over one other table."""
    key = legacy.tables[users].key[0]
    found = {users: Way(column=key)}
    for name, table in legacy.tables.items():
        if name != users and (way := _direct(table, legacy, users, seen[name], peek)):
            found[name] = way
    for name, table in legacy.tables.items():
        if name not in found and (way := _through(table, legacy, found, users, seen[name], peek)):
            found[name] = way
    return found


def _direct(table: Table, legacy: Schema, users: str, seen: Mapping[str, Seen], peek: Peek) -> Way | None:
    key = legacy.tables[users].key[0]
    pointing = [one.columns[0] for one in table.foreign_keys if one.table == users and one.references == (key,)]
    named = [column for column in table.columns if column not in pointing and _names(column, users, key)]
    for column in [*pointing, *sorted(named, key=lambda one: _rank(one, users, key))]:
        share, loose = _known(seen[column], users, key, peek)
        if share >= _KNOWN_SHARE or (column in pointing and share > 0):
            null, zero = peek.nobody(table.name, column)
            return Way(column=column, loose=loose or null or zero, zero=zero)
    return None


def _names(column: str, users: str, key: str) -> bool:
    parts = words.words(column)
    if column == key and key != "id":
        return True
    is_key = parts[-1:] in (("id",), ("uid",), ("userid",)) or "uid" in parts
    return is_key and any(
        part in ("user", "customer", "member", "account", "uid", "owner", "subject") for part in parts
    )


def _rank(column: str, users: str, key: str) -> tuple[bool, int]:
    own = set(words.words(users))
    return column != key and not own & set(words.words(column)), len(column)


def _known(seen: Seen, table: str, key: str, peek: Peek) -> tuple[float, bool]:
    """Which share of the different values is known there (0 is nobody), and whether some are not."""
    keys = seen.texts.unique()
    asked = keys.filter(keys != "0")
    if not len(asked):
        return 0.0, True
    share = peek.known(table, key, asked) / len(asked)
    return share, share < 1


def _through(
    table: Table, legacy: Schema, found: Mapping[str, Way], users: str, seen: Mapping[str, Seen], peek: Peek
) -> Way | None:
    for parent in found:
        way, its = found[parent], legacy.tables[parent]
        if parent == users or way.column is None or len(its.key) != 1:
            continue
        for column in _leading(table, its, users):
            share, loose = _known(seen[column], parent, its.key[0], peek)
            if share >= _KNOWN_SHARE:
                return Way(
                    on=column, parent=parent, key=its.key[0], take=way.column, loose=loose or way.loose, zero=way.zero
                )
    return None


def _leading(table: Table, parent: Table, users: str) -> Sequence[str]:
    """Columns that name a row of *parent*: by foreign key, or by name."""
    pointing = [one.columns[0] for one in table.foreign_keys if one.table == parent.name and len(one.columns) == 1]
    key = parent.key[0]
    last = words.words(parent.name)[-1:]
    alike = [
        name
        for name, column in table.columns.items()
        if column.kind is parent.columns[key].kind
        and table.key != (name,)
        and not _names(name, users, "")
        and ((name == key and key not in ("id", "entity_id")) or words.words(name) == (*last, "id"))
    ]
    return list(dict.fromkeys([*pointing, *alike]))
