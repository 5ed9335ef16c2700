"""Snapshots: what there is, whether it would take users back, how long it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.snapshots.keeping import Expired
    from migrator.flows.snapshots.rehearsing import Checked
    from migrator.flows.snapshots.rekeying import Rekeyed

app = typer.Typer(help="Snapshots: list them, try them out, let them expire, hold them.", no_args_is_help=True)
Wave = Annotated[str, typer.Argument(help="The wave's name or number, or `all`.", metavar="WAVE")]


@app.command("list")
def list_(json: Json = False) -> None:
    """
    Show per wave how many snapshots there are, how large, until when, and what keeps them.

    Example: migrator snapshot list
    """
    from migrator import runtime
    from migrator.flows.snapshots import keeping

    with runtime.connect() as rt:
        found = keeping.listed(rt.parts, rt.settings.snapshots.keep)
    show.result(found, as_json=json, text=lambda: _print_list(found))


@app.command()
def check(
    share: Annotated[
        str, typer.Option("--share", help="How many of the users, such as 1% or 100%; at least 20.")
    ] = "1%",
    seed: Annotated[int | None, typer.Option("--seed", help="Draw the same snapshots again.")] = None,
    json: Json = False,
) -> None:
    """
    Try some snapshots out: open them, restore them in empty copies of the target's tables, compare value by value.

    Also looks whether every snapshot is there, and whether any lies there that nobody knows. Exit 1 if not.

    Example: migrator snapshot check --share 5%
    """
    from migrator import runtime
    from migrator.flows.snapshots import rehearsing

    part = _share(share)
    with runtime.connect() as rt, show.progress() as bars:
        bar = bars.add_task("checking snapshots", total=None)
        done = rehearsing.check(
            rt.parts, share=part, seed=seed, progress=lambda n, of: bars.update(bar, completed=n, total=of)
        )
    told = {"good": done.good, **show.fields(done)}
    show.result(told, as_json=json, text=lambda: _print_check(done))
    if not done.good:
        raise typer.Exit(1)


@app.command()
def expire(dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """
    Remove snapshots whose time is over ([snapshots] keep), and attempts of batches that came to nothing.

    A snapshot whose users can still be put back never expires, nor does one of a wave that is held.

    Example: migrator snapshot expire --dry-run
    """
    from migrator import runtime
    from migrator.flows.snapshots import keeping

    with runtime.connect() as rt:
        keep = rt.settings.snapshots.keep
        done = keeping.expire(rt.parts, keep, dry_run=True)
        if not dry_run and (done.snapshots or done.orphans):
            confirm(f"Remove {done.snapshots + done.orphans} snapshots ({_size(done.bytes)}) for good?", yes=yes)
            done = keeping.expire(rt.parts, keep)
    show.result(done, as_json=json, text=lambda: _print_expired(done, dry_run=dry_run))


@app.command()
def hold(
    wave: Wave,
    reason: Annotated[str, typer.Option("--reason", help="Why, and for whom; the journal keeps it.")],
    json: Json = False,
) -> None:
    """
    Keep the snapshots of a wave whatever their age, until they are released: somebody needs them as evidence.

    Example: migrator snapshot hold core-5 --reason "claim 4711 of our lawyers"
    """
    from migrator import runtime
    from migrator.flows.snapshots import keeping

    with runtime.connect() as rt:
        held = keeping.hold(rt.parts, wave, reason)
    show.result(
        {"held": held, "reason": reason}, as_json=json, text=lambda: show.say(f"held: {', '.join(held)}: {reason}")
    )


@app.command()
def release(wave: Wave, yes: Yes = False, json: Json = False) -> None:
    """
    Let the snapshots of a wave that is held expire again when their time is over.

    Example: migrator snapshot release core-5 --yes
    """
    from migrator import runtime
    from migrator.flows.snapshots import keeping

    with runtime.connect() as rt:
        confirm(f"Let the snapshots of {wave} expire again?", yes=yes)
        released = keeping.release(rt.parts, wave)
    show.result({"released": released}, as_json=json, text=lambda: show.say(f"released: {', '.join(released)}"))


@app.command()
def rekey(
    old: Annotated[
        str | None,
        typer.Option("--old", help="Where the key is that is in force: file:PATH, env:NAME or command:ARGV."),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Put the key that the settings name in the place of the one in force.

    What the control database keeps sealed is sealed anew, and so are the hashes by which people are found; every
    snapshot's data key is wrapped anew.

    A key file that is not there yet is made. Cut off, the same command goes on. No worker may be alive.

    Example: migrator snapshot rekey --old file:.migrator/old.key --yes
    """
    from migrator import runtime

    with runtime.connect() as rt:
        question = f"Take the key {rt.keyring.source} in the place of the one in force?"
        with show.progress() as bars:
            bar = bars.add_task("sealing anew", total=None)
            done = rt.rekey(
                old, lambda: confirm(question, yes=yes), lambda n, of: bars.update(bar, completed=n, total=of)
            )
    show.result(done, as_json=json, text=lambda: _print_rekeyed(done))
    if done is not None and done.damaged:
        raise typer.Exit(1)


