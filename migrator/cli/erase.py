"""Forget one user."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    legacy: Annotated[
        str,
        typer.Option("--legacy", help="leave: legacy is the application's; delete: print the statements to run there."),
    ] = "leave",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Forget a user, and all who merged with him: in the target, in all snapshots, in our own memory. There is no way back.

    A keyed hash stays, so that no retry, new plan, sync or rollback brings him back. Prints a certificate without
    personal data. Cut off, the same command goes on. Exit 1 where something remains for a person to do.

    Example: migrator erase 4711 --dry-run
    """
    from migrator import runtime
    from migrator.errors import WrongInput
    from migrator.flows.erasure import erasing

    if legacy not in erasing.LEGACY:
        raise WrongInput(f'--legacy is {" or ".join(erasing.LEGACY)}, not "{legacy}"')
    with runtime.connect() as rt, show.progress() as bars:
        who = erasing.subject(rt.parts, user)
        bar = bars.add_task("looking through snapshots", total=None)

        def progress(done: int, of: int) -> None:
            bars.update(bar, completed=done, total=of)

        statements = erasing.statements(rt.parts, who) if legacy == "delete" else []
        if dry_run:
            found = erasing.look(rt.parts, who, progress)
            told: dict[str, Any] = {
                "subject": who.name,
                "users": who.keys,
                **show.fields(found),
                "statements": statements,
            }
        else:
            bars.stop()
            _confirm(user, who.keys, yes=yes or who.begun is not None)
            bars.start()
            told = erasing.erase(rt.parts, who, legacy=legacy, progress=progress) | {"statements": statements}
    show.result(told, as_json=json, text=lambda: _outlook(told) if dry_run else _certificate(told))
    if told["remains"] and not dry_run:
        raise typer.Exit(1)


def _confirm(user: str, keys: list[str], *, yes: bool) -> None:
    """Ask for the key itself: a `y` is typed too soon."""
    import sys

    from migrator.errors import Refused

    if yes:
        return
    along = [key for key in keys if key != user]
    if along:
        show.say(f"one account: {', '.join(along)} merged with this user, and are forgotten with him")
    if not sys.stdin.isatty():
        raise Refused("Forget this user for good? Nobody is here to answer; say --yes")
    if typer.prompt("There is no way back. Type the user's key to forget this user") != user:
        raise Refused("that is not the user's key; nothing was done")


def _rows(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} of {table}" for table, count in counts.items()) or "none"


def _outlook(told: dict[str, Any]) -> None:
    show.say(
        f"subject:   {told['subject']}"
        + (f" ({len(told['users'])} users, one account)" if len(told["users"]) > 1 else ""),
        f"target:    rows that would go: {_rows(told['target'])}",
        f"snapshots: {told['snapshots']} would be written again without the user, and {told['archived']} archived",
        f"control:   rows that would go or be emptied: {_rows(told['control'])}",
        *(f"remains:   {one}" for one in told["remains"]),
        *_legacy(told["statements"]),
    )


def _certificate(told: dict[str, Any]) -> None:
    show.say(
        f"subject {told['subject']} is forgotten since {show.moment(told['done_at'])} (asked for by {told['asked_by']})",
        f"target:    rows removed: {_rows(told['target']['rows'])}; a tombstone stands",
        f"snapshots: {told['snapshots']['rewritten']} written again without the user, and {told['snapshots']['archived']} archived",
        f"control:   rows removed or emptied: {_rows(told['control']['rows'])}; "
        f"journal entries emptied: {told['control']['journal_entries_emptied']}",
        f"legacy:    {told['legacy']['said']}",
        *(f"remains:   {one}" for one in told["remains"]),
        *(f"not ours:  {one}" for one in told["outside"]),
        *_legacy(told["statements"]),
    )


def _legacy(statements: list[str]) -> list[str]:
    if not statements:
        return []
    return ["", "-- for whoever may write to legacy; what no mapping reads is not in it", *statements]
