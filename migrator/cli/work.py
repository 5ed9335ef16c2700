"""Do the work: run the plan, run a worker, see where everything stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.steering.campaign import Now
    from migrator.runtime import Runtime
    from migrator.supervisor import Supervisor

PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between looks: the workers need the cores more than we do
Slots = Annotated[int, typer.Option("--workers", "-w", min=1, help="Batches beside each other on this machine.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, worker, status):
        app.command()(command)


def run(workers: Slots = 2, yes: Yes = False, json: Json = False) -> None:
    """
    Carry the plan out, wave by wave, until it is done or a gate holds.

    Starts workers (and, without [broker] url, Redis) and ends them. Exit 0: done; 3: a gate holds; 4: done, but users
    are held or failed. Ctrl-C ends it after the running batches; the next run goes on. Where there are operators, it ends
    with exit 3 before a full wave that no second person has allowed, and says with which command he does.

    Example: migrator run --workers 2 --yes
    """
    from migrator import runtime, supervisor
    from migrator.errors import GateHolds
    from migrator.flows import wave_view
    from migrator.flows.helping import overview
    from migrator.flows.steering import campaign

    with runtime.connect() as rt:
        campaign.look(rt.parts)  # refuses a plan that is not approved, before anything is started
        rt.legacy.ping(), rt.target.ping()
        with supervisor.working(rt, workers) as working:
            last = _carry_out(rt, working, yes=yes, quiet=json)
        found = overview.status(rt.desk)
    show.result(found, as_json=json, text=lambda: _say_status(found))
    if last.situation is campaign.Situation.HELD and last.wave:
        raise GateHolds(last.trouble or wave_view.held_sentence(last.wave))
    if any(found[whose][status] for whose in ("users", "nobody") for status in ("held", "failed")):
        raise typer.Exit(4)


def worker(workers: Slots = 2) -> None:
    """
    Work for waves that others start, until Ctrl-C or SIGTERM; run it on as many machines as you like.

    A worker is a service and needs no token: it starts nothing by itself, and moves only what is in a wave that somebody
    with the right has started, of a plan that somebody with the right has approved.

    Example: migrator worker --workers 4
    """
    from migrator import runtime, supervisor

    with runtime.connect() as rt:
        rt.legacy.ping(), rt.target.ping()
        try:
            with supervisor.working(rt, workers) as working:
                show.say(f"working with {workers} slots; the log is {working.state / 'worker.log'}")
                told: set[str] = set()
                while True:
                    if outage := supervisor.patient(working, 1.0, told):
                        show.say(f"waiting: {outage}")
        except KeyboardInterrupt:
            show.say("ended in good order")


def status(json: Json = False) -> None:
    """
    Show the whole migration on one screen, with the next step.

    Example: migrator status
    """
    from migrator import runtime
    from migrator.flows.helping import overview

    with runtime.connect() as rt:
        found = overview.status(rt.desk)
    show.result(found, as_json=json, text=lambda: _say_status(found, waves=True))


def _carry_out(rt: Runtime, working: Supervisor, *, yes: bool, quiet: bool) -> Now:
    """Let waves run one after the other; the situation in which it ended."""
    from migrator.errors import NeedsApproval, Overtaken, Refused, Transient, Unreachable
    from migrator.flows.steering import campaign
    from migrator.flows.steering import waves as wave_flows

    told, pause = set[str](), PAUSE
    refused: int | None = None  # the wave that would not start the last time
    with _watching(quiet=quiet) as told_of:
        while True:
            try:
                now = campaign.look(rt.parts)
            except (Unreachable, Transient):  # the control database is away: wait until it is back
                _patient(working, PAUSE, told, quiet=quiet)
                continue
            told_of(now)
            if now.situation is campaign.Situation.NEXT and now.wave:
                confirm(f"Start wave {now.wave.name} ({now.wave.users} {now.wave.units})?", yes=yes)
                try:
                    wave_flows.start(rt.parts, now.wave.name)
                except NeedsApproval as missing:  # --yes answers for one person, not for two
                    return replace(now, situation=campaign.Situation.HELD, trouble=f"{missing}: migrator run")
                except (Refused, Overtaken):  # somebody may have sent users of another wave again while we asked
                    if refused == now.wave.id:
                        raise
                    refused = now.wave.id
            elif now.situation is not campaign.Situation.WORKING:
                return now
            _patient(working, pause, told, quiet=quiet)
            pause = PAUSE if working.dispatcher.rang else min(1.5 * pause, LONGEST_PAUSE)


def _patient(working: Supervisor, pause: float, told: set[str], *, quiet: bool) -> None:
    """Tick once; each cause for which everything waits is said once."""
    from migrator import supervisor

    outage = supervisor.patient(working, pause, told)
    if outage and not quiet:
        print(f"waiting: {outage}", file=sys.stderr)


@contextmanager
def _watching(*, quiet: bool) -> Iterator[Any]:
    """A bar per wave on a terminal; elsewhere one line when a wave's status changes."""
    bars, seen = show.progress(), dict[str, Any]()
    started = time.monotonic()

    def tell(now: Now) -> None:
        previous = seen.get("wave")
        if now.wave is None or previous not in (None, now.wave.id):
            _finish_line(seen, bars, quiet=quiet)
        if now.wave is None:
            return
        if seen.get("wave") != now.wave.id:
            seen.update(wave=now.wave.id, name=now.wave.name, status=None, at=time.monotonic(), units=now.wave.units)
            seen["bar"] = bars.add_task(now.wave.name, total=now.wave.users)
        seen["settled"], seen["users"] = now.settled, now.wave.users
        held_back = now.waits["sentence"] if now.waits else f"waiting: {now.trouble}" if now.trouble else None
        words = f"{now.wave.name} {now.wave.status}" + (f" ({held_back})" if held_back else "")
        bars.update(seen["bar"], completed=now.settled, description=words)
        if now.trouble and now.trouble != seen.get("trouble") and not quiet:
            print(f"wave {now.wave.name} waits: {now.trouble}", file=sys.stderr)
        seen["trouble"] = now.trouble

    with bars:
        yield tell
        if seen.get("wave") is not None:
            _finish_line(seen, bars, quiet=quiet)
    if not quiet:
        print(f"ended after {time.monotonic() - started:.1f} s", file=sys.stderr)


