"""
What an application imports to ask where a user is served.

    from migrator.routing import Home, Router

    router = Router("postgresql://localhost/migrator", "redis://localhost:6379/0")     # one per process

    def save_order(user_id, order):
        home = router.home(str(user_id))
        if home is Home.MOVING:
            raise TryAgainInAMinute     # read-only, for seconds
        shop = new_shop if home is Home.TARGET else old_shop
        shop.save(user_id, order)

Ask anew for each request that writes, and end it within `[cutover] drain`: an answer may be `ttl` seconds old, and a
cutover waits so long, and a little longer, before it takes the last look at legacy.

The control database is the truth. Redis spares it most questions: one that is down, slow, flushed or full of nonsense
costs only speed. Neither Celery nor Polars is imported.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from migrator.edges.home_cache import HomeCache, space_of
from migrator.errors import HomeUnknown, MigratorError
from migrator.store import homes, requests
from migrator.store.control import Control, clock

__all__ = ["LONGEST", "Home", "HomeUnknown", "Router"]

LONGEST = 5.0  # seconds that an answer may be old at most: cutovers count on it
REST = 1.0  # seconds in which a Redis that did not answer is not asked again
KNOWN = 100_000  # users whose home a process remembers by itself
CONNECT_SECONDS, ANSWER_SECONDS = 3, 5


class Home(StrEnum):
    """Where a user is served."""

    #: By the old system, as ever. Whoever is not known is here.
    LEGACY = "legacy"
    #: On the way: read, but write nothing, and say that it will work again in a moment.
    MOVING = "moving"
    #: By the new system.
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the control database said, and when by our own clock we had asked."""

    home: Home
    asked_at: float


