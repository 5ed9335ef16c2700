"""A Redis of our own that keeps a log of what it is told (`appendonly yes`), as in production, and loses the end of it."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from migrator.edges import redis

PATIENCE = 10.0  # seconds to come up
TORN = 200  # bytes at most that the disk did not get


class Broker:
    """Up while it is entered; as in life, nobody of the product starts it again."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="redis"))  # short: a socket's path may have 107 characters
        self.url = f"redis+socket://{self._folder / 'redis.sock'}"
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        shutil.rmtree(self._folder, ignore_errors=True)

    def tear(self, chance: random.Random, rest: float) -> None:
        """Kill it, cut its log short in the middle of a message, and after *rest* seconds bring it back."""
        self.die()
        log = max(self._folder.rglob("*.aof"), key=lambda file: file.stat().st_mtime)
        size = log.stat().st_size
        with log.open("r+b") as file:
            file.truncate(max(0, size - chance.randint(1, TORN)))
        time.sleep(rest)
        self.start()

    def die(self) -> None:
        """At once, and whatever it has not written down is gone."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Bring it up, with what its log says."""
        self._process = subprocess.Popen(
            [
                redis.executable(), "--port", "0", "--unixsocket", str(self._folder / "redis.sock"),
                "--dir", str(self._folder), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not redis.answers(self.url):
            assert self._process.poll() is None and time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
