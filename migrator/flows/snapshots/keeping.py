"""
How long snapshots are kept, and what lies there that nobody needs.

A snapshot stays as long as one of its users can be put back. It may expire a while (`[snapshots] keep`) after its wave has
ended and the last of its users was settled, put back or erased; never while its wave is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa

from migrator.edges.snapshots import Found, Ref
from migrator.errors import Refused
from migrator.flows import wave_view
from migrator.flows.parts import Parts
from migrator.flows.undoing import carried_files
from migrator.store import journal, plans, retention, waves
from migrator.store.retention import Recorded

Place: TypeAlias = tuple[int, int]  # batch, fence
#: A file that nobody has recorded may be that of a batch at work, for so long.
AT_WORK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """A recorded snapshot as it stands: when it may go, or why it stays; None where it is not there."""

    snapshot: Recorded
    size: int | None
    expires_at: datetime | None
    stays: str | None


@dataclass
class Shelved:
    """All snapshots: those recorded, and what lies there beside them."""

    recorded: list[Standing] = field(default_factory=list)
    orphans: list[Found] = field(
        default_factory=list
    )  # attempts that came to nothing, and what expired and still lies there

    @property
    def missing(self) -> list[Standing]:
        """Those that should be there and are not."""
        return [one for one in self.recorded if one.size is None and one.snapshot.expired_at is None]


@dataclass(frozen=True, slots=True)
class Expired:
    """What was removed, or (dry run) would be."""

    snapshots: int
    orphans: int
    bytes: int
    waves: tuple[str, ...]
    stay: dict[str, int]  # why -> snapshots
    dry_run: bool
    carried: int = 0  # files of what was carried back or given up


def shelved(parts: Parts, keep: timedelta) -> Shelved:
    """Look at what is recorded and at what is there."""
    there = list(parts.snapshots.there())  # first: what is recorded after it is not taken for an orphan
    with parts.control.read() as db:
        known, held = retention.recorded(db), retention.holds(db)
        idle = retention.idle(db, {found.batch for found in there})
    sizes = {(found.batch, found.fence): found.size for found in there}
    result = Shelved([_standing(one, sizes, held, keep) for one in known])
    gone = {_place(one): one.expired_at is not None for one in known}
    old = parts.now() - AT_WORK
    for found in there:
        nobodys = found.at < old and found.batch in idle
        if gone.get((found.batch, found.fence), nobodys):
            result.orphans.append(found)
    return result


def listed(parts: Parts, keep: timedelta) -> dict[str, Any]:
    """Per wave, for people and programs."""
    found = shelved(parts, keep)
    with parts.control.read() as db:
        held = retention.holds(db)
    by_wave: dict[int, list[Standing]] = {}
    for one in found.recorded:
        by_wave.setdefault(one.snapshot.wave_id, []).append(one)
    return {
        "waves": [_wave(several, held.get(wave_id)) for wave_id, several in by_wave.items()],
        "orphans": {"snapshots": len(found.orphans), "bytes": sum(one.size for one in found.orphans)},
        "missing": [{"batch": one.snapshot.batch_id, "fence": one.snapshot.fence} for one in found.missing],
    }


def expire(parts: Parts, keep: timedelta, *, dry_run: bool = False) -> Expired:
    """Remove the snapshots whose time is over, and attempts that came to nothing."""
    found, now = shelved(parts, keep), parts.now()
    due = [one for one in found.recorded if one.expires_at is not None and one.expires_at <= now]
    stay: dict[str, int] = {}
    for one in found.recorded:
        if one.snapshot.expired_at is None and one not in due:
            why = one.stays or f"until {one.expires_at:%Y-%m-%d}"
            stay[why] = stay.get(why, 0) + 1
    size = sum(one.size or 0 for one in due) + sum(one.size for one in found.orphans)
    result = Expired(
        len(due), len(found.orphans), size, tuple(dict.fromkeys(one.snapshot.wave for one in due)), stay, dry_run
    )
    carried = carried_files.due(parts, now - keep)
    result = replace(result, carried=len(carried))
    if not dry_run:
        carried_files.expire(parts, carried)
    if dry_run or not (due or found.orphans):
        return result
    with parts.control.write() as db:  # first: a file that is there and expired is removed by the next one
        still = {_place(one): one for one in retention.recorded(db)}
        held = retention.holds(db)
        going = [one.snapshot for one in due if _may_go(still[_place(one.snapshot)], held, keep, now)]
        retention.expire(db, going, now)
        journal.add(
            db, now, parts.actor, "expire", "snapshots", ",".join(result.waves),
            snapshots=len(going), orphans=len(found.orphans), bytes=size,
        )  # fmt: skip
    for gone in going:
        parts.snapshots.delete(_ref(gone))
    for orphan in found.orphans:
        parts.snapshots.delete(orphan.ref(""))
    return result


def hold(parts: Parts, wave: str, reason: str) -> list[str]:
    """Keep the snapshots of a wave (or `all`) whatever their age; the waves."""
    with parts.control.write() as db:
        now, found = parts.now(), _waves(db, wave)
        for one in found:
            retention.hold(db, one.id, reason, parts.actor, now)
            journal.add(db, now, parts.actor, "hold snapshots", "wave", one.name, reason=reason)
    return [one.name for one in found]


def release(parts: Parts, wave: str) -> list[str]:
    """End the hold of a wave (or `all`); the waves."""
    with parts.control.write() as db:
        now = parts.now()
        found = [one for one in _waves(db, wave) if retention.release(db, one.id, parts.actor, now)]
        if not found:
            raise Refused(f"the snapshots of {'no wave' if wave == 'all' else f'wave {wave}'} are held")
        for one in found:
            journal.add(db, now, parts.actor, "release snapshots", "wave", one.name)
    return [one.name for one in found]


def _waves(db: sa.Connection, name: str) -> list[waves.Wave]:
    return waves.of_plan(db, plans.require(db).id) if name == "all" else [wave_view.find(db, name)]


def _place(one: Recorded) -> Place:
    return one.batch_id, one.fence


def _ref(one: Recorded) -> Ref:
    return Ref(str(one.plan_id), one.batch_id, one.fence, one.set_hash)


def _standing(one: Recorded, sizes: Mapping[Place, int], held: Mapping[int, str], keep: timedelta) -> Standing:
    expires_at, stays = _until(one, held, keep)
    return Standing(one, sizes.get(_place(one)), expires_at, stays)


def _may_go(one: Recorded, held: Mapping[int, str], keep: timedelta, now: datetime) -> bool:
    expires_at, _ = _until(one, held, keep)
    return expires_at is not None and expires_at <= now


def _until(one: Recorded, held: Mapping[int, str], keep: timedelta) -> tuple[datetime | None, str | None]:
    """When a snapshot may go; or why that cannot be said yet."""
    if one.expired_at is not None:
        return None, "expired"
    if one.wave_id in held:
        return None, f"held: {held[one.wave_id]}"
    if one.dependents:
        return None, "users can still be put back"
    if one.wave_status not in wave_view.ENDED or one.ended_at is None:
        return None, f"the wave is {one.wave_status}"
    last = [one.ended_at, one.kept_at, *([one.left_at] if one.left_at else [])]
    return max(last) + keep, None


def _wave(several: list[Standing], held: str | None) -> dict[str, Any]:
    left = [one for one in several if one.snapshot.expired_at is None]
    until = [one.expires_at for one in left if one.expires_at is not None]
    why = sorted({one.stays for one in left if one.stays is not None})
    first = several[0].snapshot
    return {
        "plan": first.plan_id,
        "wave": first.wave,
        "status": first.wave_status.value,
        "snapshots": len(left),
        "users": sum(one.snapshot.users for one in left),
        "bytes": sum(one.size or 0 for one in left),
        "missing": sum(one.size is None for one in left),
        "expired": len(several) - len(left),
        "kept_at": max(one.snapshot.kept_at for one in several),
        "expires_at": max(until) if until and not why else None,
        "stays": "; ".join(why) or None,
        "hold": held,
    }
