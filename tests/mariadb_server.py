"""A MariaDB server of our own for one test session: installed, on a Unix socket, never as root."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import quote

import pymysql

from tests.postgresql_server import NoServer, OwnServer

DATABASE = "create database {} character set utf8mb4 collate utf8mb4_general_ci"


class MariadbServer(OwnServer):
    """MariaDB, or MySQL."""

    program = "mariadbd"
    accounts = ("mysql", "nobody", "daemon")

    @property
    def _socket(self) -> Path:
        return self._folder / "socket"

    def url(self) -> str:
        """Make a new database and give its URL. A server that has died is started again, for the sake of later tests."""
        if self._process.poll() is not None:
            self._start()
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
        self._make(words)

    def _words(self) -> list[str]:
        settings = [
            f"datadir={self._folder / 'data'}",
            f"socket={self._socket}",
            f"pid-file={self._folder / 'pid'}",
            "skip-networking",
            "performance-schema=0",
        ]
        if not self._durable:
            settings += ["innodb-flush-log-at-trx-commit=0", "innodb-doublewrite=0", "innodb-buffer-pool-size=64M"]
        return [_binary(self.program, "mysqld"), "--no-defaults", *(f"--{setting}" for setting in settings)]

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
