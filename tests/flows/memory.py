"""Builders for the control database: one thing each, changed where a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from migrator.edges import databases
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.flows.parts import Parts, Telling
from migrator.flows.telling.templates import Templates
from migrator.mapping.books import Book
from migrator.rollout.states import Batch, Notice, User, Wave
from migrator.store import batches, cases, effects, journal, outbox, plans, users, waves
from migrator.store.control import Control
from tests.postgresql_server import PostgresqlServer

BUNDLED = Path(__file__).resolve().parents[2] / "templates"
NOW = datetime(2030, 1, 31, 9, 30, tzinfo=UTC)
KEY = ProjectKey(bytes(32))  # chains the journal of a control database that belongs to no project


def a_control(folder: Path) -> Control:
    """An empty control database with all tables."""
    (folder / "control.db").write_bytes(_empty())
    control = Control(f"sqlite:///{folder / 'control.db'}")
    control.sign = KEY.sign
    return control


def a_control_on(server: PostgresqlServer) -> Control:
    """The same in PostgreSQL."""
    control = Control(server.url(like=_empty_on(server)))
    control.sign = KEY.sign
    return control


def a_project(folder: Path, control: Control, **changes: Any) -> Parts:
    """A project that tells its users; its clock stands still until a test moves it."""
    key = ProjectKey.create(folder / "project.key")
    values: dict[str, Any] = {
        "control": control,
        "legacy": databases.connect(f"sqlite:///{folder / 'legacy.sqlite'}", None, "legacy"),
        "target": databases.connect(f"sqlite:///{folder / 'target.sqlite'}", None, "target"),
        "snapshots": Snapshots(folder / "snapshots", key),
        "key": key,
        "load_set": lambda: pytest.fail("nothing here needs a mapping"),
        "telling": Telling(sender="file", product="Shop", contact="help@shop.example", templates=Templates(BUNDLED)),
        "now": Clock(),
    }
    return Parts(**values | changes)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def after(self, **time: float) -> None:
        self.now += timedelta(**time)


@cache
def _empty() -> bytes:
    """The tables are made by the revisions, once."""
    with TemporaryDirectory() as folder:
        control = Control(f"sqlite:///{folder}/control.db")
        control.upgrade()
        control.close()
        return Path(folder, "control.db").read_bytes()


@cache
def _empty_on(server: PostgresqlServer) -> str:
    """To be copied: the revisions take longer."""
    url = server.url()
    control = Control(url)
    control.upgrade()
    control.close()
    return url


def a_plan(db: sa.Connection, **changes: Any) -> plans.Plan:
    """An approved plan without waves."""
    plans.keep_set(db, "5" * 64, {"set.yaml": "set: shop\n"}, NOW)
    values: dict[str, Any] = {
        "hash": "f" * 64, "set_hash": "5" * 64, "as_of": NOW, "salt": "shop-1", "settings": {"cutover": "immediate"},
        "counts": {}, "created_at": NOW, "approved_at": NOW, "approved_by": "ada@desk",
    }  # fmt: skip
    status = changes.pop("status", "approved")
    plan_id = plans.add(db, **values | changes)
    plans.move(db, plan_id, "draft", status)
    return plans.get(db, plan_id)


def a_wave(db: sa.Connection, plan: plans.Plan, **changes: Any) -> waves.Wave:
    """A running wave, the next one of its plan."""
    values: dict[str, Any] = {
        "ordinal": len(waves.of_plan(db, plan.id)) + 1, "name": "pilot", "tier": None, "stage": "pilot", "share": 0, "status": Wave.RUNNING.value,
        "users": 0, "started_at": NOW,
    }  # fmt: skip
    return waves.get(db, waves.add(db, plan_id=plan.id, **values | changes))


def a_user(db: sa.Connection, plan: plans.Plan, key: str, **changes: Any) -> users.User:
    """A planned user of the normal tier."""
    values: dict[str, Any] = {
        "user_key": key, "tier": "normal", "code": "010", "r": 10, "f": 2, "m": "5.50", "status": User.PLANNED.value,
        "home": "legacy", "changed_at": NOW,
    }  # fmt: skip
    users.add(db, plan.id, [pl.DataFrame([{**values, **changes}])])
    found = users.get(db, plan.id, key)
    assert found is not None
    return found


def a_batch(db: sa.Connection, wave: waves.Wave, keys: Sequence[str], ordinal: int = 1, **book: int) -> batches.Batch:
    """A batch that is done after ten seconds, with one book of the mapping `orders`."""
    batch_id = batches.add(db, wave.id, ordinal, keys, wave.plan_id, ramp=False)
    claimed = batches.claim(db, batch_id, None, "worker-1", timedelta(minutes=1))
    assert claimed is not None
    batches.finish(db, claimed, rows=10)
    effects.keep_books(db, batch_id, {"orders": Book(**book or {"read": 10, "written": 10})})
    found = batches.get(db, batch_id)
    assert found is not None
    assert found.status is Batch.DONE
    return found


def a_case(db: sa.Connection, plan: plans.Plan, named: Sequence[str], **changes: Any) -> None:
    """An open case about an unknown order status that holds its users."""
    values: dict[str, Any] = {
        "plan_id": plan.id, "mapping": "orders", "source_key": named[0], "item_key": "", "field": "status",
        "rule": "map", "cause": "c0ffee00", "value": None, "sensitive": False, "note": None,
        "file": "mappings/shop/orders.yaml", "line": 21, "position": 7, "holds": True, "users": list(named),
    }  # fmt: skip
    cases.open_all(db, [values | changes], NOW)


def a_notice(db: sa.Connection, plan: plans.Plan, user: str, **changes: Any) -> None:
    """A queued notice that the user was moved."""
    values: dict[str, Any] = {
        "plan_id": plan.id, "user_key": user, "event": "done", "channel": "email", "locale": "en", "template": "t",
        "unique_key": f"{plan.id}:{user}", "status": Notice.QUEUED.value, "variables": b"", "queued_at": NOW,
        "attempts": 0,
    }  # fmt: skip
    outbox.put(db, [values | changes])


def an_entry(db: sa.Connection, event: str, noun: str, ref: object, **detail: Any) -> None:
    """A line of the journal."""
    journal.add(db, NOW, "ada@desk", event, noun, ref, **detail)


def a_verification(db: sa.Connection, plan: plans.Plan, wave: waves.Wave | None, **changes: Any) -> None:
    """A verification that found nothing."""
    values: dict[str, Any] = {"checked_users": 2, "differences": 0, "drift": 0, "summary": {}, "at": NOW}
    wave_id = wave.id if wave else None
    effects.keep_verification(db, plan_id=plan.id, wave_id=wave_id, **values | changes)
