"""Where a user is served: SQL says it, Redis only spares the question; no answer is older than it may be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from migrator.edges.home_cache import HomeCache, space_of
from migrator.edges.redis import EmbeddedRedis
from migrator.errors import HomeUnknown
from migrator.routing import Home, Router
from migrator.store import homes, plans, requests, tables
from migrator.store.control import Control
from tests.flows.memory import a_plan, a_user


@dataclass
class Clock:
    """Seconds that a test lets pass."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cache(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """An empty Redis."""
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
        yield client


@pytest.fixture
def project(database: Control) -> Iterator[Control]:
    """A plan with a user in legacy, one on the way, one in the target."""
    with database.write() as db:
        plan = a_plan(db)
        for key, home in (("ann", "legacy"), ("bob", "moving"), ("cid", "target")):
            a_user(db, plan, key, home=home)
    yield database
    with database.write() as db:
        for table in reversed(tables.metadata.sorted_tables):
            db.execute(table.delete())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("control")
    sqlite = request.param == "sqlite"
    control = Control(f"sqlite:///{folder / 'control.db'}" if sqlite else request.getfixturevalue("postgresql").url())
    control.upgrade()
    yield control
    control.close()


@pytest.fixture
def routed(project: Control) -> Iterator[Callable[..., Router]]:
    """Makes routers of the project."""
    made: list[Router] = []

    def make(*more: object, **options: object) -> Router:
        made.append(Router(project.url.render_as_string(hide_password=False), *more, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def flip(project: Control, user: str, home: Home) -> None:
    with project.write() as db:
        db.execute(sa.update(tables.users).where(tables.users.c.user_key == user).values(home=home.value))


def forget(project: Control, server: EmbeddedRedis, *users: str) -> None:
    """What a cutover does after its flip."""
    with project.read() as db:
        plan = plans.require(db)
    assert HomeCache(server.url).forget(space_of(plan.id, plan.created_at), users)


def test_everybody_has_a_home_and_who_is_not_known_is_in_legacy(routed: Callable[..., Router]) -> None:
    assert routed().homes(["ann", "bob", "cid", "dan"]) == {
        "ann": Home.LEGACY, "bob": Home.MOVING, "cid": Home.TARGET, "dan": Home.LEGACY,
    }  # fmt: skip


def test_before_there_is_a_plan_everybody_is_in_legacy(database: Control) -> None:
    router = Router(database.url.render_as_string(hide_password=False))
    assert router.home("ann") is Home.LEGACY
    assert not router.request_move("ann")
    router.close()


def test_an_answer_is_stale_for_at_most_its_ttl(routed: Callable[..., Router], project: Control) -> None:
    clock = Clock()
    router = routed(ttl=5.0, now=clock)
    assert router.home("ann") is Home.LEGACY
    flip(project, "ann", Home.TARGET)

    clock.now += 4.999
    assert router.home("ann") is Home.LEGACY
    clock.now += 0.001
    assert router.home("ann") is Home.TARGET


def test_what_another_process_put_into_redis_is_no_staler(
    routed: Callable[..., Router], project: Control, server: EmbeddedRedis, cache: redis.Redis
) -> None:
    clock = Clock()
    first, second = routed(server.url, now=clock), routed(server.url, now=clock)
    assert (first.home("ann"), second.home("cid")) == (Home.LEGACY, Home.TARGET)
    flip(project, "ann", Home.TARGET)
    assert second.home("ann") is Home.LEGACY, "Redis has it, and it is young enough"

    for key in cache.keys("mig.home.*"):
        cache.persist(key)  # whatever Redis does with its own ends
    clock.now += 5.0

    assert second.home("ann") is Home.TARGET


def test_a_flip_is_seen_at_once_where_redis_is_told_of_it(
    routed: Callable[..., Router], project: Control, server: EmbeddedRedis, cache: redis.Redis
) -> None:
    clock = Clock()
    routers = [routed(server.url, now=clock) for _ in range(2)]
    assert [one.home("ann") for one in routers] == [Home.LEGACY, Home.LEGACY]

    flip(project, "ann", Home.TARGET)
    forget(project, server, "ann")

    assert [one.home("ann") for one in routers] == [Home.TARGET, Home.TARGET]


def test_a_write_to_redis_that_comes_late_is_not_taken(
    routed: Callable[..., Router], project: Control, server: EmbeddedRedis, cache: redis.Redis
) -> None:
    clock = Clock()
    router = routed(server.url, now=clock)
    router.home("ann")
    key = cache.keys("mig.home.*")[0]
    late = cache.get(key)
    assert late is not None
    flip(project, "ann", Home.TARGET)
    clock.now += 6.0

    cache.set(key, late)  # a Redis that was frozen goes on with what had been sent to it

    assert router.home("ann") is Home.TARGET


NONSENSE = [b"", b"target", b"target@", b"nowhere@1", b"target@99999999999", b"target@nan", b"\xff\xfe", b"legacy@1"]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_in_redis_is_no_answer(
    routed: Callable[..., Router], server: EmbeddedRedis, cache: redis.Redis, nonsense: bytes
) -> None:
    router = routed(server.url)
    router.homes(["ann", "cid"])
    for key in cache.keys("mig.home.*"):
        cache.set(key, nonsense)

    assert router.homes(["ann", "cid"]) == {"ann": Home.LEGACY, "cid": Home.TARGET}


def test_a_list_where_a_text_should_be_is_no_answer(
    routed: Callable[..., Router], server: EmbeddedRedis, cache: redis.Redis
) -> None:
    router = routed(server.url)
    router.home("cid")
    key = cache.keys("mig.home.*")[0]
    cache.delete(key)
    cache.rpush(key, "target@1")

    assert router.home("cid") is Home.TARGET


def test_a_redis_that_is_flushed_costs_a_question(
    routed: Callable[..., Router], server: EmbeddedRedis, cache: redis.Redis
) -> None:
    router = routed(server.url)
    router.home("cid")
    cache.flushall()

    assert router.home("cid") is Home.TARGET
    assert len(cache.keys("mig.home.*")) == 1


def test_a_redis_that_is_away_or_refuses_costs_a_question(routed: Callable[..., Router], tmp_path: Path) -> None:
    for url in ("redis://127.0.0.1:1/0", f"unix://{tmp_path}/nothing.sock"):
        router = routed(url)
        assert [router.home("cid"), router.home("cid")] == [Home.TARGET, Home.TARGET]


def test_a_redis_that_is_frozen_is_not_waited_for_long(routed: Callable[..., Router], tmp_path: Path) -> None:
    frozen = EmbeddedRedis(tmp_path)
    known = frozen.start()
    try:
        clock = Clock()
        router = routed(frozen.url, now=clock)
        router.home("cid")
        os.kill(known.pid, signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(200):
            assert router.homes(["cid", "ann"]) == {"cid": Home.TARGET, "ann": Home.LEGACY}
        assert time.monotonic() - began < 10, "it is asked once, and then left alone for a while"
    finally:
        os.kill(known.pid, signal.SIGCONT)
        frozen.stop()


def test_no_user_can_be_read_off_redis(
    routed: Callable[..., Router], server: EmbeddedRedis, cache: redis.Redis
) -> None:
    routed(server.url).home("ann@example.com")

    kept = [(key, cache.get(key)) for key in cache.keys("*")]
    assert kept and b"ann" not in b"".join(part or b"" for pair in kept for part in pair)


def test_when_the_control_database_is_away_the_last_answer_holds_for_its_ttl(
    routed: Callable[..., Router], project: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    router = routed(now=clock, ttl=5.0)
    assert router.home("cid") is Home.TARGET

    def away(*_: object) -> None:
        raise sa.exc.InterfaceError("select 1", {}, Exception("gone"))

    monkeypatch.setattr(homes, "place", away)
    clock.now += 4.9
    assert router.home("cid") is Home.TARGET
    for ask in (lambda: router.home("ann"), lambda: router.request_move("ann")):
        with pytest.raises(HomeUnknown, match="not known now: InterfaceError"):
            ask()
    clock.now += 0.1
    with pytest.raises(HomeUnknown):
        router.home("cid")


def test_a_control_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    router = Router(f"sqlite:///{tmp_path}/control.db")
    with pytest.raises(HomeUnknown, match="there is no control database"):
        router.home("ann")
    assert list(tmp_path.iterdir()) == []


def test_threads_share_a_router(routed: Callable[..., Router], server: EmbeddedRedis, cache: redis.Redis) -> None:
    router = routed(server.url, ttl=0.01)
    wanted = {"ann": Home.LEGACY, "bob": Home.MOVING, "cid": Home.TARGET}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: router.homes(list(wanted)[: 1 + number % 3]), range(300)))

    assert all(home is wanted[user] for one in found for user, home in one.items())


def test_a_request_is_written_down_once_and_only_for_who_can_be_moved(
    routed: Callable[..., Router], project: Control
) -> None:
    with project.write() as db:
        db.execute(sa.update(tables.users).where(tables.users.c.user_key == "cid").values(status="live"))
        db.execute(sa.update(tables.users).where(tables.users.c.user_key == "ann").values(status="planned"))
    router = routed()

    assert [router.request_move(user) for user in ("ann", "ann", "cid", "dan")] == [True, True, False, False]

    with project.read() as db:
        found = requests.open_(db, plans.require(db).id)
    assert [(one.user_key, one.asked_by) for one in found] == [("ann", "router")]


@pytest.mark.parametrize("ttl", [-1.0, 5.001, float("nan")])
def test_no_answer_may_be_older_than_cutovers_count_on(tmp_path: Path, ttl: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 5"):
        Router(f"sqlite:///{tmp_path}/control.db", ttl=ttl)


def test_an_application_loads_neither_polars_nor_celery_nor_the_command_line() -> None:
    heavy = ("polars", "celery", "typer", "rich", "alembic", "migrator.cli", "migrator.flows", "migrator.runtime")
    said = f"import sys, migrator.routing; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
