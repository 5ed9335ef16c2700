"""What is done once a day."""

from __future__ import annotations

from tasks.app import app
from tasks.project import owner, runtime


@app.task(name="tasks.chores.purge", time_limit=86_400)  # thousands of snapshots may expire on one day
def purge() -> None:
    """Nothing in, nothing out: what is to go stands in the control database."""
    from migrator.flows.snapshots import purging

    purging.purge(runtime().parts, owner())
