"""
A word from workers to whoever dispatches: something has ended, look what is due now.

Nothing depends on it: a word that is lost costs the time until the next look, which comes anyway.
"""

from __future__ import annotations

import time
from typing import Any

_CHANNEL = "mig.ended"
_PATIENCE = 1.0  # seconds that a worker spends at most on saying it


class Speaker:
    """What a worker says it with."""

    def __init__(self, broker_url: str) -> None:
        self._client = _client(broker_url)

    def say(self) -> None:
        """Whoever listens wakes up; nobody may, or Redis may be away."""
        import redis

        try:
            self._client.publish(_CHANNEL, "")
        except (redis.RedisError, OSError):
            self._client.close()


class Listener:
    """What a dispatcher waits with."""

    def __init__(self, broker_url: str) -> None:
        self._client = _client(broker_url)
        self._heard: Any = None

    def wait(self, seconds: float) -> bool:
        """Until a word comes, or so many seconds are over; whether one came. All that came meanwhile is one."""
        import redis

        until = time.monotonic() + seconds
        try:
            return self._wait(until)
        except (redis.RedisError, OSError):
            self.close()
            time.sleep(max(until - time.monotonic(), 0))
            return False

    def close(self) -> None:
        """Give back the connection."""
        if self._heard is not None:
            self._heard.close()
            self._heard = None
        self._client.close()

    def _wait(self, until: float) -> bool:
        if self._heard is None:
            self._heard = self._client.pubsub(ignore_subscribe_messages=True)
            self._heard.subscribe(_CHANNEL)
        while (left := until - time.monotonic()) > 0:
            if self._heard.get_message(timeout=left) is not None:
                while self._heard.get_message() is not None:
                    pass
                return True
        return False


def _client(broker_url: str) -> Any:
    import redis

    plain = broker_url.replace("redis+socket://", "unix://")
    return redis.Redis.from_url(plain, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
