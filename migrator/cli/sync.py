"""Bring over what changed in legacy since users were moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Processes, Yes, confirm

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.flows.syncing.sync import Scope, Synced
    from migrator.runtime import Runtime

SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sync)


def sync(
    wave: Annotated[str | None, typer.Option("--wave", help="Only users of this wave.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user, and who merged with him.")] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="Read all rows of everybody again, whatever else tells of changes.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C, which is safe at any moment.")] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="With --follow: seconds between two looks.")] = 30,
    passes: Annotated[int, typer.Option("--passes", min=1, help="Looks at most, as long as each finds something.")] = 5,
    remove_vanished: Annotated[
        bool, typer.Option("--remove-vanished", help="Put back whoever is in the target and no longer in legacy.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    workers: Processes = None,
    json: Json = False,
) -> None:
    """
    Bring over what changed in legacy since users were moved, until their cutover.

    Only what we wrote is touched, and only while it is what we wrote. Users who came to legacy get a wave, users who went
    from it are told. Exit 4 when somebody is left who could not be brought over.

    Example: migrator sync --wave pilot --dry-run
    """
    from migrator import runtime
    from migrator.flows.syncing import sync as flow

    if wave is not None and user is not None:
        raise typer.BadParameter("say --wave or --user, not both")
    with runtime.connect() as rt:
        scope = flow.scope(rt.parts, wave=wave, user=user)
        if remove_vanished and not dry_run:
            confirm("Take users who are gone from legacy out of the target?", yes=yes)
        options: dict[str, Any] = {"most": passes, "scan": scan or None, "workers": workers}
        if follow and not dry_run:
            _follow(rt, lambda: flow.scope(rt.parts, wave=wave, user=user), options, every, json=json)
            return
        done = _once(rt, scope, {**options, "dry_run": dry_run})
        if remove_vanished and not dry_run:
            flow.remove_vanished(rt.parts, scope, done, workers=workers)
    show.result(as_json(done), as_json=json, text=lambda: _print(done))
    if not dry_run and (done.queue or done.busy):
        raise typer.Exit(4)


def as_json(done: Synced) -> dict[str, Any]:
    """For programs."""
    from dataclasses import asdict

    return asdict(done)


def _once(rt: Runtime, scope: Scope, options: dict[str, Any]) -> Synced:
    from migrator.flows.syncing import sync as flow

    with show.progress() as bars:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        return flow.passes(rt.parts, scope, progress=progress, **options)


def _follow(rt: Runtime, scope: Callable[[], Scope], options: dict[str, Any], every: int, *, json: bool) -> None:
    """Pass after pass, each of the plan there is by then; one line for each that found something, or a JSON document."""
    import json as printing
    import time

    from migrator.errors import Transient, Unreachable

    try:
        while True:
            try:
                done = _once(rt, scope(), options)
            except (Unreachable, Transient) as passing:
                show.say(f"{passing}; looking again in {every} s")
            else:
                if json:
                    print(printing.dumps(as_json(done), default=show.plain, ensure_ascii=False), flush=True)
                elif done.changed or done.new.users or done.new.gone:
                    show.say(_summary(done))
            time.sleep(every)
    except KeyboardInterrupt:
        show.say("stopped; what was begun is taken up by the next `migrator sync`")


def _print(done: Synced) -> None:
    show.table(
        ("class", "users"), [(name, count) for name, count in done.classes.items() if count] or [("-", 0)], right=(1,)
    )
    if done.users:
        show.table(
            ("brought over", "rows written", "rows removed"),
            [(one["user"], one["written"], one["removed"]) for one in done.users[:SHOWN]],
            right=(1, 2),
        )
        if done.brought > SHOWN:
            show.say(f"… and {done.brought - SHOWN} more; --json lists up to 1000")
    for one in done.not_brought[:SHOWN]:
        show.say(f"  user {one['user']} ({one['class']}): {one['reason']}")
    if len(done.not_brought) > SHOWN:
        show.say(f"  … and {len(done.not_brought) - SHOWN} more; --json lists up to 1000")
    for remark in done.remarks:
        show.say(f"note: {remark}")
    new = done.new
    verb = "would get" if done.dry_run else "got"
    if new.users:
        where = ", ".join(f"{count} in {name}" for name, count in new.waves.items())
        show.say(f"{new.users} users came to legacy and {verb} a place in the plan{f': {where}' if where else ''}")
        show.say(f"  {new.excluded} of them excluded, {new.held} held")
    if new.gone:
        show.say(f"{new.gone} planned users are gone from legacy: {'to be ' if done.dry_run else ''}excluded")
    if done.sent_again:
        show.say(f"{done.sent_again} held users can have their rows now and were sent again; `migrator run` moves them")
    if done.taken_back:
        show.say(f"{done.taken_back} users who are gone from legacy were taken out of the target")
    show.say(_summary(done))


def _summary(done: Synced) -> str:
    how = ", ".join(f"{name}: {way}" for name, way in done.found_by.items())
    if done.dry_run:
        return f"{done.changed} of {done.looked_at} moved users changed since ({how}); nothing was done"
    busy = f", {done.busy} are being written to or brought over elsewhere" if done.busy else ""
    return (
        f"{done.brought} of {done.looked_at} moved users brought over ({done.rows_written} rows written, "
        f"{done.rows_removed} removed) in {done.passes} passes ({how}); {done.queue} wait in the queue{busy}"
    )
