"""One line of the table: what was measured, the limit it must stay under, the verdict; or why it was not measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEAD = f"{'what':<52}{'figure':>10}    {'limit':>8}{'ratio':>7}  verdict   about"


@dataclass(frozen=True)
class Figure:
    """Without a limit it is only told."""

    name: str
    value: float
    limit: float | None = None
    about: str = ""
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """How much of the limit is used."""
        return None if self.limit is None else self.value / self.limit

    @property
    def verdict(self) -> str:
        """`ok`, `OVER`, or nothing where there is no limit."""
        return "" if self.ratio is None else "ok" if self.ratio <= 1 else "OVER"

    def __str__(self) -> str:
        value = f"{self.value:10,.2f}" if self.value < 1000 else f"{self.value:10,.0f}"
        limit = "       -" if self.limit is None else f"{self.limit:8,.2f}"
        ratio = "      -" if self.ratio is None else f"{self.ratio:7.2f}"
        return f"{self.name:<52}{value} {self.unit:<3}{limit}{ratio}  {self.verdict:<9} {self.about}".rstrip()


@dataclass(frozen=True)
class Missing:
    """What could not be measured here, and what it lacks."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name:<52}{'-':>10}    {'-':>8}{'-':>7}  {'':<9} {self.reason}"


Line = Figure | Missing


@dataclass
class Report:
    """All lines so far, printed as they come; what else is worth keeping goes into `details`."""

    say: Callable[[str], None]
    lines: list[Line] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Print and keep."""
        self.say(str(line))
        self.lines.append(line)

    @property
    def over(self) -> Sequence[Figure]:
        """The figures that crossed their limit."""
        return [line for line in self.lines if isinstance(line, Figure) and line.verdict == "OVER"]

    def table(self) -> str:
        """All lines again, in the order of their names where they are P1 to P11."""
        ordered = sorted(self.lines, key=_place)
        return "\n".join([HEAD, *map(str, ordered)])

    def as_json(self) -> str:
        """For machines."""
        lines = [
            {**asdict(line), "ratio": line.ratio, "verdict": line.verdict} if isinstance(line, Figure) else asdict(line)
            for line in self.lines
        ]
        return json.dumps({**self.details, "figures": lines}, indent=2, default=str, ensure_ascii=False)


def _place(line: Line) -> int:
    word = line.name.split()[0]
    return int(word[1:]) if word[0] == "P" and word[1:].isdigit() else 99
