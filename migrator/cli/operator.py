"""Who may do what."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import Json, Yes, confirm

app = typer.Typer(help="Who may do what, and how each proves who he is.", no_args_is_help=True)
ROLES = "viewer, support, engineer, ops, approver, privacy"
Name = Annotated[str, typer.Argument(help="The operator's name.", metavar="NAME")]


@app.command()
def add(
    name: Name,
    role: Annotated[
        list[str] | None, typer.Option("--role", help=f"One of {ROLES}; more than once for several.")
    ] = None,
    json: Json = False,
) -> None:
    """
    Make somebody an operator, or give an operator other roles.

    As soon as there is one, rights apply: every command asks who is there (MIGRATOR_TOKEN, or MIGRATOR_TOKEN_FILE: a file
    of mode 0600) and whether one of his roles may do this. The first one is made by whoever has the project's key; he
    needs the role approver and adds the others. Workers are services: they need no token, and only move what is in a wave
    that an operator has started, of a plan that an operator has approved.

    Example: migrator operator add ann --role approver --role ops
    """
    from migrator import runtime
    from migrator.errors import WrongInput
    from migrator.flows.people import operators
    from migrator.rollout import rights

    with runtime.connect() as rt:
        try:
            roles = rights.read_roles(role or [])
        except ValueError as wrong:
            raise WrongInput(str(wrong)) from None
        made = operators.add(rt.office, name, roles)

    def text() -> None:
        show.say(f"{name} is an operator: {', '.join(made['roles'])}")
        if made["token"] != "good":
            show.say(f"next: migrator operator token {name}")

    show.result(made, as_json=json, text=text)


@app.command("list")
def list_(json: Json = False) -> None:
    """
    List operators with their roles, and until when their tokens are good.

    Example: migrator operator list
    """
    from migrator import runtime
    from migrator.flows.people import operators

    with runtime.connect() as rt:
        found = operators.listed(rt.office)

    def text() -> None:
        if not found:
            show.say("there is no operator: whoever can run a command may do everything")
            return
        show.table(
            ("operator", "roles", "token", "good until", "added by"),
            [
                (
                    one["operator"],
                    ", ".join(one["roles"]),
                    one["token"],
                    show.moment(one["token_until"]),
                    one["added_by"],
                )
                for one in found
            ],
        )

    show.result(found, as_json=json, text=text)


@app.command()
def remove(name: Name, yes: Yes = False, json: Json = False) -> None:
    """
    Take all rights and the token of an operator, at once. What he has allowed and was not done yet is void.

    Example: migrator operator remove bob --yes
    """
    from migrator import runtime
    from migrator.flows.people import operators

    with runtime.connect() as rt:
        confirm(f"Shall {name} be an operator no more?", yes=yes)
        gone = operators.remove(rt.office, name)
    show.result(gone, as_json=json, text=lambda: show.say(f"{name} is no operator any more; his token is void"))


@app.command()
def token(
    name: Annotated[str | None, typer.Argument(help="Whose; default: one's own.", metavar="NAME")] = None,
    lasts: Annotated[
        str | None, typer.Option("--lasts", help="Such as 8h, 30d; default: [security] token_lasts.")
    ] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the token, and give no other.")] = False,
    json: Json = False,
) -> None:
    """
    Give an operator a new token, and print it this one time; the one before is void from now on.

    Everybody may change his own, and does so first when he got it from somebody else; for others it takes an approver.
    Where no approver has a token that is good, whoever has the project's key may do it, and the journal says so.

    Example: migrator operator token bob --lasts 30d
    """
    from migrator import runtime
    from migrator.errors import WrongInput
    from migrator.flows.people import operators

    with runtime.connect() as rt:
        if revoke:
            if name is None or lasts is not None:
                raise WrongInput("--revoke takes the name of an operator, and no --lasts")
            shown: dict[str, Any] = operators.revoke(rt.office, name)
            made = None
        else:
            made, shown = operators.renew(rt.office, name, _duration(lasts) or rt.settings.security.token_lasts)

    def text() -> None:
        if made is None:
            show.say(f"the token of {name} is void")
            return
        show.say(
            made,
            f"it is good until {show.moment(shown['token_until'])} for {shown['operator']}, and shown only now; "
            "export it as MIGRATOR_TOKEN, or keep it in a file of mode 0600 and name that in MIGRATOR_TOKEN_FILE",
        )

    show.result(shown | ({"new_token": made} if made else {}), as_json=json, text=text)


def _duration(said: str | None) -> timedelta | None:
    from migrator import runtime
    from migrator.errors import WrongInput

    try:
        return runtime.duration(said) if said is not None else None
    except ValueError as wrong:
        raise WrongInput(f"--lasts: {wrong}") from None
