"""The report: one HTML file for people, the same numbers as JSON for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json
from migrator.errors import Refused


def register(app: typer.Typer) -> None:
    """Add the command `report`."""
    app.command()(report)


def report(
    html: Annotated[
        Path | None, typer.Option("--html", help="Where to write the page; default: report.html beside migrator.toml.")
    ] = None,
    json: Json = False,
) -> None:
    """
    Write the whole migration into one HTML file: users, waves, tiers, rows, cases, checks, notices.

    With --json the same numbers are printed, and a page is written only where --html says so.

    Example: migrator report --html report.html
    """
    from migrator import runtime
    from migrator.flows.people import auditing
    from migrator.flows.report import numbers
    from migrator.store import plans
    from migrator.store.chain import Head

    with runtime.connect() as rt:
        with rt.control.read() as db:
            found = numbers.collect(rt.parts, db, plans.require(db))
        if found["journal_head"]:
            auditing.anchor(rt.desk, Head(**found["journal_head"]), "report")
        path = None if json and html is None else html or rt.settings.root / "report.html"
    if path is not None:
        _write(path, found)
    show.result(found, as_json=json, text=lambda: _say(found, path))


def _write(path: Path, found: dict[str, Any]) -> None:
    from migrator.flows import report as pages

    page = pages.html(found)
    try:
        if path.exists() and not _is_report(path):
            raise Refused(f"{path} is there and is no report of ours: name another file, or move it away")
        part = path.with_name(f".{path.name}.part")
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        raise Refused(f"cannot write the report to {path}: {exc.strerror}") from exc


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<title>Migration report" in file.read(4096)


def _say(found: dict[str, Any], path: Path | None) -> None:
    show.say(found["headline"]["how_far"], f"Next: {found['headline']['next']}", f"The report is in {path}")
