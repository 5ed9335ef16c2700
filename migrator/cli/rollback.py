"""Put users back: the target exactly as it was before they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Processes, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.rollbacks import RolledBack

app = typer.Typer(help="Put users back, exactly; refuse where the target was changed since.", no_args_is_help=True)


@app.command()
def user(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Put one user back, and with him all who merged with him.

    Example: migrator rollback user 4711 --dry-run
    """
    _roll_back(f"user {user}", user=user, dry_run=dry_run, yes=yes, json=json)


@app.command()
def wave(
    wave: Annotated[str, typer.Argument(help="The wave's name or number.", metavar="WAVE")],
    dry_run: DryRun = False,
    yes: Yes = False,
    workers: Processes = None,
    json: Json = False,
) -> None:
    """
    Put all users of a wave back.

    Example: migrator rollback wave core-5 --yes
    """
    _roll_back(f"wave {wave}", wave=wave, dry_run=dry_run, yes=yes, workers=workers, json=json)


@app.command("all")
def all_(dry_run: DryRun = False, yes: Yes = False, workers: Processes = None, json: Json = False) -> None:
    """
    Put everybody back.

    Example: migrator rollback all --dry-run
    """
    _roll_back("everybody", dry_run=dry_run, yes=yes, workers=workers, json=json)


def _roll_back(
    whom: str,
    *,
    user: str | None = None,
    wave: str | None = None,
    dry_run: bool,
    yes: bool,
    json: bool,
    workers: int | None = None,
) -> None:
    from migrator import runtime
    from migrator.flows import rollbacks

    with runtime.connect() as rt:
        scope = rollbacks.scope(rt.parts, user=user, wave=wave)
        if not dry_run:
            confirm(f"Put {_with(whom, scope.along)} back ({scope.users} users)?", yes=yes)
        with show.progress() as bars:
            bar = bars.add_task(f"rolling back {whom}", total=scope.users)
            done = rollbacks.roll_back(
                rt.parts,
                scope,
                dry_run=dry_run,
                workers=workers,
                progress=lambda users: bars.update(bar, advance=users),
            )
    show.result(rollbacks.as_json(done), as_json=json, text=lambda: _print(done))
    if done.refused and not dry_run:
        raise typer.Exit(1)


def _with(whom: str, along: Sequence[str]) -> str:
    return f"{whom} and those who merged with this one ({', '.join(along)})" if along else whom


def _print(done: RolledBack) -> None:
    if done.along:
        show.say(f"one account: {', '.join(done.along)} merged with this user, and they go back together")
    from migrator.flows.phrases import said

    show.table(
        ("table", "rows removed", "rows restored"),
        [(table, done.removed_rows[table], done.restored_rows.get(table, 0)) for table in done.removed_rows],
        right=(1, 2),
    )
    verb = "would be put back" if done.dry_run else "were put back"
    whom = said(done.restored, done.restored_nobody)
    show.say(f"{whom} {verb}, {len(done.refused)} refused, {done.not_in_target} are not in the target")
    for user, why in list(done.refused.items())[:20]:
        show.say(f"  user {user}: {why}")
    if len(done.refused) > 20:
        show.say(f"  … and {len(done.refused) - 20} more; --json lists all")
    if (done.restored or done.restored_nobody) and not done.dry_run:
        show.say("to move them again: migrator wave retry WAVE (or all), then migrator run")
