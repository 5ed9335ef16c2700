"""What one operator asks for and another allows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Yes, confirm

app = typer.Typer(help="What needs two people: see what others ask for, allow it or not.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="The number of the approval.", metavar="NUMBER")]


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also what was decided, used, or is too old.")] = False,
    json: Json = False,
) -> None:
    """
    List what waits for a second person.

    Whoever does what needs two people (the start of a full wave, letting a wave pass against its gate, a forced rollback,
    an erasure) asks for it by doing it; nothing happens until an approver allows it.

    Example: migrator approval list
    """
    from migrator import runtime
    from migrator.flows.people import approvals

    with runtime.connect() as rt:
        found = approvals.listed(rt.office, every=all_)

    def text() -> None:
        if not found:
            show.say("nothing waits for a second person")
            return
        show.table(
            ("#", "status", "act", "of", "asked by", "until", "decided by"),
            [
                (
                    one["id"],
                    one["status"],
                    one["act"],
                    f"{one['noun']} {one['ref']}",
                    one["requested_by"],
                    show.moment(one["expires_at"]),
                    one["decided_by"] or "-",
                )
                for one in found
            ],
            right=(0,),
        )

    show.result(found, as_json=json, text=text)


@app.command("show")
def show_(number: Number, json: Json = False) -> None:
    """
    Show one request with all that it is bound to.

    Example: migrator approval show 3
    """
    from migrator import runtime
    from migrator.flows.people import approvals

    with runtime.connect() as rt:
        found = approvals.show(rt.office, number)
    show.result(found, as_json=json, text=lambda: _print(found))


@app.command()
def give(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal.")] = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Allow what another operator has asked for; he then does it again, once, within its hour.

    Example: migrator approval give 3 --yes
    """
    from migrator import runtime
    from migrator.flows.people import approvals

    with runtime.connect() as rt:
        asked = approvals.show(rt.office, number)
        if not yes:
            _print(asked)
        confirm(f"Allow {asked['requested_by']} this: {asked['act']}, {asked['noun']} {asked['ref']}?", yes=yes)
        done = approvals.give(rt.office, number, reason=reason)
    show.result(
        done,
        as_json=json,
        text=lambda: show.say(
            f"approval {number} is given: {done['requested_by']} may do it until {show.moment(done['expires_at'])}"
        ),
    )


@app.command()
def refuse(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever asked will read it.")],
    json: Json = False,
) -> None:
    """
    Do not allow what another operator has asked for.

    Example: migrator approval refuse 3 --reason "not before Monday"
    """
    from migrator import runtime
    from migrator.flows.people import approvals

    with runtime.connect() as rt:
        done = approvals.refuse(rt.office, number, reason)
    show.result(done, as_json=json, text=lambda: show.say(f"approval {number} is refused: {reason}"))


def _print(one: dict[str, Any]) -> None:
    show.say(
        f"approval {one['id']} is {one['status']}: {one['act']}, {one['noun']} {one['ref']}",
        f"asked by {one['requested_by']} at {show.moment(one['requested_at'])}, good until {show.moment(one['expires_at'])}",
        *(f"  {name}: {value}" for name, value in one["arguments"].items()),
        f"plan: {one['plan_hash'][:12] or 'none'}" + ("" if one["same_plan"] else " (it has changed since)"),
    )
    if one["decided_by"]:
        why = f": {one['reason']}" if one["reason"] else ""
        show.say(f"decided by {one['decided_by']} at {show.moment(one['decided_at'])}{why}")
    if one["used_at"]:
        show.say(f"used at {show.moment(one['used_at'])}")
