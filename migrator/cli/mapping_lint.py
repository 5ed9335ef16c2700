"""`migrator mapping lint / test / snapshot / schema`: whether the mappings are right, before anything is planned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

if TYPE_CHECKING:
    from migrator.flows.drafting.linting import Known
    from migrator.mapping.document import Draft
    from migrator.mapping.examples import ExampleResult
    from migrator.mapping.problems import Problem
    from migrator.runtime import Runtime

Offline = Annotated[bool, typer.Option("--offline", help="Open no database; leave out what needs one.")]
NoData = Annotated[bool, typer.Option("--no-data", help="Look at the schemas only, not at the rows.")]
Recorded = Annotated[
    Path | None,
    typer.Option("--schema", metavar="FILE", help="Open no database; use what `mapping snapshot` wrote."),
]
Backward = Annotated[
    bool,
    typer.Option(
        "--backward",
        help="Say, too, what could not go back to legacy after the cutover, whatever [rollback] policy is.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write; - is the screen.")]


class Format(StrEnum):
    """How problems are printed."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def register(app: typer.Typer) -> None:
    """Add the verbs to `migrator mapping`."""
    for verb in (lint, test, snapshot, schema):
        app.command()(verb)


def lint(
    format: Annotated[
        Format, typer.Option("--format", help="For people, for programs, as GitHub annotations, or as SARIF 2.1.0.")
    ] = Format.text,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
    schema: Recorded = None,
    offline: Offline = False,
    no_data: NoData = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the ignore block, with ??? for each reason, and put keys in order.")
    ] = False,
    dry_run: DryRun = False,
    backward: Backward = False,
    json: Json = False,
) -> None:
    """
    Hold the mappings against both databases: every mistake at once, with its place and what to do; exit 2 on errors.

    Example: $ migrator mapping lint --strict
    """
    from migrator import runtime
    from migrator.flows.drafting import linting
    from migrator.mapping import document, problems

    with runtime.connect() as rt:
        settings = rt.settings.mappings
        draft = document.read(settings.path, settings.code)
        with _known(rt, schema, offline=offline or draft.set is None, data=not no_data) as known:
            if fix:
                _fix(draft, known, settings.path, dry_run=dry_run)
                draft = draft if dry_run else document.read(settings.path, settings.code)
            found = linting.check(draft, known, policy=_policy(rt, backward=backward))
    if not (fix and dry_run):
        _print(found, draft, Format.json if json else format)
    if found if strict else problems.errors(found):
        raise typer.Exit(2)


def test(schema: Recorded = None, offline: Offline = False, json: Json = False) -> None:
    """
    Run the examples of all mappings; what differs is shown field by field.

    Example: $ migrator mapping test
    """
    from migrator import runtime
    from migrator.mapping import examples

    with runtime.connect() as rt:
        mappings = rt.load_set()
        with _known(rt, schema, offline=offline, data=False) as known:
            results = examples.run(mappings, known.legacy, known.target)
    data = [_flat(result) for result in results]
    show.result({"examples": data}, as_json=json, text=lambda: _print_results(results))
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def snapshot(out: Out = None, json: Json = False) -> None:
    """
    Write both schemas, and what lint asks of the data, to a file: for lint and test where no database is.

    Holds counts, sizes and the few values of columns that mappings list values for; never one that names a person.
    By default the file is schema.snapshot.json beside the mappings. Commit it with them.

    Example: $ migrator mapping snapshot
    """
    from migrator import runtime
    from migrator.flows.drafting import linting

    with runtime.connect() as rt:
        file = out or rt.settings.mappings.path / linting.FILE
        text = linting.record(rt.load_set(), rt.legacy, rt.target)
    _write(file, text)
    if str(file) != "-":
        told = f"written to {file}; use it: migrator mapping lint --schema {file}"
        show.result({"file": file, "bytes": len(text.encode())}, as_json=json, text=lambda: show.say(told))


def schema(out: Out = None, json: Json = False) -> None:
    """
    Write the JSON Schema of mappings and set.yaml, for completion and checks in an editor.

    By default to schema.json beside the folder of the mappings, where the first line of each file looks for it.

    Example: $ migrator mapping schema
    """
    from migrator import runtime
    from migrator.mapping import editor

    if out is None:
        with runtime.connect() as rt:
            out = rt.settings.mappings.path.parent / editor.FILE
    _write(out, editor.text())
    if str(out) != "-":
        show.result({"file": out}, as_json=json, text=lambda: show.say(f"written to {out}"))


def _policy(rt: Runtime, *, backward: bool) -> str:
    """Under which policy it is to be said what could not go back; empty: it is not."""
    chosen = rt.settings.rollback.policy
    if chosen in ("carry_back", "merge"):
        return chosen
    return "carry_back" if backward else ""


@contextmanager
def _known(rt: Runtime, file: Path | None, *, offline: bool, data: bool) -> Iterator[Known]:
    """What may be known: a snapshot's word, nothing, or the databases'."""
    from migrator.flows.drafting import linting

    if file is not None:
        yield linting.recorded(file, data=data)
    elif offline:
        yield linting.UNKNOWN
    else:
        with linting.live(rt.legacy, rt.target, data=data) as known:
            yield known


def _write(file: Path, text: str) -> None:
    if str(file) == "-":
        show.say(text.rstrip("\n"))
    else:
        file.write_text(text, encoding="utf-8")


def _fix(draft: Draft, known: Known, folder: Path, *, dry_run: bool) -> None:
    """Mend the files, or show what would be mended."""
    import difflib
    import sys

    from migrator.mapping import fixing, problems

    sound = draft.whole and not problems.errors(draft.problems)  # else too much looks as if nobody spoke of it
    made = fixing.fixed(draft.set, known.legacy if sound else None) if draft.set else {}
    for name, text in made.items():
        path = folder / name
        if dry_run:
            before = draft.texts[name].splitlines(keepends=True)
            after = text.splitlines(keepends=True)
            show.say("".join(difflib.unified_diff(before, after, str(path), str(path))).rstrip("\n"))
        else:
            path.write_bytes(text.encode())
            print(
                f"mended {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}", file=sys.stderr
            )
    if dry_run and not made:
        show.say("nothing to mend")


def _print(found: list[Problem], draft: Draft, format: Format) -> None:
    from migrator.mapping import problems, sarif

    wrong = len(problems.errors(found))
    if format is Format.github:
        show.say(*(_annotation(problem) for problem in found))
        return
    if format is Format.sarif:
        show.result(sarif.log(found), as_json=True, text=lambda: None)
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


def _flat(result: ExampleResult) -> dict[str, Any]:
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
