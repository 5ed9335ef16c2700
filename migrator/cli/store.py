"""The control database, and the ledger in the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json, Yes, confirm

if TYPE_CHECKING:
    from migrator.flows.snapshots.purging import Purged

app = typer.Typer(help="The control database and the ledger in the target.", no_args_is_help=True)
read_only = typer.Typer(help="Let nobody change anything for a while, and no batch begin.", no_args_is_help=True)
app.add_typer(read_only, name="read-only")


@app.command()
def upgrade(dry_run: DryRun = False, json: Json = False) -> None:
    """
    Bring the control database to the newest revision, and make the ledger in the target.

    Where the target account may not create tables, the SQL is printed for whoever may.

    Example: migrator store upgrade
    """
    from migrator import runtime
    from migrator.errors import DatabaseRefused, Refused

    with runtime.connect() as rt:
        control, target = rt.control_as_is, rt.target
        before, head = control.revision(), control.head()
        prepared = target.prepared()
        if not dry_run:
            control.upgrade(rt.keyring.sign_if_there())
            rt.keyring.make()
            rt.keyring.note(rt.actor, runtime.utc_now())
            if not prepared:
                try:
                    target.prepare()
                except DatabaseRefused as refused:
                    raise Refused(
                        f"{refused}\nthe target account may not create tables; "
                        f"have this run by somebody who may, then try again:\n{target.prepare_sql()}"
                    ) from refused
        written = _writable(rt, dry_run=dry_run)
        sql = target.prepare_sql() if dry_run and not prepared else None
    data: dict[str, Any] = {"control": {"before": before, "now": before if dry_run else head, "newest": head}}
    data["target"] = {"ledger": "there" if prepared else "missing" if dry_run else "made", "sql": sql}
    data["legacy"] = written

    def text() -> None:
        verb = "would go" if dry_run else "went"
        same = before == head
        show.say(
            f"control database: at revision {head}"
            if same
            else f"control database: {verb} from {before or 'nothing'} to {head}",
            f"target: ledger and fence are {data['target']['ledger']}",
            *([sql] if sql else []),
            *(f"legacy database {one['database']}: migrator_carried is {one['table']}" for one in written),
            *(one["sql"] for one in written if one["sql"]),
        )

    show.result(data, as_json=json, text=text)


def _writable(rt: Any, *, dry_run: bool) -> list[dict[str, Any]]:
    """Make our one table in the legacy databases that changes may be carried back to; what came of it in each."""
    from migrator.errors import DatabaseRefused, Refused

    found = []
    for name, database in rt.writable.items():
        there = database.prepared()
        if not there and not dry_run:
            try:
                database.prepare()
            except DatabaseRefused as refused:
                raise Refused(
                    f"{refused}\nthe account of write_url may not create tables in the legacy database {name}; "
                    f"have this run by somebody who may, then try again:\n{database.prepare_sql()}"
                ) from refused
        sql = database.prepare_sql() if dry_run and not there else None
        found.append({"database": name, "table": "there" if there else "missing" if dry_run else "made", "sql": sql})
    return found


@app.command()
def purge(dry_run: DryRun = False, yes: Yes = False, json: Json = False) -> None:
    """
    Remove what is removed once a day: snapshots whose time is over, and rows of the control database that had their day.

    The latter ([housekeeping] keep): what notices said of people, requests and approvals that are over, workers that
    are gone. The journal stays whole, and so does what says where a user is.

    Example: migrator store purge --dry-run
    """
    from migrator import runtime
    from migrator.errors import Refused
    from migrator.flows.snapshots import purging

    with runtime.connect() as rt:
        done: purging.Purged | None = purging.look(rt.parts)
        if not dry_run and done and done.anything:
            confirm("Remove what had its day for good?", yes=yes)
            done = purging.purge(rt.parts, rt.actor)
    if done is None:
        raise Refused("a worker is at it now; it takes a moment")
    show.result(done, as_json=json, text=lambda: _print_purged(done, dry_run=dry_run))


def _print_purged(done: Purged, *, dry_run: bool) -> None:
    verb = "would be removed" if dry_run else "were removed"
    show.say(f"{done.snapshots.snapshots} snapshots and {done.snapshots.orphans} of nobody {verb}")
    show.say(*(f"{count} {name} {verb}" for name, count in done.rows.items() if count and name != "notices"))
    if done.rows["notices"]:
        show.say(f"what {done.rows['notices']} notices said {verb}; that they were sent stays")


@read_only.command()
def on(
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever is refused will read it.")],
    json: Json = False,
) -> None:
    """
    Refuse every command that changes something; batches that run end, and no other begins until it is off.

    Operators, their tokens and approvals can still be seen to.

    Example: migrator store read-only on --reason "the target is being restored"
    """
    from migrator import runtime
    from migrator.flows.people import read_only as switch

    with runtime.connect() as rt:
        found = switch.turn_on(rt.office, reason)
    show.result(found, as_json=json, text=lambda: show.say(f"nothing is changed from now on: {reason}"))


@read_only.command()
def off(json: Json = False) -> None:
    """
    Let changes be made again; waves that waited go on by themselves.

    Example: migrator store read-only off
    """
    from migrator import runtime
    from migrator.flows.people import read_only as switch

    with runtime.connect() as rt:
        found = switch.turn_off(rt.office)
    show.result(found, as_json=json, text=lambda: show.say("changes are made again; running waves go on by themselves"))


@app.command()
def grants(
    role: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="legacy, writable (what carries changes back), target, control or replica; default: all.",
            metavar="ROLE",
        ),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", help="Its name; MySQL: name@host. Default: that of the URL.", metavar="NAME"),
    ] = None,
    json: Json = False,
) -> None:
    """
    Print the SQL that gives each account what it needs for these mappings, and nothing else. Runs none of it.

    Example: migrator store grants --for legacy --account migrator_reader
    """
    from migrator import accounts, runtime
    from migrator.errors import Refused, WrongInput

    if role is not None and role not in accounts.ROLES:
        raise WrongInput(f"there is no account for {role}; there is one for {', '.join(accounts.ROLES)}")
    if account is not None and role is None:
        raise WrongInput("one name is not good for several accounts: say --for as well")
    with runtime.connect() as rt:
        found = accounts.needed(rt, (role,) if role else accounts.ROLES, account)
    if role and not found:
        raise Refused(f"no account {role} is wanted here: {accounts.UNSET[role]}")

    def text() -> None:
        for one in found:
            show.say(f"-- {one.role}: account {one.account} in {one.dialect} database {one.database}")
            show.say(*([f"-- {one.note}"] if one.note else []), *one.statements, "")

    show.result({"accounts": found}, as_json=json, text=text)
