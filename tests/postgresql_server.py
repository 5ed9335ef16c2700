"""Servers of our own for one test session; PostgreSQL: installed or from a wheel, on a Unix socket, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

import psutil
import psycopg
from sqlalchemy import make_url

from migrator.edges import processes

START_SECONDS = 30


class NoServer(Exception):
    """There are no binaries here that can be run."""


class OwnServer(ABC):
    """Start on entering, stop on leaving; `url()` makes a new empty database. *durable*: as in real life, with fsync."""

    program: ClassVar[str]
    #: Who runs it where we are root, which no server wants to be: the first of them that there is.
    accounts: ClassVar[tuple[str, ...]]

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._account = _unprivileged(self.accounts)
        self._folder = Path(tempfile.mkdtemp(prefix="srv"))  # short: a socket's path may have 107 characters
        self._numbers = count(1)
        if self._account:
            shutil.chown(self._folder, self._account)

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The first process, whose children, where it has any, are the others."""
        return self._process.pid

    @abstractmethod
    def url(self) -> str:
        """Make a new database and give its URL."""

    @abstractmethod
    def _initialise(self) -> None:
        """Make the folder what the server wants to find."""

    @abstractmethod
    def _words(self) -> list[str]:
        """The command that is the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections."""

    def die_and_return(self) -> None:
        """All its processes at once, as where a machine loses its power; and up again with what is on its disk."""
        first = psutil.Process(self.pid)
        first.suspend()  # it makes no other while we count
        family = [*first.children(recursive=True), first]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()
        assert not processes.still_there(family, START_SECONDS)
        self._start()

    def _make(self, words: list[str]) -> None:
        """Run what makes the server's files."""
        done = subprocess.run(
            words, check=False, user=self._account, capture_output=True, text=True, cwd=self._folder, errors="replace"
        )
        if done.returncode:
            raise NoServer(f"{Path(words[0]).name} failed: {(done.stdout + done.stderr).strip()[-500:]}")

    def _start(self) -> None:
        words = self._words()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, user=self._account, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                said = (self._folder / "log").read_text(errors="replace")[-500:]
                raise NoServer(f"{self.program} did not start: {said}")
            time.sleep(0.05)


class PostgresqlServer(OwnServer):
    """PostgreSQL; a new database may also be made like another one, whose tables are then there at once."""

    program = "postgres"
    accounts = ("postgres", "nobody", "daemon")

    def url(self, like: str | None = None) -> str:
        """Make a new database and give its URL; *like*: that of one to copy, to which nobody is connected."""
        name = f"test_{next(self._numbers)}"
        template = str(make_url(like).database) if like else "template0"
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            # files are copied in a third of the time that it takes to log their pages; before 15 there was no other way
            strategy = " strategy file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f"create database {name} template {template}{strategy}".encode())
        return f"postgresql://postgres@/{name}?host={quote(str(self._folder))}"

    def _initialise(self) -> None:
        self._binaries = self._usable_binaries()
        words = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._make([str(self._binaries / "initdb"), "-D", str(self._folder / "data"), *words])

    def _words(self) -> list[str]:
        settings = ["listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=60"]
        settings += [] if self._durable else ["fsync=off", "full_page_writes=off"]
        told = (word for each in settings for word in ("-c", each))
        return [str(self._binaries / self.program), "-D", str(self._folder / "data"), *told]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._conninfo()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _conninfo(self) -> str:
        return f"host={self._folder} user=postgres dbname=postgres"

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


def _unprivileged(accounts: tuple[str, ...]) -> str | None:
    """The account to be where we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in accounts if name in known), None)
