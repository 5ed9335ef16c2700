"""What takes a wanted value back through one step of a mapping; `lenses.py` has one for each step that can be reversed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values


class Parents(Protocol):
    """Which legacy rows stand behind rows of the target."""

    def keys(self, mapping: str, ids: pl.Series, users: pl.Series) -> list[Values]:
        """The legacy key, part by part, of the rows of *mapping* with these ids; null where these users have no such row."""


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What a lens may know beside the values: whose they are, and as what legacy keeps the column (None: it is not one)."""

    env: Env
    users: pl.Series
    parents: Parents
    kind: Kind | None = None


Put = Callable[[Values, Sequence[Values], Any, Around], tuple[Values, ...]]


@dataclass(frozen=True, slots=True)
class Lens:
    """
    The way back through one step.

    `put(wanted, before, args, around)` says what must come into the step so that *wanted* comes out, given what came in
    until now; one column for each that goes in. What cannot be said is `failed`, with a note. It need not look whether
    the step really gives *wanted*: whoever calls does. `only` says in a few words for which values there is a way.
    """

    put: Put
    only: str = ""
    denied: Callable[[Any], str | None] = lambda args: None


def same(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The value itself: the step leaves it as it is, or there is no way back."""
    return (wanted.only(),)
