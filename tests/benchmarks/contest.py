"""Ways measured in turn, round by round, each on an empty target; a result that is wrong has no time."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.clocks import Took, timed
from tests.benchmarks.databases import Database, Servers
from tests.benchmarks.projects import Project
from tests.benchmarks.ways.base import Way, WayFailed
from tests.benchmarks.work import checks, legacy, target


@dataclass
class Arena:
    """A filled legacy database, a target, and what the target must hold afterwards."""

    servers: Servers
    legacy: Database
    target: Database
    users: int
    expected: dict[str, checks.Sum]
    shape: list[str]

    @classmethod
    def prepare(cls, servers: Servers, from_: str, to: str, users: int) -> Arena:
        """Fill legacy; what must arrive is asked of it in plain SQL."""
        old, new = servers.pair(from_, to)
        legacy.fill(old, users)
        target.build(new)
        return cls(servers, old, new, users, checks.meant(old), checks.shape(new))

    def move(self, way: Way) -> Took:
        """Let another tool do the work."""
        target.build(self.target)
        _, took = timed(lambda: way.move(self.legacy, self.target, self.users), self.servers.server_processes())
        self.check(way.name)
        return took

    def migrate(self, batch: int, workers: int = 2) -> Project:
        """Let `migrator` do the work; it is planned, run and checked."""
        target.build(self.target)
        project = self.project(batch)
        project.plan()
        project.run(workers)
        self.check("migrator")
        return project

    def project(self, batch: int) -> Project:
        """A new project between the two databases."""
        folder = self.servers.folder("project")
        return Project.create(folder, self.legacy, self.target, self.servers.server_processes(), batch=batch)

    def check(self, who: str) -> None:
        """Raise Wrong unless every value and every constraint is there."""
        checks.check(self.target, self.expected, who)
        checks.check_shape(self.target, self.shape, who)


@dataclass
class Times:
    """What each contestant took in each round; in a round all met the same machine."""

    say: Callable[[str], None]
    took: dict[str, list[Took]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, took: Took) -> None:
        """Keep a time of this round."""
        self.took.setdefault(name, []).append(took)
        self.say(f"    {name:<40}{took}")

    def leave_out(self, name: str, reason: str) -> None:
        """It is not measured any more, and has no time."""
        self.failed[name] = reason
        self.took.pop(name, None)

    def measure(self, arena: Arena, way: Way) -> None:
        """Let it do the work; whoever fails once is out, with the reason."""
        if way.name in self.failed:
            return
        if lacking := way.missing():
            self.leave_out(way.name, f"not installed: {lacking}")
            return
        try:
            self.add(way.name, arena.move(way))
        except (WayFailed, checks.Wrong) as why:
            self.leave_out(way.name, f"failed: {' '.join(str(why).split())[-300:]}")

    def seconds(self, name: str) -> float:
        """The median."""
        return statistics.median(one.wall for one in self.took[name])

    def ratios(self, one: str, other: str) -> list[float]:
        """Round by round, so that a slow minute of the machine counts for both."""
        return [a.wall / b.wall for a, b in zip(self.took[one], self.took[other], strict=True)]

    def as_json(self) -> dict[str, Any]:
        """Every round."""
        return {name: [vars(took) for took in rounds] for name, rounds in self.took.items()}
