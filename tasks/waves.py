"""Verify a wave for its gate."""

from __future__ import annotations

from tasks.app import app
from tasks.project import owner, runtime, speaker


@app.task(name="tasks.waves.check", time_limit=86_400)  # a whole wave; its lease, not its length, tells if it lives
def check(wave_id: int) -> None:
    """One integer in, nothing out; the result is in the control database."""
    from migrator.flows.checking import verify

    verify.check_wave(runtime().parts, wave_id, owner())
    speaker().say()
