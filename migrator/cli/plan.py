"""Plans: divide users into waves, look, approve."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes, confirm

app = typer.Typer(help="Divide users into waves, look at it, freeze it.", no_args_is_help=True)


@app.command()
def create(dry_run: DryRun = False, json: Json = False) -> None:
    """
    Make a plan: pilot, gray shares and the rest of each tier; who is held or excluded before it starts.

    Example: migrator plan create --dry-run
    """
    from migrator import runtime
    from migrator.flows.plans import planning

    with runtime.connect() as rt:
        draft = planning.create(rt.parts, rt.plan_options, rt.tier_options, dry_run=dry_run)

    def text() -> None:
        _print_waves(draft.waves)
        movers = draft.users - draft.excluded
        show.say(f"{draft.users} users: {movers} in waves ({draft.held} of them held), {draft.excluded} excluded")
        if draft.nobody:
            show.say(
                f"{draft.nobody} rows that belong to no user move last, in wave nobody, each with what hangs on it"
            )
        _print_identity(draft.identity)
        _print_merging(draft.merging)
        _print_unowned(draft.unowned)
        show.say(*(f"note: {remark}" for remark in draft.remarks))
        sharing = draft.held - draft.merging["doubtful"]
        if sharing:
            why = "share what must be unique, or may be one person" + (" or somebody else" if draft.identity else "")
            show.say(f"{sharing} users {why}: migrator review list")
        show.say(
            "dry run: nothing was stored" if dry_run else f"plan {draft.plan} is a draft; next: migrator plan approve"
        )

    show.result(asdict(draft), as_json=json, text=text)


@app.command("show")
def show_(json: Json = False) -> None:
    """
    Show the current plan and its waves.

    Example: migrator plan show
    """
    from migrator import runtime
    from migrator.flows.plans import planning

    with runtime.connect() as rt:
        found = planning.show(rt.parts)

    def text() -> None:
        plan = found["plan"]
        show.say(f"plan {plan['id']} is {plan['status']}, as of {show.moment(plan['as_of'])}, hash {plan['hash'][:12]}")
        if plan["approved_by"]:
            show.say(f"approved by {plan['approved_by']} at {show.moment(plan['approved_at'])}")
        _print_waves(found["waves"])
        _print_identity(plan["counts"].get("identity", {}))
        _print_merging(plan["counts"].get("merging"))
        _print_unowned(plan["counts"]["unowned"])

    show.result(found, as_json=json, text=text)


@app.command()
def approve(yes: Yes = False, json: Json = False) -> None:
    """
    Freeze the current plan, so that its waves may start.

    Example: migrator plan approve --yes
    """
    from migrator import runtime
    from migrator.flows.plans import planning

    with runtime.connect() as rt:
        confirm("Approve the plan? It cannot be changed afterwards.", yes=yes)
        plan = planning.approve(rt.parts)
    data = {"plan": plan.id, "status": plan.status, "hash": plan.hash, "approved_by": plan.approved_by}
    show.result(
        data,
        as_json=json,
        text=lambda: show.say(f"plan {plan.id} is approved (hash {plan.hash[:12]}); next: migrator run"),
    )


@app.command()
def revise(dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """
    Use the mappings as they are now for everybody who is not moved yet; approve again afterwards.

    Example: migrator plan revise --yes
    """
    from migrator import runtime
    from migrator.flows.plans import planning

    with runtime.connect() as rt:
        if not dry_run:
            confirm("Revise the plan? It must be approved again before anybody else moves.", yes=yes)
        plan = planning.revise(rt.parts, dry_run=dry_run)
    data = {"plan": plan.id, "status": plan.status, "hash": plan.hash, "set_hash": plan.set_hash, "dry_run": dry_run}
    verb = "would take" if dry_run else "takes"
    show.result(
        data,
        as_json=json,
        text=lambda: show.say(
            f"plan {plan.id} {verb} mappings {plan.set_hash[:12]} for users not yet moved; next: migrator plan approve"
        ),
    )


def _print_identity(identity: dict[str, dict[str, int]]) -> None:
    """Per source, whose its records are and how that is known."""
    rules = ("own", "id", "link", "email", "person", "doubtful", "excluded")
    if identity:
        rows = [(name, found["records"], *(found.get(rule, 0) for rule in rules)) for name, found in identity.items()]
        show.table(("people of", "records", *rules), rows, right=range(1, len(rules) + 2))


def _print_waves(waves: list[dict[str, Any]]) -> None:
    show.table(
        ("#", "wave", "tier", "stage", "share", "users"),
        [
            (
                wave["ordinal"],
                wave["name"],
                wave["tier"] or "all",
                wave["stage"],
                f"{wave['share']} %" if wave["share"] else "-",
                show.counted(wave),
            )
            for wave in waves
        ],
        right=(0, 4, 5),
    )


def _print_merging(merging: dict[str, int] | None) -> None:
    if merging and merging["users"]:
        many = "s" if merging["accounts"] != 1 else ""
        show.say(f"{merging['users']} users merge into {merging['accounts']} account{many}")
    if merging and merging["doubtful"]:
        show.say(f"{merging['doubtful']} users look like one person and differ in something: migrator review list")


def _print_unowned(unowned: dict[str, Any]) -> None:
    for name, found in unowned.items():
        left = found.get("left", found["rows"])
        of_nobody = f"rows of {found['table']} ({name}) belong to no user"
        if found.get("moves"):
            show.say(f"moving: {found['moves']} {of_nobody}")
        if found.get("strays"):
            show.say(f"  {found['strays']} of them look up a row that is not there, or that belongs to somebody else")
        if left:
            show.say(f"left behind: {left} {of_nobody}: {found['reason']}")
