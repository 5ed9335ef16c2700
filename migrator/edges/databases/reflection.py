"""What all dialects share when they look at their tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migrator.edges.databases.own import PREFIX


def is_own(table: str) -> bool:
    """Say whether *table* is one of the migrator's own."""
    return table.startswith(PREFIX)


def column_lists(lists: Iterable[Sequence[str | None]]) -> tuple[tuple[str, ...], ...]:
    """Keep each list of columns once; one with an expression in it names no columns and is left out."""
    named = (tuple(name for name in columns if name is not None) for columns in lists if all(columns))
    return tuple(dict.fromkeys(columns for columns in named if columns))
