"""Whether rows of the target were written for somebody else: asked of the snapshots, and only where that may be."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from migrator.errors import NotFound, SnapshotDamaged
from migrator.flows.moving.kept import KeptBatch, opened
from migrator.flows.parts import Parts
from migrator.mapping import pairs
from migrator.mapping.model import MappingSet
from migrator.rollout.states import User
from migrator.store import users

THERE = (User.MOVED, User.LIVE, User.SETTLED, User.ROLLING_BACK, User.HELD)
#: The ids that we compute say so themselves; an application that makes ids makes others.
_COMPUTED = r"^[0-9a-f]{8}-[0-9a-f]{4}-5"


@dataclass
class Belongings:
    """The keys of the rows that we wrote, by snapshot, read when they are first asked for."""

    parts: Parts
    plan_id: int
    batch_id: int
    kept: KeptBatch
    set_: MappingSet
    _by_snapshot: dict[tuple[int, int], dict[str, pl.Series] | None] = field(default_factory=dict)

    def others(self, table: str, keys: pl.Series) -> set[str]:
        """Those of *keys* (texts) under which we wrote a row; where a snapshot is gone, all that may be such."""
        writers = [one for one in self.set_.mappings.values() if one.target.table == table]
        if not writers:
            return set()
        asked = keys
        if all(one.target.id.how == "uuid5" for one in writers):
            asked = keys.filter(keys.str.contains(_COMPUTED))
        if asked.is_empty():
            return set()
        found = set[str]()
        for snapshot in self._snapshots():
            known = self._of(snapshot)
            if known is None:
                return set(asked)
            if table in known:
                found |= set(asked.filter(asked.is_in(known[table].implode())))
        return found

    def _snapshots(self) -> list[tuple[int, int]]:
        with self.parts.control.read() as db:
            return users.snapshots(db, self.plan_id, THERE)

    def _of(self, snapshot: tuple[int, int]) -> dict[str, pl.Series] | None:
        if snapshot not in self._by_snapshot:
            try:
                mine = snapshot == (self.batch_id, self.kept.fence)
                kept = self.kept if mine else opened(self.parts, self.plan_id, *snapshot)
                self._by_snapshot[snapshot] = self._keys(kept)
            except (NotFound, SnapshotDamaged):
                self._by_snapshot[snapshot] = None
        return self._by_snapshot[snapshot]

    def _keys(self, kept: KeptBatch) -> dict[str, pl.Series]:
        tables, set_ = self.parts.target_schema.tables, self.parts.stored_set(kept.set_hash)
        found: dict[str, pl.Series] = {}
        for name, rows in kept.rows.items():
            table = tables[set_.mappings[name].target.table]
            keys = pairs.key_text(rows, table)
            found[table.name] = pl.concat([found[table.name], keys]) if table.name in found else keys
        return found
