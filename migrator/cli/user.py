"""One user: find, show, move ahead of his wave, cut over, exclude."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import cut_over, show
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
    from migrator.flows.helping import support

    with runtime.connect() as rt:
        found = support.show(rt.desk, user)
    show.result(found, as_json=json, text=lambda: _print(found))


@app.command()
def find(text: Annotated[str, typer.Argument(help="A key or an e-mail address.")], json: Json = False) -> None:
    """
    Find users by key or e-mail address.

    Example: migrator user find ann@example.com
    """
    from migrator import runtime
    from migrator.errors import NotFound
    from migrator.flows.helping import support

    with runtime.connect() as rt:
        found = support.find(rt.desk, text)
    if not found and not json:
        raise NotFound("nobody in the plan has this key or address")
    show.result(
        found,
        as_json=json,
        text=lambda: show.table(
            ("user", "e-mail", "status", "home", "tier", "wave", "account"),
            [
                (*(one[name] for name in ("user", "email", "status", "home", "tier", "wave")), _account(one))
                for one in found
            ],
        ),
    )


@app.command()
def move(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    cut_over: Annotated[
        bool, typer.Option("--cut-over", help="And serve him from the target as soon as he is moved.")
    ] = False,
    json: Json = False,
) -> None:
    """
    Move a user ahead of his wave, and with him all who merge with him; workers do it within seconds.

    Asked twice is asked once. What came of it: migrator user show USER.

    Example: migrator user move 4711 --cut-over
    """
    from migrator import runtime
    from migrator.flows.homes import on_demand

    with runtime.connect() as rt:
        asked = on_demand.ask(rt.parts, user, cut_over=cut_over)

    def text() -> None:
        show.say(f"user {user} {asked['reason']}")
        if asked["status"] == "open":
            nobody = "no worker is alive: start `migrator worker`, or `migrator run`" if not asked["workers"] else None
            show.say(nobody or f"see what comes of it: migrator user show {user}")

    show.result(asked, as_json=json, text=text)


app.command("cut-over")(cut_over.user)


@app.command()
def exclude(
    user: Annotated[str, typer.Argument(help="The user's key.", metavar="USER")],
    reason: Annotated[str, typer.Option("--reason", help="Why; support will read it.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """
    Leave a user in legacy, and with him all who merge with him.

    Example: migrator user exclude 4711 --reason "open dispute" --yes
    """
    from migrator import runtime
    from migrator.flows.helping import review

    with runtime.connect() as rt:
        confirm(f"Leave user {user} in legacy?", yes=yes)
        gone = review.exclude(rt.parts, user, reason)
    along = [key for key in gone if key != user]
    show.result(
        {"user": user, "status": "excluded", "reason": reason, "along": along},
        as_json=json,
        text=lambda: show.say(
            f"user {user} stays in legacy: {reason}",
            *([f"with whom this one merges, and who stays, too: {', '.join(along)}"] if along else []),
        ),
    )


def _account(one: dict[str, Any]) -> str:
    if one["group"] is None:
        return "own"
    others = ", ".join(key for key in one["group"]["users"] if key != one["user"])
    survivor = one["group"]["survivor"]
    return f"that of user {survivor}" if survivor != one["user"] else f"own, with {others}"


def _served(found: dict[str, Any]) -> str:
    since = f" since {show.moment(found['since'])}" if found["since"] else ""
    return f"read-only{since}, on the way" if found["home"] == "moving" else f"served by {found['home']}{since}"


def _known_as(record: dict[str, Any]) -> str:
    how = {"own": "", "excluded": ""}.get(record["by"], f" (by {record['by']})")
    return f"{record['source']} {record['key']}{' (doubtful)' if record['by'] == 'doubtful' else how}"


def _print(found: dict[str, Any]) -> None:
    wave = f", wave {found['wave']['name']} ({found['wave']['status']})" if found["wave"] else ""
    show.say(
        f"user {found['user']} ({found['email'] or 'no e-mail'}): {found['status']}, {_served(found)}{wave}",
        *([f"reason: {found['reason']}"] if found["reason"] else []),
        *([f"asked for: {found['request']['status']}, {found['request']['reason']}"] if found["request"] else []),
        *(
            [f"the same person as user {found['same_as']}: migrator user show {found['same_as']}"]
            if found["same_as"]
            else []
        ),
        *([f"known as: {', '.join(map(_known_as, found['records']))}"] if found["records"] else []),
        *([f"group: {found['group']['said']}"] if found["group"] else []),
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
