"""
What Redis remembers of where users are served, for the applications that ask all the time.

Losing it costs only speed: each answer carries the time of the control database at which it was true, so one that is too
old is not taken, whoever wrote it and however late. User keys are hashed: they may say who somebody is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

PREFIX = "mig.home"
PATIENCE = 0.25  # seconds for a Redis that is slow; the control database is asked then
AT_ONCE = 5000  # keys in one command


class HomeCache:
    """One Redis; every failure of it is a `False` or nothing found, never an error."""

    def __init__(self, url: str) -> None:
        import redis

        plain = url.replace("redis+socket://", "unix://")
        timeouts = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
        self._client: Any = redis.Redis.from_url(plain, decode_responses=True, **timeouts)

    def read(self, space: str, users: Collection[str]) -> dict[str, tuple[str, float]] | None:
        """What it knows of these users: (home, time of the control database); None: it does not answer."""
        import redis

        try:
            said = self._client.mget([_key(space, user) for user in users])
        except (redis.RedisError, OSError, ValueError):  # ValueError: what is there is no text
            return None
        return {user: told for user, value in zip(users, said, strict=True) if (told := _told(value))}

    def keep(self, space: str, homes: Mapping[str, str], at: float, seconds: float) -> bool:
        """Remember answers that were true *at* that time of the control database; they are dropped after *seconds*."""
        import redis

        try:
            with self._client.pipeline(transaction=False) as line:
                for user, home in homes.items():
                    line.set(_key(space, user), f"{home}@{at:.6f}", px=max(1, int(1000 * seconds)))
                line.execute()
        except (redis.RedisError, OSError, ValueError):
            return False
        return True

    def forget(self, space: str, users: Collection[str]) -> bool:
        """The home of these users has changed: whoever asks next asks the control database."""
        import redis

        keys = [_key(space, user) for user in users]
        try:
            for start in range(0, len(keys), AT_ONCE):
                self._client.delete(*keys[start : start + AT_ONCE])
        except (redis.RedisError, OSError):
            return False
        return True

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()


def space_of(plan_id: int, created_at: datetime) -> str:
    """What tells a plan from any other in the same Redis, of another project, too."""
    return f"{plan_id}.{blake2b(created_at.isoformat().encode(), digest_size=8).hexdigest()}"


def _key(space: str, user: str) -> str:
    return f"{PREFIX}.{space}.{blake2b(user.encode(), digest_size=16).hexdigest()}"


def _told(value: str | None) -> tuple[str, float] | None:
    """Understand a value; whatever else stands there is nothing."""
    home, _, at = (value or "").partition("@")
    try:
        return (home, float(at)) if home in ("legacy", "moving", "target") else None
    except ValueError:
        return None
