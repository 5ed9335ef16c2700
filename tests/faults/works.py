"""
T6 and T7: real workers and a real Redis, killed, frozen, emptied and put upon while users move; and all of it at once
(T15).

    python -m tests.faults.works --what workers --faults 3 --seed 7
    python -m tests.faults.works --what redis --faults 2 --seed 7
    python -m tests.faults.works --what log --faults 2 --seed 7
    python -m tests.faults.works --what everything --minutes 2 --users 2000 --seed 7
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import psutil
import redis

from migrator.edges import processes
from tests.faults import figures
from tests.faults.broker import Broker
from tests.faults.oracle import Finding, counted
from tests.flows.bakery import ACCOUNTS, LEGACY, ORDERS, SET, TARGET
from tests.journeys.project import REPOSITORY, Project, clean_environment

SETTINGS = """
[legacy]
url = "sqlite:///legacy.db"
[target]
url = "sqlite:///target.db"
[mappings]
path = "mappings"
[plan]
strategy = "whole"
soak = "0s"
cutover = "immediate"
[batches]
users = {batch}
adaptive = false
lease = "5s"
grace = "2s"
ring_again = "2s"
reap_every = "1s"
leader = "3s"
retry_after = "1s"
attempts = 1000
interruptions = 1000
"""
COUNTING = """
create table applied (tab text, row text, what text, n integer not null, primary key (tab, row, what));
create trigger {tab}_{what} after {what} on {tab} begin
  insert into applied values ('{tab}', {row}.id, '{what}', 1) on conflict do update set n = n + 1;
