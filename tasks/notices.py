"""Send what is due in the outbox."""

from __future__ import annotations

from tasks.app import app
from tasks.project import runtime

AT_ONCE = 200


@app.task(name="tasks.notices.deliver")
def deliver() -> None:
    """Nothing in, nothing out."""
    from migrator.flows.telling import notices

    project = runtime()
    notices.deliver(project.parts, project.sender(), AT_ONCE)
