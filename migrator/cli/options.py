"""Options that many commands share, said once."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

Processes = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Processes beside each other; default: the processors, fewer for few users."
    ),
]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before harm; a program that cannot answer must say --yes."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        from migrator.errors import Refused

        raise Refused(f"{question} Nobody is here to answer; say --yes")
    typer.confirm(question, abort=True)
