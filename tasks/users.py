"""Cut over users who are asked for."""

from __future__ import annotations

from tasks.app import app
from tasks.project import owner, runtime, speaker


@app.task(name="tasks.users.cut_over")
def cut_over() -> None:
    """Nothing in, nothing out: who they are stands in the control database."""
    from migrator.flows.homes import on_demand

    on_demand.cut_over_asked(runtime().parts, owner())
    speaker().say()
