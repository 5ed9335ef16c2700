"""A small product to move: a bakery's customers with their orders, and what can be asked of it afterwards."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.edges.databases.base import Database
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.flows.checking import verify
from migrator.flows.homes import on_demand
from migrator.flows.moving import batches
from migrator.flows.parts import Cutting, Limits, Parts
from migrator.flows.plans import planning, tiering
from migrator.flows.steering import dispatching, waves
from migrator.mapping import document
from migrator.rollout.states import Batch, Wave
from migrator.store import batches as batch_store
from migrator.store import plans, tables
from migrator.store import waves as wave_store
from migrator.store.control import Control
from tests.flows.memory import a_control

SET = """
set: bakery
users: {table: customer, key: id, email: email, name: name, where: {closed: 0}}
at: [{datetime: {timezone: UTC}}]
activity: [{table: purchase, user: customer_id, at: bought_at}]
paid: [{table: purchase, user: customer_id, at: bought_at, amount: total}]
"""
ACCOUNTS = """
mapping: accounts
source: {table: customer, key: id, user: id, where: {closed: 0}}
target: {table: accounts, id: {uuid5: id}}
fields:
  email: {from: email, transform: [trim, lower, email], required: true, sensitive: true}
  name: {from: name, transform: [trim]}
  status: {from: status, transform: [{map: {1: active, 2: closed}}], required: true}
"""
ORDERS = """
mapping: orders
source: {table: purchase, key: id, user: customer_id, without_user: {leave: sold over the counter}}
target: {table: orders, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: customer_id, required: true}
  total: {from: total, transform: [decimal], required: true}
  placed_at: {from: bought_at, transform: [{datetime: {timezone: UTC}}], required: true}
checks: {sums: {total: total}}
"""
LEGACY = """
create table customer (id integer primary key, email text not null, name text, status integer not null, closed integer not null);
create table purchase (id integer primary key, customer_id integer, total numeric(10, 2) not null, bought_at timestamp not null);
create index purchase_customer on purchase (customer_id);
"""
TARGET = """
create table accounts (id text primary key, email text not null unique, name text, status text not null check (status in ('active', 'closed')));
create table orders (id text primary key, account_id text not null references accounts (id), total numeric(10, 2) not null, placed_at text not null);
create table notes (id integer primary key, account_id text references accounts (id), text text);
create index orders_account on orders (account_id);
"""
SETTINGS = """
[legacy]
url = "sqlite:///{folder}legacy.db"
[target]
url = "sqlite:///{folder}target.db"
[control]
url = "sqlite:///{folder}control.db"
[snapshots]
path = "{folder}snapshots"
key = "{folder}project.key"
[mappings]
path = "{folder}mappings"
"""
OPTIONS = planning.PlanOptions(
    strategy="whole", soak_seconds=0, cutover="immediate", batch_users=20, salt="bakery", max_held=0.5
)
TIERS = tiering.TierOptions(
    "all", "all", {"recency": {"fixed": 30}, "frequency": {"fixed": 1}, "money": {"fixed": 0}}, {}
)


def settings_text(more: str = "", *, bakery: Path | None = None) -> str:
    """A settings file for a bakery, beside it or (*bakery*) elsewhere; *more* sections come last."""
    return SETTINGS.format(folder=f"{bakery}/" if bakery else "") + more


def parts_of(folder: Path, *, legacy: Database | None = None, target: Database | None = None, **changes: Any) -> Parts:
    """
    What flows take of the project in *folder*: SQLite unless databases are given, and what *changes* say otherwise.

    A new project gets a key, a control database and our tables in its target; another is opened as it stands.
    """
    new = not (folder / "project.key").exists()
    key = ProjectKey.create(folder / "project.key") if new else ProjectKey.load(folder / "project.key")
    values: dict[str, Any] = {
        "control": a_control(folder) if new else Control(f"sqlite:///{folder / 'control.db'}"),
        "legacy": legacy or connect(f"sqlite:///{folder / 'legacy.db'}", None, "legacy"),
        "target": target or connect(f"sqlite:///{folder / 'target.db'}", None, "target"),
        "snapshots": Snapshots(folder / "snapshots", key),
        "key": key,
        "load_set": lambda: document.load(folder / "mappings"),
        "limits": Limits(users=20, lease=timedelta(seconds=60), grace=timedelta(0), ring_again=timedelta(seconds=60)),
        "actor": "tester",
    }
    parts = Parts(**values | changes)
    if new:
        parts.target.prepare()
    return parts


class Ears:
    """Hears the doorbell."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[int, ...]]] = []

    def wake(self, task: str, *ids: int) -> None:
        self.heard.append((task, ids))


