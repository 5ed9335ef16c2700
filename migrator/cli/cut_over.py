"""Serve users from the target: a wave of them, or one. Settle them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.homes.cutover import CutOver
    from migrator.flows.undoing.way_back import WayBack

SHOWN = 20  # users that are listed
WaveOrAll = Annotated[str, typer.Argument(help="The wave's name or number, or `all`.", metavar="WAVE")]


def wave(wave: WaveOrAll, dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """
    Serve the moved users of a wave from the target.

    Some at a time are frozen (their home is `moving`: read-only), brought up to date, compared value by value, and
    served by the target; each for seconds, [cutover] budget at most. Who cannot go stays in legacy with the reason, exit 4.

    Example: migrator wave cut-over pilot --yes
    """
    from migrator import runtime
    from migrator.flows.homes import cutover
    from migrator.flows.steering import waves
    from migrator.flows.undoing import way_back

    with runtime.connect() as rt:
        looked = cutover.cut_over_wave(rt.parts, wave, dry_run=True)
        back = way_back.look(rt.parts)
        if not json:
            _say_way_back(back)
        units = waves.units(rt.parts, wave)
        if not dry_run:
            seconds = rt.settings.cutover.budget.total_seconds()
            confirm(
                f"Serve {looked.asked} {units} of wave {wave} from the target from now on? Each is frozen for up to "
                f"{seconds:g} s.", yes=yes,
            )  # fmt: skip
            with show.progress() as bars:
                bar = bars.add_task(f"cutting over {wave}", total=looked.asked)
                looked = cutover.cut_over_wave(rt.parts, wave, progress=lambda users: bars.update(bar, advance=users))
    data = {"wave": wave, **looked.as_json(), "way_back": back.as_json()}
    show.result(data, as_json=json, text=lambda: _say(looked, units))
    _end(looked)


def user(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Serve one moved user from the target, and with him all who merged with him.

    Example: migrator user cut-over 4711 --yes
    """
    from migrator import runtime
    from migrator.flows.homes import cutover
    from migrator.flows.undoing import way_back

    with runtime.connect() as rt:
        looked = cutover.cut_over_users(rt.parts, [user], dry_run=True)
        back = way_back.look(rt.parts)
        if not json:
            _say_way_back(back)
        if not dry_run:
            along = f" and {looked.asked - 1} who merged with him" if looked.asked > 1 else ""
            confirm(f"Serve user {user}{along} from the target from now on?", yes=yes)
            looked = cutover.cut_over_users(rt.parts, [user])
    data = {"user": user, **looked.as_json(), "way_back": back.as_json()}
    show.result(data, as_json=json, text=lambda: _say(looked, "users"))
    _end(looked)


def settle(
    wave: Annotated[str, typer.Argument(help="The wave's name or number.", metavar="WAVE")],
    dry_run: DryRun = False,
    name: Annotated[str | None, typer.Option("--confirm", help="The wave's name once more, for programs.")] = None,
    json: Json = False,
) -> None:
    """
    Pass the point of no return: the live users of a wave can be rolled back no more, and their snapshots may expire.

    Refused before the soak is over, where the wave was not verified clean, and where legacy was written to since.

    Example: migrator wave settle pilot --confirm pilot
    """
    from migrator import runtime
    from migrator.flows import wave_view
    from migrator.flows.homes import settling

    with runtime.connect() as rt:
        with rt.control.read() as db:
            found = wave_view.find(db, wave)
        if not dry_run:
            _require_name(found.name, name)
        with show.progress() as bars:
            bar = bars.add_task(f"verifying {found.name}", total=found.users)
            done = settling.settle(
                rt.parts, found.name, dry_run=dry_run, progress=lambda users: bars.update(bar, advance=users)
            )
    show.result(done, as_json=json, text=lambda: _say_settled(done))
    if done.refused:
        raise typer.Exit(1)


def _require_name(wave: str, typed: str | None) -> None:
    import sys

    from migrator.errors import Refused

    if typed is None and sys.stdin.isatty():
        typed = typer.prompt(f"There is no way back. Type the name of the wave ({wave}) to settle it")
    if typed is None:
        raise Refused(
            f"There is no way back from settling wave {wave}. Nobody is here to type its name; say --confirm {wave}"
        )
    if typed != wave:
        raise Refused(f'"{typed}" is not the name of wave {wave}: nothing was done')


def _end(found: CutOver) -> None:
    if found.left:
        raise typer.Exit(4 if found.live else 1)


def _say_way_back(back: WayBack) -> None:
    show.say(back.sentence, *back.concerns)
    if back.staying:
        show.say("what does not go back:")
        lines = [(line.mapping, line.column, line.why) for line in back.staying]
        show.table(("mapping", "column", "why"), lines[:SHOWN])
        if len(lines) > SHOWN:
            show.say(f"… and {len(lines) - SHOWN} more; --json lists them")


def _say(found: CutOver, units: str) -> None:
    if found.dry_run:
        show.say(f"{found.asked} {units} would be cut over, of wave {', '.join(found.waves)}; nothing was done")
        return
    frozen = f"; nobody was frozen for more than {found.longest:.1f} s" if found.longest else ""
    show.say(f"{found.live} {units} are live in the target{frozen}")
    if found.undone:
        show.say(f"{found.undone} were frozen in vain and are served by legacy again")
    if found.stopped:
        show.say(f"stopped: {found.stopped}")
    if found.left and not found.stopped:
        show.say(f"{len(found.left)} stay in legacy:")
        listed = sorted(found.left.items())
        show.table(("user", "why"), listed[:SHOWN])
        if len(listed) > SHOWN:
            show.say(f"… and {len(listed) - SHOWN} more; --json lists them")


def _say_settled(done: Any) -> None:
    if done.refused:
        show.say(*(f"not yet: {reason}" for reason in done.refused))
        return
    will = "would be" if done.dry_run else "are"
    show.say(f"{done.settled} users of wave {done.wave} {will} settled: there is no way back for them")
    if done.left:
        show.say("of the wave, not live: " + ", ".join(f"{count} {status}" for status, count in done.left.items()))
    if done.changed_in_target:
        show.say(f"the new system has changed {done.changed_in_target} values since; they are its own")
