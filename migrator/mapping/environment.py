"""What a step may know beside its values: the plan, the files of the set, and where other rows are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from migrator.mapping.custom import Function
from migrator.mapping.outcome import Context
from migrator.mapping.values import Values


class Lookups(Protocol):
    """Where the ids of other rows come from; a value not found is null and marked `missing`."""

    def parent(self, mapping: str, parts: Sequence[Values]) -> Values:
        """The ids of rows of the same users in another mapping."""

    def of(self, users: pl.Series) -> Lookups:
        """Return the same for other rows, whose users are given."""

    def reference(self, table: str, columns: Sequence[str], take: str, parts: Sequence[Values]) -> Values:
        """One column of the one row of a reference table whose *columns* equal *parts*."""


@dataclass(frozen=True, slots=True)
class Env:
    """
    The surroundings of one step.

    `labels` are the names of the columns a step gets, for its warnings; `scale` the digits behind the point that the
    target column holds; `functions` the project's own code by `MODULE:FUNCTION`.
    """

    context: Context
    files: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = field(default_factory=dict)
    lookups: Lookups | None = None
    labels: tuple[str, ...] = ()
    scale: int | None = None
    functions: Mapping[str, Function] = field(default_factory=dict)

    def literal(self, value: Any) -> Any:
        """Put the plan in the place of `$plan.x`."""
        if value == "$plan.as_of":
            return self.context.as_of
        return self.context.plan_id if value == "$plan.id" else value
