"""Cleaning: what rules took, where it is, and how a rule is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes, confirm

app = typer.Typer(help="See what cleaning rules took; take a rule back.", no_args_is_help=True)
Rule = Annotated[str, typer.Argument(help="Which rule: MAPPING.RULE.", metavar="RULE")]


@app.command("list")
def list_(json: Json = False) -> None:
    """
    List the cleaning rules of the plan with the rows they took. What they would take: migrator assess.

    Example: migrator clean list
    """
    from migrator import runtime
    from migrator.flows.helping import cleaning

    with runtime.connect() as rt:
        found = cleaning.listed(rt.parts)
    show.result({"rules": found}, as_json=json, text=lambda: _print(found))


@app.command()
def export(
    rule: Rule,
    out: Annotated[Path, typer.Option("--out", help="The file: one row per line, as JSON. It holds personal data.")],
    json: Json = False,
) -> None:
    """
    Write the archived rows of a rule into a file that only you can read.

    Example: migrator clean export carts.stale --out stale_carts.jsonl
    """
    import os

    from migrator import runtime
    from migrator.errors import Refused
    from migrator.flows.helping import cleaning

    rows = 0
    with runtime.connect() as rt:
        parts = list(cleaning.archived(rt.parts, rule))
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Refused(f"{out} is there already: name another file, or move it away") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for frame in parts:
                rows += frame.height
                file.write(frame.rename({"__user": "user", "__key": "key"}).write_ndjson())
    show.result({"rows": rows, "file": str(out)}, as_json=json, text=lambda: show.say(f"{rows} rows written to {out}"))


@app.command()
def undo(rule: Rule, dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """
    Take a rule back: it takes nothing any more, and users who moved without their rows move again.

    Example: migrator clean undo carts.stale --dry-run
    """
    from migrator import runtime
    from migrator.flows.helping import cleaning

    with runtime.connect() as rt:
        done = cleaning.take_back(rt.parts, rule, dry_run=True)
        if not dry_run:
            confirm(f"Take {rule} back, and {len(done.users)} users with it?", yes=yes)
            done = cleaning.take_back(rt.parts, rule)

    def text() -> None:
        if not done.users:
            show.say(f"{rule} {'would be' if dry_run else 'is'} used no more; nobody had moved without its rows")
            return
        verb = "would go back and move again" if dry_run else "went back and are planned again; next: migrator run"
        show.say(f"{len(done.users)} users of {', '.join(done.waves)} {verb}")

    show.result(done, as_json=json, text=text)


def _print(found: list[dict[str, Any]]) -> None:
    if not found:
        show.say("no mapping has cleaning rules")
        return
    show.table(
        ("rule", "action", "rows", "reason"),
        [
            (
                f"{one['mapping']}.{one['rule']}",
                "taken back" if one["taken_back"] else one["action"],
                one["rows"],
                one["reason"],
            )
            for one in found
        ],
        right=(2,),
    )
