"""What of the table is wanted, as the arguments say."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

#: Every name that `--only` knows.
NAMES = (*(f"P{number}" for number in range(1, 12)), "core", "magento300", "magento")


@dataclass(frozen=True)
class Wanted:
    """Sizes, rounds, parts, and where results are kept."""

    users: int = 100_000
    rounds: int = 3
    only: frozenset[str] = frozenset(NAMES)
    million: bool = True
    batch: int = 5_000
    json: Path | None = None
    plot: Path | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many users `migrator` alone moves: a tenth, as many, and ten times as many."""
        sizes = (max(self.users // 10, 1), self.users, self.users * 10)
        return sizes if self.million else sizes[:2]

    def any(self, *names: str) -> bool:
        """Whether one of these is wanted."""
        return not self.only.isdisjoint(names)


def read(arguments: list[str] | None = None) -> Wanted:
    """Read the command line."""
    reader = argparse.ArgumentParser(
        prog="make bench", description="Measure, check every result, and print figure, limit, ratio and verdict."
    )
    reader.add_argument("--users", type=int, default=100_000, help="users of the comparisons (100,000)")
    reader.add_argument("--rounds", type=int, default=3, help="how often each way is measured; medians count (3)")
    reader.add_argument("--only", type=_names, default=frozenset(NAMES), help=f"a list of {', '.join(NAMES)}")
    reader.add_argument("--without-million", action="store_true", help="leave out ten times the users")
    reader.add_argument("--batch", type=int, default=5_000, help="users per batch (5,000)")
    reader.add_argument("--json", type=Path, help="a file for everything that was measured")
    reader.add_argument("--plot", type=Path, help="a file for the memory of workers as SVG")
    said = reader.parse_args(arguments)
    return Wanted(
        users=said.users, rounds=said.rounds, only=said.only, million=not said.without_million, batch=said.batch,
        json=said.json, plot=said.plot,
    )  # fmt: skip


def _names(text: str) -> frozenset[str]:
    known = {name.lower(): name for name in NAMES}
    asked = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in asked if name.lower() not in known]
    if unknown or not asked:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown) or 'name'}; there are {', '.join(NAMES)}")
    return frozenset(known[name.lower()] for name in asked)