def _finish_line(seen: dict[str, Any], bars: Any, *, quiet: bool) -> None:
    if seen.get("wave") is None:
        return
    bars.remove_task(seen["bar"])
    seconds = time.monotonic() - seen["at"]
    if not quiet:
        bars.console.print(
            f"wave {seen['name']}: {seen['settled']} of {seen['users']} {seen['units']} in {seconds:.1f} s",
            highlight=False,
        )
    seen["wave"] = None


def _say_status(found: dict[str, Any], *, waves: bool = False) -> None:
    if found["read_only"]:
        show.say(found["read_only"])
    if found["plan"] is None:
        show.say(f"there is no plan yet; {found['next']}")
        return
    if waves:
        show.waves(found["waves"])
    show.say(
        f"plan {found['plan']['id']} is {found['plan']['status']}: {_counted(found['users'], 'users')}",
        *(f"wave {wave['name']} is {wave['waiting']['sentence']}" for wave in found["waves"] if wave["waiting"]),
        *([_counted(found["nobody"], "rows that belong to no user")] if any(found["nobody"].values()) else []),
        *([f"{found['cases']['open']} review cases are open"] if found["cases"]["open"] else []),
        *_requests(found["requests"]),
        *(
            [f"waiting for a second person: {count}; migrator approval list"]
            if (count := found["approvals"]["open"])
            else []
        ),
        f"next: {found['next']}",
    )


def _requests(asked: dict[str, Any]) -> list[str]:
    """Who is asked for, and what he waits for: the first few reasons."""
    if not asked["open"]:
        return []
    waits, shown = asked["waits"], asked["waits"][:3]
    more = [f"  … and {len(waits) - len(shown)} other reasons"] if len(waits) > len(shown) else []
    return [
        f"{asked['open']} users are asked for ahead of their wave, the first since {show.moment(asked['since'])}:",
        *(f"  {one['users']}: {one['reason']}" for one in shown),
        *more,
    ]


def _counted(statuses: dict[str, int], units: str) -> str:
    """`12 users: 10 live, 2 held`."""
    told = (f"{count} {name.replace('_', ' ')}" for name, count in statuses.items() if count)
    return f"{sum(statuses.values())} {units}: {', '.join(told)}"
