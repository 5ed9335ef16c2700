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

LONGEST_HOLD = 50  # seconds that the writing sessions of the edges allow a statement, a lock, an idle transaction
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
        ("carrying", _writable),
        ("target", _target),
        ("mappings", _mappings),
        ("schemas", _schemas),
        ("throttle", _throttle),
        ("redis", _redis),
        ("snapshots", _snapshots),
        ("key", _key),
        ("files", _files),
        ("sessions", _sessions),
        ("clocks", _clocks),
        ("protection", _protection),
        ("people", _people),
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
    found, head = control.refuse_newer(), control.head()
    if found == head:
        yield Check("control", "pass", f"{control.dialect}, revision {head}")
        yield from _covered(runtime)
    else:
        yield Check("control", "fail", f"revision {found or 'none'}, newest is {head}", "migrator store upgrade")


def _covered(runtime: Runtime) -> Iterator[Check]:
    """The control database holds who is where, and the journal: nobody is to listen."""
    from migrator.edges.databases import postgresql_powers

    control = runtime.control_as_is
    if control.dialect == "postgresql":
        with control.read() as db:
            yield from (
                Check("control", one.result, one.said, one.remedy) for one in postgresql_powers.cover(db, control.url)
            )


def _legacy(runtime: Runtime) -> Iterator[Check]:
    several = {f"legacy.{name}": database for name, database in runtime.sources.items()}
    named: Mapping[str, Legacy] = several or {"legacy": runtime.legacy}
    for name, database in named.items():
        try:
            yield Check(name, "pass", f"{database.ping()}, {len(database.schema().stored.tables)} tables")
            yield from _concerns(name, database)
        except MigratorError as problem:
            yield Check(name, "fail", str(problem))


def _writable(runtime: Runtime) -> Iterator[Check]:
    """The accounts by which changes are carried back to legacy, where there are any."""
    for name, database in runtime.writable.items():
        said = "[legacy] write_url" if name == "legacy" else f"[legacy.{name}] write_url"
        try:
            yield Check("carrying", "pass", f"{said}: {database.ping()}")
            yield from (Check("carrying", one.result, one.said, one.remedy) for one in database.powers())
            if not database.prepared():
                yield Check("carrying", "fail", f"{said}: migrator_carried is not there", "migrator store upgrade")
        except MigratorError as problem:
            yield Check("carrying", "fail", f"{said}: {problem}")
    policy = runtime.settings.rollback.policy
    missing = sorted(set(runtime.settings.legacies) - set(runtime.writable))
    if policy != "block" and missing:
        where = ", ".join("[legacy]" if name == "legacy" else f"[legacy.{name}]" for name in missing)
        said = f'[rollback] policy = "{policy}", and there is no account that may write to {where}'
        yield Check("carrying", "fail", said, "set write_url there; `migrator store grants` says what it needs")


def _concerns(name: str, database: Legacy) -> Iterator[Check]:
    for one in (*database.concerns(), *database.powers()):
        yield Check(name, one.result, one.said, one.remedy)


def _target(runtime: Runtime) -> Iterator[Check]:
    yield Check("target", "pass", f"{runtime.target.ping()}, {len(runtime.target.schema().stored.tables)} tables")
    yield from _concerns("target", runtime.target)
    if runtime.target.prepared():
        yield _ledger(runtime)
    else:
        yield Check("ledger", "fail", "the target lacks tables of ours (migrator_*)", "migrator store upgrade")


def _ledger(runtime: Runtime) -> Check:
    from migrator.store import plans

    control = runtime.control_as_is
    with runtime.target.reading() as reader:
        moved = reader.moved()
    if moved and control.revision() == control.head():
        with control.read() as db:
            known = plans.current(db) is not None
        if not known:
            said = f"it says that {moved} users were moved, and the control database knows of no plan"
            return Check("ledger", "fail", said, "restore the control database that moved them ([control] url)")
    return Check("ledger", "pass", "ledger, fence, ids and owners are in the target")


def _mappings(runtime: Runtime) -> Iterator[Check]:
    from migrator.mapping import lint, problems

    found = lint.lint(runtime.load_set(), runtime.legacy.schema(), runtime.target.schema())
    wrong = len(problems.errors(found))
    result = "fail" if wrong else "warn" if found else "pass"
    yield Check(
        "mappings", result, f"{wrong} errors, {len(found) - wrong} warnings", "migrator mapping lint" if found else ""
    )


