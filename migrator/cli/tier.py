"""Tiers: compute them, look at them, explain one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

app = typer.Typer(help="Divide users into core, normal and edge by what they do and pay.", no_args_is_help=True)


@app.command()
def assign(dry_run: DryRun = False, json: Json = False) -> None:
    """
    Measure R, F and M of every user in legacy and assign tiers.

    Example: migrator tier assign --dry-run
    """
    from migrator import runtime
    from migrator.flows.plans import tiering

    with runtime.connect() as rt:
        done = tiering.assign(rt.parts, rt.tier_options, dry_run=dry_run)

    def text() -> None:
        show.table(
            ("tier", "users", "share"),
            [(tier, count, show.share(count, done.users)) for tier, count in done.tiers.items()],
            right=(1, 2),
        )
        show.say(
            f"as of {done.as_of}: recent = at most {done.limits['recency']} days, "
            f"frequent = more than {done.limits['frequency']} days, paying = more than {done.limits['money']}",
            *(f"note: {warning}" for warning in done.warnings),
            "dry run: nothing was stored" if dry_run else "next: migrator plan create",
        )

    show.result(asdict(done), as_json=json, text=text)


@app.command("show")
def show_(json: Json = False) -> None:
    """
    Show the sizes of the tiers as last assigned.

    Example: migrator tier show
    """
    from migrator import runtime
    from migrator.errors import NotFound
    from migrator.store import tiers

    with runtime.connect() as rt, rt.control.read() as db:
        run, counts = tiers.last_run(db), tiers.counts(db)
    if run is None:
        raise NotFound("no tiers are assigned yet; run `migrator tier assign`")
    data: dict[str, Any] = {"as_of": run.as_of, "limits": run.thresholds["limits"], "tiers": counts}

    def text() -> None:
        everybody = sum(sum(codes.values()) for codes in counts.values())
        show.table(
            ("tier", "code", "users", "share"),
            [
                (tier, code, count, show.share(count, everybody))
                for tier, codes in sorted(counts.items())
                for code, count in sorted(codes.items(), reverse=True)
            ],
            right=(2, 3),
        )
        show.say(f"as of {show.moment(run.as_of)}; the code says recent, frequent, paying")

    show.result(data, as_json=json, text=text)


@app.command()
def explain(user: Annotated[str, typer.Argument(help="The user's key.")], json: Json = False) -> None:
    """
    Say why one user is in a tier.

    Example: migrator tier explain 4711
    """
    from migrator import runtime
    from migrator.flows.plans import tiering

    with runtime.connect() as rt:
        found = tiering.explain(rt.parts, user)
    show.result(found, as_json=json, text=lambda: show.say(found["sentence"]))
