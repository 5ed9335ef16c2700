"""Programs of the campaign, run so that one of them that stands still says where, and leaves nobody behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """What a program printed, and how it ended; None: it stood still, and the last words are the stacks of its threads."""

    code: int | None
    out: str
    err: str

    @property
    def said(self) -> list[dict[str, Any]]:
        """The lines of JSON that tell what came of a part."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith('{"test"')]


def run(words: Sequence[str], environment: Mapping[str, str], seconds: float | None) -> Ended:
    """
    Run a program of Python for so long at most.

    Into files, not pipes: a pipe that a grandchild holds is waited for even when the program is dead.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        program = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *words], cwd=REPOSITORY, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
        code: int | None = None
        try:
            code = program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGABRT)
        finally:
            if code is None:
                _end(program)
        out.seek(0), err.seek(0)
        return Ended(code, out.read(), err.read())


def _end(program: subprocess.Popen[bytes]) -> None:
    """With whatever it started."""
    family = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(program.pid).children(recursive=True)
    with suppress(subprocess.TimeoutExpired):
        program.wait(10)
    program.kill()
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    program.wait()
