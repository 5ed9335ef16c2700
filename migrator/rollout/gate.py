"""
The gate at the end of a wave: measured numbers and limits in, GO, HOLD or STOP with reasons out.

Silence is not consent: what was not measured is HOLD. The worst check decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from migrator.rollout import chance


class Outcome(StrEnum):
    """What a gate says."""

    GO = "go"
    HOLD = "hold"
    STOP = "stop"


_WORSE = {Outcome.GO: 0, Outcome.HOLD: 1, Outcome.STOP: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check with what was measured, its limit and a sentence for the next person. None: not measured."""

    check: str
    outcome: Outcome
    measured: float | None
    limit: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says, and every check that it looked at."""

    outcome: Outcome
    checks: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not Outcome.GO)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a wave may look like. Shares are between 0 and 1."""

    max_failed: float = 0.02  # tolerated share of failed users
    alpha: float = 0.05  # chance of a GO although more fail
    max_held: float = 0.05  # share of a wave that may be held, rounded up to whole users
    stop_alpha: float = 0.01  # chance that the breaker stops a healthy wave


@dataclass(frozen=True, slots=True)
class Measured:
    """
    What the control database and the verifier say of one wave. None: not measured.

    `users` are all of the wave, `population` those it was drawn from (its tier; for the pilot the whole plan).
    """

    users: int
    moved: int
    failed: int
    held: int
    population: int | None = None
    differences: int | None = None
    balanced: bool | None = None
    unit: str = "users"


def decide(measured: Measured, limits: Limits) -> Decision:
    """Hold the numbers of a wave against its limits."""
    return worst(
        (
            success(measured, limits),
            differences(measured.differences),
            held(measured, limits),
            books(measured.balanced),
        )
    )


def worst(checks: Iterable[Finding]) -> Decision:
    """Let the worst check decide; a gate without checks is HOLD."""
    looked_at = tuple(checks)
    if not looked_at:
        looked_at = (Finding("gate", Outcome.HOLD, None, None, "nothing was checked"),)
    return Decision(max((check.outcome for check in looked_at), key=_WORSE.__getitem__), looked_at)


def success(measured: Measured, limits: Limits) -> Finding:
    """
    Ask whether the share of failed users is proved to be below `max_failed`.

    Success is moved / (moved + failed); held and excluded users are in neither. The proof is the exact binomial one
    (Clopper-Pearson), or the hypergeometric one where the users are more than a tenth of those they were drawn from:
    a tier that is through has been counted, not sampled.

    Small waves: where not even a clean wave could prove `max_failed` (with 2 % fewer than 149 users), one failure is HOLD
    and none is GO, with a sentence that says how little that proves. Otherwise a tier of 25 users could never move;
    the breaker and the larger waves guard what a small one cannot.
    """
    n, k = measured.moved + measured.failed, measured.failed
    if n == 0:
        said = "no user of the wave has an outcome: nothing was measured"
        return Finding("success", Outcome.HOLD, None, limits.max_failed, said)
    proved = _proved(k, n, measured.population, limits)
    clean_but_small = k == 0 and not proved
    outcome = Outcome.GO if proved or clean_but_small else Outcome.HOLD
    said = f"{k} of {n} {measured.unit} failed ({k / n:.2%}, tolerated {limits.max_failed:.2%})"
    if clean_but_small:
        said += f"; so few prove only that at most {chance.upper_bound(0, n, limits.alpha):.1%} fail"
    elif not proved:
        said += f"; {_way_to_go(k, n, measured, limits)}"
    return Finding("success", outcome, k / n, limits.max_failed, said)


def differences(found: int | None) -> Finding:
    """One row that is not what was meant is one too many: no statistics."""
    if found is None:
        return Finding("differences", Outcome.HOLD, None, 0, "the target was not compared: `migrator verify`")
    if found:
        said = f"{found} differences between what was meant and what the target holds: `migrator verify` names them"
        return Finding("differences", Outcome.STOP, found, 0, said)
    return Finding("differences", Outcome.GO, 0, 0, "the target holds what was meant")


def held(measured: Measured, limits: Limits) -> Finding:
    """Ask whether too many users wait for a person. Rounded up, so that one held user never blocks a small wave."""
    allowed = math.ceil(limits.max_held * measured.users)
    outcome = Outcome.HOLD if measured.held > allowed else Outcome.GO
    said = f"{measured.held} of {measured.users} {measured.unit} are held, {allowed} may be"
    if outcome is Outcome.HOLD:
        said += ": `migrator review list` groups them by cause"
    return Finding("held", outcome, measured.held, allowed, said)


def books(balanced: bool | None) -> Finding:
    """Ask whether every row that was read has exactly one outcome."""
    if balanced is None:
        return Finding("books", Outcome.HOLD, None, None, "the rows were not counted")
    if not balanced:
        said = "the rows read are not the rows written, filtered, skipped and held: `migrator report` shows which"
        return Finding("books", Outcome.STOP, 0, 1, said)
    return Finding("books", Outcome.GO, 1, 1, "every row that was read is accounted for")


def _proved(k: int, n: int, population: int | None, limits: Limits) -> bool:
    if population is not None and population < 10 * n:
        population = max(population, n)
        too_many = math.floor(limits.max_failed * population) + 1
        return chance.hypergeometric_cdf(k, population, too_many, n) <= limits.alpha
    return chance.binomial_cdf(k, n, limits.max_failed) <= limits.alpha


def _way_to_go(k: int, n: int, measured: Measured, limits: Limits) -> str:
    population = measured.population

    def proved(users: int) -> bool:
        return _proved(k, users, population, limits)

    if population is not None and not proved(population):
        return f"no number of clean {measured.unit} makes that good: repair and `migrator wave retry`, or override with a reason"
    more = chance.first_true(proved, start=n) - n
    return f"{more} more {measured.unit} without a failure would give GO"
