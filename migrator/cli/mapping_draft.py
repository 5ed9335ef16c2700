"""`migrator mapping draft`: a first mapping set out of two live schemas, for a person to finish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json

if TYPE_CHECKING:
    from migrator.mapping.proposing.proposal import Proposal


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command()(draft)


def draft(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new folder; default: the one that [mappings] names.", metavar="DIR"),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the set is called; default: as the folder.")] = None,
    json: Json = False,
) -> None:
    """
    Propose mappings from both live schemas and a look at the legacy rows; every guess is marked `# ?`, every gap `???`.

    Example: migrator mapping draft --out mappings/draft
    """
    from migrator import runtime
    from migrator.flows.drafting import proposing

    with runtime.connect() as rt:
        folder = out or rt.settings.mappings.path
        proposing.require_empty(folder)
        made = proposing.draft(name or folder.resolve().name, rt.legacy, rt.target)
    paths = proposing.write(folder, made.texts)
    data: dict[str, Any] = {
        "folder": folder,
        "files": [path.name for path in paths],
        "tables": made.pairs,
        "unknown": made.unknown,
        "questions": made.questions,
        "gaps": made.gaps,
        "problems": [{"code": one.code, "file": one.place.file, "text": one.text} for one in made.problems],
    }
    show.result(data, as_json=json, text=lambda: _print(folder, made))


def _print(folder: Path, made: Proposal) -> None:
    show.table(("target table", "from", "fields", "nothing found for"), [
        (ours, theirs, made.fields[ours], ", ".join(made.unknown.get(ours, ())) or "-")
        for ours, theirs in made.pairs.items()
    ], right=(2,))  # fmt: skip
    show.say(
        "",
        f"{len(made.texts)} files in {folder}: {made.questions} guesses to check (`# ?`), {made.gaps} gaps to fill (`???`)",
    )
    for one in made.problems:
        show.say(f"  {one.code} {one.place.file}: {one.text}")
    show.say(f"next: look at them, name {folder} under [mappings] path, then `migrator mapping lint`")
