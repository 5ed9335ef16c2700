"""Compare what was meant with what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from migrator.cli import show
from migrator.cli.options import Json, Processes

if TYPE_CHECKING:
    from migrator.flows.checking.verify import Verified


SHOWN = 1000  # users listed with what has changed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    wave: Annotated[str | None, typer.Option("--wave", help="Only this wave.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user.")] = None,
    drift: Annotated[bool, typer.Option(help="Also read legacy again and look for drift.")] = True,
    workers: Processes = None,
    json: Json = False,
) -> None:
    """
    Compare every value of every moved user with what was meant: rows, values, keys both ways, declared sums.

    Exit 1 when there are differences.

    Example: migrator verify --wave pilot
    """
    from migrator import runtime
    from migrator.flows.checking import verify as flow

    with runtime.connect() as rt:
        scope = flow.scope(rt.parts, user=user, wave=wave)
        with show.progress() as bars:
            bar = bars.add_task("verifying", total=len(scope.homes))
            found = flow.verify(
                rt.parts,
                scope,
                drift=drift,
                workers=workers,
                progress=lambda users: bars.update(bar, advance=users),
            )
        if wave is None and user is None:
            with rt.control.write() as db:
                flow.store(rt.parts, db, scope.plan.id, found, None)
    data = {
        "checked_users": found.checked_users,
        "checked_nobody": found.checked_nobody,
        "checked_rows": found.checked_rows,
        "difference_count": found.difference_count,
        "differences": found.differences,
        "drift_count": found.drift_count,
        "drift": found.drift,
        "mappings": found.per_mapping,
        "sums": found.sums,
        "classes": found.classes,
        "users": [{"user": user, "class": class_} for user, class_ in sorted(found.by_class().items())][:SHOWN],
        "schema_changes": found.schema_changes,
        "expired_users": found.expired_users,
        "busy_users": len(found.busy),
    }
    show.result(data, as_json=json, text=lambda: _print(found))
    if found.difference_count:
        raise typer.Exit(1)


def _print(found: Verified) -> None:
    from migrator.flows.checking.verify import busy_sentence
    from migrator.flows.phrases import said

    show.table(
        ("mapping", "rows compared", "differences"),
        [(name, counted["rows"], counted["differences"]) for name, counted in found.per_mapping.items()],
        right=(1, 2),
    )
    sums = f", {len(found.sums)} declared sums per user" if found.sums else ""
    show.say(
        f"{said(found.checked_users, found.checked_nobody)}, {found.checked_rows} rows compared value by value{sums}: "
        f"{found.difference_count} differences, {found.drift_count} users drifted in legacy"
    )
    if found.expired_users:
        show.say(
            f"{found.expired_users} users were not compared: their snapshots have expired (`migrator snapshot list`)"
        )
    if found.busy:
        show.say(busy_sentence(len(found.busy)))
    told = [f"{name}: {count}" for name, count in found.classes.items() if count]
    if told:
        remedy = "; `migrator sync` brings them over" if found.classes["legacy changed"] else ""
        show.say(f"users by what has changed since the move: {', '.join(told)}{remedy}")
    if found.schema_changes:
        show.say("a database is not what the plan was approved against (E801):")
        show.say(*(f"  {change}" for change in found.schema_changes[:20]))
    for one in found.differences[:20]:
        what = f"{one['kind']} {one['field'] or 'row'}"
        show.say(f"  {one['mapping']} {one['key']} of user {one['user']} ({one['home']}): {what}")
    if found.difference_count > 20:
        show.say(f"  … and {found.difference_count - 20} more; --json lists them with values")
