"""
The few probabilities that gates, breaker and pilots need, exact and without SciPy.

Sums of terms from `lgamma`, added from the largest down until the rest no longer counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

_NEGLIGIBLE = 1e-18


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Chance of at most *k* failures among *n* users when each fails with chance *p* (strictly between 0 and 1)."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)

    def term(i: int) -> float:
        return math.exp(_log_choose(n, i) + i * log_p + (n - i) * log_q)

    return _tail(term, k, first=0, last=n, mean=n * p)


def hypergeometric_cdf(k: int, population: int, bad: int, n: int) -> float:
    """Chance of at most *k* bad ones among *n* drawn without putting back from *population* with *bad* bad ones."""
    first, last = max(0, n - (population - bad)), min(n, bad)
    if k < first:
        return 0.0
    if k >= last:
        return 1.0
    log_all = _log_choose(population, n)

    def term(i: int) -> float:
        return math.exp(_log_choose(bad, i) + _log_choose(population - bad, n - i) - log_all)

    return _tail(term, k, first=first, last=last, mean=n * bad / population)


def upper_bound(k: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson bound: the failure rate is not above it, at confidence 1 - *alpha*. Needs n > 0."""
    if k >= n:
        return 1.0
    low, high = k / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if binomial_cdf(k, n, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def clean_users_needed(k: int, p: float, alpha: float) -> int:
    """Smallest number of users of whom *k* may fail and the rate still be proved below *p*."""
    return first_true(lambda n: binomial_cdf(k, n, p) <= alpha, start=k + 1)


def first_true(proved: Callable[[int], bool], start: int) -> int:
    """Smallest number from *start* on for which *proved* holds; it must stay true once it is."""
    step = 1
    while not proved(start + step - 1):
        step *= 2
    low, high = start + step // 2 - 1, start + step - 1  # low is not proved (or before the start), high is
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proved(middle) else (middle, high)
    return high


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _tail(term: Callable[[int], float], k: int, *, first: int, last: int, mean: float) -> float:
    # Below the mean the terms fall towards `first`, above it towards `last`: add the side that is small and falls.
    if k < mean:
        return min(1.0, _sum(term, range(k, first - 1, -1)))
    return max(0.0, 1.0 - _sum(term, range(k + 1, last + 1)))


def _sum(term: Callable[[int], float], indexes: Iterable[int]) -> float:
    total = 0.0
    for i in indexes:
        value = term(i)
        total += value
        if value <= total * _NEGLIGIBLE:
            break
    return total
