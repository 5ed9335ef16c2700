"""A migrator project for the work, and its command line, as a person would use them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.benchmarks.clocks import Took, of_servers
from tests.benchmarks.databases import Database
from tests.benchmarks.watching import Watch

MAPPINGS = Path(__file__).with_name("work") / "mappings"
#: One wave, nothing waits for a person: what is compared is moving.
SETTINGS = """
[legacy]
{legacy}
[target]
{target}
[mappings]
path = "{mappings}"
[plan]
strategy = "whole"
soak = "0s"
cutover = "immediate"
[batches]
users = {batch}
"""
PLANNING = ("store upgrade", "tier assign", "plan create", "plan approve --yes")


class Failed(Exception):
    """A command of ours ended with another code than it should."""


@dataclass
class Project:
    """A folder with a `migrator.toml`, and how long each command took that was given in it."""

    folder: Path
    servers: list[int] = field(default_factory=list)
    took: dict[str, Took] = field(default_factory=dict)
    watched: dict[str, Watch] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, legacy: Database, target: Database, servers: list[int], *, batch: int = 5000,
               mappings: Path = MAPPINGS) -> Project:  # fmt: skip
        """Write the settings file; nothing else is needed."""
        folder.mkdir(parents=True, exist_ok=True)
        settings = SETTINGS.format(legacy=legacy.section, target=target.section, mappings=mappings, batch=batch)
        (folder / "migrator.toml").write_text(settings, encoding="utf-8")
        return cls(folder, servers)

    def plan(self) -> None:
        """From nothing to an approved plan."""
        for command in PLANNING:
            self.do(command)

    def run(self, workers: int) -> Took:
        """
        Carry the plan out; what is counted is the moving.

        It lasts from the first claim of a batch to the last record. Before it workers start, after it the wave is
        verified once more: that is in `took["run"]`, the whole command, whose CPU counts for both.
        """
        self.do(f"run --workers {workers} --yes")
        whole = self.took["run"]
        self.took["moving"] = Took(self._moving(), whole.cpu, whole.server)
        return self.took["moving"]

    def _moving(self) -> float:
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db")) as control:
            [(first, last)] = control.execute("select min(started_at), max(finished_at) from batches")
        return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()

    def somebody(self) -> str:
        """The key of a user."""
        with closing(sqlite3.connect(self.folder / ".migrator" / "control.db")) as control:
            return str(control.execute("select min(user_key) from users").fetchone()[0])

    def do(self, command: str) -> str:
        """Run one command that must succeed; what it took is kept under its first words."""
        words = command.split()
        server, began = of_servers(self.servers), time.perf_counter()
        process = self._start(words)
        with Watch(process.pid) as watch:
            said = process.communicate()
            wall = time.perf_counter() - began
        if process.returncode:
            raise Failed(f"`migrator {command}` ended with {process.returncode}:\n{said[0][-4000:]}{said[1][-4000:]}")
        self.took[_name(words)] = Took(wall, watch.cpu_seconds, of_servers(self.servers) - server)
        self.watched[_name(words)] = watch
        return said[0]

    @property
    def planned(self) -> Took:
        """From an empty control database to an approved plan."""
        steps = [self.took[_name(command.split())] for command in PLANNING[1:]]
        return Took(*(sum(getattr(step, clock) for step in steps) for clock in ("wall", "cpu", "server")))

    def control_bytes(self) -> int:
        """The size of the control database."""
        return sum(file.stat().st_size for file in (self.folder / ".migrator").glob("control.db*"))

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
        return subprocess.Popen(
            [sys.executable, "-m", "migrator", *words], cwd=self.folder, env={**kept, "NO_COLOR": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _name(words: list[str]) -> str:
    return words[0] if words[0] in ("run", "verify", "rollback") else " ".join(words[:2])
