"""Make a project, check its surroundings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migrator.cli import show
from migrator.cli.options import Json


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


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="What is warned of fails, too.")] = False,
    json: Json = False,
) -> None:
    """
    Check settings, databases, rights, Redis, workers, disk, clocks; exit 1 if something fails.

    Example: migrator doctor --strict
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
    if any(check.result == "fail" or (strict and check.result == "warn") for check in checks):
        raise typer.Exit(1)
