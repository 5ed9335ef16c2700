"""Child processes that we start, remember by id and start time, and end; a number alone may belong to somebody else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Known:
    """A process by id and start time, with a note where it can be reached."""

    name: str
    pid: int
    started: float
    note: str = ""

    @property
    def alive(self) -> bool:
        """Whether it still is that very process, and no zombie."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 0.1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def memory() -> int:
    """How many megabytes this process holds now."""
    return int(psutil.Process().memory_info().rss // 1_000_000)


def remember(process: subprocess.Popen[bytes], name: str, note: str = "") -> Known:
    """What to keep of a child."""
    return Known(name, process.pid, psutil.Process(process.pid).create_time(), note)


def start(command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own (a Ctrl-C in the terminal is for us to pass on), output into *log*."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(known: Known, patience: float = 30.0) -> None:
    """SIGTERM, wait, SIGKILL; with all its children."""
    if not known.alive:
        return
    process = psutil.Process(known.pid)
    family = [process, *process.children(recursive=True)]
    _quietly(process.terminate)
    _, left = psutil.wait_procs([process], timeout=patience)
    left += [child for child in family[1:] if child.is_running()]
    for straggler in left:
        _quietly(straggler.kill)
    psutil.wait_procs(left, timeout=5)


def save(path: Path, known: Sequence[Known]) -> None:
    """Write down what runs, for the next of us."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps([asdict(one) for one in known]), encoding="utf-8")
    fresh.replace(path)


def load(path: Path) -> list[Known]:
    """What the last of us wrote down; nothing where the file is missing or torn."""
    try:
        return [Known(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _quietly(act: object) -> None:
    try:
        act()  # type: ignore[operator]
    except psutil.NoSuchProcess:
        pass
