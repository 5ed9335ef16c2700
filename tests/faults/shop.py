"""A shop with a column of every kind, on SQLite, to be verified against what somebody did to its target."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

from migrator.edges.databases import connect
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.flows.parts import Limits, Parts
from migrator.mapping import document
from migrator.store.control import Control
from tests.flows.bakery import Bakery
from tests.flows.memory import a_control

SET = """
set: shop
users: {table: client, key: id, email: mail, name: name}
at: [{datetime: {timezone: UTC}}]
activity: [{table: sale, user: client_id, at: at}]
paid: [{table: sale, user: client_id, at: at, amount: total}]
"""
PEOPLE = """
mapping: people
source: {table: client, key: id, user: id}
target: {table: people, id: {uuid5: id}}
fields:
  email: {from: mail, required: true}
  name: {from: name}
  note: {from: note}
  points: {from: points}
  balance: {from: balance}
  ratio: {from: ratio}
  active: {from: active}
  born: {from: born}
  seen: {from: seen}
  at: {from: seen, transform: [{datetime: {timezone: UTC}}]}
  doc: {from: doc}
  ref: {from: ref}
  ip: {from: ip}
"""
SALES = """
mapping: sales
source: {table: sale, key: id, user: client_id}
target: {table: sales, id: {uuid5: id}}
fields:
  person_id: {lookup: people, by: client_id, required: true}
  total: {from: total, required: true}
  at: {from: at, transform: [{datetime: {timezone: UTC}}], required: true}
checks: {sums: {total: total}}
"""
LEGACY = """
create table client (
  id integer primary key, mail text not null, name text, note text, points integer, balance numeric(12, 2), ratio real,
  active boolean, born date, seen datetime, doc json, ref uuid, ip inet
);
create table sale (id integer primary key, client_id integer not null, total numeric(10, 2) not null, at datetime not null);
create index sale_client on sale (client_id);
"""
TARGET = """
create table people (
  id uuid primary key, email text not null, name text, note text, points integer, balance numeric(12, 2), ratio real,
  active boolean, born date, seen datetime, at timestamptz, doc json, ref uuid, ip inet, visits integer default 0
);
create table sales (id uuid primary key, person_id uuid not null references people (id), total numeric(10, 2) not null, at timestamptz not null);
create index sales_person on sales (person_id);
"""


class Shop(Bakery):
    """Clients with two sales each."""

    def __init__(self, folder: Path, clients: int = 0) -> None:
        self.folder = folder
        new = not (folder / "legacy.db").exists()
        folder.mkdir(parents=True, exist_ok=True)
        mappings = folder / "mappings"
        if new:
            mappings.mkdir()
            for name, text in (("set", SET), ("people", PEOPLE), ("sales", SALES)):
                (mappings / f"{name}.yaml").write_text(text, encoding="utf-8")
            self._fill(clients)
        key = ProjectKey.create(folder / "project.key") if new else ProjectKey.load(folder / "project.key")
        self.parts = Parts(
            control=a_control(folder) if new else Control(f"sqlite:///{folder / 'control.db'}"),
            legacy=connect(f"sqlite:///{folder / 'legacy.db'}", None, "legacy"),
            target=connect(f"sqlite:///{folder / 'target.db'}", None, "target"),
            snapshots=Snapshots(folder / "snapshots", key),
            key=key,
            load_set=lambda: document.load(mappings),
            limits=Limits(users=500, lease=timedelta(seconds=60), grace=timedelta(0)),
            actor="tester",
        )
        if new:
            self.parts.target.prepare()

    def copy_to(self, folder: Path) -> Shop:
        """Another that stands where this one stands now."""
        shutil.copytree(self.folder, folder)
        return Shop(folder)

    def _fill(self, customers: int) -> None:
        with self.legacy() as db:
            db.executescript(LEGACY)
            db.executemany(f"insert into client values ({', '.join('?' * 13)})", map(_client, range(1, customers + 1)))
            sales = [
                (10 * n + k, n, f"{n % 90 + 1}.{k}5", f"2026-01-{1 + n % 28:02d} 10:00:00")
                for n in range(1, customers + 1)
                for k in (0, 1)
            ]
            db.executemany("insert into sale values (?, ?, ?, ?)", sales)
        with self.target() as db:
            db.executescript(TARGET)


def _client(n: int) -> tuple[object, ...]:
    return (
        n, f"c{n}@shop.example", f"Zoë Nr {n}", None if n % 2 else f"note {n}", n, f"{n}.50", n + 0.25, n % 2 == 0,
        f"19{60 + n % 40}-03-{1 + n % 28:02d}", f"2026-01-{1 + n % 28:02d} 09:30:00",
        f'{{"lang":"fr","size":{n}.50,"city":"Orléans"}}', f"6ba7b810-9dad-11d1-80b4-{n:012x}", f"10.0.{n // 250}.{n % 250}",
    )  # fmt: skip


def checkpoint(path: Path) -> None:
    """Put all of a file into the file."""
    db = sqlite3.connect(path)
    db.execute("pragma wal_checkpoint(truncate)")
    db.close()
