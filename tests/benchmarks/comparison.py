"""P1 to P4, P6 and P7: `migrator` beside the limits and the peers, in turn within one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tests.benchmarks.contest import Arena, Times
from tests.benchmarks.databases import Servers
from tests.benchmarks.figures import Figure, Missing, Report
from tests.benchmarks.projects import Project
from tests.benchmarks.wanted import Wanted
from tests.benchmarks.ways import dlt_pipeline, duckdb_across, pgloader, plain_sql, sqlalchemy_script
from tests.benchmarks.work import target
from tests.postgresql_server import NoServer

PEERS = (sqlalchemy_script.WAY, duckdb_across.WAY, dlt_pipeline.WAY, pgloader.WAY)
OURS, OURS_SQLITE, OURS_MARIADB = "migrator", "migrator, SQLite to SQLite", "migrator, MariaDB to PostgreSQL"
INSERT_SQLITE = "INSERT … SELECT, SQLite attached"
PLANNING = "migrator planning"
VERIFY, WHOLE_VERIFY = "migrator verify", "migrator verify, the whole command"
ROLLBACK, WHOLE_ROLLBACK = "migrator rollback wave", "migrator rollback wave, the whole command"
WHOLE_RUN = "migrator run, workers' start and the gate's verify included"

_NO_START = "without the start of a command, as moving is without that of the workers"
_AGAINST = (
    ("P1", OURS, plain_sql.TWO_STREAMS, 1.4, "moving against two streams of COPY", "the aim is 1.25"),
    ("P1", OURS, plain_sql.ONE_STREAM, 1.0, "moving against one stream of COPY", ""),
    ("P2", OURS_SQLITE, INSERT_SQLITE, 3.0, "SQLite to SQLite against INSERT … SELECT", "over an attached file"),
    ("P3", OURS_MARIADB, OURS, 1.5, "MariaDB to PostgreSQL against P1", "of ours both"),
    *(("P4", OURS, way.name, 1.0, f"moving against {way.name}", way.about) for way in PEERS),
    ("P6", ROLLBACK, OURS, 1.0, "rollback of a wave against moving it", _NO_START),
    ("P7", VERIFY, OURS, 0.5, "verify against moving", f"every value again; {_NO_START}"),
)


def compare(servers: Servers, wanted: Wanted, report: Report) -> None:
    """Measure what is wanted, some rounds, then tell."""
    parts: list[Callable[[Times], None]] = []
    if wanted.any("P1", "P3", "P4", "P6", "P7"):
        parts.append(_postgresql(servers, wanted))
    if wanted.any("P2"):
        parts.append(_sqlite(servers, wanted))
    if wanted.any("P3"):
        parts.append(_mariadb(servers, wanted))
    times = Times(report.say)
    for number in range(1, wanted.rounds + 1):
        report.say(f"  round {number} of {wanted.rounds}, {wanted.users:,} users")
        for part in parts:
            part(times)
    report.details["rounds"] = times.as_json()
    _tell(times, wanted, report)


def _postgresql(servers: Servers, wanted: Wanted) -> Callable[[Times], None]:
    arena = Arena.prepare(servers, "postgresql", "postgresql", wanted.users)
    limits = plain_sql.WAYS if wanted.any("P1") else []
    peers = PEERS if wanted.any("P4") else ()

    def measure(times: Times) -> None:
        for way in limits:
            times.measure(arena, way)
        project = arena.migrate(wanted.batch)  # right behind the limits: minutes later the machine may be another
        times.add(OURS, project.took["moving"])
        times.add(WHOLE_RUN, project.took["run"])
        times.add(PLANNING, project.planned)
        if wanted.any("P7"):
            _add_work(times, project, VERIFY, WHOLE_VERIFY, "verify", "verify --user")
        if wanted.any("P6"):
            _add_work(times, project, ROLLBACK, WHOLE_ROLLBACK, "rollback wave whole --yes", "rollback user --dry-run")
            _require_empty(arena)
        for way in peers:
            times.measure(arena, way)

    return measure


def _add_work(times: Times, project: Project, name: str, whole: str, command: str, for_one: str) -> None:
    """How long a command takes for everybody, and without what it takes for one user, which is its start."""
    project.do(f"{for_one} {project.somebody()}")
    start = project.took[command.split()[0]]
    project.do(command)
    took = project.took[command.split()[0]]
    times.add(whole, took)
    times.add(name, took.less(start))


def _sqlite(servers: Servers, wanted: Wanted) -> Callable[[Times], None]:
    arena = Arena.prepare(servers, "sqlite", "sqlite", wanted.users)

    def measure(times: Times) -> None:
        times.add(INSERT_SQLITE, arena.move(plain_sql.WAYS[0]))
        times.add(OURS_SQLITE, arena.migrate(wanted.batch).took["moving"])

    return measure


def _mariadb(servers: Servers, wanted: Wanted) -> Callable[[Times], None]:
    try:
        arena = Arena.prepare(servers, "mariadb", "postgresql", wanted.users)
    except NoServer as lacking:
        reason = f"not installed: {lacking}"
        return lambda times: times.leave_out(OURS_MARIADB, reason)
    return lambda times: times.add(OURS_MARIADB, arena.migrate(wanted.batch).took["moving"])


def _require_empty(arena: Arena) -> None:
    """A rollback puts back what was there: nothing."""
    left = {table: arena.target.rows(f"select count(*) from {table}")[0][0] for table in target.COLUMNS}
    if any(left.values()):
        raise SystemExit(f"the rollback left rows behind: {left}")


def _tell(times: Times, wanted: Wanted, report: Report) -> None:
    for name, rounds in times.took.items():
        cpu = statistics.median(one.cpu for one in rounds)
        server = statistics.median(one.server for one in rounds)
        about = f"median of {len(rounds)}; CPU {cpu:.1f}, servers {server:.1f}"
        report.add(Figure(f"{name}, {wanted.users:,} users", times.seconds(name), None, about))
    for number, one, other, limit, name, about in _AGAINST:
        if wanted.any(number):
            report.add(_against(times, f"{number} {name}", (one, other), limit, about))


def _against(times: Times, name: str, pair: tuple[str, str], limit: float, about: str) -> Figure | Missing:
    one, other = pair
    for lacking in (other, one):
        if lacking not in times.took:
            return Missing(name, times.failed.get(lacking, "not measured"))
    ratios = times.ratios(one, other)
    rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
    told = f"{times.seconds(one):.1f} s / {times.seconds(other):.1f} s; rounds {rounds}; {about}"
    return Figure(name, statistics.median(ratios), limit, told, "x")
