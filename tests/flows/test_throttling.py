"""While a database is busy, or a person says so, nothing is handed out; the reason is shown, and it goes on by itself."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from migrator.edges.databases.watching import Pressure, watch
from migrator.errors import Unreachable
from migrator.flows.helping import overview
from migrator.flows.homes import on_demand
from migrator.flows.moving import batches
from migrator.flows.steering import campaign, orders, waves
from migrator.flows.steering.dispatching import Dispatcher
from migrator.flows.steering.throttling import LOOK_EVERY, Query, Throttle
from migrator.rollout import schedule
from migrator.rollout.states import Batch, Wave
from migrator.rollout.throttle import Limits
from migrator.store import batches as batch_store
from migrator.store import journal, leases
from tests.edges.databases.places import at_work
from tests.flows.bakery import Bakery
from tests.flows.memory import NOW, Clock
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer


@dataclass
class Gauge:
    """A database that is as busy as a test says."""

    shows: Pressure = field(default_factory=Pressure)
    number_: float = 0
    away: bool = False
    looked: int = 0
    dialect: str = "postgresql"
    wanted: list[set[str]] = field(default_factory=list)

    def pressure(self, wanted: Any) -> Pressure:
        self.looked += 1
        self.wanted.append(set(wanted))
        if self.away:
            raise Unreachable("cannot connect to db2")
        return self.shows

    def number(self, sql: str) -> float:
        return self.number_

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class Scene:
    """A running bakery, its dispatcher, and a clock that a test moves."""

    bakery: Bakery
    clock: Clock
    throttle: Throttle

    def __post_init__(self) -> None:
        self.bakery.parts = replace(self.bakery.parts, now=self.clock)
        self.dispatcher: Dispatcher = replace(self.bakery.dispatcher(), throttle=self.throttle)

    def tick(self, **later: float) -> list[tuple[str, tuple[int, ...]]]:
        """What is rung for, that much later."""
        self.clock.after(**(later or {"seconds": LOOK_EVERY.total_seconds()}))
        return self.bakery.tick(self.dispatcher)

    @property
    def waiting(self) -> str | None:
        """Why the wave waits, as it is shown."""
        shown = overview.wave_detail(self.bakery.parts, "whole")["waiting"]
        return shown["sentence"] if shown else None

    def journal(self) -> list[tuple[str, dict[str, Any]]]:
        with self.bakery.parts.control.read() as db:
            found = journal.of(db, "wave", ["whole"])
        return [(one["event"], one["detail"]) for one in found if one["actor"] == "dispatcher"]


def a_scene(started: Bakery, folder: Path, gauge: Gauge | None = None, **throttle: Any) -> Scene:
    watches = {"target": gauge} if gauge else {}
    return Scene(started.copy(folder / "b"), Clock(), Throttle(watches=watches, **throttle))


def test_a_flag_stops_with_its_reason_and_without_it_everybody_arrives(started: Bakery, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    scene = a_scene(started, tmp_path, flag=flag)
    flag.touch()
    with scene.bakery.parts.control.write() as db:
        leases.seen(db, "machine", "machine", 1, 2)

    assert scene.tick() == [] and scene.tick() == []
    assert scene.waiting == f"waiting: the flag {flag} is there (since 09:30:02 UTC)"
    assert "it goes on by itself" in overview.status(scene.bakery.parts)["next"]
    assert campaign.look(scene.bakery.parts).waits

    flag.unlink()

    assert len(scene.tick()) == 2
    assert scene.waiting is None
    assert [event for event, _ in scene.journal()] == ["wait", "go on"]
    assert scene.journal()[1][1] == {"seconds": 4.0}
    scene.bakery.lose_leases()
    scene.bakery.run()
    assert scene.bakery.wave().status is Wave.PASSED


def test_lag_stops_and_the_latest_number_is_shown(started: Bakery, tmp_path: Path) -> None:
    replica = Gauge(Pressure(lag=12.34))
    scene = a_scene(started, tmp_path, replicas={"replica 1": replica}, limits=Limits(max_lag=5))

    assert scene.tick() == []
    assert scene.waiting == "waiting: replication lag of replica 1 12.3 s is above 5 s (since 09:30:02 UTC)"
    replica.shows = Pressure(lag=8.0)
    assert scene.tick() == []
    assert scene.waiting == "waiting: replication lag of replica 1 8 s is above 5 s (since 09:30:02 UTC)"
    replica.shows = Pressure(lag=5.0)
    assert len(scene.tick()) == 2
    assert [event for event, _ in scene.journal()] == ["wait", "go on"]


def test_what_cannot_be_looked_at_is_a_reason_itself(started: Bakery, tmp_path: Path) -> None:
    gauge = Gauge(away=True)
    scene = a_scene(started, tmp_path, gauge, limits=Limits(max_sessions=5))

    assert scene.tick() == []
    assert "target cannot be looked at: cannot connect to db2" in str(scene.waiting)
    gauge.away = False
    assert len(scene.tick()) == 2


def test_a_query_of_ones_own_stops_above_its_number(started: Bakery, tmp_path: Path) -> None:
    gauge = Gauge(number_=101)
    scene = a_scene(started, tmp_path, gauge, queries=[Query("target", "select count(*) from jobs", 100)])

    assert scene.tick() == []
    assert "the query of target gives 101, above 100" in str(scene.waiting)
    gauge.number_ = 100
    assert len(scene.tick()) == 2


def test_nothing_is_asked_where_nothing_is_limited_and_not_at_every_tick(started: Bakery, tmp_path: Path) -> None:
    gauge = Gauge(Pressure(sessions=1))
    scene = a_scene(started, tmp_path, gauge)
    scene.tick()
    assert gauge.looked == 0

    orders.give(scene.bakery.parts, scene.throttle, "whole", "max-sessions", "3")
    scene.tick(seconds=0.1)
    scene.tick(seconds=0.1)
    assert (gauge.looked, gauge.wanted) == (1, [{"sessions"}])
    scene.tick()
    assert gauge.looked == 2


def test_a_limit_set_for_a_wave_counts_at_the_next_tick(started: Bakery, tmp_path: Path) -> None:
    gauge = Gauge(Pressure(sessions=10))
    scene = a_scene(started, tmp_path, gauge, limits=Limits(max_sessions=20))
    assert len(scene.tick()) == 2

    orders.give(scene.bakery.parts, scene.throttle, "whole", "max-sessions", "5")
    scene.tick(seconds=0.1)
    assert "sessions at work in target: 10, above 5" in str(scene.waiting)

    orders.give(scene.bakery.parts, scene.throttle, "whole", "max-sessions", "default")
    assert len(scene.tick(seconds=0.1)) == 2


def test_a_person_stops_a_wave_and_lets_it_go_on(started: Bakery, tmp_path: Path) -> None:
    scene = a_scene(started, tmp_path)
    orders.give(scene.bakery.parts, scene.throttle, "whole", "throttle", "on")

    assert scene.tick() == []
    assert "tester said so" in str(scene.waiting)

    orders.give(scene.bakery.parts, scene.throttle, "whole", "throttle", "off")
    assert len(scene.tick(seconds=0.1)) == 2


def test_outside_its_hours_a_wave_waits_and_says_when_they_come(started: Bakery, tmp_path: Path) -> None:
    scene = a_scene(started, tmp_path, schedule=schedule.read(["11:00-12:00"]))

    assert scene.tick() == []
    assert scene.waiting == f"waiting: the schedule is closed until {NOW:%Y-%m-%d} 11:00 UTC (since 09:30:02 UTC)"
    assert scene.tick(hours=1) == []
    assert len(scene.tick(hours=1)) == 2
    assert scene.waiting is None


def test_what_was_rung_for_within_the_hours_is_not_begun_behind_them(started: Bakery, tmp_path: Path) -> None:
    scene = a_scene(started, tmp_path, schedule=schedule.read(["09:00-10:00"]))
    heard = scene.tick()

    assert len(heard) == 2 and scene.tick(hours=1) == []
    for task, ids in heard:
        scene.bakery.work(task, ids)

    assert set(scene.bakery.users().values()) == {"planned"}


def test_whoever_is_asked_for_does_not_wait_for_the_hours(started: Bakery, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    scene = a_scene(started, tmp_path, schedule=schedule.read(["11:00-12:00"]), flag=flag)
    assert scene.tick() == []
    on_demand.ask(scene.bakery.parts, "7")
    flag.touch()
    assert scene.tick() == [], "who is asked for waits for the databases"
    flag.unlink()

    [(task, ids)] = scene.tick()
    scene.bakery.work(task, ids)

    users = scene.bakery.users()
    assert users.pop("7") == "live"
    assert set(users.values()) == {"planned"}


def test_what_was_rung_for_before_is_not_begun_while_the_wave_waits(started: Bakery, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    scene = a_scene(started, tmp_path, flag=flag)
    heard = scene.tick()
    assert len(heard) == 2

    flag.touch()
    scene.tick()
    for task, ids in heard:
        scene.bakery.work(task, ids)

    assert set(scene.bakery.users().values()) == {"planned"}
    half = heard[0][1][0]
    assert batches.claim(scene.bakery.parts, half, None, "a worker that splits") is None
    flag.unlink()
    again = scene.tick()
    assert [ids[0] for _, ids in again] == [ids[0] for _, ids in heard], "they are rung for anew"
    for task, ids in heard:
        scene.bakery.work(task, ids)
    assert set(scene.bakery.users().values()) == {"planned"}, "the old messages count no more"
    for task, ids in again:
        scene.bakery.work(task, ids)
    assert set(scene.bakery.users().values()) == {"live"}


def test_batches_that_run_are_let_end(started: Bakery, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    scene = a_scene(started, tmp_path, flag=flag)
    heard = scene.tick()
    work = batches.claim(scene.bakery.parts, heard[0][1][0], heard[0][1][1], "worker")
    assert work is not None
    flag.touch()
    scene.tick()

    with scene.bakery.parts.control.write() as db:
        assert batch_store.renew(db, work.batch, timedelta(minutes=1), progressed=True)
        assert [one.status for one in batch_store.of_wave(db, work.wave.id)] == [Batch.RUNNING, Batch.READY]


def test_a_wave_that_is_paused_waits_no_more(started: Bakery, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    scene = a_scene(started, tmp_path, flag=flag)
    flag.touch()
    scene.tick()
    waves.pause(scene.bakery.parts, "whole")

    assert scene.waiting is None
    scene.tick()
    assert scene.bakery.wave().waiting is None
    assert [event for event, _ in scene.journal()] == ["wait", "go on"]


def _until(scene: Scene, *, rings: bool) -> bool:
    """Whether the dispatcher comes to it; a statement needs a moment to begin."""
    pause = threading.Event()
    for _ in range(200):
        if bool(scene.tick()) is rings and (scene.waiting is None) is rings:
            return True
        pause.wait(0.05)
    return False


def test_sessions_at_work_in_postgresql_hold_a_wave_back(
    started: Bakery, tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    url = postgresql.url()
    found = watch(url, "target")
    with psycopg.connect(url) as shop:

        def sleep() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                shop.execute("select pg_sleep(60)")

        with at_work(sleep, shop.cancel):
            limits = Limits(max_sessions=_busy(url))
            scene = Scene(started.copy(tmp_path / "b"), Clock(), Throttle(watches={"target": found}, limits=limits))
            assert _until(scene, rings=False)
            assert "sessions at work in target: " in str(scene.waiting)
        assert _until(scene, rings=True)
    found.close()


def _busy(url: str) -> int:
    """Sessions at work in the server without the one that a test puts to sleep: other tests are on it too."""
    with psycopg.connect(url) as db:
        query = "select count(*) from pg_stat_activity where state = 'active' and query not like '%pg_sleep%'"
        row = db.execute(f"{query} and pid <> pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def test_sessions_at_work_in_mariadb_hold_a_wave_back(started: Bakery, tmp_path: Path, mariadb: MariadbServer) -> None:
    url = mariadb.url()
    socket = str(sa.make_url(url).query["unix_socket"])
    found = watch(url, "target")
    with (
        pymysql.connect(unix_socket=socket, user="root") as admin,
        pymysql.connect(unix_socket=socket, user="root") as shop,
    ):

        def sleep() -> None:
            with suppress(pymysql.MySQLError), shop.cursor() as cursor:
                cursor.execute("select sleep(60)")

        def wake() -> None:
            with admin.cursor() as cursor:
                cursor.execute(f"kill query {shop.thread_id()}")

        before = found.pressure(["sessions"]).sessions
        with at_work(sleep, wake):
            throttle = Throttle(watches={"target": found}, limits=Limits(max_sessions=before))
            scene = Scene(started.copy(tmp_path / "b"), Clock(), throttle)
            assert _until(scene, rings=False)
            assert "sessions at work in target: " in str(scene.waiting)
        assert _until(scene, rings=True)
    found.close()