class Bakery:
    """The bakery in a folder: SQLite everywhere unless a target is given. An existing folder is opened as it is."""

    def __init__(self, folder: Path, *, customers: int = 30, target: Database | None = None) -> None:
        self.folder = folder
        new = not (folder / "legacy.db").exists()
        folder.mkdir(parents=True, exist_ok=True)
        mappings = folder / "mappings"
        if new:
            mappings.mkdir()
            for name, text in (("set", SET), ("accounts", ACCOUNTS), ("orders", ORDERS)):
                (mappings / f"{name}.yaml").write_text(text, encoding="utf-8")
            self._fill(customers)
        self.parts = parts_of(folder, target=target, cutting=Cutting(drain=timedelta(0)))

    def copy(self, folder: Path) -> Bakery:
        """Another bakery that stands where this one stands now."""
        shutil.copytree(self.folder, folder)
        return Bakery(folder)

    def write_settings(self, more: str = "") -> None:
        """Let the command line find this bakery: its `migrator.toml`, with *more* sections."""
        (self.folder / "migrator.toml").write_text(settings_text(more), encoding="utf-8")

    def close(self) -> None:
        """Give back all connections."""
        self.parts.control.close(), self.parts.legacy.close(), self.parts.target.close()

    def _fill(self, customers: int) -> None:
        with self.legacy() as db:
            db.executescript(LEGACY)
            people = [(n, f" C{n}@Bakery.example", f"Customer {n}", 1, 0) for n in range(1, customers + 1)]
            db.executemany("insert into customer values (?, ?, ?, ?, ?)", people)
            sales = [
                (n * 10 + k, n, f"{n}.{k}5", f"2026-01-{1 + n % 28:02d} 10:00:00")
                for n in range(1, customers + 1)
                for k in range(3)
            ]
            db.executemany("insert into purchase values (?, ?, ?, ?)", sales)
            db.execute("insert into purchase values (99999, null, 3.5, '2026-01-01 09:00:00')")
        with self.target() as db:
            db.executescript(TARGET)

    @contextmanager
    def legacy(self) -> Iterator[sqlite3.Connection]:
        """Legacy behind our back."""
        with _raw(self.folder / "legacy.db") as db:
            yield db

    @contextmanager
    def target(self) -> Iterator[sqlite3.Connection]:
        """The target behind our back."""
        with _raw(self.folder / "target.db") as db:
            yield db

    def plan(self, **changes: object) -> None:
        """Make and approve a plan of one wave, `whole`, unless *changes* say otherwise."""
        planning.create(self.parts, replace(OPTIONS, **changes), TIERS)  # type: ignore[arg-type]
        planning.approve(self.parts)

    def run(self, parts: Parts | None = None, *, until: Wave | None = None, rest: float = 0.0) -> None:
        """Do what dispatcher and workers do, one after the other, until nothing is left to do; *rest* where they wait."""
        dispatcher = self.dispatcher(parts)
        for _ in range(200):
            heard = self.tick(dispatcher)
            if until and self.wave().status is until:
                return  # what was rung for then is lost
            for task, ids in heard:
                self.work(task, ids, dispatcher.parts)
            if not heard:
                if not self._busy():
                    return
                time.sleep(rest)
        raise AssertionError("the wave does not come to an end")

    def dispatcher(self, parts: Parts | None = None) -> dispatching.Dispatcher:
        """One that rings for nobody but us."""
        parts = parts or self.parts
        return dispatching.Dispatcher(parts, Ears(), "test", parts.now())

    def tick(self, dispatcher: dispatching.Dispatcher | None = None) -> list[tuple[str, tuple[int, ...]]]:
        """Let the dispatcher do what is due; what it rang for."""
        dispatcher = dispatcher or self.dispatcher()
        dispatcher.bell.heard.clear()  # type: ignore[attr-defined]
        dispatcher.tick()
        dispatcher.reaped_at = None
        return list(dispatcher.bell.heard)  # type: ignore[attr-defined]

    def work_once(self, dispatcher: dispatching.Dispatcher | None = None) -> int:
        """Do what the dispatcher rings for now; how many things."""
        dispatcher = dispatcher or self.dispatcher()
        heard = self.tick(dispatcher)
        for task, ids in heard:
            self.work(task, ids, dispatcher.parts)
        return len(heard)

    def work(self, task: str, ids: tuple[int, ...], parts: Parts | None = None) -> None:
        """Do what a worker does when it hears a message."""
        parts = parts or self.parts
        if task in ("tasks.batches.move", "tasks.batches.move_now"):
            batches.move(parts, ids[0], ids[1], "test")
        elif task == "tasks.waves.check":
            verify.check_wave(parts, ids[0], "test")
        elif task == "tasks.users.cut_over":
            on_demand.cut_over_asked(parts, "test")

    def move(self, **changes: object) -> None:
        """Plan, approve, start every wave, run."""
        self.plan(**changes)
        self.start_all()

    def start_all(self) -> None:
        """Start wave after wave as `run` would."""
        with self.parts.control.read() as db:
            found = wave_store.of_plan(db, plans.require(db).id)
        for wave in found:
            if wave.status is Wave.APPROVED:
                waves.start(self.parts, wave.name)
                self.run()

    def wave(self, name: str = "whole") -> wave_store.Wave:
        """A wave as it is now."""
        with self.parts.control.read() as db:
            return waves.find(db, name)

    def users(self) -> dict[str, str]:
        """Every user's status."""
        with self.parts.control.read() as db:
            query = sa.select(tables.users.c.user_key, tables.users.c.status)
            newest = sa.select(sa.func.max(tables.plans.c.id)).scalar_subquery()
            return {key: status for key, status in db.execute(query.where(tables.users.c.plan_id == newest))}

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the target but for our own tables."""
        with self.target() as db:
            return {
                table: sorted(db.execute(f"select * from {table}").fetchall(), key=repr)
                for table in ("accounts", "orders", "notes")
            }

    def ledger(self) -> list[tuple[object, ...]]:
        """user, generation, op of the ledger."""
        with self.target() as db:
            return sorted(db.execute("select user_key, generation, op from migrator_ledger").fetchall())

    def lose_leases(self) -> None:
        """Time passes: every lease has run out."""
        with self.parts.control.write() as db:
            now = batch_store.clock(db)
            db.execute(sa.update(tables.batches).values(lease_until=now - timedelta(seconds=1), not_before=None))
            db.execute(sa.delete(tables.leases))
            ready = tables.batches.c.status == Batch.READY.value
            db.execute(sa.update(tables.batches).where(ready).values(rung_at=None))
            db.execute(sa.update(tables.waves).values(rung_at=None))

    def _busy(self) -> bool:
        with self.parts.control.read() as db:
            return bool(wave_store.in_status(db, (Wave.RUNNING, Wave.CHECKING, Wave.PAUSING, Wave.CANCELLING)))


@contextmanager
def _raw(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path)
    try:
        with db:
            yield db
    finally:
        db.close()
