"""What one mapping is put together from: its two tables, the candidates, and the source as far as it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.mapping.proposing import columns, people, pivots, words
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.ground import Ground
from migrator.mapping.schema import Column, Kind, Table

MOMENT = Column("moment", Kind.TIMESTAMP)
_NEAR = 0.6


@dataclass(eq=False)
class Bench:
    """
    The work on one target table.

    `pairs`: target table -> legacy table, `names`: target table -> its mapping, of all. `source` and `joins` are
    written as the work goes on; `grouped` where many legacy rows become one, `unnested` where one becomes many.
    """

    ground: Ground
    ours: Table
    theirs: str
    pairs: Mapping[str, str]
    names: Mapping[str, str]
    source: dict[str, Any] = field(default_factory=dict)
    joins: dict[str, Any] = field(default_factory=dict)
    user: str = ""
    grouped: bool = False
    unnested: str | None = None

    @property
    def way(self) -> people.Way:
        """How the legacy table leads to its user."""
        return self.ground.ways[self.theirs]

    @property
    def pivot(self) -> pivots.Names | None:
        """The legacy table is nothing but names and values."""
        return self.ground.pivot_alone(self.theirs)

    @property
    def candidates(self) -> list[Candidate]:
        """Columns that a field may be made of."""
        return self.ground.candidates(self.theirs)

    def leading(self) -> set[str]:
        """Columns that lead elsewhere are told by lookups; the users' own key may be a number of its own."""
        return {name for name in (self.way.column, self.way.on) if name and name != self.ground.users_key}

    def moments(self) -> list[Candidate]:
        """Own columns that hold a time."""
        return [one for one in self.candidates if one.join is None and columns.fits(MOMENT, one.seen) == 1]

    def nearest(self, name: str, *, whole: bool = False) -> Candidate | None:
        """The column that says most nearly what *name* says, whatever its type; *whole*: the table's words count."""
        wanted = words.words(name)

        def likely(one: Candidate) -> float:
            around = () if whole else one.around
            return words.likeness(wanted, one.words, around) if not one.seen.empty else 0.0

        best = max(self.candidates, key=likely, default=None)
        return best if best is not None and likely(best) >= _NEAR else None


def listed(value: Any) -> list[Any]:
    """One or several, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def refs(rule: Any, join: str) -> Iterable[str]:
    """Every COLUMN of a join that a rule names."""
    if isinstance(rule, Mapping):
        for value in rule.values():
            yield from refs(value, join)
    elif isinstance(rule, list | tuple):
        for value in rule:
            yield from refs(value, join)
    elif isinstance(rule, str) and rule.startswith(f"{join}."):
        yield rule
