"""
T11: the old product goes on while its customers move. Processes of it register, change, delete and give away, all the
time; meanwhile waves move, `sync` runs and users are cut over. Then they stop, and it must be even.

    python -m tests.faults.writers --minutes 0.2 --customers 200 --seed 7
    python -m tests.faults.writers --minutes 5 --capture trigger --legacy postgresql
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.faults import figures
from tests.faults.application import EACH, Legacy
from tests.faults.oracle import Finding, same_as_legacy
from tests.flows.bakery import ACCOUNTS, LEGACY, ORDERS, SET, TARGET
from tests.journeys.project import REPOSITORY, Project, clean_environment
from tests.postgresql_server import PostgresqlServer

SETTINGS = """
[legacy]
url = "{legacy}"
[target]
url = "sqlite:///target.db"
[mappings]
path = "mappings"
[plan]
soak = "{soak}s"
cutover = "manual"
[gates]
max_held = 1.0
[batches]
users = 40
adaptive = false
lease = "10s"
grace = "2s"
ring_again = "2s"
reap_every = "1s"
leader = "3s"
retry_after = "1s"
attempts = 1000
interruptions = 1000
[cutover]
drain = "4s"
users = 500
[changes]
capture = "{capture}"
overlap = "30s"
"""
WRITERS, PLANTED, ROUNDS = 3, 1000, 20
COMES = ("changed", "queue", "busy", "taken_back", "sent_again")  # what `sync` says while there is something to do
GATES = 14  # about so many waves, each of which is watched for its share of the time


class Siege:
    """A project whose users move, and the old product that goes on."""

    def __init__(self, folder: Path, legacy: str, *, customers: int, capture: str, minutes: float, seed: int) -> None:
        self.folder, self.url, self.seconds, self.seed = folder, legacy, 60 * minutes, seed
        self.customers, self.findings, self.did = customers, list[Finding](), Counter[str]()
        self.old_job: set[str] = set()
        soak = round(self.seconds / GATES) if minutes >= 2 else 0
        self.project = Project.create(folder, SETTINGS.format(legacy=legacy, soak=soak, capture=capture))
        self._fill()
        self.legacy = Legacy(legacy)
        self.project.do("store", "upgrade")
        if capture == "trigger":
            self.project.do("changes", "install", "--yes")
        for words in (("tier", "assign"), ("plan", "create"), ("plan", "approve", "--yes")):
            self.project.do(*words)

    def carry_on(self) -> None:
        """All at once for so long; then the product rests, and what is left comes over."""
        writers = [self._writer(number) for number in range(WRITERS)]
        try:
            self._while_they_write(writers)
        finally:
            (self.folder / "stop").touch()
            for one in writers:
                with suppress(subprocess.TimeoutExpired):
                    one.wait(60)
                one.kill()
        for number, one in enumerate(writers):
            if one.returncode:
                self._found(
                    "lost", f"writer {number} ended with {one.returncode}; see {self._said(f'writer-{number}')}"
                )
                return
            told = json.loads((self.folder / f"done-{number}.json").read_text(encoding="utf-8"))
            self.did.update(told["done"])
            self.old_job |= set(told["old_job"])
        self._come_to_rest()
        self._look("when all had come over")
        if not self.findings:
            self._cut_over(last=True)
            self._look("when all were cut over", everybody="live")
            self._drifts()

    # ---- while they write --------------------------------------------------------------------------------------

    def _writer(self, number: int) -> subprocess.Popen[bytes]:
        words = ["-m", "tests.faults.application", str(self.folder), self.url, str(number), str(self.seed + number)]
        with (self.folder / f"writer-{number}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *words], cwd=REPOSITORY, env=clean_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def _while_they_write(self, writers: list[subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + self.seconds
        run = self._run()
        try:
            while time.monotonic() < until and all(one.poll() is None for one in writers):
                self._command("sync", "--json", fine=(0, 4))
                self._cut_over()
                if run.poll() is not None:
                    self._ended_well(run.returncode)
                    run = self._run()  # newcomers have waves of their own
        finally:
            if run.poll() is None:
                run.terminate()
                with suppress(subprocess.TimeoutExpired):
                    run.wait(120)
            run.kill()

    def _run(self) -> subprocess.Popen[bytes]:
        with (self.folder / "run.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "migrator", "run", "--workers", "2", "--yes"], cwd=self.folder,
                env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _ended_well(self, code: int) -> None:
        self.did[f"run ended with {code}"] += 1
        if code not in (0, 4):
            self._found("lost", f"a run ended with {code}: {self._said('run')}")

    def _cut_over(self, *, last: bool = False) -> None:
        """Whoever is moved; one who is written to just then stays for the next time."""
        for _ in range(ROUNDS if last else 1):
            said = self._command("wave", "cut-over", "all", "--yes", "--json", fine=(0, 1, 4))
            if said is None:
                return  # nobody is moved and not yet live
            self.did["cut over"] += int(said.get("live", 0))

    def _command(self, *words: str, fine: tuple[int, ...]) -> dict[str, Any] | None:
        """What one command says; None where it refused."""
        ran = self.project.ask(*words)
        self.did[" ".join(words[:2]).replace(" --json", "")] += 1
        if ran.code not in fine or "Traceback" in ran.text:
            self._found("lost", f"`{ran.command}` ended with {ran.code}: {ran.text[-300:]}")
        return dict(ran.json) if ran.out.startswith("{") else None

    # ---- when they rest ----------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        """Bring over and move until there is nothing to do."""
        for _ in range(ROUNDS):
            run = self._run()
            self._ended_well(run.wait(600))
            said = self._command("sync", "--remove-vanished", "--yes", "--json", fine=(0, 4))
            if self.findings or said is None:
                break
            if not (said["new"]["users"] or any(said[what] for what in COMES)):
                return
        self._found("lost", f"it does not come to rest: {self._said('run')}")

    def _look(self, when: str, everybody: str | None = None) -> None:
        """Everybody of legacy is in the target, just so, and nobody else."""
        with closing(sqlite3.connect(self.folder / "target.db", timeout=40)) as db:
            ask = lambda sql: db.execute(sql).fetchall()
            self.findings += [
                Finding(one.what, f"{when}: {one.said}") for one in same_as_legacy(self.legacy.ask, ask, self.old_job)
            ]
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db", timeout=40)) as db:
            statuses = dict(db.execute("select user_key, status from users").fetchall())
            uneven = "select mapping from books group by mapping having sum(read) + sum(expanded) <> sum(written) + sum(folded) + sum(filtered) + sum(skipped) + sum(review) + sum(blocked)"
            for (mapping,) in db.execute(uneven):
                self._found("books", f"{when}: the books of {mapping} are not even")
        for key, closed in self.legacy.ask("select id, closed from customer"):
            wanted = ("excluded", "rolled_back") if closed else ((everybody,) if everybody else ("moved", "live"))
            status = statuses.pop(str(key), "not in the plan")
            if status not in wanted:
                self._found("lost", f"{when}: customer {key} is {status}, not {' or '.join(wanted)}")
        for key, status in statuses.items():
            if status not in ("excluded", "rolled_back"):
                self._found("wrong", f"{when}: customer {key}, who is gone from legacy, is {status}")

    def _drifts(self) -> None:
        """Legacy is written to for users whom the target serves: each of them is named, and nobody else."""
        chance = random.Random(self.seed)
        there = [key for (key,) in self.legacy.ask("select id from customer where closed = 0 order by id")]
        planted = {str(one) for one in self.old_job} & {str(one) for one in there}
        for one in chance.sample(there, min(max(0, PLANTED - len(planted)), len(there) // 3)):
            self._plant(one, chance)
            planted.add(str(one))
        ran = self.project.ask("verify", "--json")
        found = ran.json
        drifted = {str(one["user"]) for one in found["drift"]}
        if found["drift_count"] != len(planted) or drifted - planted or (len(planted) <= len(drifted)) < 1:
            self._found(
                "wrong", f"{len(planted)} users were written to in legacy, {found['drift_count']} are reported: "
                f"{sorted(planted - drifted)[:5]} are missing, {sorted(drifted - planted)[:5]} too many",
            )  # fmt: skip
        if found["difference_count"]:
            self._found("wrong", f"verify finds {found['difference_count']} differences: {found['differences'][:3]}")
        self.did["drifts planted"] = len(planted)

    def _plant(self, customer: int, chance: random.Random) -> None:
        """A change of one of several kinds."""
        kind = chance.choice(("name", "buy", "status"))
        if kind == "name":
            self.legacy.do("update customer set name = ? where id = ?", f"Planted {customer}", customer)
        elif kind == "buy":
            at = "2026-03-01 10:00:00"
            self.legacy.do("insert into purchase values (?, ?, ?, ?)", 10 * EACH + customer, customer, 1.5, at)
        else:
            self.legacy.do("update customer set status = 3 - status where id = ?", customer)

    def _fill(self) -> None:
        (self.folder / "mappings").mkdir()
        for name, text in (("set", SET), ("accounts", ACCOUNTS), ("orders", ORDERS)):
            (self.folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
        legacy = Legacy(self.url)
        for statement in filter(str.strip, LEGACY.split(";")):
            legacy.do(statement)
        with legacy.transaction():
            for n in range(1, self.customers + 1):
                legacy.do("insert into customer values (?, ?, ?, 1, 0)", n, f" C{n}@Bakery.example", f"Customer {n}")
                for k in range(3):
                    at = f"2026-01-{1 + n % 28:02d} 10:00:00"
                    legacy.do("insert into purchase values (?, ?, ?, ?)", n * 10 + k, n, f"{n}.{k}5", at)
        if legacy.file:
            legacy.do("pragma journal_mode = wal")
        with closing(sqlite3.connect(self.folder / "target.db")) as db, db:
            db.executescript(TARGET)

    def _found(self, what: str, said: str) -> None:
        self.findings.append(Finding(what, said))

    def _said(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8")[-300:] if path.exists() else ""


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.2)
    parser.add_argument("--customers", type=int, default=300)
    parser.add_argument("--capture", choices=("scan", "trigger"), default="scan")
    parser.add_argument("--legacy", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    root, began = figures.a_folder(memory=False), time.monotonic()
    folder = root / "siege"
    try:
        with PostgresqlServer() if asked.legacy == "postgresql" else nullcontext() as server:
            url = server.url() if server else f"sqlite:///{folder / 'legacy.db'}"
            folder.mkdir()
            siege = Siege(
                folder, url, customers=asked.customers, capture=asked.capture, minutes=asked.minutes, seed=asked.seed
            )
            siege.carry_on()
    finally:
        for left in Project(folder).processes():
            with suppress(psutil.NoSuchProcess):
                left.kill()
        shutil.rmtree(root, ignore_errors=True)
    return figures.say(
        "T11 live writers", asked.seed, sum(siege.did[way] for way in WRITES), siege.findings[:20],
        time.monotonic() - began, did=dict(sorted(siege.did.items())),
    )  # fmt: skip


WRITES = ("rename", "readdress", "restate", "buy", "correct", "return", "give", "register", "leave", "old job")

if __name__ == "__main__":
    sys.exit(main())
