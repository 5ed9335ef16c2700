"""One user: find, show, exclude."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Yes, confirm

app = typer.Typer(help="What is with one user's account: for support.", no_args_is_help=True)
Who = Annotated[str, typer.Argument(help="The user's key or e-mail address.", metavar="USER")]


@app.command("show")
def show_(user: Who, json: Json = False) -> None:
    """
    Show where a user is served, what happened, what to say and what to do.

    Example: migrator user show ann@example.com
    """
    from migrator import runtime
    from migrator.flows import support

    with runtime.connect() as rt:
        found = support.show(rt.parts, user)
    show.result(found, as_json=json, text=lambda: _print(found))


@app.command()
def find(text: Annotated[str, typer.Argument(help="A key or an e-mail address.")], json: Json = False) -> None:
    """
    Find users by key or e-mail address.

    Example: migrator user find ann@example.com
    """
    from migrator import runtime
    from migrator.errors import NotFound
    from migrator.flows import support

    with runtime.connect() as rt:
        found = support.find(rt.parts, text)
    if not found and not json:
        raise NotFound("nobody in the plan has this key or address")
    show.result(
        found,
        as_json=json,
        text=lambda: show.table(
            ("user", "e-mail", "status", "home", "tier", "wave"),
            [tuple(one[name] for name in ("user", "email", "status", "home", "tier", "wave")) for one in found],
        ),
    )


@app.command()
def exclude(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    reason: Annotated[str, typer.Option("--reason", help="Why; support will read it.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Leave a user in legacy.

    Example: migrator user exclude 4711 --reason "open dispute" --yes
    """
    from migrator import runtime
    from migrator.flows import review

    with runtime.connect() as rt:
        confirm(f"Leave user {user} in legacy?", yes=yes)
        review.exclude(rt.parts, user, reason)
    show.result(
        {"user": user, "status": "excluded", "reason": reason},
        as_json=json,
        text=lambda: show.say(f"user {user} stays in legacy: {reason}"),
    )


def _print(found: dict[str, Any]) -> None:
    wave = f", wave {found['wave']['name']} ({found['wave']['status']})" if found["wave"] else ""
    show.say(
        f"user {found['user']} ({found['email'] or 'no e-mail'}): {found['status']}, served by {found['home']}{wave}",
        *([f"reason: {found['reason']}"] if found["reason"] else []),
        *([f"tier: {found['tier']['why']}"] if found["tier"]["why"] else []),
        "",
        f"say:   {found['say']}",
        f"do:    {found['do']}",
        f"back:  {'can be rolled back' if found['can_roll_back'] else 'nothing to roll back'}",
    )
    for case in found["cases"]:
        place = f" ({case['file']}:{case['line']})" if case["file"] else ""
        show.say(f"case {case['id']} {case['status']}: {case['mapping']}.{case['field']}, rule {case['rule']}{place}")
    show.say("")
    show.table(("when", "what"), [(show.moment(line["at"]), line["what"]) for line in found["timeline"]])
