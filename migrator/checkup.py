"""The doctor: look at everything a run needs, and say what to do about what is wrong."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.errors import MigratorError

if TYPE_CHECKING:
    from migrator.edges.databases.base import Legacy
    from migrator.runtime import Runtime

ROOM = 2 * 1024**3  # bytes that snapshots should have left


@dataclass(frozen=True, slots=True)
class Check:
    """One look: pass, warn or fail, in a sentence, with the remedy."""

    name: str
    result: str
    said: str
    remedy: str = ""


def examine(runtime: Runtime) -> list[Check]:
    """Look at everything; one failing look does not stop the others."""
    looks: list[tuple[str, Callable[[Runtime], Iterator[Check]]]] = [
        ("settings", _settings),
        ("control", _control),
        ("legacy", _legacy),
        ("target", _target),
        ("mappings", _mappings),
        ("schemas", _schemas),
        ("throttle", _throttle),
        ("redis", _redis),
        ("snapshots", _snapshots),
        ("key", _key),
        ("clocks", _clocks),
        ("protection", _protection),
    ]
    found: list[Check] = []
    for name, look in looks:
        try:
            found += list(look(runtime))
        except MigratorError as problem:
            found.append(Check(name, "fail", str(problem)))
    return found


def _settings(runtime: Runtime) -> Iterator[Check]:
    yield Check("settings", "pass", f"{runtime.settings.file} is understood")


def _control(runtime: Runtime) -> Iterator[Check]:
    control = runtime.control_as_is
    found, head = control.revision(), control.head()
    if found == head:
        yield Check("control", "pass", f"{control.dialect}, revision {head}")
    else:
        yield Check("control", "fail", f"revision {found or 'none'}, newest is {head}", "migrator store upgrade")


def _legacy(runtime: Runtime) -> Iterator[Check]:
    several = {f"legacy.{name}": database for name, database in runtime.sources.items()}
    named: Mapping[str, Legacy] = several or {"legacy": runtime.legacy}
    for name, database in named.items():
        try:
            yield Check(name, "pass", f"{database.ping()}, {len(database.schema().stored.tables)} tables")
            yield from _concerns(name, database)
        except MigratorError as problem:
            yield Check(name, "fail", str(problem))


def _concerns(name: str, database: Legacy) -> Iterator[Check]:
    yield from (Check(name, one.result, one.said, one.remedy) for one in database.concerns())


def _target(runtime: Runtime) -> Iterator[Check]:
    yield Check("target", "pass", f"{runtime.target.ping()}, {len(runtime.target.schema().stored.tables)} tables")
    yield from _concerns("target", runtime.target)
    if runtime.target.prepared():
        yield Check("ledger", "pass", "ledger, fence, ids and owners are in the target")
    else:
        yield Check("ledger", "fail", "the target lacks tables of ours (migrator_*)", "migrator store upgrade")


def _mappings(runtime: Runtime) -> Iterator[Check]:
    from migrator.mapping import lint, problems

    found = lint.lint(runtime.load_set(), runtime.legacy.schema(), runtime.target.schema())
    wrong = len(problems.errors(found))
    result = "fail" if wrong else "warn" if found else "pass"
    yield Check(
        "mappings", result, f"{wrong} errors, {len(found) - wrong} warnings", "migrator mapping lint" if found else ""
    )


def _schemas(runtime: Runtime) -> Iterator[Check]:
    from migrator.flows import schema_changes
    from migrator.store import plans

    control = runtime.control_as_is
    if control.revision() != control.head():
        return  # said already
    with control.read() as db:
        plan = plans.current(db)
    if plan is None or plan.schemas is None:
        yield Check("schemas", "pass", "no plan is approved yet, so there is nothing to compare with")
        return
    changed = schema_changes.changed(plan, runtime.legacy, runtime.target)
    if changed:
        said = f"not what plan {plan.id} was approved against (E801):\n{schema_changes.listed(changed)}"
        yield Check("schemas", "fail", said, "migrator mapping lint, then migrator plan revise")
    else:
        yield Check("schemas", "pass", f"both are what plan {plan.id} was approved against")


def _throttle(runtime: Runtime) -> Iterator[Check]:
    throttle = runtime.throttle
    wanted = throttle.wanted(())
    if not wanted and not throttle.queries:
        said = "no limit is set" + (f"; batches wait while {throttle.flag} is there" if throttle.flag else "")
        yield Check("throttle", "pass", said)
        return
    for found in throttle.measure(wanted):
        if found.failed is not None:
            remedy = "until it can be looked at, every wave waits"
            yield Check("throttle", "fail", f"{found.of} cannot be looked at: {found.failed}", remedy)
        else:
            yield Check("throttle", "pass", found.sentence)
    untold = throttle.untold()
    if untold:
        yield Check(
            "throttle", "warn", f"nothing here tells {', '.join(untold)}", "name [throttle] replicas, or use sql"
        )


def _redis(runtime: Runtime) -> Iterator[Check]:
    from migrator.edges import redis

    url = runtime.settings.broker.url
    if url is None:
        yield Check("redis", "pass", f"embedded: {redis.executable()}")
        return
    version = redis.version(url)
    if version is None:
        yield Check("redis", "fail", "no Redis answers at [broker] url", "start it, or leave [broker] out")
    else:
        yield Check("redis", "pass", f"Redis {version}")


def _snapshots(runtime: Runtime) -> Iterator[Check]:
    folder = runtime.settings.snapshots.path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(folder).free
    result = "pass" if free > ROOM else "warn"
    yield Check("snapshots", result, f"{folder}, {free / 1024**3:.1f} GiB free", "" if free > ROOM else "make room")


def _key(runtime: Runtime) -> Iterator[Check]:
    path = runtime.settings.snapshots.key
    _ = runtime.key
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Check("key", "fail", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    else:
        yield Check("key", "pass", f"{path}; keep a copy somewhere else: without it no snapshot opens")


def _clocks(runtime: Runtime) -> Iterator[Check]:
    from migrator.flows.parts import utc_now
    from migrator.store.control import clock

    with runtime.control_as_is.read() as db:
        apart = abs((clock(db) - utc_now()).total_seconds())
    if apart > 5:
        yield Check("clocks", "warn", f"this machine and the control database are {apart:.0f} s apart", "run NTP")
    else:
        yield Check("clocks", "pass", "this machine and the control database agree")


def _protection(runtime: Runtime) -> Iterator[Check]:
    yield Check(
        "protection",
        "warn",
        "legacy is not frozen: what changes there after a user's move was committed stays in legacy",
        "keep users from writing during their wave, and look for drift with `migrator verify`",
    )