def _share(said: str) -> float:
    from migrator.errors import WrongInput

    try:
        number = float(said.strip().removesuffix("%")) / (100 if said.strip().endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 < number <= 1:
        raise WrongInput(f'--share is a share of the users such as 1% or 0.01, not "{said}"')
    return number


def _size(size: int) -> str:
    number, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def _print_list(found: dict[str, Any]) -> None:
    if not found["waves"]:
        show.say("no snapshot was kept yet")
    else:
        show.table(
            ("plan", "wave", "snapshots", "users", "size", "kept", "expires", "stays because"),
            [
                (
                    one["plan"],
                    one["wave"],
                    one["snapshots"],
                    one["users"],
                    _size(one["bytes"]),
                    f"{one['kept_at']:%Y-%m-%d}",
                    f"{one['expires_at']:%Y-%m-%d}" if one["expires_at"] else "",
                    one["stays"],
                )
                for one in found["waves"]
            ],
            right=(2, 3, 4),
        )
    gone = sum(one["missing"] for one in found["waves"])
    if gone:
        show.say(f"{gone} snapshots are not where they should be: migrator snapshot check")
    if found["orphans"]["snapshots"]:
        nobodys = found["orphans"]
        show.say(f"{nobodys['snapshots']} more ({_size(nobodys['bytes'])}) are for nobody: migrator snapshot expire")


def _print_check(done: Checked) -> None:
    show.say(
        f"{done.recorded} snapshots are recorded; {done.snapshots} of them with {done.users} users were restored "
        f"in a scratch copy ({done.rows} rows, seed {done.seed})"
    )
    for one in done.broken:
        show.say(
            f"  wave {one.wave}, batch {one.batch}: {one.why}",
            f"    its {one.count} users cannot be put back"
            + (f": {', '.join(one.users)}{' …' if one.count > len(one.users) else ''}" if one.users else ""),
        )
    if done.orphans:
        show.say(f"  {done.orphans} snapshots are for nobody: migrator snapshot expire removes them")
    show.say("all of them are good" if done.good else "not all is well; the snapshots named above are of no use")


def _print_expired(done: Expired, *, dry_run: bool) -> None:
    verb = "would be removed" if dry_run else "were removed"
    whose = f" of {', '.join(done.waves)}" if done.waves else ""
    show.say(f"{done.snapshots} snapshots{whose} and {done.orphans} of nobody {verb} ({_size(done.bytes)})")
    for why, count in done.stay.items():
        show.say(f"  {count} stay: {why}")


def _print_rekeyed(done: Rekeyed | None) -> None:
    if done is None:
        show.say("this key is in force already, and wraps every snapshot; nothing was done")
        return
    show.say(
        f"key {done.key} is in force; {done.sealed} values were sealed with it",
        f"{done.wrapped} data keys of snapshots were wrapped with it, {done.before} were before",
    )
    for place in done.damaged:
        show.say(f"  {place} opens with neither key; migrator snapshot check says whose it is")
    if done.damaged:
        show.say("the old key is still needed for these; when they are mended or gone, run the same command again")
    else:
        show.say("the old key opens nothing any more; keep a copy of the new one somewhere else")
