"""The Celery app is exactly as measured: each value here has cost somebody a night."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from migrator.edges import queue

REPOSITORY = Path(__file__).resolve().parents[2]
#: A worker's consumer with two slots has two messages when Redis dies; then Redis is back.
DYING = """
import logging
from tasks.app import app
from migrator.edges.queue import BATCH, Queue
from tests.faults.broker import Broker

heard = []
with Broker() as server, app.connection(server.url) as connection:
    bell = Queue(server.url)
    bell.wake(BATCH, 1, 1), bell.wake(BATCH, 2, 1)
    consumer = app.amqp.TaskConsumer(connection, on_message=heard.append)
    consumer.qos(prefetch_count=2)
    consumer.consume()
    while len(heard) < 2:
        connection.drain_events(timeout=5)
    server.die()
    for message in heard:
        message.ack_log_error(logging.getLogger(), connection.connection_errors)
    server.start()
    print(len(heard) if consumer.channel.qos.can_consume() else "deaf")
"""
ASK = """
import json
from tasks.app import app
app.loader.import_default_modules()
conf = {name: app.conf[name] for name in NAMES}
conf["tasks"] = {name: {"limit": task.time_limit, "ignore": task.ignore_result, "late": task.acks_late}
                 for name, task in app.tasks.items() if name.startswith("tasks.")}
conf["queues"] = [one.name for one in app.conf.task_queues]
print(json.dumps(conf))
"""
VALUES: dict[str, Any] = {
    "result_backend": None,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_always_eager": False,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_pool": "prefork",
    "worker_pool_start_method": "spawn",
    "worker_max_tasks_per_child": 200,
    "worker_max_memory_per_child": 600_000,
    "task_time_limit": 600,
    "task_soft_time_limit": None,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "broker_connection_timeout": 3.0,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_pool_limit": 2,
    "task_create_missing_queues": False,
    "task_default_queue": "mig.batch",
}


@pytest.fixture(scope="module")
def app() -> dict[str, Any]:
    """The app as a worker's process has it; in a process of its own, because importing it settles things for all."""
    names = [*VALUES, "broker_transport_options", "task_publish_retry_policy", "broker_url"]
    done = subprocess.run(
        [sys.executable, "-c", f"NAMES = {names!r}\n{ASK}"],
        cwd=REPOSITORY, env=os.environ | {"MIGRATOR_BROKER_URL": "redis://localhost:1/0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_is_as_measured(app: dict[str, Any], name: str) -> None:
    assert app[name] == VALUES[name]


def test_redis_is_given_up_soon(app: dict[str, Any]) -> None:
    options = app["broker_transport_options"]

    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (5, 3)
    assert app["task_publish_retry_policy"]["max_retries"] == 1
    assert app["broker_url"] == "redis://localhost:1/0"


def test_every_message_that_is_sent_has_a_task_and_a_queue_that_hears_it(app: dict[str, Any]) -> None:
    assert set(queue.QUEUES) == set(app["tasks"])
    assert set(queue.QUEUES.values()) <= set(app["queues"])


def test_a_worker_whose_redis_died_while_it_had_messages_hears_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        cwd=REPOSITORY, env=os.environ | {"MIGRATOR_BROKER_URL": "redis://localhost:1/0"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.stdout.split() == ["2"], done.stderr


def test_only_the_check_of_a_wave_and_the_daily_purge_may_take_long(app: dict[str, Any]) -> None:
    limits = {name: task["limit"] for name, task in app["tasks"].items()}

    assert limits.pop(queue.CHECK) >= 3600 and limits.pop(queue.PURGE) >= 3600
    assert set(limits.values()) <= {None, VALUES["task_time_limit"]}


def test_a_message_to_a_redis_that_is_away_is_said_soon() -> None:
    from migrator.errors import Unreachable

    bell = queue.Queue("redis://127.0.0.1:1/0")

    with pytest.raises(Unreachable, match="cannot reach Redis"):
        bell.wake(queue.BATCH, 1, 2)
    bell.close()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("config", "set", "maxmemory", "1"), "OutOfMemoryError"),
        (("acl", "setuser", "default", "-lpush"), "NoPermission"),
    ],
)
def test_a_redis_that_takes_no_messages_is_not_said_to_be_away(
    tmp_path: Path, words: tuple[str, ...], kind: str
) -> None:
    from migrator.edges.redis import EmbeddedRedis
    from migrator.errors import Unreachable

    server = EmbeddedRedis(tmp_path)
    server.start()
    bell = queue.Queue(server.url)
    try:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.execute_command(*words)
        with pytest.raises(Unreachable, match=f"takes no messages .{kind}"):
            bell.wake(queue.BATCH, 1, 2)
    finally:
        bell.close()
        server.stop()
