"""What becomes of what the new system has changed when its users go back: the policies, and what came of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from migrator.flows.undoing.since import Since
from migrator.mapping.backward.differing import Differing
from migrator.mapping.model import MappingSet

BLOCK, CARRY_BACK, MERGE, FORCE = "block", "carry_back", "merge", "force"


@dataclass
class Told:
    """
    Who went back, why others did not, and what was carried or given up.

    `carried`: per legacy table rows updated, inserted, deleted. `given_up`: changes per MAPPING.COLUMN, rows per MAPPING
    or table. `removed`, `restored`: rows per table of the target. `before`: users whose changes were carried by an
    attempt that was cut off.
    """

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    carried: dict[str, dict[str, int]] = field(default_factory=dict)
    given_up: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    before: int = 0

    def add(self, other: Told) -> None:
        """Take in what was done with others."""
        self.done += other.done
        self.refused |= other.refused
        self.before += other.before
        add_rows(self.carried, other.carried)
        for mine, theirs in (
            (self.given_up, other.given_up),
            (self.removed, other.removed),
            (self.restored, other.restored),
        ):
            add_counts(mine, theirs)

    def as_json(self) -> dict[str, Any]:
        """Counts; nobody is named."""
        return {
            "restored": len(self.done),
            "refused": len(self.refused),
            "carried": self.carried,
            "given_up": self.given_up,
            "carried_before": self.before,
        }


def add_rows(mine: dict[str, dict[str, int]], theirs: dict[str, dict[str, int]]) -> None:
    """Add up rows per table and kind."""
    for table, rows in theirs.items():
        add_counts(mine.setdefault(table, {}), rows)


def add_counts(mine: dict[str, int], theirs: dict[str, int]) -> None:
    """Add up."""
    for name, count in theirs.items():
        mine[name] = mine.get(name, 0) + count


def given_up(seen: Since, set_: MappingSet) -> dict[str, int]:
    """All that the new system has done, where all of it is given up."""
    found: dict[str, int] = {}
    for name, rows in seen.written.items():
        table = seen.tables[set_.mappings[name].target.table]
        differing = Differing.of(rows, seen.now[name], table)
        for column, cells in differing.cells():
            found[f"{name}.{column}"] = cells.height
        for what, part in (("made", differing.made), ("removed", differing.gone)):
            if part.height:
                found[f"{name} (rows {what})"] = part.height
    for table_name in seen.strangers:
        if seen.whole[table_name].height:
            found[f"{table_name} (rows nobody maps)"] = seen.whole[table_name].height
    return found
