from __future__ import annotations

import pytest

from migrator.rollout import pilot
from migrator.rollout.gate import Limits, Outcome
from migrator.rollout.pilot import Acceptance, Pilot
from migrator.rollout.units import Units


def units(users):
    return Units.among(users, {})


@pytest.mark.parametrize(
    "users, size",
    [(0, 0), (1, 0), (2, 1), (10, 5), (117, 58), (118, 59), (500, 59), (1180, 59), (1181, 60), (10_000, 500)],
)
def test_a_tier_gives_its_floor_or_its_share_and_at_most_half(users, size):
    assert Pilot().size(users) == size


def test_the_pilot_is_the_same_whoever_asks_and_in_whatever_order():
    users = [str(number) for number in range(300)]

    drawn = pilot.draw({"core": units(users)}, "s", Pilot())
    again = pilot.draw({"core": units(users[::-1])}, "s", Pilot())

    assert drawn == again
    assert len(set(drawn["core"])) == 59
    assert pilot.draw({"core": units(users)}, "t", Pilot()) != drawn


@pytest.mark.parametrize(
    "p_max, plans",
    [
        (0.01, [(2546, 17), (913, 4), (473, 1)]),
        (0.02, [(1271, 17), (456, 4), (236, 1)]),
        (0.05, [(506, 17), (181, 4), (93, 1)]),
        (0.10, [(239, 16), (89, 4), (46, 1)]),
    ],
)
def test_the_acceptance_plans_are_those_of_the_table(p_max, plans):
    assert [pilot.acceptance(p_max, p_max / part) for part in (2, 4, 10)] == [Acceptance(*plan) for plan in plans]
    assert pilot.acceptance(p_max) == Acceptance(*plans[1])


def test_an_empty_pilot_is_refused_before_it_starts():
    assert pilot.check(0, Limits()).outcome is Outcome.HOLD


def test_a_small_pilot_is_told_what_it_can_prove():
    found = pilot.check(50, Limits())

    assert found.outcome is Outcome.GO
    assert "at most 5.8% fail; 149 would prove the tolerated 2.00%" in found.sentence
    assert "can prove" in pilot.check(149, Limits()).sentence
