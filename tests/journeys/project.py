"""A project folder and its command line, the way a person has them: processes, files, exit codes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from migrator import cli

REPOSITORY = Path(__file__).resolve().parents[2]


def clean_environment(**more: str) -> dict[str, str]:
    """Our environment without anybody's settings, colours or widths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
    return kept | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120", "PYTHONUNBUFFERED": "1"} | more


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    command: str
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that a person saw."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """The answer of a command that was asked with `--json`."""
        try:
            return json.loads(self.out)
        except ValueError as exc:
            raise AssertionError(f"`{self.command}` did not print JSON:\n{self.text}") from exc


@dataclass(frozen=True)
class Project:
    """A folder with a `migrator.toml`."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, settings: str) -> Project:
        """Write the settings file; nothing else is needed."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "migrator.toml").write_text(settings, encoding="utf-8")
        return cls(folder)

    def ask(self, *arguments: str, timeout: float = 900, **environment: str) -> Ran:
        """Run one command and take whatever comes."""
        done = subprocess.run(
            self._command(arguments), cwd=self.folder, env=clean_environment(**environment), timeout=timeout,
            capture_output=True, text=True, encoding="utf-8", check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ran(f"migrator {' '.join(arguments)}", done.returncode, done.stdout, done.stderr)

    def ask_here(self, *arguments: str) -> Ran:
        """The same in this process, where a test is about what is said: most of a short command is its start."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as there, redirect_stdout(out), redirect_stderr(err):
            clean = clean_environment()
            for name in os.environ.keys() - clean.keys():
                there.delenv(name)
            for name in clean:
                there.setenv(name, clean[name])
            there.chdir(self.folder)
            there.setattr(sys, "argv", ["migrator", *arguments])
            with pytest.raises(SystemExit) as end:
                cli.main()
        return Ran(f"migrator {' '.join(arguments)}", int(end.value.code or 0), out.getvalue(), err.getvalue())

    def do(self, *arguments: str, code: int = 0, timeout: float = 900) -> Ran:
        """Run one command that must end with *code*."""
        return self._ended(self.ask(*arguments, timeout=timeout), code)

    def do_here(self, *arguments: str, code: int = 0) -> Ran:
        """The same in this process."""
        return self._ended(self.ask_here(*arguments), code)

    def _ended(self, ran: Ran, code: int) -> Ran:
        assert ran.code == code, f"`{ran.command}` ended with {ran.code}, not {code}:\n{ran.text[-6000:]}"
        assert "Traceback" not in ran.text, f"`{ran.command}` showed a traceback:\n{ran.text[-6000:]}"
        return ran

    def status(self) -> dict[str, Any]:
        """`migrator status --json`."""
        return dict(self.do("status", "--json").json)

    def users(self) -> dict[str, int]:
        """How many users have which status; statuses nobody has are left out."""
        return {status: count for status, count in self.status()["users"].items() if count}

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on while the test does something; whatever it started is gone afterwards."""
        log = (self.folder / "run.log").open("w+", encoding="utf-8")
        with log, subprocess.Popen(
            self._command(arguments), cwd=self.folder, env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                try:
                    if process.poll() is None:
                        process.send_signal(signal.SIGINT)
                        with_patience(lambda: process.poll() is not None, 150, "the end of the run", ask_again=0.2)
                finally:
                    process.kill()  # or it would be waited for
                    for left in self.processes():
                        left.kill()

    def log(self) -> str:
        """What the command of `running` has said so far."""
        return (self.folder / "run.log").read_text(encoding="utf-8")

    def processes(self, *names: str) -> list[psutil.Process]:
        """Live processes of this project whose command line holds one of *names* (all of them without names)."""
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
                if process.pid != os.getpid() and self._is_ours(process, line):
                    found.append((process, line))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return [process for process, line in found if not names or any(name in line for name in names)]

    def _is_ours(self, process: psutil.Process, line: str) -> bool:
        inside = str(self.folder)
        if inside in line or process.cwd().startswith(inside):
            return True
        if any(inside in value for name, value in process.environ().items() if name != "PWD"):
            return True
        return any(file.path.startswith(inside) for file in process.open_files())  # Redis keeps only its log here

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "migrator", *arguments]


def with_patience(ready: Callable[[], bool], seconds: float, what: str, ask_again: float = 0.1) -> None:
    """Wait until *ready*; give up with a sentence."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(ask_again)


def fingerprints(*paths: Path) -> dict[str, str]:
    """A hash of each file, and of each file in each folder: equal means untouched."""
    files = [
        file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*"))) if file.is_file()
    ]
    return {str(file): hashlib.blake2b(file.read_bytes()).hexdigest() for file in files}
