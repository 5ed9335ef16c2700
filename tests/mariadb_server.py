"""A MariaDB server of our own for one test session: installed, on a Unix socket, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pymysql

from tests.postgresql_server import NoServer

START_SECONDS = 30
DATABASE = "create database {} character set utf8mb4 collate utf8mb4_general_ci"


class MariadbServer:
    """Start on entering, stop on leaving; `url()` makes a new empty database. *durable*: as in real life, with fsync."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._account = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="maria"))  # short: a socket's path may have 107 characters
        self._socket = self._folder / "socket"
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
        """The server's process."""
        return self._process.pid

    def url(self) -> str:
        """Make a new database and give its URL."""
        name = f"test_{next(self._numbers)}"
        connection = pymysql.connect(unix_socket=str(self._socket), user="root")
        with connection, connection.cursor() as cursor:
            cursor.execute(DATABASE.format(name))
        return f"mysql://root@/{name}?unix_socket={quote(str(self._socket))}"

    def _initialise(self) -> None:
        words = [
            _binary("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",
            f"--datadir={self._folder / 'data'}",
        ]
        words += ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-flush-log-at-trx-commit=0"]
        done = subprocess.run(
            words, check=False, user=self._account, capture_output=True, text=True, cwd=self._folder, errors="replace"
        )
        if done.returncode:
            raise NoServer(f"mariadb-install-db failed: {(done.stdout + done.stderr).strip()[-500:]}")

    def _start(self) -> None:
        settings = [
            f"datadir={self._folder / 'data'}",
            f"socket={self._socket}",
            f"pid-file={self._folder / 'pid'}",
            "skip-networking",
            "performance-schema=0",
        ]
        if not self._durable:
            settings += ["innodb-flush-log-at-trx-commit=0", "innodb-doublewrite=0", "innodb-buffer-pool-size=64M"]
        words = [_binary("mariadbd", "mysqld"), "--no-defaults", *(f"--{setting}" for setting in settings)]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(words, user=self._account, stdout=log, stderr=log, cwd=self._folder)
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise NoServer(f"mariadbd did not start: {(self._folder / 'log').read_text(errors='replace')[-500:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        # the driver would leave a socket open that does not connect
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)):
                return False
        try:
            pymysql.connect(unix_socket=str(self._socket), user="root").close()
        except pymysql.OperationalError:
            return False
        return True


def _binary(*names: str) -> str:
    """Find a program on the PATH or where servers are installed, which is not on the path of every account."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])
    found = next((path_ for name in names if (path_ := shutil.which(name, path=path))), None)
    if found is None:
        raise NoServer("no MariaDB server is installed: install the mariadb-server package")
    return found


def _unprivileged() -> str | None:
    """MariaDB refuses to run as root."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("mysql", "nobody", "daemon") if name in accounts), None)
