"""
The old product, as a process of its own: it registers customers, sells, changes and deletes, and asks the Router before
each write, as an application must. Now and then an old job that asks nobody writes to a customer whom the target serves.

    python -m tests.faults.application FOLDER LEGACY_URL NUMBER SEED

It ends when there is a file `stop` in the folder, and leaves `done-NUMBER.json`: what it did, how often, and to whom the
job wrote.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from migrator.errors import HomeUnknown
from migrator.routing import Home, Router

TTL = 1.0  # seconds that an answer of the Router may be old
PATIENCE = 1.0  # seconds after which a write that was begun is given up: a cutover waits no longer (`drain`)
REST = 0.05  # seconds between two writes
EACH = 1_000_000  # ids of each process are its own
FAITHFUL = 4  # customers who never leave: there must be somebody to write to
OLD_JOB = 0.05  # of the writes to customers who have gone

WAYS = ("rename", "readdress", "restate", "buy", "buy", "correct", "return", "give", "register", "leave")


class Legacy:
    """The old database, by a raw driver: SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.file = url.removeprefix("sqlite:///") if url.startswith("sqlite") else None
        self.db: Any = (
            sqlite3.connect(self.file, timeout=10, isolation_level=None)
            if self.file
            else psycopg.connect(url, autocommit=True)
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, or nothing."""
        self.do("begin immediate" if self.file else "begin")
        try:
            yield
        except BaseException:
            self.do("rollback")
            raise
        self.do("commit")

    def do(self, sql: str, *values: object) -> Any:
        """One statement."""
        return self.db.execute(sql if self.file else sql.replace("?", "%s"), values)

    def ask(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a question."""
        return list(self.do(sql, *values).fetchall())


class TooLate(Exception):
    """The answer of the Router is too old by now to be acted on."""


class Application:
    """One process of the old product."""

    def __init__(self, folder: Path, url: str, number: int, seed: int) -> None:
        self.folder, self.number, self.chance = folder, number, random.Random(seed)
        self.legacy = Legacy(url)
        self.router = Router(f"sqlite:///{folder / '.migrator' / 'control.db'}", ttl=TTL)
        self.done: Counter[str] = Counter()
        self.old_job: set[str] = set()
        self.next_id = EACH * (number + 1)
        self.mine: list[int] = []

    def work(self) -> None:
        """Write until it is told to stop."""
        while not (self.folder / "stop").exists():
            with suppress(HomeUnknown, TooLate, sqlite3.OperationalError, psycopg.errors.DeadlockDetected):
                self.write(self.chance.choice(WAYS))
            time.sleep(REST)

    def write(self, way: str) -> None:
        """One request of somebody, or two people's."""
        if way == "register":
            with self.legacy.transaction():
                self._register()
            self.done[way] += 1
            return
        whom = self._somebody(2 if way == "give" else 1)
        asked = time.monotonic()
        homes = self.router.homes(str(one) for one in whom)
        if set(homes.values()) == {Home.TARGET} and self.chance.random() < OLD_JOB:
            self._forgotten_job(whom[0])
        if set(homes.values()) != {Home.LEGACY}:
            self.done["read only" if Home.MOVING in homes.values() else "served by the target"] += 1
            return
        with self.legacy.transaction():
            getattr(self, f"_{way}")(*whom)
            if time.monotonic() - asked > PATIENCE:
                raise TooLate
        self.done[way] += 1

    def _somebody(self, count: int) -> Sequence[int]:
        """Customers there are, those who came lately among them."""
        ((first, last),) = self.legacy.ask("select min(id), max(id) from customer where id < ?", EACH)
        found = [self.chance.randint(first, last) for _ in range(count)]
        if self.mine and self.chance.random() < 0.3:
            found[0] = self.chance.choice(self.mine)
        return found if len(set(found)) == count else self._somebody(count)

    def _new(self) -> int:
        self.next_id += 1
        return self.next_id

    def _register(self) -> None:
        id_ = self._new()
        self.legacy.do("insert into customer values (?, ?, ?, 1, 0)", id_, f"new{id_}@bakery.example", f"New {id_}")
        for _ in range(self.chance.randint(0, 2)):
            self._buy(id_)
        self.mine.append(id_)

    def _rename(self, customer: int) -> None:
        name = f"Name {self.chance.randrange(10**6)}"
        self.legacy.do("update customer set name = ? where id = ?", name, customer)

    def _readdress(self, customer: int) -> None:
        self.legacy.do("update customer set email = ? where id = ?", f"moved{self._new()}@bakery.example", customer)

    def _restate(self, customer: int) -> None:
        self.legacy.do("update customer set status = 3 - status where id = ?", customer)

    def _buy(self, customer: int) -> None:
        total, at = f"{self.chance.randrange(1, 90)}.50", f"2026-02-{self.chance.randint(1, 28):02d} 10:00:00"
        there = "select ?, id, ?, ? from customer where id = ?"
        if not self.legacy.file:
            there = "select ?, id, ?::numeric, ?::timestamp from customer where id = ?"
        self.legacy.do(f"insert into purchase {there}", self._new(), total, at, customer)

    def _correct(self, customer: int) -> None:
        for (purchase,) in self._purchases(customer):
            self.legacy.do("update purchase set total = total + 1 where id = ?", purchase)

    def _return(self, customer: int) -> None:
        for (purchase,) in self._purchases(customer):
            self.legacy.do("delete from purchase where id = ?", purchase)

    def _give(self, customer: int, other: int) -> None:
        """A purchase goes from one to another."""
        if self.legacy.ask("select id from customer where id = ?", other):
            for (purchase,) in self._purchases(customer):
                self.legacy.do("update purchase set customer_id = ? where id = ?", other, purchase)

    def _leave(self, customer: int) -> None:
        """He deletes his account; a few never do."""
        if customer <= FAITHFUL:
            return
        self.legacy.do("delete from purchase where customer_id = ?", customer)
        self.legacy.do("delete from customer where id = ?", customer)

    def _purchases(self, customer: int) -> list[tuple[Any, ...]]:
        return self.legacy.ask("select id from purchase where customer_id = ? order by id desc limit 1", customer)

    def _forgotten_job(self, customer: int) -> None:
        with self.legacy.transaction():
            name = f"Job {self.number} {self._new()}"
            if self.legacy.do("update customer set name = ? where id = ?", name, customer).rowcount:
                self.old_job.add(str(customer))
        self.done["old job"] += 1

    def tell(self) -> None:
        """What it did."""
        told = {"done": dict(self.done), "old_job": sorted(self.old_job)}
        (self.folder / f"done-{self.number}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    application = Application(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    application.work()
    application.tell()
