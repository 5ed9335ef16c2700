from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from migrator.rollout import chance

rates = st.floats(0.0005, 0.95)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-7, abs=1e-12)


@given(st.integers(0, 5000), st.integers(0, 5000), rates)
def test_the_binomial_is_that_of_scipy(k, n, p):
    assert chance.binomial_cdf(k, n, p) == close(stats.binom.cdf(k, n, p))


@given(st.data())
def test_the_hypergeometric_is_that_of_scipy(data):
    population = data.draw(st.integers(1, 5000))
    bad, n = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    k = data.draw(st.integers(-1, n + 1))

    assert chance.hypergeometric_cdf(k, population, bad, n) == close(stats.hypergeom.cdf(k, population, bad, n))


@given(st.integers(1, 3000), st.data(), st.floats(0.001, 0.2))
def test_the_bound_is_that_of_clopper_and_pearson(n, data, alpha):
    k = data.draw(st.integers(0, n))
    expected = 1.0 if k == n else float(stats.beta.ppf(1 - alpha, k + 1, n - k))

    assert chance.upper_bound(k, n, alpha) == pytest.approx(expected, rel=1e-6)


def test_the_tail_of_a_million_users_is_exact_where_it_is_small():
    assert chance.binomial_cdf(19_000, 1_000_000, 0.02) == pytest.approx(
        stats.binom.cdf(19_000, 1_000_000, 0.02), rel=1e-5
    )


@pytest.mark.parametrize(
    "p, needed",
    [
        (0.01, [299, 473, 628, 773, 913, 1049]),
        (0.02, [149, 236, 313, 386, 456, 523]),
        (0.05, [59, 93, 124, 153, 181, 208]),
    ],
)
def test_the_users_needed_to_prove_a_rate_are_those_of_the_table(p, needed):
    assert [chance.clean_users_needed(k, p, 0.05) for k in range(6)] == needed


@given(st.integers(-50, 50), st.integers(0, 1000))
def test_first_true_finds_the_first(start, ahead):
    assert chance.first_true(lambda n: n >= start + ahead, start) == start + ahead
