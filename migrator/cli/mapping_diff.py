"""`migrator mapping diff`: two versions of the mappings over the same users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.mapping_explain import Reveal
from migrator.cli.options import Json

if TYPE_CHECKING:
    from migrator.flows.drafting.comparing import Diff, MappingDiff

Version = Annotated[str, typer.Argument(help="A folder, `plan`, or the hash of a stored set.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command()(diff)


def diff(
    a: Version,
    b: Version,
    users: Annotated[int, typer.Option("--users", min=1, help="How many users; always the same ones.")] = 200,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many samples of each kind are shown.")] = 5,
    reveal: Reveal = False,
    json: Json = False,
) -> None:
    """
    Hold what two versions of the mappings make of the same users side by side; exit 1 if they differ. Writes nothing.

    Example: migrator mapping diff plan mappings/shop --users 1000
    """
    from migrator import runtime
    from migrator.flows.drafting import comparing

    with runtime.connect() as rt, show.progress() as bar:
        task = bar.add_task("users", total=None)
        found = comparing.diff(
            rt.parts,
            (a, b),
            users=users,
            limit=limit,
            reveal=reveal,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    show.result(found.as_json(), as_json=json, text=lambda: _print(found))
    if not found.same:
        raise typer.Exit(1)


def _print(found: Diff) -> None:
    show.say(f"A = {found.a}, B = {found.b}; {found.users} of {found.of} users; nothing was written")
    if found.held_a != found.held_b:
        show.say(f"users held: {found.held_a} by A, {found.held_b} by B")
    unlike = {name: one for name, one in found.mappings.items() if not one.same}
    if unlike:
        show.say("")
        head = ("mapping", "rows in A", "rows in B", "only in A", "only in B", "changed")
        rows = [(name, m.rows_a, m.rows_b, m.only_a, m.only_b, m.changed) for name, m in unlike.items()]
        show.table(head, rows, right=(1, 2, 3, 4, 5))
    for name, one in unlike.items():
        _print_mapping(name, one)
    _print_findings(found)
    equal = [name for name, one in found.mappings.items() if one.same]
    if equal:
        show.say("", f"no difference in: {', '.join(equal)}")


def _print_mapping(name: str, one: MappingDiff) -> None:
    for said, columns in (("only A sets", one.gone), ("only B sets", one.added)):
        if columns:
            show.say("", f"{name}: {said} {', '.join(columns)}")
    for side, samples in (("A", one.samples_a), ("B", one.samples_b)):
        if samples:
            some = ", ".join(f"user {row['user']} row {row['key']}" for row in samples)
            show.say("", f"{name}: rows only in {side}, e.g. {some}")
    rows: list[tuple[Any, ...]] = []
    for column in one.columns.values():
        label, match = column.column, f"{100 * (one.both - column.differ) / one.both:.2f} %"
        for sample in column.samples:
            rows.append(
                (label, match, sample["user"], sample["key"], _value(sample["before"]), _value(sample["after"]))
            )
            label = match = ""
    if rows:
        show.say("", f"{name}: columns that differ, of {one.both} rows in both")
        show.table(("column", "match", "user", "row", "A", "B"), rows, right=(1,))


def _print_findings(found: Diff) -> None:
    if not found.findings:
        return
    show.say("", "findings of one version only:")
    rows = [
        (
            one["only_in"].upper(), one["rows"], f"{one['mapping']}.{one['field']}", one["rule"], one["outcome"],
            one["note"], ", ".join(f"{s['user']}: {_value(s['value'])}" for s in one["samples"][:3]),
        )
        for one in found.findings.values()
    ]  # fmt: skip
    show.table(("in", "rows", "field", "rule", "outcome", "why", "e.g. users and values"), rows, right=(1,))


def _value(value: str | None) -> str:
    return "null" if value is None else value.replace("\x1f", ", ").replace("\n", "\\n")[:60]
