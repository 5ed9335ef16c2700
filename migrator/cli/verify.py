"""Compare what was meant with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Processes

if TYPE_CHECKING:
    from migrator.flows.checking.verify import Verified


SHOWN = 1000  # users listed with what has changed
NAMED = 5  # users named in a sentence


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
    from migrator.mapping import secrecy

    with runtime.connect() as rt:
        scope = flow.scope(rt.parts, user=user, wave=wave)
        with show.progress() as bars:
            bar = bars.add_task("verifying", total=scope.users)
            found = flow.verify(
                rt.parts,
                scope,
                drift=drift,
                workers=workers,
                progress=lambda users: bars.update(bar, advance=users),
            )
        covered = {
            name: secrecy.fields(mapping)[1]
            for name, mapping in rt.parts.stored_set(scope.plan.set_hash).mappings.items()
        }
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
        "late_writes": sorted(found.late_writes)[:SHOWN],
        "schema_changes": found.schema_changes,
        "expired_users": found.expired_users,
        "busy_users": len(found.busy),
    }
    show.result(data, as_json=json, text=lambda: _print(found, covered))
    if found.difference_count:
        raise typer.Exit(1)


def _print(found: Verified, covered: Mapping[str, Collection[str]]) -> None:
    """For people; *covered* are the sensitive columns of each mapping."""
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
        show.say(f"users by what has changed since the move: {', '.join(told)}", *_remedies(found))
    if found.schema_changes:
        show.say("a database is not what the plan was approved against (E801):")
        show.say(*(f"  {change}" for change in found.schema_changes[:20]))
    for one in found.differences[:20]:
        what = f"{one['kind']} {one['field'] or 'row'}{_amounts(one, covered)}"
        show.say(f"  {one['mapping']} {one['key']} of user {one['user']} ({one['home']}): {what}")
    if found.difference_count > 20:
        show.say(f"  … and {found.difference_count - 20} more; --json lists them with values")


def _remedies(found: Verified) -> Iterator[str]:
    """What to do about legacy that changed; for whom the target serves `sync` does nothing."""
    changed = [user for user, class_ in found.by_class().items() if class_ == "legacy changed"]
    waiting, late = len(set(changed) - found.late_writes), sorted(found.late_writes)
    if waiting:
        yield f"  {waiting} of them changed in legacy, which serves them: `migrator sync` brings that over"
    if late:
        named = ", ".join(late[:NAMED]) + (", …" if len(late) > NAMED else "")
        yield (
            f"  legacy was written to for {len(late)} users whom the target serves ({named}); `migrator sync` does not "
            "bring that over"
        )
        yield "  find out which application still writes there without asking the Router; then put the change into the"
        yield "  target by hand, or roll those users back (`migrator rollback user ID`), move and cut them over again"


def _amounts(one: Mapping[str, Any], covered: Mapping[str, Collection[str]]) -> str:
    """Both sides of a sum that differs: its row has no value to look up."""
    if one["kind"] != "sum":
        return ""
    from migrator.flows.helping.case_view import masked

    meant, found = (_shortest(one[side]) for side in ("meant", "found"))
    # of a mapping that is not known nothing is shown
    if one["field"] in covered.get(one["mapping"], (one["field"],)):
        meant, found = masked(meant), masked(found)
    return f", meant {meant}, found {found}"


def _shortest(amount: str) -> str:
    return amount.rstrip("0").rstrip(".") if "." in amount else amount
