"""`migrator mapping example add`: a golden row out of a real one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

if TYPE_CHECKING:
    from migrator.flows.drafting.golden import Golden

example = typer.Typer(help="Golden rows of the mappings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the word to its noun."""
    app.add_typer(example, name="example")


@example.command()
def add(
    mapping: Annotated[str, typer.Argument(help="The name of a mapping.", metavar="MAPPING")],
    user: Annotated[str, typer.Option("--user", help="The user's key.", metavar="ID")],
    key: Annotated[str | None, typer.Option("--key", help="Which source row, where the user has several.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the example is called.", metavar="TEXT")] = None,
    redact: Annotated[
        bool,
        typer.Option("--redact/--as-is", help="Put made-up values of the same shape for personal ones, or keep them."),
    ] = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """
    Make an example of a real row and add it to the mapping's file; it is run first, and must hold.

    Example: migrator mapping example add accounts --user 40213 --name "a phone number with blanks"
    """
    from migrator import runtime
    from migrator.flows.drafting import golden

    with runtime.connect() as rt:
        folder = rt.settings.mappings.path
        made = golden.add(rt.parts, mapping, user, folder, key=key, name=name, redact=redact, dry_run=dry_run)
    show.result({**asdict(made), "dry_run": dry_run}, as_json=json, text=lambda: _print(made, dry_run))


def _print(made: Golden, dry_run: bool) -> None:
    from migrator.mapping.proposing import writing

    what: dict[str, object] = {"given": made.given, **({"expect": made.expect} if made.expect is not None else {})}
    what |= {"expect_review": made.expect_review} if made.expect_review else {}
    show.say(*writing.nested({"name": made.name, **what}, indent=2), "")
    verb = "would be added" if dry_run else "added"
    values = "made-up values of the same shape" if made.redacted else "the real values: mind who may read the file"
    show.say(f"{verb} to {made.file}, with {values}", "next: migrator mapping test")
