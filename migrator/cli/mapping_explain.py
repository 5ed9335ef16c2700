"""`migrator mapping explain`: one user's rows, each field step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json

LONGEST = 60  # characters of a value in the table; --json has all of them
Reveal = Annotated[bool, typer.Option("--reveal", help="Show values of sensitive fields, too; passwords never.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command()(explain)


def explain(
    mapping: Annotated[str, typer.Argument(help="The name of a mapping.", metavar="MAPPING")],
    user: Annotated[str, typer.Option("--user", help="The user's key.", metavar="ID")],
    key: Annotated[str | None, typer.Option("--key", help="Which source row, where the user has several.")] = None,
    field: Annotated[str | None, typer.Option("--field", help="Only this target column, var or part.")] = None,
    reveal: Reveal = False,
    json: Json = False,
) -> None:
    """
    Show for one user how each field comes about: every step, what went in, what came out, what was said. Writes nothing.

    Example: migrator mapping explain accounts --user 40213 --field email
    """
    from migrator import runtime
    from migrator.flows.drafting import explaining

    with runtime.connect() as rt:
        found = explaining.explain(rt.parts, mapping, user, key=key, field=field, reveal=reveal)
    show.result(found, as_json=json, text=lambda: _print(found, field))


def _print(found: dict[str, Any], field: str | None) -> None:
    user, books = found["user"], found["books"]
    counted = ", ".join(f"{count} {name}" for name, count in books.items() if count)
    show.say(f"{found['mapping']}: user {user['key']} {user['becomes']}; {counted or 'no row'} in this mapping")
    for row in found["rows"]:
        show.say("", f"row {row['key']}: {row['outcome']}")
        show.table(("field", "step", "in", "out", ""), list(_lines(row["fields"])))
        for change in row["changes"]:
            show.say(f"  target {change['field']}: {_short(change['before'])} -> {_short(change['after'])}")
        for finding in row["findings"]:
            waits = f" (waits for {finding['waits_for']})" if finding["waits_for"] else ""
            show.say(f"  {finding['outcome']} {finding['field']}, rule {finding['rule']}{waits}: {finding['note']}")
            show.say(f"      {finding['file']}:{finding['line']}")
    for way in found["back"]:
        if field is not None and way["field"] == field.partition(".")[0]:
            show.say("", f"{_goes(way)}; owner: {way['owner']}")
    if found["more"]:
        more = ", ".join(found["more"][:5])
        show.say("", f"{len(found['more'])} more rows, e.g. {more}; name one with --key")


def _goes(way: dict[str, Any]) -> str:
    """Whether a column goes back to legacy after the cutover."""
    if way["how"] == "stays":
        return f"{way['field']} cannot go back to legacy: {way['why']}"
    return f"{way['field']} goes back to {way['where']}{', ' + way['why'] if way['why'] else ''}"


def _lines(ways: list[dict[str, Any]], depth: int = 0) -> Iterator[tuple[str, ...]]:
    for way in ways:
        name = "  " * depth + way["field"]
        if way["branch"] is not None:
            number, when = way["branch"]["number"], way["branch"]["when"]
            yield name, f"branch {number}: {when}" if number else "no branch", "", "", way["branch"]["warn"] or ""
            name = ""
        if way["parts"]:
            if name:
                yield name, "", "", "", ""
            yield from _lines(way["parts"], depth + 1)
            name = ""
        for step in way["steps"]:
            if step["step"] == "fit" and step["in"] == step["out"] and not step["said"] and len(way["steps"]) > 1:
                continue
            first = step is way["steps"][0]
            before = step["in"] or "" if first else _short(step["in"])
            yield name, _short(step["step"]), _short(before), _short(step["out"]), step["said"]
            name = ""


def _short(value: str | None) -> str:
    text = "null" if value is None else value.replace("\n", "\\n")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
