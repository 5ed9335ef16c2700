from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from migrator.rollout import gate
from migrator.rollout.gate import Finding, Limits, Measured, Outcome


def a_wave(moved: int = 300, failed: int = 0, **changed: object) -> Measured:
    clean = Measured(users=moved + failed, moved=moved, failed=failed, held=0, differences=0, balanced=True)
    return replace(clean, **changed)


def the(check: str, measured: Measured, limits: Limits | None = None) -> Finding:
    decision = gate.decide(measured, limits or Limits())
    return next(found for found in decision.checks if found.check == check)


@given(st.integers(1, 100_000), st.one_of(st.none(), st.integers(1, 1_000_000)))
def test_a_clean_wave_of_any_size_goes_on(users, population):
    decision = gate.decide(a_wave(users, population=population), Limits())

    assert decision.outcome is Outcome.GO
    assert decision.findings == ()


def test_what_was_not_measured_is_hold():
    nothing = Measured(users=10, moved=0, failed=0, held=0)

    decision = gate.decide(nothing, Limits())

    assert decision.outcome is Outcome.HOLD
    assert [found.check for found in decision.findings] == ["success", "differences", "books"]
    assert all(found.measured is None for found in decision.findings)


def test_a_gate_without_checks_is_hold():
    assert gate.worst(()).outcome is Outcome.HOLD


def test_the_worst_check_decides():
    def a_check(outcome: Outcome) -> Finding:
        return Finding("x", outcome, None, None, "")

    assert gate.worst([a_check(Outcome.GO), a_check(Outcome.HOLD)]).outcome is Outcome.HOLD
    assert gate.worst([a_check(Outcome.STOP), a_check(Outcome.HOLD), a_check(Outcome.GO)]).outcome is Outcome.STOP


@pytest.mark.parametrize("failed, users", [(0, 149), (1, 236), (2, 313), (4, 456)])
def test_a_wave_goes_on_exactly_when_the_binomial_proves_it(failed, users):
    assert the("success", a_wave(users - failed, failed)).outcome is Outcome.GO
    assert the("success", a_wave(users - failed - 1, failed + (failed == 0))).outcome is Outcome.HOLD


@given(st.integers(149, 3000), st.data())
def test_a_large_wave_is_judged_as_clopper_and_pearson_would(users, data):
    failed = data.draw(st.integers(0, min(users, 90)))
    bound = 1.0 if failed == users else stats.beta.ppf(0.95, failed + 1, users - failed)

    found = the("success", a_wave(users - failed, failed))

    assert (found.outcome is Outcome.GO) == (bound <= 0.02)


def test_one_failure_in_a_small_wave_holds_and_says_how_many_clean_users_would_do():
    found = the("success", a_wave(99, 1))

    assert found.outcome is Outcome.HOLD
    assert found.sentence == (
        "1 of 100 users failed (1.00%, tolerated 2.00%); 136 more users without a failure would give GO"
    )


def test_a_small_clean_wave_goes_on_and_says_how_little_that_proves():
    found = the("success", a_wave(50))

    assert found.outcome is Outcome.GO
    assert found.sentence.endswith("so few prove only that at most 5.8% fail")


def test_a_tier_that_is_through_was_counted_and_not_sampled():
    # 1 of 60 is 1.7 %, less than 2 %, and there is nobody left to be wrong about
    assert the("success", a_wave(59, 1)).outcome is Outcome.HOLD
    assert the("success", a_wave(59, 1, population=60)).outcome is Outcome.GO
    assert the("success", a_wave(58, 2, population=60)).outcome is Outcome.HOLD


@given(st.integers(10, 400), st.integers(0, 6), st.integers(0, 300))
def test_a_part_of_a_small_tier_is_judged_as_the_hypergeometric_would(users, failed, others):
    population = users + others
    too_many = int(population * 0.02) + 1
    proved = stats.hypergeom.cdf(failed, population, too_many, users) <= 0.05

    found = the("success", a_wave(users - failed, failed, population=population))

    if population < 10 * users and failed:
        assert (found.outcome is Outcome.GO) == proved


def test_where_no_number_of_clean_users_would_do_the_finding_says_what_would():
    found = the("success", a_wave(20, 5, population=25))

    assert found.outcome is Outcome.HOLD
    assert "`migrator wave retry`" in found.sentence


@given(st.integers(1, 400), st.integers(1, 8), st.integers(0, 500))
def test_the_clean_users_asked_for_are_enough_and_one_less_is_not(users, failed, others):
    measured = a_wave(max(users - failed, 0), failed, population=max(users, failed) + others)
    found = the("success", measured)
    if "more users" not in found.sentence:
        return

    more = int(found.sentence.split("; ")[1].split()[0])

    assert the("success", replace(measured, moved=measured.moved + more)).outcome is Outcome.GO
    assert the("success", replace(measured, moved=measured.moved + more - 1)).outcome is Outcome.HOLD


def test_one_difference_stops_at_once():
    decision = gate.decide(a_wave(differences=1), Limits())

    assert decision.outcome is Outcome.STOP
    assert [found.check for found in decision.findings] == ["differences"]


def test_books_that_do_not_balance_stop():
    assert gate.decide(a_wave(balanced=False), Limits()).outcome is Outcome.STOP


@pytest.mark.parametrize("users, allowed", [(1, 1), (20, 1), (21, 2), (1000, 50)])
def test_held_users_hold_the_wave_above_their_share_rounded_up(users, allowed):
    assert the("held", a_wave(users=users, held=allowed)).outcome is Outcome.GO
    assert the("held", a_wave(users=users, held=allowed + 1)).outcome is Outcome.HOLD


def test_held_users_are_not_failures():
    found = the("success", a_wave(moved=200, users=1000, held=800))

    assert (found.outcome, found.measured) == (Outcome.GO, 0.0)


def test_the_limits_are_those_that_are_given():
    assert the("success", a_wave(moved=190, failed=10), Limits(max_failed=0.10)).outcome is Outcome.GO
    assert the("held", a_wave(users=100, held=20), Limits(max_held=0.20)).outcome is Outcome.GO
