"""`migrator mapping lint / test`: whether the mappings are right, before anything is planned."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json

if TYPE_CHECKING:
    from migrator.mapping.document import Draft
    from migrator.mapping.examples import ExampleResult
    from migrator.mapping.problems import Problem
    from migrator.mapping.schema import Schema

app = typer.Typer(help="Check the mappings of the project.", no_args_is_help=True)

Offline = Annotated[bool, typer.Option("--offline", help="Open no database; leave out what needs one.")]


class Format(StrEnum):
    """How problems are printed."""

    text = "text"
    json = "json"
    github = "github"


@app.command()
def lint(
    format: Annotated[
        Format, typer.Option("--format", help="For people, for programs, or as GitHub annotations.")
    ] = Format.text,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """
    Hold the mappings against both schemas: every mistake at once, with its place and what to do; exit 2 on errors.

    Example: $ migrator mapping lint --strict
    """
    from migrator import runtime
    from migrator.mapping import document, problems

    with runtime.connect() as rt:
        draft = document.read(rt.settings.mappings.path)
        legacy, target = _schemas(rt, offline=offline) if draft.set else (None, None)
    found = problems.in_order([*draft.problems, *_linted(draft, legacy, target)])
    _print(found, draft, Format.json if json else format)
    wrong = found if strict else problems.errors(found)
    if wrong:
        raise typer.Exit(2)


@app.command()
def test(offline: Offline = False, json: Json = False) -> None:
    """
    Run the examples of all mappings; what differs is shown field by field.

    Example: $ migrator mapping test
    """
    from migrator import runtime
    from migrator.mapping import examples

    with runtime.connect() as rt:
        mappings = rt.load_set()
        legacy, target = _schemas(rt, offline=offline)
    results = examples.run(mappings, legacy, target)
    data = [_flat(result) for result in results]
    show.result({"examples": data}, as_json=json, text=lambda: _print_results(results))
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def _schemas(rt: Any, *, offline: bool) -> tuple[Schema | None, Schema | None]:
    return (None, None) if offline else (rt.legacy.schema(), rt.target.schema())


def _linted(draft: Draft, legacy: Schema | None, target: Schema | None) -> list[Problem]:
    from migrator.mapping import problems
    from migrator.mapping.lint import lint

    if draft.set is None:
        return []
    return lint(draft.set, legacy, target, covering=not problems.errors(draft.problems))


def _print(found: list[Problem], draft: Draft, format: Format) -> None:
    from migrator.mapping import problems

    wrong = len(problems.errors(found))
    if format is Format.github:
        show.say(*(_annotation(problem) for problem in found))
        return
    data = {"errors": wrong, "warnings": len(found) - wrong, "problems": problems.as_json(found)}

    def text() -> None:
        if found:
            show.say(problems.render(found, draft.texts))
        mappings = draft.set.mappings if draft.set else {}
        about = f"{_count(len(mappings), 'mapping')}, " if mappings else ""
        show.say(f"{about}{_count(wrong, 'error')}, {_count(len(found) - wrong, 'warning')}")

    show.result(data, as_json=format is Format.json, text=text)


def _annotation(problem: Problem) -> str:
    """One workflow command; GitHub wants `%`, line ends and, in properties, `:` and `,` escaped."""
    place = problem.place
    title = _escaped(f"{problem.code} {problem.name}").replace(":", "%3A").replace(",", "%2C")
    file = _escaped(place.file).replace(":", "%3A").replace(",", "%2C")
    said = _escaped(f"{problem.text}\n{problem.help}".strip())
    return f"::{problem.level} file={file},line={place.line},col={place.column},title={title}::{said}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _flat(result: ExampleResult) -> dict[str, object]:
    return {
        "mapping": result.mapping,
        "name": result.name,
        "passed": result.passed,
        "diff": result.diff,
        "file": result.place.file,
        "line": result.place.line,
    }


def _print_results(results: list[ExampleResult]) -> None:
    for result in results:
        show.say(f"{'ok  ' if result.passed else 'FAIL'}  {result.mapping}: {result.name}")
        if not result.passed:
            place = result.place
            show.say(f"      {place.file}:{place.line}", *(f"      {line}" for line in result.diff.splitlines()))
    failed = sum(not result.passed for result in results)
    show.say(f"{_count(len(results), 'example')}, {failed} failed")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
