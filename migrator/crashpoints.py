"""
Named places where a process may be made to die, so that a campaign of faults can show that nothing is lost there.

Put `crash_point("batch-claimed")` behind each effect (a commit, a file, a statement of the target transaction), named for
what has just happened. Nothing else is to be done: the campaign in tests/faults finds the names in the source, reaches
them in its rounds, and its test fails for one that no round reaches; a flow that no round goes through yet gets a step in
`tests/faults/rounds.py`.

A point does nothing unless the environment says `MIGRATOR_CRASH=NAME:COUNT:HOW` (the COUNT-th time it is reached), where
HOW is `kill` (SIGKILL to ourselves), `raise` (an error that no flow expects), `stop` (SIGSTOP: frozen until somebody
continues us) or `pause SECONDS`. It is heeded wherever it is set, for a drill in staging as well; it can do no more than
whoever sets a process's environment can do to that process anyway.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "MIGRATOR_CRASH"
_reached: Callable[[str], None] | None = None


class Crashed(Exception):
    """What `raise` raises; no flow knows it."""


def crash_point(name: str) -> None:
    """Die here, if somebody asked for it."""
    if _reached is not None:
        _reached(name)


def watch(reached: Callable[[str], None] | None) -> None:
    """Have every point that is reached told to *reached*; None: to nobody."""
    global _reached
    _reached = reached


def armed(said: str) -> Callable[[str], None]:
    """
    Understand NAME:COUNT:HOW.

    Raises:
        ValueError: it cannot be understood.
    """
    parts = said.split(":")
    if len(parts) != 3 or not parts[1].isdecimal() or int(parts[1]) < 1:
        raise ValueError(f"{VARIABLE} is NAME:COUNT:HOW, as in batch-claimed:1:kill, not {said!r}")
    wanted, left, happen = parts[0], int(parts[1]), _how(parts[2])

    def reached(name: str) -> None:
        nonlocal left
        if name != wanted:
            return
        left -= 1
        if left == 0:
            happen()

    return reached


def _how(said: str) -> Callable[[], None]:
    if said in _WAYS:
        return _WAYS[said]
    word, _, seconds = said.partition(" ")
    if word == "pause" and seconds.replace(".", "", 1).isdecimal():
        return lambda: time.sleep(float(seconds))
    raise ValueError(f"{VARIABLE} ends in kill, raise, stop or `pause SECONDS`, not {said!r}")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise Crashed


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


_WAYS: Final[dict[str, Callable[[], None]]] = {"kill": _kill, "raise": _raise, "stop": _stop}

if VARIABLE in os.environ:
    watch(armed(os.environ[VARIABLE]))
