"""The sealed files of what was carried back or given up, beside the snapshots: rows of the target as they were then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.snapshots import Ref
from migrator.flows.drafting.changes import covered
from migrator.flows.parts import Parts
from migrator.flows.undoing.since import Since
from migrator.mapping import secrecy
from migrator.mapping.model import MappingSet
from migrator.store import carries, journal, plans


@dataclass(frozen=True)
class Files:
    """Those of one batch; a file has the number of its carry."""

    parts: Parts
    plan_id: int
    batch_id: int
    set_hash: str

    def ref(self, carry: int) -> Ref:
        """Name one of them."""
        return Ref(str(self.plan_id), self.batch_id, carry, self.set_hash)

    def keep(
        self,
        carry: int,
        policy: str,
        seen: Since,
        *,
        now: Mapping[str, pl.DataFrame] | None = None,
        whole: bool = False,
    ) -> None:
        """
        Keep what is there of some users, before anything is done about it; it is on the disk when this returns.

        Args:
            now: what of it was carried, per mapping, where that is not all. whole: with all columns, and with the rows
                that nobody maps.
        """
        frames = {f"written/{name}": rows for name, rows in seen.written.items()}
        frames |= {f"now/{name}": rows for name, rows in (seen.now if now is None else now).items()}
        frames |= {f"whole/{name}": rows for name, rows in seen.whole.items()} if whole else {}
        manifest = {"plan": str(self.plan_id), "batch": self.batch_id, "carry": carry, "policy": policy}
        self.parts.snapshots.carried.keep(self.ref(carry), manifest, frames)
        crash_point("carry-file-kept")
        with self.parts.control.write() as db:
            carries.keep(db, carry, self.parts.now())
        crash_point("carry-kept")

    def now(self, carry: int) -> dict[str, pl.DataFrame]:
        """Per mapping what was carried then; SnapshotDamaged where the file cannot be read."""
        kept = self.parts.snapshots.carried.load(self.ref(carry))
        return {name.removeprefix("now/"): rows for name, rows in kept.frames.items() if name.startswith("now/")}


def of_user(parts: Parts, user: str, *, reveal: bool = False) -> list[dict[str, Any]]:
    """
    What was kept of one user each time that his changes were carried back or given up, newest first; as text.

    Args: reveal: sensitive values, too; secrets are shown to nobody.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        there = carries.kept(db, plan.id)
    found = []
    for one in reversed(there):
        ref = Ref(str(one.plan_id), one.batch_id, one.id, one.set_hash)
        frames = parts.snapshots.carried.load(ref).frames
        mine = {name: rows.filter(pl.col("__user") == user).drop("__user") for name, rows in frames.items()}
        set_ = parts.stored_set(one.set_hash)
        rows = {
            name: [_shown(row, *_covered(set_, name), reveal=reveal) for row in rows.iter_rows(named=True)]
            for name, rows in mine.items()
            if rows.height
        }
        if rows:
            found.append({"carry": one.id, "at": one.begun_at, "policy": one.policy, "actor": one.actor, "rows": rows})
    return found


def _covered(set_: MappingSet, name: str) -> tuple[set[str], set[str]]:
    """The secret and the sensitive columns of what is kept of a mapping, or of a whole table."""
    what, _, whose = name.partition("/")
    about = [
        secrecy.fields(one)
        for one in set_.mappings.values()
        if whose == (one.target.table if what == "whole" else one.name)
    ]
    secret, sensitive = zip(*about, strict=True) if about else ((), ())
    return set().union(*secret), set().union(*sensitive)


def _shown(row: dict[str, Any], secret: set[str], sensitive: set[str], *, reveal: bool) -> dict[str, str | None]:
    return {
        name: covered(
            None if value is None else str(value), secret=name in secret, sensitive=name in sensitive, reveal=reveal
        )
        for name, value in row.items()
        if name != "__key"
    }


def due(parts: Parts, before: datetime) -> list[carries.Carry]:
    """Those that were ended before a time, and that nobody depends on who may still go back; none of a wave that is held."""
    with parts.control.read() as db:
        return carries.outworn(db, before)


def expire(parts: Parts, gone: Sequence[carries.Carry]) -> None:
    """Remove them. First it is written down: a file that still lies there is removed by the next one."""
    if not gone:
        return
    with parts.control.write() as db:
        now = parts.now()
        for one in gone:
            carries.expire(db, one.id, now)
        journal.add(db, now, parts.actor, "expire", "carried", gone[0].plan_id, files=len(gone))
    for one in gone:
        parts.snapshots.carried.delete(Ref(str(one.plan_id), one.batch_id, one.id, one.set_hash))