def _schemas(runtime: Runtime) -> Iterator[Check]:
    from migrator.flows.drafting import schema_changes
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
    from migrator.runtime.machine import utc_now

    throttle = runtime.throttle
    if closed := throttle.schedule.why_closed(utc_now()):
        yield Check("throttle", "pass", f"{closed}: until then no batch of a wave starts")
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
    yield from _replicas(runtime)
    untold = throttle.untold()
    if untold:
        yield Check(
            "throttle", "warn", f"nothing here tells {', '.join(untold)}", "name [throttle] replicas, or use sql"
        )


def _replicas(runtime: Runtime) -> Iterator[Check]:
    """Replicas are asked for a number; the way to them is to be covered like any other, and their clock is to be right."""
    from migrator.edges.databases import connect

    for number, url in enumerate(runtime.settings.throttle.replicas, start=1):
        database = connect(url, None, "replica")
        try:
            for one in database.powers():
                if one.result != "pass":
                    yield Check("throttle", one.result, f"replica {number}: {one.said}", one.remedy)
        except MigratorError as problem:
            yield Check("throttle", "fail", f"replica {number}: {problem}")
        finally:
            database.close()


def _redis(runtime: Runtime) -> Iterator[Check]:
    from migrator.edges import redis, redis_concerns

    url = runtime.settings.broker.url
    if url is None:
        yield Check("redis", "pass", f"embedded: {redis.executable()}")
        return
    version = redis.version(url)
    if version is None:
        yield Check("redis", "fail", "no Redis answers at [broker] url", "start it, or leave [broker] out")
    else:
        yield Check("redis", "pass", f"Redis {version}")
        yield from (Check("redis", one.result, one.said, one.remedy) for one in redis_concerns.look(url))


def _snapshots(runtime: Runtime) -> Iterator[Check]:
    elsewhere = runtime.settings.snapshots.url
    if elsewhere:
        runtime.snapshots.try_out()
        yield Check("snapshots", "pass", f"{elsewhere} takes, gives and forgets what it is given")
        return
    folder = runtime.settings.snapshots.path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(folder).free
    result = "pass" if free > ROOM else "warn"
    yield Check("snapshots", result, f"{folder}, {free / 1024**3:.1f} GiB free", "" if free > ROOM else "make room")


