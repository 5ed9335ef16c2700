"""Make a project, check its surroundings, prepare its databases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

store = typer.Typer(help="The control database and the ledger in the target.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of one word."""
    app.command()(init)
    app.command()(doctor)


def init(
    folder: Annotated[Path, typer.Argument(help="Where the project is to be.", metavar="DIR")],
    json: Json = False,
) -> None:
    """
    Make a project folder: migrator.toml, mappings/, templates/. What is there already is left alone.

    Example: migrator init .
    """
    from migrator import runtime

    made = runtime.make_project(folder)

    def text() -> None:
        show.say(
            f"project {folder.resolve()}: " + (", ".join(made) if made else "everything was there already"),
            "next: say in migrator.toml where legacy and target are, or see it all with `migrator demo`",
        )

    show.result({"folder": str(folder.resolve()), "made": made}, as_json=json, text=text)


def doctor(json: Json = False) -> None:
    """
    Check settings, databases, rights, Redis, workers, disk, clocks; exit 1 if something fails.

    Example: migrator doctor
    """
    from migrator import runtime
    from migrator.checkup import examine

    with runtime.connect() as rt:
        checks = examine(rt)

    def text() -> None:
        for check in checks:
            show.say(f"{check.result:<4}  {check.name}: {check.said}")
            if check.remedy:
                show.say(f"      {check.remedy}")

    show.result({"checks": checks}, as_json=json, text=text)
    if any(check.result == "fail" for check in checks):
        raise typer.Exit(1)


@store.command()
def upgrade(dry_run: DryRun = False, json: Json = False) -> None:
    """
    Bring the control database to the newest revision, and make the ledger in the target.

    Where the target account may not create tables, the SQL is printed for whoever may.

    Example: migrator store upgrade
    """
    from migrator import runtime
    from migrator.errors import DatabaseRefused, Refused

    with runtime.connect() as rt:
        control, target = rt.control_as_is, rt.target
        before, head = control.revision(), control.head()
        prepared = target.prepared()
        if not dry_run:
            control.upgrade()
            rt.make_key()
            if not prepared:
                try:
                    target.prepare()
                except DatabaseRefused as refused:
                    raise Refused(
                        f"{refused}\nthe target account may not create tables; "
                        f"have this run by somebody who may, then try again:\n{target.prepare_sql()}"
                    ) from refused
        sql = target.prepare_sql() if dry_run and not prepared else None
    data: dict[str, Any] = {"control": {"before": before, "now": before if dry_run else head, "newest": head}}
    data["target"] = {"ledger": "there" if prepared else "missing" if dry_run else "made", "sql": sql}

    def text() -> None:
        verb = "would go" if dry_run else "went"
        same = before == head
        show.say(
            f"control database: at revision {head}"
            if same
            else f"control database: {verb} from {before or 'nothing'} to {head}",
            f"target: ledger and fence are {data['target']['ledger']}",
            *([sql] if sql else []),
        )

    show.result(data, as_json=json, text=text)
