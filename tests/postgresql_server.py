"""A PostgreSQL server of our own for one test session: installed or from a wheel, on a Unix socket, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg

START_SECONDS = 30


class NoServer(Exception):
    """There are no binaries here that can be run."""


class PostgresqlServer:
    """Start on entering, stop on leaving; `url()` makes a new empty database. *durable*: as in real life, with fsync."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._account = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path may have 107 characters
        self._numbers = count(1)
        if self._account:
            shutil.chown(self._folder, self._account)

    def __enter__(self) -> Self:
        try:
            self._binaries = self._usable_binaries()
            self._initialise()
            self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The first process, whose children are the others."""
        return self._process.pid

    def url(self) -> str:
        """Make a new database and give its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(f"create database {name} template template0")
        return f"postgresql://postgres@/{name}?host={quote(str(self._folder))}"

    def _initialise(self) -> None:
        words = ["initdb", "-D", str(self._folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        words += ["--locale=C", "--no-sync"]
        done = subprocess.run(
            self._command(*words), check=False, user=self._account, capture_output=True, text=True, cwd=self._folder
        )
        if done.returncode:
            raise NoServer(f"initdb failed: {done.stderr.strip()}")

    def _start(self) -> None:
        settings = ["listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=60"]
        settings += [] if self._durable else ["fsync=off"]
        words = ["postgres", "-D", str(self._folder / "data"), *(word for each in settings for word in ("-c", each))]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._command(*words), user=self._account, stdout=log, stderr=log, cwd=self._folder
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise NoServer(f"postgres did not start: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._conninfo()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _conninfo(self) -> str:
        return f"host={self._folder} user=postgres dbname=postgres"

    def _command(self, program: str, *words: str) -> list[str]:
        return [str(self._binaries / program), *words]

    def _usable_binaries(self) -> Path:
        for binaries in _candidates():
            if self._runs(binaries):
                return binaries
            # a wheel in a home that the unprivileged account may not enter
            copy = self._folder / "copy"
            shutil.copytree(binaries.parent, copy, dirs_exist_ok=True)
            if self._runs(copy / binaries.name):
                return copy / binaries.name
        raise NoServer("no PostgreSQL server is installed: install the pgserver wheel or the postgresql package")

    def _runs(self, binaries: Path) -> bool:
        try:
            done = subprocess.run(
                [binaries / "postgres", "--version"], check=False, user=self._account, capture_output=True
            )
        except OSError:
            return False
        return done.returncode == 0


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = find_spec("pgserver")  # found, not imported: its import makes folders
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody", "daemon") if name in accounts), None)
