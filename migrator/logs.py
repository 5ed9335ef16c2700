"""What a log line may say of an error: its class and where it happened; never its message, which may hold user data."""

from __future__ import annotations

import traceback
from pathlib import Path

DEPTH = 4  # frames: enough to find the place


def where(error: BaseException) -> str:
    """`KeyError at compile.py:12 apply < batches.py:98 _attempt`: newest frame first."""
    frames = traceback.extract_tb(error.__traceback__)[-DEPTH:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    return f"{type(error).__name__} at {' < '.join(places)}"
