"""P5, P8, P10 and P11: `migrator` alone with a tenth of the users, as many, and ten times as many."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from migrator import runtime
from migrator.flows.helping import support
from tests.benchmarks import plots
from tests.benchmarks.clocks import Took
from tests.benchmarks.contest import Arena
from tests.benchmarks.databases import Servers
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.projects import PLANNING, Project
from tests.benchmarks.wanted import Wanted
from tests.benchmarks.watching import Watch

MEGABYTE = 1_000_000
LOOKS = 1_000
FLAT = 1.15  # what the memory of a worker may differ by
TEN_TIMES = 10.5  # the limit of what ten times the users may cost


@dataclass
class Size:
    """What one size took."""

    users: int
    planning: Took
    planning_peak: int
    run: Took
    watch: Watch
    control_bytes: int
    slowest_look: float  # the 99th of a hundred, in seconds

    @property
    def worker_peak(self) -> int:
        """The most that one worker held."""
        return max(self.watch.memory[pid] for pid in self.watch.workers)

    @property
    def name(self) -> str:
        """For a line of the table."""
        return f"{self.users:,} users"


def measure(servers: Servers, wanted: Wanted, report: Report) -> None:
    """One run of each size; the largest tells, the others say how it grows."""
    sizes = [_one(servers, users, wanted, report) for users in wanted.sizes]
    report.details["sizes"] = [_as_json(size) for size in sizes]
    for size in sizes:
        report.add(Figure(f"run, {size.name}", size.run.wall, None, _told(size)))
    largest, before = sizes[-1], sizes[-2]
    if wanted.any("P5"):
        _planning(largest, before, report)
    if wanted.any("P8"):
        _memory(largest, before, wanted, report)
    if wanted.any("P10"):
        about = f"p99 of {LOOKS:,} random users, the flow in one process"
        report.add(Figure(f"P10 user show at {largest.name}", largest.slowest_look * 1000, 20, about, "ms"))
    if wanted.any("P11"):
        for one, other in zip(sizes[1:], sizes, strict=False):
            _growth(f"P11 moving, {other.users:,} to {one.name}", one.run.wall, other.run.wall, "s", report)
        for one, other in zip(sizes[1:], sizes, strict=False):
            name = f"control database, {other.users:,} to {one.name}"
            _growth(name, one.control_bytes / MEGABYTE, other.control_bytes / MEGABYTE, "MB", report)


def _one(servers: Servers, users: int, wanted: Wanted, report: Report) -> Size:
    report.say(f"  migrator alone, {users:,} users")
    arena = Arena.prepare(servers, "postgresql", "postgresql", users)
    project = arena.migrate(wanted.batch)
    report.say(f"    planning {project.planned}\n    run      {project.took['run']}")
    looked = slowest_look(project, users)
    planning_peak = max(project.watched[" ".join(step.split()[:2])].peak for step in PLANNING[1:])
    size = Size(
        users,
        project.planned,
        planning_peak,
        project.took["moving"],
        project.watched["run"],
        project.control_bytes(),
        looked,
    )
    for side in (arena.legacy, arena.target):  # the disk is needed for the next
        side.maintain(f"drop schema {side.schema} cascade")
    return size


def slowest_look(project: Project, users: int) -> float:
    """`user show` inside one process, as a console would ask: the 99th of a hundred."""
    dice, times = random.Random(11), []
    with runtime.connect(project.folder) as opened:
        support.show(opened.parts, "1")  # opens what is opened once
        for _ in range(LOOKS):
            key = str(dice.randint(1, users))
            began = time.perf_counter()
            found = support.show(opened.parts, key)
            times.append(time.perf_counter() - began)
            if found["status"] != "live":
                raise SystemExit(f"user {key} is {found['status']}, not live")
    return sorted(times)[int(LOOKS * 0.99) - 1]


def _planning(largest: Size, before: Size, report: Report) -> None:
    whole = largest.users >= 1_000_000
    about = "tier assign, plan create, plan approve" + ("" if whole else "; the limit is that of 1,000,000")
    report.add(Figure(f"P5 planning, {largest.name}", largest.planning.wall, 60, about))
    peak = largest.planning_peak / 2**20
    report.add(Figure(f"P5 memory of planning, {largest.name}", peak, 1536, "the largest process", "MiB"))
    _growth(
        f"P5 planning, {before.users:,} to {largest.name}", largest.planning.wall, before.planning.wall, "s", report
    )


def _memory(largest: Size, before: Size, wanted: Wanted, report: Report) -> None:
    about = f"the larger of {len(largest.watch.workers)} workers, resident"
    peak = largest.worker_peak / MEGABYTE
    report.add(Figure(f"P8 memory of a worker, {largest.name}", peak, 600, about, "MB"))
    about = f"{peak:.0f} MB / {before.worker_peak / MEGABYTE:.0f} MB: flat in the number of users"
    full = before.users >= 4 * wanted.batch  # with fewer a worker never meets the batches that it meets with more
    name = f"P8 the same against {before.name}"
    report.add(Figure(name, largest.worker_peak / before.worker_peak, FLAT if full else None, about, "x"))
    report.say(plots.as_text(largest.watch.workers))
    if wanted.plot:
        wanted.plot.write_text(plots.as_svg(largest.watch.workers, largest.name), encoding="utf-8")
        report.say(f"  the same as a picture: {wanted.plot}")


def _growth(name: str, one: float, other: float, unit: str, report: Report) -> None:
    report.add(Figure(name, one / other, TEN_TIMES, f"{one:,.1f} {unit} / {other:,.1f} {unit}", "x"))


def _told(size: Size) -> str:
    users = size.users / size.run.wall
    return (
        f"{users:,.0f} users/s; planning {size.planning.wall:.1f}; CPU {size.run.cpu:.1f}, servers {size.run.server:.1f};"
        f" worker {size.worker_peak / MEGABYTE:.0f} MB; control {size.control_bytes / MEGABYTE:.1f} MB"
    )


def _as_json(size: Size) -> dict[str, object]:
    return {
        "users": size.users,
        "planning": vars(size.planning),
        "planning_peak_bytes": size.planning_peak,
        "run": vars(size.run),
        "worker_peak_bytes": size.worker_peak,
        "worker_memory": {str(pid): seen[::10] for pid, seen in size.watch.workers.items()},
        "control_bytes": size.control_bytes,
        "user_show_p99_seconds": size.slowest_look,
    }