def _key(runtime: Runtime) -> Iterator[Check]:
    source, _ = runtime.keyring.source, runtime.key
    if source.kind != "file":
        yield Check("key", "pass", f"the one {source}; keep a copy somewhere else: without it no snapshot opens")
        return
    path = source.path
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Check("key", "fail", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    else:
        yield Check("key", "pass", f"{path}; keep a copy somewhere else: without it no snapshot opens")


def _files(runtime: Runtime) -> Iterator[Check]:
    """What is private must be private to the account that runs us."""
    from migrator.edges.file_modes import is_open, readable

    found = False
    settings, state = runtime.settings, runtime.settings.state
    if is_open(settings.file) and _passwords(runtime):
        found = True
        said = f"{settings.file} holds a password, and others may read it"
        yield Check("files", "warn", said, f"chmod 600 {settings.file}, or say it in the environment")
    places = (state, settings.snapshots.path, *([settings.notices.path] if settings.notices.sender == "file" else []))
    for folder in dict.fromkeys(places):
        seen = list(readable(folder))
        if seen:
            found = True
            said = f"{len(seen)} files in {folder} can be read by others, such as {seen[0].relative_to(folder)}"
            yield Check("files", "warn", said, f"chmod 700 {folder}")
    if not found:
        yield Check("files", "pass", "what is private is read by this account only")


def _passwords(runtime: Runtime) -> bool:
    """Whether a password stands in the settings file; one in the environment does not."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    settings = runtime.settings
    urls = [settings.legacy.url, settings.target.url, settings.control.url, settings.broker.url, settings.notices.smtp]
    urls += [*(one.url for one in settings.sources.values()), *settings.throttle.replicas]
    urls += [one.write_url or "" for one in (settings.legacy, *settings.sources.values())]
    secrets = {settings.notices.smtp_password}
    for url in urls:
        try:
            secrets.add(str(make_url(url).password or "") if url else None)
        except ArgumentError:
            continue
    text = settings.file.read_text(encoding="utf-8")
    return any(secret and secret in text for secret in secrets)


def _sessions(runtime: Runtime) -> Iterator[Check]:
    """What a dead worker left behind in the target must end before its lease does."""
    lease = runtime.settings.batches.lease.total_seconds()
    if lease < LONGEST_HOLD:
        said = f"[batches] lease is {lease:.0f} s, and a statement or a lock in the target may last {LONGEST_HOLD} s"
        yield Check("sessions", "warn", said, f"a lease of {LONGEST_HOLD} s or more, but for trials")
    else:
        yield Check("sessions", "pass", "statements and locks in the target end before a lease does")


def _clocks(runtime: Runtime) -> Iterator[Check]:
    """Those of legacy and target are looked at where these are."""
    from migrator.edges.databases.powers import APART_SECONDS
    from migrator.flows.parts import utc_now
    from migrator.store.control import clock

    with runtime.control_as_is.read() as db:
        apart = abs((clock(db) - utc_now()).total_seconds())
    if apart > APART_SECONDS:
        yield Check("clocks", "warn", f"this machine and the control database are {apart:.0f} s apart", "run NTP")
    else:
        yield Check("clocks", "pass", "this machine and the control database agree")


def _people(runtime: Runtime) -> Iterator[Check]:
    from migrator.flows.people import access
    from migrator.runtime import utc_now

    control = runtime.control_as_is
    if control.revision() != control.head():
        return  # said already
    operators, concern, remedy = access.concern(control, utc_now())
    if concern:
        yield Check("people", "warn", concern, remedy)
    else:
        said = (
            f"{operators} operators"
            if operators
            else "nobody is an operator: whoever can run a command may do everything"
        )
        yield Check("people", "pass", said)


def _protection(runtime: Runtime) -> Iterator[Check]:
    """What keeps a write in legacy from being lost while its user goes."""
    if runtime.settings.plan.cutover == "immediate":
        yield Check(
            "protection",
            "warn",
            '[plan] cutover = "immediate" serves a user from the target as soon as he is moved, without a freeze: '
            "what an application that asked just before writes to legacy after the commit stays there",
            'cutover = "manual", then `migrator wave cut-over`; or keep users from writing during their wave',
        )
    else:
        yield Check(
            "protection", "pass", "users are frozen, brought up to date and compared before the target serves them "
            "(for applications that ask migrator.routing.Router)",
        )  # fmt: skip
    yield from _locking(runtime)
    yield from _cutting_over(runtime)


def _locking(runtime: Runtime) -> Iterator[Check]:
    """Whether legacy itself refuses writes to who is frozen: for applications that do not ask the Router."""
    asked = runtime.settings.cutover.lock
    for name, lock in runtime.locks.items():
        there = lock.installed()
        if asked and not there:
            said = f"[cutover] lock says that {name} refuses writes to users who are frozen, and it cannot"
            yield Check("cutover", "fail", said, "migrator changes install --lock")
        elif asked:
            yield Check("cutover", "pass", f"{name} refuses writes to users who are frozen, whoever asks")
        elif there:
            said = f"{name} could refuse writes to users who are frozen, and nobody tells it who is"
            yield Check("cutover", "warn", said, "[cutover] lock = true; or migrator changes install --lock --drop")


def _cutting_over(runtime: Runtime) -> Iterator[Check]:
    """Whether a cutover can see who writes to legacy, and whether one that died has left somebody frozen."""
    from migrator.store import cutovers

    for name, watch in runtime.throttle.watches.items():
        if name == "target":
            continue
        try:
            watch.writers()
        except MigratorError as hidden:
            remedy = "grant our account the right to look (MySQL: PROCESS); until then nobody can be cut over"
            yield Check("cutover", "fail", f"who writes to {name} cannot be seen: {hidden}", remedy)
    control = runtime.control_as_is
    if control.revision() != control.head():
        return  # said already
    with control.read() as db:
        left = cutovers.overdue(db)
    if left:
        said = f"{left} users are frozen by a cutover that died: they can write nowhere"
        yield Check("cutover", "fail", said, "start `migrator worker`, or go on with `migrator wave cut-over`")
