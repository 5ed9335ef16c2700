"""The control database, and the ledger in the target."""

from __future__ import annotations

from typing import Any

import typer

from migrator.cli import show
from migrator.cli.options import DryRun, Json

app = typer.Typer(help="The control database and the ledger in the target.", no_args_is_help=True)


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
            control.upgrade()
            rt.make_key()
            if not prepared:
                try:
                    target.prepare()
                except DatabaseRefused as refused:
                    raise Refused(
                        f"{refused}\nthe target account may not create tables; "
                        f"have this run by somebody who may, then try again:\n{target.prepare_sql()}"
                    ) from refused
        sql = target.prepare_sql() if dry_run and not prepared else None
    data: dict[str, Any] = {"control": {"before": before, "now": before if dry_run else head, "newest": head}}
    data["target"] = {"ledger": "there" if prepared else "missing" if dry_run else "made", "sql": sql}

    def text() -> None:
        verb = "would go" if dry_run else "went"
        same = before == head
        show.say(
            f"control database: at revision {head}"
            if same
            else f"control database: {verb} from {before or 'nothing'} to {head}",
            f"target: ledger and fence are {data['target']['ledger']}",
            *([sql] if sql else []),
        )

    show.result(data, as_json=json, text=text)
