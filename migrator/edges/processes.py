"""Child processes that we start, remember by id and start time, and end; a number alone may belong to somebody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from migrator.edges.tokens import inherited
from migrator.errors import Transient

FAREWELL = 2.0  # seconds for orphans to end: one of them takes back what the workers shared in memory
LOOK_EVERY = 0.05  # seconds between two looks at who has ended


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
            return abs(process.create_time() - self.started) < 0.1 and not _zombie(process)
        except psutil.NoSuchProcess:
            return False


def memory() -> int:
    """How many megabytes this process holds now."""
    return int(psutil.Process().memory_info().rss // 1_000_000)


def remember(process: subprocess.Popen[bytes], name: str, note: str = "") -> Known:
    """What to keep of a child."""
    return Known(name, process.pid, psutil.Process(process.pid).create_time(), note)


def start(command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """
    Start a child in a session of its own (a Ctrl-C in the terminal is for us to pass on), output into *log*.

    Raises:
        Transient: the log cannot be opened; nothing was started.
    """
    with _opened(log) as output:
        return subprocess.Popen(
            list(command),
            env=inherited(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(known: Known, patience: float = 30.0) -> None:
    """SIGTERM, wait, SIGKILL; with all its children, also one that it was starting when it was told."""
    if not known.alive:
        return
    process = psutil.Process(known.pid)
    family = [process, *process.children(recursive=True)]
    _quietly(process.terminate)
    still_there([process], patience)
    _quietly(process.kill)  # before the others: from now on it starts nobody
    _quietly(lambda: os.killpg(known.pid, signal.SIGTERM))
    for straggler in still_there([*family, *_group(known.pid)], FAREWELL):
        _quietly(straggler.kill)
    still_there([*family, *_group(known.pid)], 5)


def still_there(processes: Sequence[psutil.Process], patience: float) -> list[psutil.Process]:
    """
    Wait until they have ended; those that have not after so many seconds.

    A zombie has ended: in a container whose first process collects nobody, orphans stay zombies for ever.
    """
    until = time.monotonic() + patience
    while True:
        left = [one for one in processes if one.is_running() and not _zombie(one)]
        if not left or time.monotonic() >= until:
            return left
        time.sleep(LOOK_EVERY)


def _group(leader: int) -> list[psutil.Process]:
    """Who is in the group of a child of ours; it outlives its leader."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def _zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def save(path: Path, known: Sequence[Known]) -> None:
    """
    Write down what runs, for the next of us.

    Raises:
        Transient: it cannot be written; what was written before still stands there.
    """
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps([asdict(one) for one in known]), encoding="utf-8")
        fresh.replace(path)
    except OSError as refused:
        raise Transient(f"what runs cannot be written down in {path}: {refused.strerror}") from None


def load(path: Path) -> list[Known]:
    """What the last of us wrote down; nothing where the file is missing or torn."""
    try:
        return [Known(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return log.open("ab")
    except OSError as refused:
        said = f"the log {log} cannot be written: {refused.strerror}"
        raise Transient(f"{said}; who writes to it is started when it can") from None


def _quietly(act: object) -> None:
    try:
        act()  # type: ignore[operator]
    except (psutil.NoSuchProcess, ProcessLookupError):
        pass
