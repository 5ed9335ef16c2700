"""What an operator should know of the Redis that carries the messages: who may come in, and what it forgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from migrator.edges.hosts import is_local

#: By series, the first release without the hole in its scripting (CVE-2025-49844); older series have none.
PATCHED = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
NEWEST = (8, 3)


@dataclass(frozen=True, slots=True)
class Concern:
    """Warn or fail, in a sentence, with the remedy."""

    result: str
    said: str
    remedy: str


def look(url: str) -> list[Concern]:
    """Ask the Redis at *url* how it is set; what it does not tell is said."""
    import redis

    plain = url.replace("redis+socket://", "unix://")
    try:
        with redis.Redis.from_url(plain, socket_timeout=2, socket_connect_timeout=2) as client:
            info: Any = client.info("server")
            try:
                settings: Any = client.config_get("*")
            except redis.ResponseError:
                settings = None  # an account that may not ask is the right one
    except (redis.RedisError, OSError):
        return []  # that it does not answer is said elsewhere
    return [*_cover(url), *_version(str(info["redis_version"])), *(_settings(url, settings) if settings else ())]


def _cover(url: str) -> Iterator[Concern]:
    parts = urlsplit(url)
    if parts.scheme in ("redis", "valkey") and not is_local(parts.hostname or "localhost"):
        yield Concern("warn", "messages go to Redis, and its password with them, in the clear", "rediss:// in the url")


def _version(said: str) -> Iterator[Concern]:
    numbers = [int(part) for part in said.split(".")[:3] if part.isdigit()]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    if (major, minor) < NEWEST and patch < PATCHED.get((major, minor), patch + 1):
        yield Concern(
            "warn", f"Redis {said} runs foreign code for whoever may send scripts (CVE-2025-49844)", "update it"
        )


def _settings(url: str, settings: Mapping[str, str]) -> Iterator[Concern]:
    bound = settings.get("bind", "").split()
    alone = settings.get("port") == "0" or (bool(bound) and all(is_local(address) for address in bound))
    guarded = bool(settings.get("requirepass")) or bool(urlsplit(url).password)
    if not guarded and not alone:
        open_ = settings.get("protected-mode") == "no"
        who = "everybody who reaches it may come in" if open_ else "only its protected mode keeps others out"
        remedy = "requirepass or an ACL in redis.conf, and bind 127.0.0.1"
        yield Concern(
            "fail" if open_ else "warn", f"Redis has no password and listens to other machines: {who}", remedy
        )
    elif settings.get("protected-mode") == "no" and not alone:
        yield Concern("warn", "Redis listens to other machines without its protected mode", "protected-mode yes")
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        said = f"Redis throws messages away when its memory is full ({settings['maxmemory-policy']})"
        yield Concern("warn", said, "maxmemory-policy noeviction")
    if settings.get("appendonly", "yes") != "yes":
        said = "Redis forgets its messages when it ends; they are sent again, a minute late"
        yield Concern("warn", said, "appendonly yes, appendfsync everysec")
