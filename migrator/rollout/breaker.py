"""
The breaker: looks after every batch, as often as it likes, and still trips a healthy wave at most once in a hundred.

A mixture of likelihood ratios is evidence that may be looked at any time (Ville's inequality); a ratio of failures is
not, and stops one healthy wave in five.
"""

from __future__ import annotations

import math

from migrator.rollout.gate import Finding, Outcome

#: How many times worse than tolerated the alternatives are.
_TIMES_WORSE = (1.5, 2, 3, 5, 10, 20)
_WORST = 0.9


def evidence(failed: int, decided: int, p_max: float) -> float:
    """
    Give the natural logarithm of the evidence that more than *p_max* of the users fail.

    Args:
        failed: Users that failed, of
        decided: users with a final outcome in this run, tier and mapping version.
        p_max: The tolerated share, above 0 and below 0.9.
    """
    clean = decided - failed
    logs = [
        failed * math.log(p / p_max) + clean * (math.log1p(-p) - math.log1p(-p_max))
        for p in (min(times * p_max, _WORST) for times in _TIMES_WORSE)
    ]
    largest = max(logs)
    return largest + math.log(sum(math.exp(log - largest) for log in logs) / len(logs))


def look(failed: int, decided: int, p_max: float, alpha: float) -> Finding:
    """Weigh what a wave has done so far: STOP once the evidence reaches 1 / *alpha*. STOP is latched by the caller."""
    found, limit = evidence(failed, decided, p_max), -math.log(alpha)
    tripped = found >= limit
    said = f"{failed} of {decided} users failed" if decided else "no user has an outcome yet"
    judged = (
        f"far more than the tolerated {p_max:.2%}: find the cause, then `migrator plan revise`"
        if tripped
        else f"no sign of more than the tolerated {p_max:.2%}"
    )
    return Finding(
        check="breaker",
        outcome=Outcome.STOP if tripped else Outcome.GO,
        measured=round(math.exp(min(found, 700.0)), 3),  # e**709 is the largest float
        limit=round(1 / alpha, 3),
        sentence=f"{said}, {judged}",
    )


def failures_to_trip(decided: int, p_max: float, alpha: float) -> int | None:
    """Give the smallest number of failures among *decided* users that trips the breaker; None if even all do not."""
    limit = -math.log(alpha)
    # Evidence falls before the expected number of failures and rises after it; only the rise counts as worse.
    return next((k for k in range(decided + 1) if evidence(k, decided, p_max) >= limit), None)
