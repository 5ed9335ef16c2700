"""The command line. `main` is the only place where an error becomes an exit code. Imports happen in commands."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from migrator import __version__
from migrator.cli.brackets import show_brackets
from migrator.cli.given import take_as_given
from migrator.cli.later import Later
from migrator.errors import MigratorError

#: What `migrator --help` lists: the name of each command, how its help begins, and its module where that has another name.
COMMANDS = (
    Later(
        "init",
        "Make a project folder: migrator.toml, mappings/, templates/. What is there already is left alone.",
        "project",
    ),
    Later(
        "doctor",
        "Check settings, databases, rights, Redis, workers, disk, clocks; exit 1 if something fails.",
        "project",
    ),
    Later(
        "demo",
        "Watch a migration from beginning to end: a shop is generated, planned, moved, held users are resolved, "
        "a wave is rolled back and moved again, and a report is written. Everything is real and stays in DIR to play with.",
    ),
    Later(
        "assess",
        "Say what is in legacy, what is wrong with it, what the mappings cover, and what a move would take. Writes nothing.",
    ),
    Later("run", "Carry the plan out, wave by wave, until it is done or a gate holds.", "work"),
    Later(
        "worker",
        "Work for waves that others start, until Ctrl-C or SIGTERM; run it on as many machines as you like.",
        "work",
    ),
    Later("status", "Show the whole migration on one screen, with the next step.", "work"),
    Later(
        "verify",
        "Compare every value of every moved user with what was meant: rows, values, keys both ways, declared sums.",
    ),
    Later(
        "sync",
        "Bring over what changed in legacy since users were moved, until their cutover.",
    ),
    Later("changes", "How legacy tells who changed: triggers, columns, or a scan."),
    Later("report", "Write the whole migration into one HTML file: users, waves, tiers, rows, cases, checks, notices."),
    Later("mapping", "Write, check and try the mappings of the project."),
    Later("tier", "Divide users into core, normal and edge by what they do and pay."),
    Later("plan", "Divide users into waves, look at it, freeze it."),
    Later("wave", "Start, watch, pause, hold, cancel, approve, cut over and settle waves."),
    Later("user", "What is with one user's account: for support."),
    Later("review", "Decide what a mapping could not decide; send held users on."),
    Later("rollback", "Put users back, exactly; what the new system changed stays, is carried back or given up."),
    Later("clean", "See what cleaning rules took; take a rule back."),
    Later("notice", "Tell users what happens to their account."),
    Later("snapshot", "Snapshots: list them, try them out, let them expire, hold them."),
    Later(
        "erase",
        "Forget a user, and all who merged with him: in the target, in all snapshots, in our own memory. There is no way back.",
    ),
    Later("audit", "The journal: who did what, and whether anybody has changed it since."),
    Later("operator", "Who may do what, and how each proves who he is."),
    Later("approval", "What needs two people: see what others ask for, allow it or not."),
    Later("store", "The control database and the ledger in the target."),
)
#: New objects before a search for garbage. Imports make many that stay; the usual 700 cost a tenth of a start.
GARBAGE = 20_000


class Commands(TyperGroup):
    """The root of the command line: it knows the commands without their modules."""

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        self.commands.update({command.word: command for command in COMMANDS})
        take_as_given(self)
        show_brackets(self)

    def make_context(self, *said: Any, **options: Any) -> Any:
        """Read the arguments; what is wrong with them is told without obeying them."""
        with _tamed():
            return super().make_context(*said, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; its arguments are read only here."""
        with _tamed():
            return super().invoke(ctx)


@contextmanager
def _tamed() -> Iterator[None]:
    """A usage error quotes what was typed, and that may come from elsewhere."""
    try:
        yield
    except Exception as wrong:
        if hasattr(wrong, "format_message"):  # Typer's own, under whichever name this version of it has them
            from migrator.cli import show

            vars(wrong)["message"] = show.tame(str(vars(wrong).get("message", "")))
        raise


app = typer.Typer(
    name="migrator",
    cls=Commands,
    help="Move a product's users from a legacy schema to a new one: in waves, checked, told, and undone exactly.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    gc.set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the terminal lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except MigratorError as error:
        sys.exit(_told(f"error: {error}" if "\n" not in str(error) else str(error), error.exit_code))
    except KeyboardInterrupt:  # a second one, while the first was being answered
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away: `migrator … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.exit(_told(f"error: {error.strerror or error}{where}", 1))
    except Exception as fault:  # noqa: BLE001 (its message, and what Python prints of it, may quote a user's data)
        from migrator.logs import where as place

        sys.exit(_told(f"error: this is a fault in migrator, not in what you did: {place(fault)}", 1))


def _told(sentence: str, code: int) -> int:
    from migrator.cli import show

    print(show.tame(sentence), file=sys.stderr)
    return code
