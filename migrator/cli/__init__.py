"""The command line. `main` is the only place where an error becomes an exit code. Heavy imports happen in commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from migrator import __version__
from migrator.cli import (
    assess,
    clean,
    demo,
    mapping,
    notice,
    plan,
    project,
    report,
    review,
    rollback,
    tier,
    user,
    verify,
    wave,
    work,
)
from migrator.errors import MigratorError

app = typer.Typer(
    name="migrator",
    help="Move a product's users from a legacy schema to a new one: in waves, checked, told, and undone exactly.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (project, demo, assess, work, verify, report):  # of one word
    commands.register(app)
for name, room in {
    "mapping": mapping.app,
    "tier": tier.app,
    "plan": plan.app,
    "wave": wave.app,
    "user": user.app,
    "review": review.app,
    "rollback": rollback.app,
    "clean": clean.app,
    "notice": notice.app,
    "store": project.store,
}.items():
    app.add_typer(room, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"migrator {__version__}")
        raise typer.Exit


@app.callback()
def options(
    settings: Annotated[
        Path | None,
        typer.Option("--settings", "-C", help="The settings file or its folder; default: migrator.toml here or above."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Move a product's users from a legacy schema to a new one: in waves, checked, told, and undone exactly."""
    if settings is not None:
        os.environ["MIGRATOR_SETTINGS"] = str(settings.resolve())


def main() -> None:
    """Run one command; an error is one sentence on standard error and its exit code."""
    try:
        app()
    except MigratorError as error:
        print(f"error: {error}" if "\n" not in str(error) else str(error), file=sys.stderr)
        sys.exit(error.exit_code)
    except PermissionError as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output went away: `migrator … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
