"""A word that something has ended wakes whoever waits; that it gets lost harms nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.edges.redis import EmbeddedRedis, answers
from migrator.edges.words import Listener, Speaker

AWAY = "redis://127.0.0.1:1/0"
LONG = 30.0  # seconds; nothing here waits for their end


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def listener(redis: EmbeddedRedis) -> Iterator[Listener]:
    """It has been waiting before, as one does that ticks."""
    found = Listener(redis.url)
    found.wait(0.05)
    yield found
    found.close()


def test_a_word_ends_the_waiting(redis: EmbeddedRedis, listener: Listener) -> None:
    speaker = Speaker(redis.url)
    later = threading.Timer(0.1, speaker.say)
    later.start()

    assert listener.wait(LONG)
    later.join()


def test_words_that_came_while_nobody_waited_wake_once(redis: EmbeddedRedis, listener: Listener) -> None:
    speaker = Speaker(redis.url)
    for _ in range(5):
        speaker.say()
    assert answers(redis.url)  # and by then Redis has passed all five on

    assert listener.wait(LONG)
    assert not listener.wait(0.05)


def test_all_who_listen_hear_it(redis: EmbeddedRedis, listener: Listener) -> None:
    other = Listener(redis.url)
    other.wait(0.05)

    Speaker(redis.url).say()

    assert listener.wait(LONG)
    assert other.wait(LONG)
    other.close()


def test_where_redis_is_away_the_time_is_waited_and_nothing_is_raised() -> None:
    Speaker(AWAY).say()
    began = time.monotonic()

    assert not Listener(AWAY).wait(0.1)
    assert time.monotonic() - began >= 0.1


def test_a_redis_that_came_back_is_heard_again(redis: EmbeddedRedis, listener: Listener) -> None:
    speaker = Speaker(redis.url)
    assert redis._process is not None
    redis._process.kill()
    redis._process.wait()
    speaker.say()
    assert not listener.wait(0.05)

    redis.start()
    assert not listener.wait(0.05)
    speaker.say()

    assert listener.wait(LONG)
