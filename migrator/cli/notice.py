"""Notices to users: look at them before, see what was sent, send what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json
from migrator.errors import NotFound, WrongInput

if TYPE_CHECKING:
    from migrator.flows.telling.templates import Message
    from migrator.runtime import Runtime
    from migrator.store.outbox import Notice

app = typer.Typer(help="Tell users what happens to their account.", no_args_is_help=True)
ROUND = 500


@app.command()
def lint(json: Json = False) -> None:
    """
    Try every template for every tier and language; exit 2 where one is wrong.

    Example: migrator notice lint
    """
    from migrator import runtime
    from migrator.flows.telling import notices

    with runtime.connect() as rt:
        telling = _telling(rt)
        problems = notices.lint(telling)
    if problems and not json:
        raise WrongInput("\n".join(problems))
    count = len(telling.templates.files)
    show.result(
        {"templates": count, "problems": problems},
        as_json=json,
        text=lambda: show.say(f"{count} templates, every one can be sent"),
    )
    if problems:
        raise typer.Exit(WrongInput.exit_code)


@app.command()
def preview(
    event: Annotated[str, typer.Argument(help="before, done, delayed or rolled_back.")],
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="As this user would get it; without, nobody's.")
    ] = None,
    locale: Annotated[str | None, typer.Option("--locale", "-l", help="Language, such as en or zh-CN.")] = None,
    tier: Annotated[str, typer.Option("--tier", "-t", help="core, normal or edge.")] = "normal",
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part, to open it in a browser.")] = False,
    json: Json = False,
) -> None:
    """
    Show a notice as it would be sent; sends nothing.

    Example: migrator notice preview done --locale zh-CN --tier core
    """
    from migrator import runtime

    with runtime.connect() as rt:
        message = _for_user(rt, event, user) if user else _for_nobody(rt, event, locale, tier)
    data = {name: getattr(message, name) for name in ("subject", "text", "html", "locale")}
    show.result(data, as_json=json, text=lambda: _print(message, html=html))


@app.command(name="list")
def list_(
    user: Annotated[str | None, typer.Option("--user", "-u", help="Only this user's.")] = None,
    status: Annotated[str | None, typer.Option("--status", "-s", help="Only those queued, sent, failed, …")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = 50,
    json: Json = False,
) -> None:
    """
    List notices and what became of them, newest first.

    Example: migrator notice list --status failed
    """
    from migrator import runtime
    from migrator.rollout.states import Notice as Status
    from migrator.store import outbox, plans

    if status is not None and status not in list(Status):
        raise WrongInput(f'there is no status "{status}" of notices; there are {", ".join(Status)}')
    with runtime.connect() as rt, rt.control.read() as db:
        plan = plans.require(db)
        found = outbox.select(db, plan.id, user=user, status=status, limit=limit)
        counts = outbox.counts(db, plan.id)
    data = {"notices": [_line(notice) for notice in found], "counts": _by_event(counts)}
    show.result(data, as_json=json, text=lambda: _table(found, counts))


@app.command()
def send(
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="At most so many; default: all due.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Also try again what failed.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """
    Send what is due now. `migrator run` and `migrator worker` do so by themselves.

    Example: migrator notice send --failed
    """
    from migrator import runtime

    with runtime.connect() as rt:
        if rt.settings.notices.sender is None:
            raise NotFound('notices have no sender; set [notices] sender = "file" or "smtp"')
        result = _would_send(rt, failed=failed) if dry_run else _send(rt, limit, failed=failed)
    show.result(result, as_json=json, text=lambda: show.say(_sentence(result)))
    if result.get("trouble") or result.get("failed"):
        raise typer.Exit(1)


def _telling(rt: Runtime) -> Any:
    """How users are told, without opening legacy or target."""
    from migrator.flows.parts import Telling
    from migrator.flows.telling.notices import Templates

    notices = rt.settings.notices
    return Telling(
        sender=notices.sender,
        product=notices.product,
        contact=rt.settings.support.contact,
        locale=notices.locale,
        events=notices.events,
        templates=Templates(rt.templates_folder()),
    )


def _for_nobody(rt: Runtime, event: str, locale: str | None, tier: str) -> Message:
    from migrator.flows.telling import notices
    from migrator.flows.telling.template_checks import TIERS

    if tier not in TIERS:
        raise WrongInput(f'there is no tier "{tier}"; there are {", ".join(TIERS)}')
    return notices.preview(_telling(rt), event, locale=locale, tier=tier)


def _for_user(rt: Runtime, event: str, user: str) -> Message:
    from migrator.flows.telling import notices
    from migrator.store import plans, users, waves

    with rt.control.read() as db:
        found = users.get(db, plans.require(db).id, user)
        if found is None:
            raise NotFound(f'the plan has no user "{user}"; `migrator user find` looks for an e-mail address')
        wave = waves.get(db, found.wave_id) if found.wave_id else None
    return notices.preview_for(rt.parts, wave, event, found, rt.parts.now())


def _would_send(rt: Runtime, *, failed: bool) -> dict[str, Any]:
    from migrator.flows.parts import utc_now
    from migrator.store import outbox, plans

    with rt.control.read() as db:
        due = outbox.due(db, utc_now())
        again = sum(count for _, status, count in outbox.counts(db, plans.require(db).id) if status == "failed")
    return {"due": due + (again if failed else 0)}


def _send(rt: Runtime, limit: int | None, *, failed: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from migrator.flows.telling import delivery
    from migrator.store import plans

    if failed:
        with rt.control.read() as db:
            plan = plans.require(db)
        delivery.send_failed_again(rt.parts, plan.id)
    total, left = delivery.Round(), limit
    while left is None or left > 0:
        done = delivery.send(rt.parts, rt.sender(), min(ROUND, left or ROUND))
        total = total + done
        if done.trouble or not done.claimed:
            break
        left = None if left is None else left - done.claimed
    return asdict(total)


def _sentence(result: dict[str, Any]) -> str:
    if "due" in result:
        return f"{result['due']} notices are due; nothing was sent"
    words = {
        "sent": "sent",
        "bounced": "refused by the receiver's side",
        "failed": "failed; see `migrator notice list --status failed`",
        "later": "wait for another attempt",
        "lost": "unknown: two senders died holding them; see `migrator notice list --status unknown`",
    }
    parts = [f"{result[name]} {text}" for name, text in words.items() if result[name] or name == "sent"]
    trouble = [f"the round ended: {result['trouble']}"] if result["trouble"] else []
    return "\n".join(parts + trouble)


def _print(message: Message, *, html: bool) -> None:
    if html:
        show.say(message.html or "this notice has no HTML part")
    else:
        show.say(f"Language: {message.locale}", f"Subject:  {message.subject}", "", message.text.rstrip())


def _line(notice: Notice) -> dict[str, Any]:
    names = ("id", "user_key", "event", "channel", "locale", "status", "attempts", "error", "queued_at", "sent_at")
    return {name: getattr(notice, name) for name in names}


def _by_event(counts: list[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for event, status, count in sorted(counts):
        found.setdefault(event, {})[status] = count
    return found


def _table(found: list[Notice], counts: list[tuple[str, str, int]]) -> None:
    if not found:
        show.say("no notices; `[notices] sender` says whether any are queued")
        return
    head = ("id", "user", "event", "language", "status", "queued", "sent", "why")
    show.table(
        head,
        (
            (n.id, n.user_key, n.event, n.locale, n.status, show.moment(n.queued_at), show.moment(n.sent_at), n.error)
            for n in found
        ),
        right=(0,),
    )
    total = sum(count for _, _, count in counts)
    said = "; ".join(
        f"{event}: " + ", ".join(f"{count} {status}" for status, count in of.items())
        for event, of in _by_event(counts).items()
    )
    show.say("", f"{len(found)} of {total} shown · {said}")
