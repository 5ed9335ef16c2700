"""`migrator mapping preview`: what a move would do to a sample of users; nothing is written."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.mapping_explain import Reveal
from migrator.cli.options import Json

if TYPE_CHECKING:
    from migrator.flows.drafting.preview import Preview

COLUMNS = ("read", "new", "update", "unchanged", "skipped", "filtered", "folded", "review", "blocked")


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command()(preview)


def preview(
    mappings: Annotated[list[str] | None, typer.Argument(help="Only these mappings.", metavar="[MAPPING]...")] = None,
    users: Annotated[int, typer.Option("--users", min=1, help="How many users; always the same ones.")] = 200,
    user: Annotated[list[str] | None, typer.Option("--user", help="Just this user, by key; may be repeated.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Users of one tier: core, normal or edge.")] = None,
    wave: Annotated[str | None, typer.Option("--wave", help="Users of one wave of the plan.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many samples of each kind are shown.")] = 5,
    reveal: Reveal = False,
    json: Json = False,
) -> None:
    """
    Read, map and hold against the target as a run would, and say what it would do. Writes nothing, nowhere.

    Example: migrator mapping preview accounts --tier core --users 500
    """
    from migrator import runtime
    from migrator.errors import WrongInput
    from migrator.flows.drafting.preview import preview as look
    from migrator.flows.drafting.sampling import Wanted

    if sum(bool(one) for one in (user, tier, wave)) > 1:
        raise WrongInput("--user, --tier and --wave exclude each other")
    wanted = Wanted(users, tuple(user or ()), tier, wave)
    with runtime.connect() as rt, show.progress() as bar:
        task = bar.add_task("users", total=None)
        found = look(
            rt.parts,
            wanted,
            mappings=mappings or (),
            limit=limit,
            reveal=reveal,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    show.result(asdict(found), as_json=json, text=lambda: _print(found, limit))


def _print(found: Preview, limit: int) -> None:
    sample, users = found.sample, found.users
    of_plan = f" of plan {sample['plan']}" if sample["plan"] else ""
    show.say(f"{sample['users']} of {sample['of']} users{of_plan}; nothing was written", _fates(users), "")
    rows = [(name, *(numbers[column] for column in COLUMNS)) for name, numbers in found.mappings.items()]
    show.table(("mapping", *COLUMNS), rows, right=range(1, len(COLUMNS) + 1))
    _print_changes(found, limit)
    _print_causes(found, limit)
    _print_warnings(found, limit)
    _print_cleaned(found)
    rows_said = ", ".join(f"{count} {name}" for name, count in found.estimate["rows"].items() if count)
    if sample["users"] < sample["of"]:
        show.say("", f"for all {found.estimate['users']} users about: {rows_said}; {found.estimate['held']} users held")
    if found.remarks:
        show.say("", *found.remarks)


def _fates(users: dict[str, int]) -> str:
    words = {
        "move": "would move",
        "held": "would be held",
        "held_by_plan": "are held by the plan",
        "excluded": "stay in legacy",
        "gone": "are gone from legacy",
    }
    said = [f"{users[name]} {words[name]}" for name in words if users[name] or name == "move"]
    return ", ".join(said)


def _print_changes(found: Preview, limit: int) -> None:
    if not found.changed:
        return
    show.say("", "fields that change in the target:")
    rows: list[tuple[Any, ...]] = []
    for field in found.changed:
        name = f"{field['mapping']}.{field['field']}"
        for sample in field["samples"]:
            count = field["rows"] if sample is field["samples"][0] else ""
            rows.append((name, count, sample["user"], _value(sample["before"]), _value(sample["after"])))
            name = ""
    show.table(("field", "rows", "user", "target now", "would be"), rows, right=(1,))


def _print_causes(found: Preview, limit: int) -> None:
    if not found.causes:
        return
    show.say("", "what waits for a person:")
    rows = [
        (
            cause["users"], cause["rows"], f"{cause['mapping']}.{cause['field']}", cause["rule"],
            _value(cause["value"]), cause["note"], f"{cause['file']}:{cause['line']}", ", ".join(cause["examples"]),
        )
        for cause in found.causes[: max(limit, 10)]
    ]  # fmt: skip
    show.table(("users", "rows", "field", "rule", "value", "why", "rule at", "e.g. users"), rows, right=(0, 1))
    if len(found.causes) > len(rows):
        show.say(f"and {len(found.causes) - len(rows)} more causes; --json has all")


def _print_cleaned(found: Preview) -> None:
    if found.cleaned:
        show.say("", "what cleaning rules would take:")
        rows = [(f"{c['mapping']}.{c['rule']}", c["action"], c["rows"], c["users"], c["reason"]) for c in found.cleaned]
        show.table(("rule", "action", "rows", "users", "reason"), rows, right=(2, 3))


def _print_warnings(found: Preview, limit: int) -> None:
    if not found.warnings:
        return
    show.say("", "changed on the way (warnings):")
    rows: list[tuple[Any, ...]] = []
    for warning in found.warnings:
        name, rule, count = f"{warning['mapping']}.{warning['field']}", warning["rule"], warning["rows"]
        for sample in warning["samples"]:
            rows.append((name, rule, count, sample["user"], _value(sample["before"]), _value(sample["after"])))
            name = rule = count = ""
    show.table(("field", "rule", "rows", "user", "before", "after"), rows, right=(2,))


def _value(value: str | None) -> str:
    return "null" if value is None else value.replace("\x1f", ", ").replace("\n", "\\n")[:60]
