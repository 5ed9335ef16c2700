"""Waves: what is approved, started, watched and undone together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.errors import NotFound, Overtaken
from migrator.rollout.stages import Stage
from migrator.rollout.states import Wave as Status
from migrator.store.tables import batches, waves


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave as stored."""

    id: int
    plan_id: int
    ordinal: int
    name: str
    tier: str | None
    stage: str
    share: int
    status: Status
    users: int
    started_at: datetime | None
    checking_at: datetime | None
    ended_at: datetime | None
    rung_at: datetime | None
    verdict: str | None
    findings: list[dict[str, Any]] | None
    uncut_from: int | None = None
    batch_size: int | None = None
    measured: int = 0
    orders: dict[str, Any] | None = None
    waiting: dict[str, Any] | None = None

    @property
    def units(self) -> str:
        """What `users` counts."""
        return Stage(self.stage).units


def _wave(row: Any) -> Wave:
    return Wave(**{**row, "status": Status(row["status"])})


def add(db: sa.Connection, **values: Any) -> int:
    """Store a wave; its id."""
    return int(db.execute(sa.insert(waves).values(**values)).inserted_primary_key[0])  # type: ignore[index]


def of_plan(db: sa.Connection, plan_id: int) -> list[Wave]:
    """All waves in their order."""
    query = sa.select(waves).where(waves.c.plan_id == plan_id).order_by(waves.c.ordinal)
    return [_wave(row) for row in db.execute(query).mappings()]


def get(db: sa.Connection, wave_id: int, *, stays: bool = False) -> Wave:
    """One wave by its id; *stays*: its status does not change before this transaction ends."""
    query = sa.select(waves).where(waves.c.id == wave_id)
    # SQLite's writer is alone anyway, and leaves the clause out
    row = db.execute(query.with_for_update(read=True) if stays else query).mappings().first()
    if row is None:
        raise NotFound(f"there is no wave with id {wave_id}")
    return _wave(row)


def hold(db: sa.Connection, wave_id: int) -> Wave:
    """The wave as it is, and whoever wants it to stay so (`stays`) waits until this transaction ends, and looks then."""
    row = db.execute(sa.select(waves).where(waves.c.id == wave_id).with_for_update()).mappings().one()
    return _wave(row)


def of_batch(db: sa.Connection, batch_id: int) -> Wave | None:
    """The wave of a batch, whose status does not change before this transaction ends; None where there is no batch."""
    mine = sa.select(batches.c.wave_id).where(batches.c.id == batch_id).scalar_subquery()
    row = db.execute(sa.select(waves).where(waves.c.id == mine).with_for_update(read=True)).mappings().first()
    return _wave(row) if row else None


def find(db: sa.Connection, plan_id: int, name: str) -> Wave:
    """One wave of the plan by its name ("core-gray-5") or its ordinal ("3" or "W3")."""
    found = of_plan(db, plan_id)
    for wave in found:
        if name.lower() in (wave.name, str(wave.ordinal), f"w{wave.ordinal}"):
            return wave
    raise NotFound(f'there is no wave "{name}"; there are {", ".join(wave.name for wave in found) or "none yet"}')


def move(db: sa.Connection, wave: Wave, new: Status, **values: Any) -> None:
    """Change the status if it still is what *wave* says."""
    done = db.execute(
        sa.update(waves)
        .where(waves.c.id == wave.id, waves.c.status == wave.status.value)
        .values(status=new.value, **values)
    )
    if done.rowcount != 1:
        raise Overtaken(
            f"wave {wave.name} is no longer {wave.status}; look again with `migrator wave show {wave.name}`"
        )


def note(db: sa.Connection, wave_id: int, **values: Any) -> None:
    """Write what is no status: verdict, findings, rung_at, users."""
    db.execute(sa.update(waves).where(waves.c.id == wave_id).values(**values))


def approve_all(db: sa.Connection, plan_id: int) -> None:
    """All drafts of a plan become approved, with it."""
    db.execute(
        sa.update(waves)
        .where(waves.c.plan_id == plan_id, waves.c.status == Status.DRAFT.value)
        .values(status=Status.APPROVED.value)
    )


def in_status(db: sa.Connection, statuses: Iterable[Status]) -> list[Wave]:
    """Waves of any plan that are in one of *statuses*, in order."""
    query = sa.select(waves).where(waves.c.status.in_([status.value for status in statuses]))
    return [_wave(row) for row in db.execute(query.order_by(waves.c.plan_id, waves.c.ordinal)).mappings()]
