"""`migrator assess`: a look at legacy before anything is planned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json

if TYPE_CHECKING:
    from migrator.flows.drafting.assessing import Assessment


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(assess)


def assess(
    users: Annotated[int, typer.Option("--users", min=1, help="How many users the mappings are tried on.")] = 500,
    everybody: Annotated[bool, typer.Option("--all", help="Try the mappings on all users.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="For the forecast of time.")] = 2,
    json: Json = False,
) -> None:
    """
    Say what is in legacy, what is wrong with it, what the mappings cover, and what a move would take. Writes nothing.

    Example: migrator assess --users 2000
    """
    from migrator import runtime
    from migrator.flows.drafting import assessing

    with runtime.connect() as rt, show.progress() as bar:
        task = bar.add_task("users", total=None)
        found = assessing.assess(
            rt.parts,
            None if everybody else users,
            workers=workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    show.result(asdict(found), as_json=json, text=lambda: _print(found))


def _print(found: Assessment) -> None:
    show.say("legacy tables (nulls and empty columns as far as was looked)")
    show.table(
        ("table", "rows", "columns", "read", "with nulls", "empty", "neither read nor ignored"),
        [
            (
                one["table"], f"{'' if one['whole'] else 'over '}{one['rows']}", one["columns"], one["read"],
                len(one["nulls"]), len(one["empty"]), one["uncovered"] or "",
            )
            for one in found.tables
        ],
        right=range(1, 7),
    )  # fmt: skip
    show.say("", *_people(found.users))
    for name, one in found.nobody.items():
        if one["rows"]:
            what = "move with a wave of their own" if one.get("moves") else f"stay: {one['reason']}"
            show.say(f"{one['rows']} rows of {name} belong to nobody; they {what}")
    if found.sample:
        _print_sample(found.sample)
    if found.forecast:
        show.say("", _forecast(found.forecast))
    show.say(*found.remarks)


def _people(users: dict[str, Any]) -> list[str]:
    said = [
        f"{users['users']} users, {users['excluded']} of them excluded by set.yaml",
        f"{users['without_email']} without an e-mail address, {users['sharing_an_email']} share one",
    ]
    if "last_sign_of_life" in users:
        said.append(
            f"{users['no_sign_of_life']} without any sign of life, {users['silent_for_a_year']} silent for a year "
            f"before {users['last_sign_of_life']:%Y-%m-%d}"
        )
    for source, one in users["sources"].items():
        ways = ", ".join(f"{count} by {rule}" for rule, count in one.items() if rule != "records")
        said.append(f"source {source}: {one['records']} records, {ways}")
    return said


def _print_sample(sample: dict[str, Any]) -> None:
    users = sample["users"]
    show.say(
        "", f"of {sample['sample']['users']} users {users['move']} would move and {users['held']} would be held; "
        "`migrator mapping preview` shows each",
    )  # fmt: skip
    if sample["causes"]:
        show.table(("rows", "field", "rule", "what waits for a person"), _by_field(sample["causes"]), right=(0,))
    if sample["cleaned"]:
        rows = [
            (f"{c['mapping']}.{c['rule']}", c["action"], c["rows"], c["users"], c["reason"]) for c in sample["cleaned"]
        ]
        show.table(("cleaning rule", "action", "rows", "users", "reason"), rows, right=(2, 3))


def _by_field(causes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Causes without their values, most rows first."""
    counted: dict[tuple[str, str, str], int] = {}
    for cause in causes:
        told = (f"{cause['mapping']}.{cause['field']}", cause["rule"], cause["note"] or "")
        counted[told] = counted.get(told, 0) + cause["rows"]
    return [(rows, *told) for told, rows in sorted(counted.items(), key=lambda one: -one[1])]


def _forecast(forecast: dict[str, Any]) -> str:
    minutes = max(1, round(forecast["seconds"] / 60))
    return (
        f"all {forecast['users']} users: about {minutes} min with {forecast['workers']} workers, "
        f"{forecast['target_bytes'] / 1e6:.1f} MB of values in the target, {forecast['held']} users held"
    )
