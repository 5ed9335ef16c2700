from __future__ import annotations

import math
import random

import pytest

from migrator.rollout import breaker
from migrator.rollout.gate import Outcome


@pytest.mark.parametrize(
    "p_max, failures",
    [
        (0.01, [3, 4, 5, 7, 9, 15, 23]),
        (0.02, [4, 5, 6, 9, 13, 23, 38]),
        (0.05, [5, 7, 10, 15, 23, 44, 77]),
    ],
)
def test_the_failures_that_trip_it_are_those_of_the_table(p_max, failures):
    users = (10, 25, 50, 100, 200, 500, 1000)

    assert [breaker.failures_to_trip(n, p_max, 0.01) for n in users] == failures


@pytest.mark.parametrize("users, failures", [(25, 5), (50, 6), (200, 13), (500, 23), (1000, 38)])
def test_it_stops_at_the_failure_that_trips_it_and_not_one_before(users, failures):
    assert breaker.look(failures - 1, users, 0.02, 0.01).outcome is Outcome.GO
    assert breaker.look(failures, users, 0.02, 0.01).outcome is Outcome.STOP


def test_before_the_first_user_there_is_no_evidence_either_way():
    looked = breaker.look(0, 0, 0.02, 0.01)

    assert (looked.outcome, looked.measured, looked.limit) == (Outcome.GO, 1.0, 100.0)


def test_a_total_failure_of_a_million_users_is_a_number_and_not_an_overflow():
    looked = breaker.look(1_000_000, 1_000_000, 0.02, 0.01)

    assert looked.outcome is Outcome.STOP
    assert math.isfinite(looked.measured)


def test_a_wave_exactly_at_the_limit_is_stopped_no_more_often_than_promised():
    chance = random.Random(11)
    stopped = 0
    for _ in range(400):
        failed = 0
        for users in range(1, 501):
            failed += chance.random() < 0.02
            if users % 25 == 0 and breaker.evidence(failed, users, 0.02) >= math.log(20):
                stopped += 1
                break

    assert stopped / 400 <= 0.05


def test_a_wave_in_which_a_third_fails_is_stopped_within_the_first_batch():
    assert breaker.look(8, 25, 0.02, 0.01).outcome is Outcome.STOP


def test_a_wave_too_small_to_say_anything_trips_never():
    assert breaker.failures_to_trip(1, 0.02, 0.01) is None