end;
"""
WAYS = {
    "workers": (
        "run killed", "workers killed", "child killed", "child killed", "run told to end", "hard limit", "workers deaf",
    ),
    "redis": ("redis killed", "redis emptied", "redis frozen", "redis full", "redis rights taken"),
    "log": ("redis log torn",),  # of a Redis that is not ours to start
}  # fmt: skip
WAYS["everything"] = WAYS["workers"] + WAYS["redis"]
NAMES = {
    "workers": "T6 real workers", "redis": "T7 Redis", "log": "T7 Redis loses its log", "everything": "T15 soak",
}  # fmt: skip
OURS = ("run killed", "run told to end")  # after these a run is to be begun again
IN_A_BATCH = "select owner from batches where status = 'running' and owner is not null"
PUT_UPON = {
    "redis full": ("config set maxmemory 1", "config set maxmemory 0"),
    "redis rights taken": ("acl setuser default -@all +ping +hello +info +select", "acl setuser default +@all"),
}
PROGRESS = (
    "select status, count(*) from users group by status",
    "select status, sum(attempts), count(*) from batches group by status",
    "select status, count(*) from waves group by status",
)
UNEVEN = """
select mapping from books group by mapping
having sum(read) + sum(expanded) <> sum(written) + sum(folded) + sum(filtered) + sum(skipped) + sum(review) + sum(blocked)
"""
TAKEN = "select coalesce(sum(attempts), 0) from batches"
FROZEN = 3.0  # seconds
LIMITS = {50: 10, 5000: 40}  # users of a batch at most: seconds after which the hard limit strikes it
CAUGHT, STRUCK = 10.0, 20.0  # seconds in which somebody is in a batch; that the limit may be late by
LONG, FLAT = 10, 10.0  # minutes after which memory says something; percent that it may grow by
STILL = 240.0  # seconds after which a run in which nothing happens is stuck
SAMPLE = 5.0  # seconds between two looks at how much memory the workers hold


class Still(Exception):
    """The run goes on, and nothing happens."""


class Works:
    """A project whose users move, and somebody who harms it."""

    def __init__(
        self, folder: Path, users: int, batch: int, every: float, seed: int, broker: Broker | None = None
    ) -> None:
        self.folder, self.users, self.every, self.chance = folder, users, every, random.Random(seed)
        self.broker, self.limit = broker, next(limit for most, limit in LIMITS.items() if batch <= most)
        section = f'[broker]\nurl = "{broker.url}"\n' if broker else ""
        self.project = Project.create(folder, SETTINGS.format(batch=batch) + section)
        self._left: list[str] = []  # ways whose turn comes before any comes again
        self.harmed: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.memory: list[tuple[float, float]] = []  # seconds, megabytes of the largest worker
        self.looks: list[str] = []
        self.resumed: list[float] = []  # seconds from the end of a fault of Redis to the next batch that is taken
        self.apart = 0.0  # seconds between two looks of a dispatcher, at most
        self._over: tuple[float, int] | None = None  # when such a fault was over, and how many had been taken by then
        self.moves = self.rollbacks = 0
        self._began = time.monotonic()
        self._fill()
        for words in (("store", "upgrade"), ("tier", "assign"), ("plan", "create"), ("plan", "approve", "--yes")):
            self.project.do(*words)

    def carry_on(self, ways: tuple[str, ...], *, faults: int, seconds: float) -> None:
        """Move, put back, move, …, harming all the while, until there were enough faults and enough time has passed."""
        while not self.findings:
            self._run(ways, faults, seconds)
            if self.findings:
                return
            self.moves += 1
            self._look()
            if self._enough(faults, seconds):
                return
            self.project.do("rollback", "all", "--yes")
            self.rollbacks += 1
            self._look()
            self.project.do("wave", "retry", "all")

    def _enough(self, faults: int, seconds: float) -> bool:
        return self.harmed.total() >= faults and time.monotonic() - self._began >= seconds

    def _run(self, ways: tuple[str, ...], faults: int, seconds: float) -> None:
        """`migrator run`, again and again, until one ends by itself."""
        for _ in range(10_000):
            log = (self.folder / "run.log").open("a", encoding="utf-8")
            with log, subprocess.Popen(
                [sys.executable, "-m", "tests.faults.impatient", str(self.limit), "run", "--workers", "2", "--yes"],
                cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            ) as run:  # fmt: skip
                try:
                    ended_by_us = self._harm(run, ways, faults, seconds)
                    code = run.wait(STILL)
                except (Still, subprocess.TimeoutExpired):
                    self.findings.append(Finding("lost", f"the run does not come to its end: {self._last()}"))
                    run.send_signal(signal.SIGINT)
                    with suppress(subprocess.TimeoutExpired):
                        run.wait(STRUCK)
                    run.kill()
                    return
            self._over = None
            self._looked()
            if code in (0, 4):
                return
            if not ended_by_us or code not in (-9, -15, 1, 130):
                self.findings.append(Finding("lost", f"the run ended with {code}: {self._last()}"))
                return
        self.findings.append(Finding("lost", f"no run comes to its end: {self._last()}"))

    def _environment(self) -> dict[str, str]:
        found = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        return clean_environment(PYTHONPATH=found)

    def _harm(self, run: subprocess.Popen[bytes], ways: tuple[str, ...], faults: int, seconds: float) -> bool:
        """While it runs, now and then; whether it was ended by that. Still if nobody moves any more."""
        sampled, seen, seen_at = 0.0, "", time.monotonic()
        next_at = time.monotonic() + self.chance.uniform(2.5, 5)
        while run.poll() is None:
            time.sleep(0.05)
            if time.monotonic() - sampled > SAMPLE:
                sampled = time.monotonic()
                self._weigh(run)
                if seen != (seen := self._progress()):
                    seen_at = time.monotonic()
                elif time.monotonic() - seen_at > STILL:
                    raise Still
            self._see_resumed()
            if time.monotonic() < next_at or self._enough(faults, seconds):
                continue
            next_at = time.monotonic() + self.every * self.chance.uniform(0.4, 1.6)
            way = self._next(ways)
            inflicted = False
            with suppress(psutil.NoSuchProcess, redis.RedisError, IndexError):
                inflicted = self._inflict(run, way)
            if not inflicted:
                self._left.insert(0, way)  # nobody was there to whom it could be done: another time
                continue
            self.harmed[way] += 1
            if way in WAYS["redis"] + WAYS["log"]:
                self._over = time.monotonic(), self._taken()
            if way in OURS:
                return True
        return False

    def _next(self, ways: tuple[str, ...]) -> str:
        """Each in its turn, in an order that chance gives."""
        if not self._left:
            self._left = self.chance.sample(ways, len(ways))
        return self._left.pop()

    def _inflict(self, run: subprocess.Popen[bytes], way: str) -> bool:
        """Whether there was somebody to do it to."""
        mine = psutil.Process(run.pid)
        below = mine.children(recursive=True)
        celery = [one for one in below if "celery" in " ".join(one.cmdline())]
        if way == "run killed":
            mine.kill()
            run.wait()
        elif way == "run told to end":
            mine.terminate()
            run.wait(200)
        elif way == "workers killed":
            celery[0].kill()
        elif way == "workers deaf":
            celery[0].suspend()  # and nobody ever wakes it
        elif way == "child killed":
            children = [
                one for one in below if "multiprocessing" in " ".join(one.cmdline()) or one.ppid() == celery[0].pid
            ]
            self.chance.choice(children).kill()
        elif way == "hard limit":
            return self._hang()
        elif self.broker:
            self.broker.tear(self.chance, FROZEN)
        else:
            return any(self._harm_redis(one, way) for one in below if "redis-server" in one.name())
        return True

    def _harm_redis(self, server: psutil.Process, way: str) -> bool:
        if way == "redis killed":
            server.kill()
        elif way == "redis frozen":
            server.suspend()
            time.sleep(FROZEN)
            server.resume()
        else:
            words = " ".join(server.cmdline()).replace("unixsocket:", " ").split()
            self._tell_redis(next(word for word in words if word.endswith(".sock")), way)
        return True

    def _tell_redis(self, socket: str, way: str) -> None:
        with redis.Redis(unix_socket_path=socket) as client:
            if way == "redis emptied":
                client.flushall()
                return
            client.execute_command("acl", "setuser", "mender", "on", "nopass", "~*", "&*", "+@all")
        before, after = PUT_UPON[way]
        # as somebody from whom nothing is taken
        with redis.Redis(unix_socket_path=socket, username="mender", password="") as client:
            client.execute_command(*before.split())
            time.sleep(FROZEN)
            client.execute_command(*after.split())

    def _hang(self) -> bool:
        """Stop a worker in the middle of a batch and leave it so: what the hard time limit is for."""
        until = time.monotonic() + CAUGHT
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db", timeout=40)) as db:
            while time.monotonic() < until:
                for (owner,) in db.execute(IN_A_BATCH).fetchall():
                    worker = psutil.Process(int(owner.split(":")[1]))
                    worker.suspend()
                    if (owner,) in db.execute(IN_A_BATCH).fetchall():
                        return self._struck(worker)
                    worker.resume()  # it was through before it was stopped
        return False

    def _struck(self, worker: psutil.Process) -> bool:
        if processes.still_there([worker], self.limit + STRUCK):
            worker.resume()
            self.findings.append(Finding("lost", "the hard time limit leaves a worker alone that hangs in a batch"))
        return True

    def _weigh(self, run: subprocess.Popen[bytes]) -> None:
        with suppress(psutil.NoSuchProcess):
            held = [one.memory_info().rss for one in psutil.Process(run.pid).children(recursive=True)]
            if held:
                self.memory.append((time.monotonic() - self._began, max(held) / 1e6))

    def _progress(self) -> str:
        """Something else whenever anything has happened."""
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db", timeout=40)) as db:
            return str([db.execute(sql).fetchall() for sql in PROGRESS])

    def _taken(self) -> int:
        """How often any batch was taken."""
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db", timeout=40)) as db:
            return int(db.execute(TAKEN).fetchone()[0])

    def _see_resumed(self) -> None:
        if self._over is not None and self._taken() > self._over[1]:
            self.resumed.append(time.monotonic() - self._over[0])
            self._over = None

    def _looked(self) -> None:
        """When the dispatcher of the run that has ended looked."""
        there = self.folder / figures.TICKS
        if there.exists():
            at = [float(line) for line in there.read_text(encoding="ascii").splitlines()]
            self.apart = max([self.apart, *(after - before for before, after in pairwise(at))])
            there.unlink()

    def _look(self) -> None:
        with closing(sqlite3.connect(self.folder / "target.db", timeout=40)) as db:
            ask = lambda sql: db.execute(sql).fetchall()
            self.findings += counted(ask, self.users, moves=self.moves, rollbacks=self.rollbacks)
        status = "live" if self.moves > self.rollbacks else "rolled_back"
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db", timeout=40)) as db:
            found = dict(db.execute("select status, count(*) from users group by status").fetchall())
            uneven = [mapping for (mapping,) in db.execute(UNEVEN)]
        if found != {status: self.users}:
            self.findings.append(Finding("lost", f"the users are {found}, not {self.users} {status}"))
        self.findings += [Finding("books", f"the books of {mapping} are not even") for mapping in uneven]
        self.looks.append(f"{time.monotonic() - self._began:.0f} s: {self.users} users {status}")
        print(self.looks[-1], f"after {self.harmed.total()} faults", file=sys.stderr, flush=True)

    def _last(self) -> str:
        return (self.folder / "run.log").read_text(encoding="utf-8")[-300:]

    def _fill(self) -> None:
        (self.folder / "mappings").mkdir()
        for name, text in (("set", SET), ("accounts", ACCOUNTS), ("orders", ORDERS)):
            (self.folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
        with closing(sqlite3.connect(self.folder / "legacy.db")) as db, db:
            db.executescript(LEGACY)
            people = ((n, f" C{n}@Bakery.example", f"Customer {n}", 1, 0) for n in range(1, self.users + 1))
            db.executemany("insert into customer values (?, ?, ?, ?, ?)", people)
            sales = (
                (n * 10 + k, n, f"{n}.{k}5", f"2026-01-{1 + n % 28:02d} 10:00:00")
                for n in range(1, self.users + 1)
                for k in range(3)
            )
            db.executemany("insert into purchase values (?, ?, ?, ?)", sales)
        with closing(sqlite3.connect(self.folder / "target.db")) as db, db:
            db.executescript(TARGET)
            table, trigger = COUNTING.strip().split("\n", 1)
            db.executescript(table)
            for tab in ("accounts", "orders"):
                for what in ("insert", "update", "delete"):
                    db.executescript(trigger.format(tab=tab, what=what, row="old" if what == "delete" else "new"))


def by_minute(memory: list[tuple[float, float]]) -> dict[int, int]:
    """Megabytes of the largest worker in each minute."""
    most: dict[int, float] = {}
    for seconds, held in memory:
        minute = int(seconds // 60) + 1
        most[minute] = max(most.get(minute, 0), held)
    return {minute: round(held) for minute, held in sorted(most.items())}


def p95(seconds: list[float]) -> float | None:
    """So many seconds or less, in 95 of 100 cases; None where there were fewer than twenty."""
    return round(quantiles(seconds, n=20)[-1], 1) if len(seconds) >= 20 else None


def growth(memory: list[tuple[float, float]]) -> float:
    """Percent by which the second half of the time holds more than the first, by their medians; the start left out."""
    late = memory[len(memory) // 5 :]
    if len(late) < 4:
        return 0.0
    halves = late[: len(late) // 2], late[len(late) // 2 :]
    first, second = (sorted(held for _, held in half)[len(half) // 2] for half in halves)
    return round(100 * (second - first) / first, 1)


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=sorted(WAYS), default="workers")
    parser.add_argument("--only", action="append", help="one of its ways")
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--every", type=float, default=2, help="seconds between two faults, about")
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    folder = figures.a_folder(memory=False)
    began = time.monotonic()
    try:
        with Broker() if asked.what == "log" else nullcontext() as broker:
            works = Works(folder / "works", asked.users, asked.batch, asked.every, asked.seed, broker)
            works.carry_on(tuple(asked.only or WAYS[asked.what]), faults=asked.faults, seconds=60 * asked.minutes)
        disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    finally:
        _ended(folder)
        shutil.rmtree(folder, ignore_errors=True)
    more = growth(works.memory)
    flat = "flat" if more <= FLAT else "grows"
    if asked.minutes >= LONG and more > FLAT:
        works.findings.append(Finding("wrong", f"workers hold {more} % more in the second half of the time"))
    return figures.say(
        NAMES[asked.what], asked.seed, works.harmed.total(), works.findings, time.monotonic() - began,
        ways=dict(sorted(works.harmed.items())), users_moved=works.moves * asked.users,
        looks=works.looks, longest_between_looks=round(works.apart, 1), resumed_p95=p95(works.resumed), memory_mb_by_minute=by_minute(works.memory), memory_growth_percent=more,
        memory=flat if asked.minutes >= LONG else f"{flat}, as far as so short a time can tell", disk_mb=round(disk / 1e6),
    )  # fmt: skip


def _ended(folder: Path) -> None:
    """Whatever this started is gone."""
    for left in Project(folder / "works").processes():
        with suppress(psutil.NoSuchProcess):
            left.kill()


if __name__ == "__main__":
    sys.exit(main())
