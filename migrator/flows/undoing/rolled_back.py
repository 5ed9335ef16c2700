"""What a rollback did, or would do: counts for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.flows import portions
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.flows.undoing.judging import mine_of, split
from migrator.flows.undoing.policies import BLOCK, Told, add_counts, add_rows
from migrator.mapping import nobody
from migrator.mapping.model import MappingSet
from migrator.store import users


@dataclass
class RolledBack:
    """What a rollback did, or (dry run) would do."""

    restored: int = 0
    restored_nobody: int = 0  # rows of nobody that are their own owners
    refused: dict[str, str] = field(default_factory=dict)  # user -> why
    removed_rows: dict[str, int] = field(default_factory=dict)  # per table
    restored_rows: dict[str, int] = field(default_factory=dict)
    not_in_target: int = 0
    along: list[str] = field(default_factory=list)  # who merged with the user that was asked for, and goes back, too
    waves: list[str] = field(default_factory=list)
    dry_run: bool = False
    policy: str = BLOCK
    carried_users: int = 0  # who went back although the new system had changed their rows
    carried: dict[str, dict[str, int]] = field(default_factory=dict)  # per legacy table: updated, inserted, deleted
    given_up: dict[str, int] = field(default_factory=dict)  # changes that did not go back
    carried_before: int = 0  # users whose changes were in legacy already: an attempt before was cut off
    left: list[tuple[portions.Snapshot, Sequence[users.Placed]]] = field(default_factory=list)  # for a second look

    def add(self, other: RolledBack) -> None:
        """Take in what was done with other users."""
        self.restored += other.restored
        self.restored_nobody += other.restored_nobody
        self.refused |= other.refused
        self.left += other.left
        self.carried_users += other.carried_users
        self.carried_before += other.carried_before
        add_rows(self.carried, other.carried)
        add_counts(self.given_up, other.given_up)
        for mine, theirs in (
            (self.removed_rows, other.removed_rows),
            (self.restored_rows, other.restored_rows),
        ):
            for table, rows in theirs.items():
                mine[table] = mine.get(table, 0) + rows

    def take(self, set_: MappingSet, told: Told) -> None:
        """Take in what became of users whose rows the new system had changed."""
        tally(self, set_, told.done)
        self.carried_users += len(told.done)
        self.carried_before += told.before
        self.refused |= told.refused
        add_rows(self.carried, told.carried)
        for mine, theirs in (
            (self.given_up, told.given_up),
            (self.removed_rows, told.removed),
            (self.restored_rows, told.restored),
        ):
            add_counts(mine, theirs)


def tally(result: RolledBack, set_: MappingSet, keys: Sequence[str]) -> None:
    """Count who went back."""
    people, rows = nobody.apart(set_, keys)
    result.restored += len(people)
    result.restored_nobody += len(rows)


def count(parts: Parts, set_: MappingSet, kept: KeptBatch, keys: Sequence[str], result: RolledBack) -> None:
    """Count what rows went, and which are as they were before."""
    tables = parts.target_schema.tables
    for name, mine in mine_of(kept, keys).items():
        table = tables[set_.mappings[name].target.table]
        fresh, before = split(kept, table, mine)
        result.removed_rows[table.name] = result.removed_rows.get(table.name, 0) + fresh.height
        result.restored_rows[table.name] = result.restored_rows.get(table.name, 0) + before.height


def as_json(result: RolledBack) -> dict[str, Any]:
    """For programs."""
    return {
        "dry_run": result.dry_run,
        "policy": result.policy,
        "restored": result.restored,
        "unchanged": result.restored + result.restored_nobody - result.carried_users,
        "carried_users": result.carried_users,
        "carried": result.carried,
        "carried_before": result.carried_before,
        "given_up": result.given_up,
        "restored_nobody": result.restored_nobody,
        "refused": result.refused,
        "removed_rows": result.removed_rows,
        "restored_rows": result.restored_rows,
        "not_in_target": result.not_in_target,
        "along": result.along,
        "waves": result.waves,
    }
