"""How legacy tells who changed: the script for triggers, and what is watched how."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Yes, confirm

app = typer.Typer(help="How legacy tells who changed: triggers, columns, or a scan.", no_args_is_help=True)
Database = Annotated[
    str | None, typer.Option("--database", help="Of several legacy databases only this one: NAME of [legacy.NAME].")
]
Lock = Annotated[
    bool,
    typer.Option("--lock", help="What refuses writes to users who are frozen, in the place of what notes changes."),
]
Drop = Annotated[bool, typer.Option("--drop", help="What takes the triggers and their table out again.")]


@app.command()
def script(database: Database = None, lock: Lock = False, drop: Drop = False, json: Json = False) -> None:
    """
    Print the SQL that makes legacy keep its own changes, for somebody who may run it there; or its lock.

    With --lock: a table `migrator_frozen`, and triggers that refuse writes to rows of the users in it, for applications
    that do not ask the Router. Cutovers go by it once migrator.toml says `[cutover] lock = true`.

    Example: migrator changes script --lock > lock.sql
    """
    from migrator import runtime
    from migrator.flows.syncing import watching_changes as flow

    with runtime.connect() as rt:
        found = (flow.lock_scripts if lock else flow.scripts)(rt.parts, database, drop=drop)
        unlocked = flow.unlocked(rt.parts, database) if lock else {}

    def text() -> None:
        for name, sql in found.items():
            show.say(f"-- {name}: {_purpose(lock=lock, drop=drop)}", sql)
        for name, tables in unlocked.items():
            show.say(f"-- {name}: no user can be told from a row of {', '.join(tables)}; these are not locked")

    show.result(found, as_json=json, text=text)


def _purpose(*, lock: bool, drop: bool) -> str:
    if lock:
        return "takes the lock out again" if drop else "refuses writes to rows of users who are frozen"
    return f"{'takes out' if drop else 'keeps'} the changes of the tables that the mappings read"


@app.command()
def install(
    database: Database = None, lock: Lock = False, drop: Drop = False, yes: Yes = False, json: Json = False
) -> None:
    """
    Run that SQL with the account of [legacy], if it may: a table, and triggers on every table that is read.

    Example: migrator changes install --yes
    """
    from migrator import runtime
    from migrator.flows.syncing import watching_changes as flow

    with runtime.connect() as rt:
        named = ", ".join(flow.named(rt.parts, database))
        what = "Take triggers and their table out of" if drop else "Put triggers and a table into"
        confirm(f"{what} {named}?", yes=yes)
        done = (flow.install_lock if lock else flow.install)(rt.parts, database, drop=drop)
    show.result(
        {"statements": done, "drop": drop},
        as_json=json,
        text=lambda: show.say(*(f"{name}: {count} statements were run" for name, count in done.items())),
    )


@app.command()
def status(json: Json = False) -> None:
    """
    Show per table how its changes are found, how far they were read, and how long the queue is.

    Example: migrator changes status
    """
    from migrator import runtime
    from migrator.flows.syncing import watching_changes as flow

    with runtime.connect() as rt:
        found = flow.status(rt.parts)
    show.result(found, as_json=json, text=lambda: _print(found))


def _print(found: dict[str, Any]) -> None:
    show.table(
        ("database", "table", "found by", "leads to the user by", "perhaps"),
        [
            (
                one["database"],
                one["table"],
                one["found_by"],
                ", ".join(one["columns"]) or "(everybody's)",
                one["column"] or one["suggested"] or "",
            )
            for one in found["tables"]
        ],
    )
    for name, lock in found["locks"].items():
        show.say(f"{name}: the table migrator_frozen is {'there' if lock['installed'] else 'not there'}")
    for name, log in found["logs"].items():
        show.say(f"{name}: the table migrator_changes is {'there' if log['installed'] else 'not there'}")
    show.say(f"last scan: {show.moment(found['scanned_at'])}; {found['queue']} users wait to be brought over")
    if any(one["suggested"] and one["found_by"] == "scan" for one in found["tables"]):
        show.say(
            "columns under `perhaps` may say when a row was written; to use one: `changes: {TABLE: COLUMN}` in set.yaml"
        )
