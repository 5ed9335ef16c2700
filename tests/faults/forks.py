"""
Children that may be killed. Their parent has imported Polars and never run a query: after the first one a fork hangs.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

FAILED = 70  # the exit code of a child that met what it did not expect
LONGEST = 300  # seconds; a child that stands still says where, and ends with 1


@dataclass
class Child:
    """One forked process."""

    pid: int
    ended: int | None = None  # exit code, or minus the signal

    def wait(self) -> int | None:
        """Wait until it has ended, or has stopped itself; minus the signal, the exit code, or None for stopped."""
        if self.ended is not None:
            return self.ended
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return None
        self.ended = os.waitstatus_to_exitcode(status)
        return self.ended

    def go_on(self) -> None:
        """Wake it."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it wherever it is."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def forked(work: Callable[[], None]) -> Child:
    """Do *work* in a child; exit code 0 when it came to its end."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(pid)
    code = FAILED
    faulthandler.dump_traceback_later(LONGEST, exit=True)
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 (nothing of the parent's may run in the child)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def in_child(work: Callable[[], None]) -> None:
    """Do *work* in a child that must come to its end."""
    code = forked(work).wait()
    assert code == 0, f"a child ended with {code}"
