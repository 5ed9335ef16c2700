"""The whole story on generated data, with the real commands, in a few minutes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli import show

MARK = ".migrator/demo"
EXTRA = """
[batches]
users = 400

[notices]                          # every notice becomes a file in outbox/
sender = "file"
path = "outbox"
product = "Lantern Shop"

[support]
contact = "help@lantern.example"
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo project is made.", metavar="DIR")] = Path("demo"),
    users: Annotated[int, typer.Option("--users", min=200, help="How many users the old shop has.")] = 2000,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Batches beside each other.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same shop.")] = 7,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only make the project and both databases; move nothing.")
    ] = False,
) -> None:
    """
    Watch a migration from beginning to end: a shop is generated, planned, moved, held users are resolved, a wave is
    rolled back and moved again, and a report is written. Everything is real and stays in DIR to play with.

    Example: migrator demo
    """
    started = time.monotonic()
    _fresh(folder)
    _build(folder, users, seed)
    if prepare:
        show.say(f"next: cd {folder} && migrator store upgrade")
        return
    before = os.environ.get("MIGRATOR_SETTINGS")
    os.environ["MIGRATOR_SETTINGS"] = str((folder / "migrator.toml").resolve())
    try:
        _story(workers)
    finally:
        if before is None:
            del os.environ["MIGRATOR_SETTINGS"]
        else:
            os.environ["MIGRATOR_SETTINGS"] = before
    show.say(
        "",
        f"That was the whole story, in {time.monotonic() - started:.0f} seconds.",
        f"The report: {(folder / 'report.html').resolve()}",
        f"Play on:    cd {folder} && migrator status",
    )


def _story(workers: int) -> None:
    _chapter("Prepare: our own memory, and a ledger in the new database")
    _do("store", "upgrade")
    _chapter("Are the mappings right? Before anything moves, they are held against both databases")
    _do("mapping", "lint")
    _do("mapping", "test")
    _chapter("What is in the old shop, and what would become of it? A look that writes nothing")
    _do("assess", "--users", "200")
    _chapter("Who is who: tiers from what users did and paid")
    _do("tier", "assign")
    _chapter("The plan: a pilot, gray shares, then the rest, tier by tier")
    _do("plan", "create")
    _do("plan", "approve", "--yes")
    _chapter("Move them: every value is read back and compared, a gate stands after every wave")
    _do("run", "--workers", str(workers), "--yes")
    _chapter("Some users are held: a mapping never guesses. What is it?")
    _do("review", "list")
    _resolve()
    _chapter("Three in the morning: a wave must go back. First a dry run, then exactly")
    wave = _rolled_back_wave()
    _do("rollback", "wave", wave, "--dry-run")
    _do("rollback", "wave", wave, "--yes")
    _chapter("The morning after: the same wave again, and the users whose cases are decided")
    _do("wave", "retry", wave)
    _do("review", "replay")
    _do("run", "--workers", str(workers), "--yes")
    _chapter("Did everything arrive? Compare every value once more, by another connection")
    _do("verify")
    _do("status")
    _chapter("Users were told; here is what one of them reads")
    _do("notice", "preview", "done")
    _chapter("And the whole of it on one page")
    _do("report")


def _resolve() -> None:
    """Decide three causes as a person would; the rest stays held, visible in the report."""
    from migrator import runtime
    from migrator.flows.helping import review

    with runtime.connect() as rt:
        causes = review.listed(rt.parts)["causes"]
    status = next((one for one in causes if one["field"] == "status" and one["rule"] == "map"), None)
    json = next((one for one in causes if one["rule"] == "json"), None)
    if status:
        show.say(
            "", f"{status['users']} users have an order in a status nobody knew. Support asked: it means cancelled."
        )
        _do("review", "resolve", status["cause"], "--use", "cancelled")
        show.say("", "What does support see of one of them?")
        _do("user", "show", status["examples"][0])
    if json:
        show.say("", "One order has remarks that were cut off; nobody needs them.")
        _do("review", "resolve", json["cause"], "--accept-null")


def _rolled_back_wave() -> str:
    """The second gray wave: small enough to follow, large enough to matter."""
    from migrator import runtime
    from migrator.flows.helping import overview

    with runtime.connect() as rt:
        waves = [wave for wave in overview.status(rt.desk)["waves"] if wave["status"] == "passed"]
    gray = [wave for wave in waves if wave["stage"] == "gray"] or waves
    return str(gray[min(1, len(gray) - 1)]["name"])


def _do(*words: str) -> Any:
    """Show a command and run it, the very one a person would type. Exit 4 (some users are held) is part of the story."""
    from migrator import cli

    show.say("", f"$ migrator {' '.join(words)}")
    code = cli.app(list(words), standalone_mode=False)
    if code not in (0, None, 4):
        raise typer.Exit(code)


def _chapter(title: str) -> None:
    from rich.console import Console

    Console(highlight=False).print(f"\n── [bold]{title}[/bold]")


def _fresh(folder: Path) -> None:
    """A demo of before is replaced; anything else is never touched."""
    from migrator.errors import Refused

    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise Refused(f"{folder} is not empty and no demo of ours; name another folder: migrator demo DIR")
    shutil.rmtree(folder)


def _build(folder: Path, users: int, seed: int) -> None:
    from migrator import runtime
    from migrator.flows.demo import legacy, target

    _chapter("An old shop with real-life dirt, and an empty new one")
    urls = {"legacy": "sqlite:///legacy.sqlite", "target": "sqlite:///target.sqlite"}
    toml = runtime.TOML.format(**urls, soak="0s", cutover="immediate", other="manual", more=EXTRA)
    runtime.make_project(folder, toml=toml)
    (folder / MARK).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / MARK).write_text("made by `migrator demo`; replaced by the next one\n", encoding="utf-8")
    legacy.build(folder / "legacy.sqlite", users=users, seed=seed)
    target.build(f"sqlite:///{(folder / 'target.sqlite').resolve()}")
    show.say(f"{users} users in {folder / 'legacy.sqlite'}, the new schema in {folder / 'target.sqlite'}")
