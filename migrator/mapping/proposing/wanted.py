"""What a target column is meant to hold, where its type alone does not say so (SQLite has text for most things)."""

from __future__ import annotations

from dataclasses import replace

from migrator.mapping.proposing import words
from migrator.mapping.schema import Column, Kind

_DOCUMENTS = frozenset(
    {"settings", "preferences", "metadata", "properties", "items", "lines", "options", "attributes"}
    | {"shipping", "billing", "payload", "extra", "details"}
)
_MOMENT = ("at", "on", "time", "timestamp", "datetime")


def meant(column: Column) -> Column:
    """The same column with the kind it is meant to have, and the words it may hold in `values`."""
    if column.kind is not Kind.TEXT:
        return column
    if column.allowed:
        return replace(column, kind=Kind.ENUM, values=column.allowed)
    if column.length is None and words.words(column.name)[-1:] and words.words(column.name)[-1] in _MOMENT:
        return replace(column, kind=Kind.TIMESTAMP)
    if column.length is None and column.name.lower() in _DOCUMENTS:
        return replace(column, kind=Kind.JSON)
    return column
