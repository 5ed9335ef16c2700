"""Move one batch."""

from __future__ import annotations

from tasks.app import app
from tasks.project import owner, runtime, speaker


@app.task(name="tasks.batches.move")
def move(batch_id: int, dispatch_no: int) -> None:
    """Two integers in, nothing out; a message too many does nothing."""
    from migrator.flows.moving import batches

    batches.move(runtime().parts, batch_id, dispatch_no, owner())
    speaker().say()  # the next batch of a ramp waits for this one


@app.task(name="tasks.batches.move_now")
def move_now(batch_id: int, dispatch_no: int) -> None:
    """The same for a user who is asked for, from a queue of its own: batches of waves do not stand before it."""
    move(batch_id, dispatch_no)
