"""What the accounts of a project must be allowed to in its databases, said as SQL; nothing is granted here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from migrator.edges.databases import grants
from migrator.edges.databases.change_scripts import LOG
from migrator.edges.databases.grants import Needs, Place
from migrator.edges.databases.lock_scripts import FROZEN
from migrator.mapping import reach

if TYPE_CHECKING:
    from migrator.runtime import Runtime

ROLES = ("legacy", "writable", "target", "control", "replica")
#: Why there may be no account of a kind: the setting without which it has nothing to do.
UNSET = {
    "writable": "[legacy] write_url is not set, and [rollback] policy carries nothing back",
    "replica": "[throttle] replicas names none",
}


@dataclass(frozen=True, slots=True)
class Account:
    """One account: what it is for, in which kind of database, and the statements that somebody with rights runs."""

    role: str
    database: str
    dialect: str
    account: str
    statements: list[str]
    note: str = ""


def needed(runtime: Runtime, roles: tuple[str, ...] = ROLES, account: str | None = None) -> list[Account]:
    """
    Say what each account needs for the mapping set as it is now.

    Args:
        account: The name to write; without one that of the URL, else `migrator_ROLE`.
    """
    writers = {"legacy": _legacy, "writable": _writable, "target": _target, "control": _control, "replica": _replicas}
    found = [one for role in roles for one in writers[role](runtime)]
    return [_account(role, name, url, schema, needs, account) for role, name, url, schema, needs in found]


_Wanted = tuple[str, str, str, "str | None", Needs]


def _legacy(runtime: Runtime) -> Iterator[_Wanted]:
    tables, settings = reach.read(runtime.load_set()), runtime.settings
    several = settings.sources or {"": settings.legacy}
    for name, section in several.items():
        own = [table.partition(".")[2] for table in tables if table.startswith(f"{name}.")] if name else tables
        noted = settings.changes.databases.get(name, settings.changes.capture) == "trigger"
        watches = _watches(runtime) or (noted and Place.of(section.url, None).dialect == "mysql")
        role = f"legacy.{name}" if name else "legacy"
        needs = grants.legacy(own, noted=noted, watches=watches, locks=settings.cutover.lock)
        yield role, name, section.url, section.schema, needs


def _writable(runtime: Runtime) -> Iterator[_Wanted]:
    """By which changes go back to legacy; only where they may."""
    from migrator.mapping import backward
    from migrator.mapping.backward import touching

    settings = runtime.settings
    several = settings.sources or {"": settings.legacy}
    wanted = {
        name: section for name, section in several.items() if section.write_url or settings.rollback.policy != "block"
    }
    if not wanted:
        return
    legacy = runtime.legacy.schema()
    rights = touching.rights(backward.ways(runtime.load_set(), legacy, runtime.target.schema()), legacy)
    for name, section in wanted.items():
        start = f"{name}." if name else ""
        own = {table.removeprefix(start): may for table, may in rights.items() if table.startswith(start)}
        made = [table for table, may in own.items() if touching.INSERT in may]
        sequences = (runtime.sources[name] if name else runtime.single).sequences(made)
        role = f"writable.{name}" if name else "writable"
        url = section.write_url or sa.make_url(section.url).set(username=None).render_as_string()
        yield role, name, url, section.schema, grants.writable(own, sequences)


def _target(runtime: Runtime) -> Iterator[_Wanted]:
    set_, schema = runtime.load_set(), runtime.target.schema()
    written = reach.written(set_)
    sequences = runtime.target.sequences(written)
    needs = grants.target(written, reach.looked_at(set_, schema), sequences, watches=_watches(runtime))
    yield "target", "", runtime.settings.target.url, runtime.settings.target.schema, needs


def _control(runtime: Runtime) -> Iterator[_Wanted]:
    yield "control", "", runtime.settings.control.url, None, Needs(creates=True)


def _replicas(runtime: Runtime) -> Iterator[_Wanted]:
    for number, url in enumerate(runtime.settings.throttle.replicas, start=1):
        yield f"replica {number}", "", url, None, Needs(watches=True, follows=True)


def _watches(runtime: Runtime) -> bool:
    said = runtime.settings.throttle
    return any(limit is not None for limit in (said.max_lag, said.max_sessions, said.max_statement))


def _account(role: str, name: str, url: str, schema: str | None, needs: Needs, account: str | None) -> Account:
    place = Place.of(url, schema)
    who = account or sa.make_url(url).username or f"migrator_{role.replace('.', '_').replace(' ', '_')}"
    if place.dialect == "sqlite":
        mode = "chmod 400" if role.startswith("legacy") else "chmod 600"
        note = f"SQLite has no accounts: who may open the file may do everything; {mode} {place.database}"
        return Account(role, place.database, place.dialect, who, [], note)
    ours = {"target": "tables migrator_*", "writable": "table migrator_carried"}.get(role.partition(".")[0])
    note = f"first the {ours}: run what `migrator store upgrade --dry-run` prints" if ours else ""
    note = note or _first(needs)
    return Account(role, place.database, place.dialect, who, grants.statements(place, who, needs), note)


def _first(needs: Needs) -> str:
    """The tables of ours that stand in legacy, and come from scripts of their own."""
    scripts = {LOG: "migrator changes script", FROZEN: "migrator changes script --lock"}
    wanted = [f"{table}: run what `{script}` prints" for table, script in scripts.items() if table in needs.tables]
    return f"first the table {'; the table '.join(wanted)}" if wanted else ""
