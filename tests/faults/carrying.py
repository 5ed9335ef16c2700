"""
T13, carried back: many users are cut over, the new system writes to 5 % of them, and all go back with `carry_back`: every
change is in legacy, and no other row of it is touched, by comparing dumps. On a small bakery a process is killed at each
crash point of the way back, and the same command ends it.

    python -m tests.faults.carrying --users 10000 --seed 7
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.faults import figures, forks
from tests.faults.oracle import Finding

SHARE = 0.05
SMALL = 8  # users of the bakery in which processes die
SEVERAL = ("name", "order changed", "order made", "order removed")
KINDS = ("name", "address", "status", "order changed", "order made", "order removed", "several")
Customer = tuple[int, str, str, int, int]
Purchase = tuple[int, float, str]  # whose, how much, when


def build(folder: Path, customers: int) -> None:
    """A bakery whose customers are all live in the target."""
    from tests.flows.bakery import Bakery

    bakery = Bakery(folder, customers=customers)
    bakery.move(batch_users=500)
    bakery.close()


def go_back(folder: Path, arm: str | None = None) -> None:
    """What an operator does; *arm*: where he dies."""
    from migrator import crashpoints
    from migrator.edges.databases import connect
    from migrator.edges.databases.carried import WRITABLE
    from migrator.flows.undoing import rollbacks
    from tests.flows.bakery import Bakery

    bakery = Bakery(folder)
    legacy = connect(f"sqlite:///{folder / 'legacy.db'}", None, WRITABLE)
    legacy.prepare()
    parts = replace(bakery.parts, writable={"legacy": legacy})
    seen = (folder / "seen").open("a", buffering=1)
    bomb = crashpoints.armed(arm) if arm else None

    def reached(name: str) -> None:
        seen.write(f"{name}\n")
        if bomb:
            bomb(name)

    crashpoints.watch(reached)
    done = rollbacks.roll_back(parts, rollbacks.scope(parts, wave="whole"), policy="carry_back", workers=1)
    assert not done.refused, done.refused


class Book:
    """What legacy must say in the end: its rows as they were, and what the new system did to some of them."""

    def __init__(self, folder: Path) -> None:
        self.customers, self.purchases = self._dump(folder)
        self.made: Counter[Purchase] = Counter()
        self.changes: Counter[str] = Counter()
        with closing(sqlite3.connect(folder / "target.db")) as db:
            (self.when,) = db.execute("select min(placed_at) from orders").fetchone()

    @staticmethod
    def _dump(folder: Path) -> tuple[dict[int, Customer], dict[int, tuple[object, ...]]]:
        with closing(sqlite3.connect(folder / "legacy.db")) as db:
            customers = {row[0]: row for row in db.execute("select * from customer")}
            purchases = {row[0]: row for row in db.execute("select * from purchase")}
        return customers, purchases

    def write(self, folder: Path, number: int, what: str) -> None:
        """The new system does something to one customer; the book says what that makes of legacy."""
        with closing(sqlite3.connect(folder / "target.db")) as db, db:
            account = f"c{number}@bakery.example"
            (id_,) = db.execute("select id from accounts where email = ?", (account,)).fetchone()
            for one in SEVERAL if what == "several" else (what,):
                self._one(db, id_, number, one)
                self.changes[one] += 1

    def _one(self, db: sqlite3.Connection, id_: str, number: int, what: str) -> None:
        was = self.customers[number]
        if what == "name":
            db.execute("update accounts set name = ? where id = ?", (f"Changed {number}", id_))
            self.customers[number] = (*was[:2], f"Changed {number}", *was[3:])
        elif what == "address":
            db.execute("update accounts set email = ? where id = ?", (f"new{number}@bakery.example", id_))
            self.customers[number] = (number, f"new{number}@bakery.example", *was[2:])
        elif what == "status":
            db.execute("update accounts set status = 'closed' where id = ?", (id_,))
            self.customers[number] = (*was[:3], 2, was[4])
        elif what == "order made":
            db.execute("insert into orders values (?, ?, 5.25, ?)", (f"made-{number}", id_, self.when))
            self.made[(number, 5.25, _moment(self.when))] += 1
        else:
            self._order(db, id_, number, remove=what == "order removed")

    def _order(self, db: sqlite3.Connection, id_: str, number: int, *, remove: bool) -> None:
        """Another order for each kind of change: the dearest goes, the cheapest gets another price."""
        side = "desc" if remove else "asc"
        query = (
            f"select id, total from orders where account_id = ? and id not like 'made%' order by total {side} limit 1"
        )
        order, total = db.execute(query, (id_,)).fetchone()
        (key,) = (
            key for key, row in self.purchases.items() if row[1] == number and abs(float(str(row[2])) - total) < 1e-9
        )
        if remove:
            db.execute("delete from orders where id = ?", (order,))
            del self.purchases[key]
        else:
            db.execute("update orders set total = 77.5 where id = ?", (order,))
            row = self.purchases[key]
            self.purchases[key] = (*row[:2], 77.5, row[3])

    def compare(self, folder: Path, when: str) -> Iterator[Finding]:
        """Hold legacy, the target and the control database against it."""
        customers, purchases = self._dump(folder)
        for number, row in self.customers.items():
            if customers.get(number) != row:
                yield Finding("wrong", f"{when}: customer {number} is {customers.get(number)}, not {row}")
        for key, before in self.purchases.items():
            if purchases.get(key) != before:
                yield Finding("wrong", f"{when}: purchase {key} is {purchases.get(key)}, not {before}")
        made = Counter(
            (row[1], float(str(row[2])), _moment(str(row[3])))
            for key, row in purchases.items()
            if key not in self.purchases
        )
        if made != self.made or len(customers) != len(self.customers):
            yield Finding(
                "doubled" if made - self.made else "lost", f"{when}: made {made - self.made}, lacks {self.made - made}"
            )
        with closing(sqlite3.connect(folder / "target.db")) as db:
            for table in ("accounts", "orders", "notes"):
                (left,) = db.execute(f"select count(*) from {table}").fetchone()
                if left:
                    yield Finding("stale", f"{when}: {left} rows are left in {table}")
        with closing(sqlite3.connect(folder / "control.db")) as db:
            found = db.execute("select distinct status, home from users where batch_id is not null").fetchall()
            if found != [("rolled_back", "legacy")]:
                yield Finding("books", f"{when}: users are {found}")


def _moment(text: str) -> str:
    return text.replace("T", " ").replace("Z", "").replace("+00:00", "").replace("+00", "")


def large(users: int, seed: int) -> tuple[list[Finding], dict[str, object]]:
    """The whole of it, once."""
    folder, chance = figures.a_folder(memory=False) / "bakery", random.Random(seed)
    try:
        forks.in_child(partial(build, folder, users))
        book = Book(folder)
        for number in sorted(chance.sample(range(1, users + 1), max(1, round(users * SHARE)))):
            book.write(folder, number, chance.choice(KINDS))
        began = time.monotonic()
        forks.in_child(partial(go_back, folder))
        seconds = round(time.monotonic() - began, 1)
        return list(book.compare(folder, "all")), {
            "changes": dict(sorted(book.changes.items())),
            "back_seconds": seconds,
        }
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def killed(seed: int) -> tuple[list[Finding], dict[str, int]]:
    """Somebody dies at each point of the way back, and does it again."""
    root, chance = figures.a_folder(), random.Random(seed)
    findings: list[Finding] = []
    points: dict[str, int] = {}
    try:
        forks.in_child(partial(build, root / "template", SMALL))
        book = Book(root / "template")
        for number, what in ((2, chance.choice(KINDS)), (5, "several"), (7, chance.choice(KINDS))):
            book.write(root / "template", number, what)
        shutil.copytree(root / "template", root / "calm")
        forks.in_child(partial(go_back, root / "calm"))
        findings += book.compare(root / "calm", "calmly")
        names = dict.fromkeys((root / "calm" / "seen").read_text(encoding="utf-8").split())
        for name in [one for one in names if one.startswith("carry-")]:
            work = root / name
            shutil.copytree(root / "template", work)
            ended = forks.forked(partial(go_back, work, f"{name}:1:kill")).wait()
            if ended != -9:
                findings.append(Finding("lost", f"{name}: nobody died there ({ended})"))
            points[name] = 1
            again = forks.forked(partial(go_back, work)).wait()
            if again != 0:
                findings.append(Finding("lost", f"{name}: the same command again ended with {again}"))
            findings += book.compare(work, name)
            shutil.rmtree(work)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return findings, points


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    began = time.monotonic()
    findings, points = killed(asked.seed)
    more, told = large(asked.users, asked.seed)
    return figures.say(
        "T13 carry back", asked.seed, asked.users, [*findings, *more], time.monotonic() - began,
        points=points, **told,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