class Router:
    """
    Tells where users are served. Threads may share one; a forked process opens its own connections.

    Args:
        control_url: The control database, as in `[control] url`.
        redis_url: As in `[broker] url`; without one each process remembers for itself.
        ttl: Seconds that an answer may be old, at most 5. Only without Redis, or while it is away, a change made by a
            cutover takes so long to be seen; with it, it is seen at once.
        now: A clock that only goes forward, in seconds.

    Raises:
        ValueError: *ttl* is not between 0 and 5.
    """

    def __init__(
        self,
        control_url: str,
        redis_url: str | None = None,
        ttl: float = LONGEST,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ttl <= LONGEST:
            raise ValueError(f"ttl must be between 0 and {LONGEST:g} seconds, not {ttl}: cutovers wait no longer")
        self.ttl, self._now = ttl, now
        self._url = _impatient(sa.make_url(control_url))
        self._control, self._process = Control(self._url.render_as_string(hide_password=False)), os.getpid()
        self._redis = HomeCache(redis_url) if redis_url else None
        self._redis_rests_until = float("-inf")
        self._known: dict[str, _Answer] = {}
        self._space: str | None = None
        self._ahead: float | None = None  # the control database's time less ours
        self._lock = threading.Lock()

    def home(self, user: str) -> Home:
        """
        Where this user is served; at most `ttl` seconds old.

        Raises:
            HomeUnknown: the control database cannot be asked, and the last answer is older than that.
        """
        return self.homes((user,))[user]

    def homes(self, users: Iterable[str]) -> dict[str, Home]:
        """The same of several users, in one question."""
        wanted = list(dict.fromkeys(users))
        if not wanted:
            return {}
        found = self._remembered(wanted)
        missing = [user for user in wanted if user not in found]
        return found | self._asked(missing) if missing else found

    def request_move(self, user: str) -> bool:
        """
        Ask that a user is moved ahead of his wave, as he has just signed in; asked often, it is written down once.

        Workers move him within seconds where his plan allows it: `migrator user show` tells what came of it.

        Returns:
            Whether there is something to move: False for who is not known, or is in the target already.

        Raises:
            HomeUnknown: the control database cannot be asked.
        """
        try:
            with self._database().read() as db:
                place = homes.place(db)
                if place is None or not homes.may_move(db, place.plan_id, user):
                    return False
                asked = requests.get(db, place.plan_id, user)
            if asked is None or asked.status != requests.OPEN:
                with self._database().write() as db:
                    requests.ask(db, place.plan_id, user, "router", clock(db))
        except (MigratorError, sa.exc.SQLAlchemyError) as failed:
            raise _unknown(failed) from failed
        return True

    def close(self) -> None:
        """Give back all connections."""
        self._control.close()
        if self._redis:
            self._redis.close()

    def _remembered(self, users: list[str]) -> dict[str, Home]:
        """What Redis knows and is young enough; where there is none that answers, what we know ourselves."""
        space, ahead = self._space, self._ahead
        if self._redis is None or self._now() < self._redis_rests_until:
            return self._by_ourselves(users)
        if space is None or ahead is None:
            return {}  # how old an answer is, only the control database's clock can tell: it is asked first
        told = self._redis.read(space, users)
        if told is None:
            self._let_redis_rest()
            return self._by_ourselves(users)
        now = self._now() + ahead
        return {user: Home(home) for user, (home, at) in told.items() if 0 <= now - at < self.ttl}

    def _by_ourselves(self, users: list[str]) -> dict[str, Home]:
        since = self._now() - self.ttl
        found = {user: self._known.get(user) for user in users}
        return {user: answer.home for user, answer in found.items() if answer and answer.asked_at > since}

    def _asked(self, users: list[str]) -> dict[str, Home]:
        """Ask the control database, and remember what it says."""
        before = self._now()
        try:
            with self._database().read() as db:
                at = homes.begun(db).timestamp()
                place = homes.place(db)
                told = homes.of(db, place.plan_id, users) if place else {}
        except (MigratorError, sa.exc.SQLAlchemyError) as failed:
            known = self._by_ourselves(users)
            if len(known) < len(users):
                raise _unknown(failed) from failed
            return known
        found = {user: Home(told.get(user, Home.LEGACY)) for user in users}
        self._remember(found, before)
        if place:
            # taken early, our idea of its time is ahead of it, if anything: an answer seems older, never younger
            self._space, self._ahead = space_of(place.plan_id, place.created_at), at - before
            self._tell_redis(found, at)
        return found

    def _remember(self, found: dict[str, Home], asked_at: float) -> None:
        with self._lock:
            if len(self._known) + len(found) > KNOWN:
                self._known = {}
            self._known |= {user: _Answer(home, asked_at) for user, home in found.items()}

    def _tell_redis(self, found: dict[str, Home], at: float) -> None:
        if self._redis is None or self._space is None or self._now() < self._redis_rests_until:
            return
        if not self._redis.keep(self._space, {user: home.value for user, home in found.items()}, at, self.ttl):
            self._let_redis_rest()

    def _let_redis_rest(self) -> None:
        self._redis_rests_until = self._now() + REST

    def _database(self) -> Control:
        """The control database; a forked process must not talk on its parent's connections."""
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._control.engine.dispose(close=False)
                    self._process = os.getpid()
        path = self._url.database if self._url.get_backend_name() == "sqlite" else None
        if path and not Path(path).is_file():
            raise HomeUnknown(f"there is no control database at {path}")  # SQLite would make an empty one
        return self._control


def _impatient(url: sa.URL) -> sa.URL:
    """Whoever signs in does not wait long for a control database that is away."""
    if not url.get_backend_name().startswith("postgres"):
        return url
    patience = {
        "connect_timeout": str(CONNECT_SECONDS),
        "options": f"-cstatement_timeout={ANSWER_SECONDS}s",
        "tcp_user_timeout": str(1000 * ANSWER_SECONDS),  # of a server that is gone without a word
    }
    return url.update_query_dict({name: value for name, value in patience.items() if name not in url.query})


def _unknown(failed: Exception) -> HomeUnknown:
    if isinstance(failed, HomeUnknown):
        return failed
    said = str(failed) if isinstance(failed, MigratorError) else type(failed).__name__
    return HomeUnknown(f"where users are served is not known now: {said}")
