"""Review cases: what a mapping could not decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

app = typer.Typer(help="Decide what a mapping could not decide; send held users on.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(help="A case's number, a cause, MAPPING.FIELD, or `all`.", metavar="CASE")]


@app.command("list")
def list_(
    user: Annotated[str | None, typer.Option("--user", help="Only cases of this user.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="open, resolved or replayed.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show values of sensitive fields, too.")] = False,
    json: Json = False,
) -> None:
    """
    List open and resolved cases, grouped by cause. Values of sensitive fields are masked; `review show` shows them.

    Example: migrator review list
    """
    from migrator import runtime
    from migrator.flows.helping import review

    with runtime.connect() as rt:
        found = review.listed(rt.parts, user=user, status=status, reveal=reveal)
    show.result(found, as_json=json, text=lambda: _print_causes(found["causes"]))


@app.command("show")
def show_(case: Ref, json: Json = False) -> None:
    """
    Show one case, or all cases of a cause.

    Example: migrator review show 12
    """
    from migrator import runtime
    from migrator.flows.helping import review

    with runtime.connect() as rt:
        found = review.show(rt.parts, case)

    def text() -> None:
        for one in found:
            item = f", item {one['item_key']}" if one["item_key"] else ""
            show.say(
                f"case {one['id']} ({one['cause']}) is {one['status']}",
                f"  {one['mapping']}.{one['field']} of source row {one['key']}{item}",
                f"  rule {one['rule']}, value {one['value']!r}" + (f": {one['note']}" if one["note"] else ""),
                *([f"  at {one['file']}:{one['line']}:{one['column']}"] if one["file"] else []),
                f"  users {', '.join(one['users'][:10])}" + (" …" if len(one["users"]) > 10 else ""),
                *([f"  resolved by {one['resolved_by']}: {one['action']}"] if one["action"] else []),
            )

    show.result(found, as_json=json, text=text)


@app.command()
def resolve(
    case: Ref,
    use: Annotated[str | None, typer.Option("--use", help="The value the field gets.", metavar="VALUE")] = None,
    accept_null: Annotated[bool, typer.Option("--accept-null", help="The field is null.")] = False,
    skip_row: Annotated[bool, typer.Option("--skip-row", help="The row stays behind, the user moves.")] = False,
    keep_row: Annotated[bool, typer.Option("--keep-row", help="The row moves, whatever a cleaning rule says.")] = False,
    exclude_user: Annotated[bool, typer.Option("--exclude-user", help="The user stays in legacy.")] = False,
    fixed_in_source: Annotated[bool, typer.Option("--fixed-in-source", help="Legacy was corrected.")] = False,
    fixed_in_mapping: Annotated[bool, typer.Option("--fixed-in-mapping", help="The mapping was corrected.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Users who look like one are one person.")] = False,
    apart: Annotated[bool, typer.Option("--apart", help="They are several people; each moves alone.")] = False,
    same_user: Annotated[bool, typer.Option("--same-user", help="The record is that user's.")] = False,
    another_user: Annotated[bool, typer.Option("--another-user", help="The record is somebody else's.")] = False,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Whose value or record it is, or who is excluded, where several share a case."),
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """
    Decide a case, or all cases of a cause; later runs apply the decision.

    A case of rule merge_duplicates names users who look like one person and differ in something: --merge makes one
    account of them, --apart lets each move alone.

    Example: migrator review resolve 9f2c11ab --use closed

    Example: migrator review resolve 12 --merge
    """
    from migrator import runtime
    from migrator.errors import WrongInput
    from migrator.flows.helping import review

    chosen = {
        "use": use is not None,
        "accept-null": accept_null,
        "skip-row": skip_row,
        "keep-row": keep_row,
        "exclude-user": exclude_user,
        "fixed-in-source": fixed_in_source,
        "fixed-in-mapping": fixed_in_mapping,
        "merge": merge,
        "apart": apart,
        "same-user": same_user,
        "another-user": another_user,
    }
    actions = [name for name, wanted in chosen.items() if wanted]
    if len(actions) != 1:
        raise WrongInput(f"say one of {', '.join('--' + name for name in chosen)}")
    with runtime.connect() as rt:
        done = review.resolve(rt.parts, case, actions[0], use, only=user or (), dry_run=dry_run)

    def text() -> None:
        verb = "would resolve" if dry_run else "resolved"
        show.say(f"{verb} {len(done['cases'])} cases of {len(done['users'])} users; next: migrator review replay")

    show.result(done, as_json=json, text=text)


@app.command()
def replay(dry_run: DryRun = False, json: Json = False) -> None:
    """
    Plan the users again whose cases are all resolved.

    Example: migrator review replay
    """
    from migrator import runtime
    from migrator.flows.helping import review

    with runtime.connect() as rt:
        done = review.replay(rt.parts, dry_run=dry_run)

    def text() -> None:
        verb = "would be" if dry_run else "are"
        waiting = f"; {done['waiting']} more wait for another case" if done["waiting"] else ""
        after = "; next: migrator run" if done["users"] and not dry_run else ""
        show.say(
            f"{done['users']} users {verb} planned again in {', '.join(done['waves']) or 'no wave'}{waiting}{after}"
        )

    show.result(done, as_json=json, text=text)


def _what(cause: dict[str, Any]) -> str:
    """The value and what is wrong with it; a doubt about people has no value."""
    if cause["value"] is None and cause["note"]:
        return str(cause["note"])
    return f"value {cause['value']!r}" + (f": {cause['note']}" if cause["note"] else "")


def _print_causes(causes: list[dict[str, Any]]) -> None:
    from migrator.flows.phrases import said

    if not causes:
        show.say("no case is open or waits to be replayed")
        return
    for cause in causes:
        place = f"{cause['file']}:{cause['line']}" if cause["file"] else "-"
        users = f"{cause['users']} user" + ("s" if cause["users"] != 1 else "")
        if cause["nobody"]:
            users = said(cause["users"], cause["nobody"])
        state = "open" if cause["open"] else "resolved; migrator review replay"
        show.say(
            f"{cause['cause']}  {cause['mapping']}.{cause['field']}  {cause['rule']}  {users}  {state}",
            f"  {_what(cause)}",
            f"  rule  {place}",
            f"  e.g.  users {', '.join(cause['examples'])}",
        )
    ways = "--use VALUE (or --accept-null, --skip-row, --exclude-user, …)"
    if all(cause["rule"] == "merge_duplicates" and cause["users"] > 1 for cause in causes):
        ways = "--merge (or --apart, --exclude-user --user KEY, …)"
    if all(cause["rule"] == "identity" for cause in causes):
        ways = "--same-user (or --another-user, --exclude-user --user KEY)"
    show.say("", f"next: migrator review resolve CAUSE {ways}")
