"""One wave at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import cut_over, show
from migrator.cli.options import Json, Yes, confirm

if TYPE_CHECKING:
    from migrator.store.waves import Wave

app = typer.Typer(help="Start, watch, pause, hold, cancel, approve, cut over and settle waves.", no_args_is_help=True)
WHAT = ("batch-size", "workers", "max-lag", "max-sessions", "max-statement", "throttle")
Name = Annotated[str, typer.Argument(help="The wave's name or number.", metavar="WAVE")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the journal.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """
    List the waves of the plan with their numbers.

    Example: migrator wave list
    """
    from migrator import runtime
    from migrator.flows.helping import overview

    with runtime.connect() as rt:
        found = overview.status(rt.desk)
    show.result(found["waves"], as_json=json, text=lambda: show.waves(found["waves"]))


@app.command("show")
def show_(wave: Name, json: Json = False) -> None:
    """
    Show one wave: numbers, findings of its gate, batches.

    Example: migrator wave show pilot
    """
    from migrator import runtime
    from migrator.flows.helping import overview

    with runtime.connect() as rt:
        found = overview.wave_detail(rt.desk, wave)

    def text() -> None:
        show.waves([found])
        show.pace(found)
        for finding in found["findings"]:
            show.say(f"{finding['outcome']:>5}  {finding['check']}: {finding['sentence']}")
        show.table(
            ("batch", found["units"], "status", "rows", "seconds", "attempts", "interruptions", "error"),
            [
                tuple(
                    one[name]
                    for name in ("id", "users", "status", "rows", "seconds", "attempts", "interruptions", "error")
                )
                for one in found["batch_list"]
            ],
            right=(0, 1, 3, 4, 5, 6),
        )

    show.result(found, as_json=json, text=text)


@app.command()
def start(wave: Name, json: Json = False) -> None:
    """
    Set an approved wave running; `migrator worker` must be at work somewhere.

    Example: migrator wave start pilot
    """
    from migrator.flows.steering import waves

    _order(wave, waves.start, json=json)


@app.command()
def pause(wave: Name, json: Json = False) -> None:
    """
    Hand out no more batches; those running end.

    Example: migrator wave pause core-25
    """
    from migrator.flows.steering import waves

    _order(wave, waves.pause, json=json)


@app.command()
def resume(wave: Name, json: Json = False) -> None:
    """
    Go on after a pause, or let the gate look again after a hold.

    Example: migrator wave resume core-25
    """
    from migrator.flows.steering import waves

    _order(wave, waves.resume, json=json)


@app.command()
def hold(wave: Name, reason: Reason, json: Json = False) -> None:
    """
    Hold a wave by hand.

    Example: migrator wave hold core-25 --reason "support sees complaints"
    """
    from migrator.flows.steering import waves

    _order(wave, lambda parts, name: waves.hold(parts, name, reason), json=json)


@app.command()
def cancel(wave: Name, yes: Yes = False, json: Json = False) -> None:
    """
    End a wave; who was moved stays moved, nobody else of it moves.

    Example: migrator wave cancel edge-rest --yes
    """
    from migrator.flows.steering import waves

    confirm(f"Cancel wave {wave}? It cannot be started again.", yes=yes)
    _order(wave, waves.cancel, json=json)


@app.command()
def approve(wave: Name, reason: Reason, yes: Yes = False, json: Json = False) -> None:
    """
    Let a held wave pass against its gate (not against STOP), with a reason.

    Example: migrator wave approve core-5 --reason "all held users are test accounts" --yes
    """
    from migrator.flows.steering import waves

    confirm(f"Let wave {wave} pass although its gate holds?", yes=yes)
    _order(wave, lambda parts, name: waves.override(parts, name, reason), json=json)


@app.command("set")
def set_(
    wave: Name,
    what: Annotated[str, typer.Argument(help=f"One of {', '.join(WHAT)}.", metavar="WHAT")],
    value: Annotated[
        str, typer.Argument(help="A number, or `default` for what the settings say; of throttle: on, off.")
    ],
    json: Json = False,
) -> None:
    """
    Change how a wave runs, while it runs: batch-size, workers, max-lag, max-sessions, max-statement, throttle.

    batch-size: users per batch, no longer adapted. workers: batches under way at once. max-lag, max-statement: seconds.
    throttle on: hand out nothing more until throttle off.

    Example: migrator wave set core-rest max-lag 2
    """
    from dataclasses import asdict

    from migrator import runtime
    from migrator.flows.steering import orders

    with runtime.connect() as rt:
        given = orders.give(rt.parts, rt.throttle, wave, what, value)

    def text() -> None:
        if given.value is None:
            show.say(f"wave {given.wave}: {what} is {'off' if what == 'throttle' else 'as the settings say'} again")
        else:
            show.say(f"wave {given.wave}: {what} is {'on' if what == 'throttle' else given.value} from now on")
        if given.remark:
            show.say(f"remark: {given.remark}")

    show.result(asdict(given), as_json=json, text=text)


@app.command()
def retry(
    wave: Annotated[str, typer.Argument(help="The wave's name or number, or `all`.", metavar="WAVE")],
    json: Json = False,
) -> None:
    """
    Plan failed and rolled-back users of a wave again.

    Example: migrator wave retry all
    """
    from migrator import runtime
    from migrator.flows.steering import waves

    with runtime.connect() as rt:
        sent, units = waves.retry(rt.parts, wave), waves.units(rt.parts, wave)
    show.result(
        {"wave": wave, "users": sent},
        as_json=json,
        text=lambda: show.say(f"{sent} {units} are planned again; next: migrator run"),
    )


app.command("cut-over")(cut_over.wave)
app.command("settle")(cut_over.settle)


@app.command()
def watch(
    wave: Name,
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.")] = 1.0,
) -> None:
    """
    Follow a wave until it passes, holds, or ends; exit 3 if it holds.

    Example: migrator wave watch pilot
    """
    from migrator import runtime
    from migrator.errors import GateHolds
    from migrator.flows import wave_view
    from migrator.flows.helping import overview
    from migrator.rollout.states import Wave as Status

    with runtime.connect() as rt, show.progress() as bars:
        bar = bars.add_task(wave, total=None)
        while True:
            found = overview.wave_detail(rt.desk, wave)
            done = sum(found[name] for name in ("moved", "held", "failed", "excluded", "rolled_back"))
            words = f"{found['name']} {found['status']}" + (
                f" ({waits['sentence']})" if (waits := found["waiting"]) else ""
            )
            bars.update(bar, total=found["users"], completed=done, description=words)
            if found["status"] in (*wave_view.ENDED, Status.HELD, Status.PAUSED, Status.APPROVED, Status.DRAFT):
                break
            time.sleep(every)
        with rt.control.read() as db:
            last = wave_view.find(db, wave)
    _say(last, found)
    if last.status is Status.HELD:
        raise GateHolds(wave_view.held_sentence(last))


def _order(name: str, act: Any, *, json: bool) -> None:
    from migrator import runtime
    from migrator.flows.helping import overview

    with runtime.connect() as rt:
        wave = act(rt.parts, name)
        found = overview.wave_detail(rt.desk, wave.name)
    show.result(found, as_json=json, text=lambda: _say(wave, found))


def _say(wave: Wave, found: dict[str, Any]) -> None:
    show.say(
        f"wave {wave.name} is {wave.status}: {found['moved']} of {found['users']} {wave.units} moved, "
        f"{found['held']} held, {found['failed']} failed. Watch it: migrator wave watch {wave.name}"
    )
