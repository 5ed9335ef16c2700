"""The journal: whether it is what was written, and what it says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json
from migrator.errors import WrongInput

if TYPE_CHECKING:
    from migrator.flows.people.auditing import Verdict
    from migrator.runtime import Runtime
    from migrator.store.journal import Asked

app = typer.Typer(help="The journal: who did what, and whether anybody has changed it since.", no_args_is_help=True)

Anchored = Annotated[
    Path | None,
    typer.Option(
        "--anchors", help="A copy of the file of anchors; default: [security] anchors, here .migrator/journal.anchors."
    ),
]
User = Annotated[str | None, typer.Option("--user", help="Entries about this user, by key.")]
Wave = Annotated[str | None, typer.Option("--wave", help="Entries about this wave and its batches.")]
Event = Annotated[str | None, typer.Option("--event", help='Entries of this act: move, approve, "cut over", …')]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Entries of who did it: a person, worker, dispatcher, gate.")
]
Since = Annotated[
    str | None, typer.Option("--since", help="From then on: 30m, 24h, 7d, or a time such as 2030-01-31T09:00:00Z.")
]


@app.command()
def verify(anchors: Anchored = None, json: Json = False) -> None:
    """
    Check that the journal is what was written: nothing changed, taken out, put in, moved, or cut off at its end.

    Exit 0: it holds, with the number of its entries and its head. Exit 1: the first entry that is wrong, and how.
    A cut-off end shows only against anchors: copy that file to another machine. Whoever has the project key and may
    write to the control database could write another history, but not one that fits anchors he cannot reach.

    Example: migrator audit verify --anchors /mnt/elsewhere/journal.anchors
    """
    from migrator import runtime
    from migrator.flows.people import auditing

    with runtime.connect() as rt:
        elsewhere = _elsewhere(rt, anchors)
        with show.progress() as bar:
            task = bar.add_task("journal", total=None)
            verdict = auditing.verify(
                rt.desk, elsewhere, lambda done, all_: bar.update(task, completed=done, total=all_)
            )
    show.result(verdict.as_json, as_json=json, text=lambda: _say(verdict))
    if verdict.broken:
        raise typer.Exit(1)


@app.command()
def head(json: Json = False) -> None:
    """
    Show the last entry's number and hash: write it down where nobody who can write to the database can reach it.

    Example: migrator audit head
    """
    from migrator import runtime
    from migrator.flows.people import auditing

    with runtime.connect() as rt:
        found, path = auditing.head(rt.desk), rt.settings.security.anchors
    data = {"seq": found.seq, "hash": found.hash, "anchors": str(path)}
    show.result(
        data,
        as_json=json,
        text=lambda: show.say(f"entry {found.seq}, hash {found.hash or '-'}", f"anchors are in {path}"),
    )


@app.command("list")
def list_(
    user: User = None,
    wave: Wave = None,
    event: Event = None,
    actor: Actor = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 50,
    json: Json = False,
) -> None:
    """
    List entries of the journal, the newest last.

    Example: migrator audit list --wave pilot --since 24h
    """
    from migrator import runtime
    from migrator.flows.people import auditing

    with runtime.connect() as rt:
        asked = _asked(user=user, wave=wave, event=event, actor=actor, since=since)
        found = auditing.listed(rt.desk, asked, limit=limit)
    show.result(found, as_json=json, text=lambda: _list(found))


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help="jsonl or csv; cells of csv are no formulas.")] = "jsonl",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")] = None,
    user: User = None,
    wave: Wave = None,
    event: Event = None,
    actor: Actor = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """
    Write the journal for auditors: every entry with its hashes, oldest first, in a file of mode 0600.

    Example: migrator audit export --format csv -o journal.csv
    """
    import sys

    from migrator import runtime
    from migrator.flows.people import auditing

    if form not in auditing.FORMATS:
        raise WrongInput(f'--format must be one of {", ".join(auditing.FORMATS)}, not "{form}"')
    if json and output is None:
        raise WrongInput("--json says what was written where: name the file with --output, or leave --json out")
    with runtime.connect() as rt:
        asked = _asked(user=user, wave=wave, event=event, actor=actor, since=since)
        if output is None:
            auditing.export(rt.desk, asked, sys.stdout, form)
            return
        with _private(output) as file:
            count = auditing.export(rt.desk, asked, file, form)
    data = {"entries": count, "format": form, "file": str(output)}
    show.result(data, as_json=json, text=lambda: show.say(f"{count} entries are in {output}"))


def _elsewhere(rt: Runtime, file: Path | None) -> list[dict[str, Any]]:
    """The anchors of the file that was named, else of the project's, which may not be there yet."""
    from migrator.edges.anchors import Anchors

    path = file or rt.settings.security.anchors
    return [] if file is None and not path.exists() else Anchors(path).read()


def _asked(since: str | None, **given: str | None) -> Asked:
    from migrator.store.journal import Asked

    return Asked(since=_moment(since) if since else None, **given)


def _moment(said: str) -> datetime:
    """A time that was typed, or so long ago."""
    from datetime import UTC

    from migrator import runtime
    from migrator.flows.parts import utc_now

    try:
        return utc_now() - runtime.duration(said)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        raise WrongInput(
            f'--since: "{said}" is neither a while such as 24h nor a time such as 2030-01-31T09:00:00Z'
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _private(path: Path) -> Any:
    import os

    from migrator.errors import Refused

    try:
        return open(path, "w", encoding="utf-8", newline="", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as wrong:
        raise Refused(f"cannot write {path}: {wrong.strerror}") from None


def _say(verdict: Verdict) -> None:
    broken, last = verdict.broken, verdict.head
    against = (
        f"compared with {verdict.anchors} anchors" if verdict.anchors else "no anchors were there to compare it with"
    )
    if broken is None:
        show.say(
            f"the journal holds: {verdict.entries} entries, {against}",
            f"its head is entry {last.seq}, hash {last.hash or '-'}",
        )
        return
    show.say(
        f"the journal does not hold, from entry {broken.seq} on ({broken.kind}): {broken.sentence}",
        f"{verdict.entries} entries before that hold ({against}); keep a copy of the control database before anything else",
    )


def _list(found: list[dict[str, Any]]) -> None:
    show.table(
        ("#", "at", "who", "did", "what", "detail"),
        [
            (
                entry["seq"],
                f"{entry['at'][:19].replace('T', ' ')}",
                entry["actor"],
                entry["event"],
                f"{entry['noun']} {entry['ref']}".strip(),
                ", ".join(f"{name} {_short(value)}" for name, value in entry["detail"].items()),
            )
            for entry in found
        ],
        right=(0,),
    )


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= 60 else f"{said[:59]}…"
