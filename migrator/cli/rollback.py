"""Put users back: the target exactly as it was before they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli import show
from migrator.cli.mapping_explain import Reveal
from migrator.cli.options import DryRun, Json, Processes, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.undoing.rolled_back import RolledBack

app = typer.Typer(
    help="Put users back, exactly; what the new system changed stays, is carried back or given up.",
    no_args_is_help=True,
)
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Where the new system has changed rows since: block (the user stays), carry_back (the changes go back to "
        "legacy first), merge (only those in columns with `owner: target`), force (they are given up: two people). "
        "Default: [rollback] policy.",
        metavar="POLICY",
    ),
]


#: What is asked beside whom, so that nobody says yes to something else.
MEANS = {
    "block": "",
    "carry_back": " What the new system has changed goes back to legacy.",
    "merge": " What the new system owns and has changed goes back to legacy; its other changes are given up.",
    "force": " All that the new system has changed since is given up.",
}


@app.command()
def user(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    policy: Policy = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Put one user back, and with him all who merged with him.

    Example: migrator rollback user 4711 --dry-run
    """
    _roll_back(f"user {user}", user=user, policy=policy, dry_run=dry_run, yes=yes, json=json)


@app.command()
def wave(
    wave: Annotated[str, typer.Argument(help="The wave's name or number.", metavar="WAVE")],
    policy: Policy = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    workers: Processes = None,
    json: Json = False,
) -> None:
    """
    Put all users of a wave back.

    Example: migrator rollback wave core-5 --policy carry_back --yes
    """
    _roll_back(f"wave {wave}", wave=wave, policy=policy, dry_run=dry_run, yes=yes, workers=workers, json=json)


@app.command("all")
def all_(
    policy: Policy = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    workers: Processes = None,
    json: Json = False,
) -> None:
    """
    Put everybody back.

    Example: migrator rollback all --dry-run
    """
    _roll_back("everybody", policy=policy, dry_run=dry_run, yes=yes, workers=workers, json=json)


@app.command()
def kept(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    reveal: Reveal = False,
    json: Json = False,
) -> None:
    """
    Show what the new system had made of a user's rows when they were carried back or given up.

    Example: migrator rollback kept 4711
    """
    from migrator import runtime
    from migrator.flows.undoing import carried_files

    with runtime.connect() as rt:
        found = carried_files.of_user(rt.parts, user, reveal=reveal)

    def text() -> None:
        if not found:
            show.say(f"nothing was carried back or given up of user {user}, or it has expired")
        for one in found:
            show.say(f"{one['at']:%Y-%m-%d %H:%M} UTC, {one['policy']}, by {one['actor']}:")
            for name, rows in one["rows"].items():
                show.say(f"{name}:")
                show.table(tuple(rows[0]), [tuple(row.values()) for row in rows])

    show.result({"user": user, "kept": found}, as_json=json, text=text)


def _roll_back(
    whom: str,
    *,
    user: str | None = None,
    wave: str | None = None,
    policy: str | None,
    dry_run: bool,
    yes: bool,
    json: bool,
    workers: int | None = None,
) -> None:
    from migrator import runtime
    from migrator.flows.undoing import rollbacks, rolled_back

    _require_policy(policy)
    with runtime.connect() as rt:
        chosen = policy or rt.parts.policy
        scope = rollbacks.scope(rt.parts, user=user, wave=wave)
        if not dry_run:
            confirm(f"Put {_with(whom, scope.along)} back ({scope.users} users)?{MEANS[chosen]}", yes=yes)
        with show.progress() as bars:
            bar = bars.add_task(f"rolling back {whom}", total=scope.users)
            done = rollbacks.roll_back(
                rt.parts,
                scope,
                dry_run=dry_run,
                policy=chosen,
                workers=workers,
                progress=lambda users: bars.update(bar, advance=users),
            )
    show.result(rolled_back.as_json(done), as_json=json, text=lambda: _print(done))
    if done.refused and not dry_run:
        raise typer.Exit(1)


def _require_policy(policy: str | None) -> None:
    from migrator.errors import WrongInput

    if policy is not None and policy not in MEANS:
        raise WrongInput(f'there is no policy "{policy}"; there are {", ".join(MEANS)}')


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
    _print_changes(done)
    verb = "would be put back" if done.dry_run else "were put back"
    whom = said(done.restored, done.restored_nobody)
    show.say(f"{whom} {verb}, {len(done.refused)} refused, {done.not_in_target} are not in the target")
    for user, why in list(done.refused.items())[:20]:
        show.say(f"  user {user}: {why}")
    if len(done.refused) > 20:
        show.say(f"  … and {len(done.refused) - 20} more; --json lists all")
    if (done.restored or done.restored_nobody) and not done.dry_run:
        show.say("to move them again: migrator wave retry WAVE (or all), then migrator run")


def _print_changes(done: RolledBack) -> None:
    """What became of what the new system had changed."""
    kinds = ("updated", "inserted", "deleted")
    if done.carried:
        lines = [(table, *(rows.get(kind, 0) for kind in kinds)) for table, rows in sorted(done.carried.items())]
        show.table(("back to legacy", *kinds), lines, right=(1, 2, 3))
    if done.given_up:
        show.table(("given up", "changes"), sorted(done.given_up.items()), right=(1,))
    if done.carried_before:
        show.say(f"the changes of {done.carried_before} users were in legacy already: an attempt before was cut off")
    if done.policy != "block":
        unchanged = done.restored + done.restored_nobody - done.carried_users
        show.say(f"{unchanged} were as we wrote them, {done.carried_users} were changed in the new system since")
