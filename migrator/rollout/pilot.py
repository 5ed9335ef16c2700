"""The pilot: a representative sample, so many of each tier, drawn by rank of the hash; and what so many can prove."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from migrator.rollout import buckets, chance
from migrator.rollout.gate import Finding, Limits, Outcome
from migrator.rollout.units import Units

PURPOSE = "pilot"


@dataclass(frozen=True, slots=True)
class Pilot:
    """How many of each tier: `floor` or `percent` of it, whichever is more, and never more than half."""

    floor: int = 59  # without a failure they prove 5 %
    percent: int = 5

    def size(self, users: int) -> int:
        """Say how many of a tier of *users* are in the pilot; a tier of one is not."""
        wanted = max(self.floor, math.ceil(Fraction(self.percent * users, 100)))
        return min(wanted, users // 2)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A sampling plan: of `users`, at most `failures` may fail."""

    users: int
    failures: int


def draw(tiers: Mapping[str, Units], salt: str, pilot: Pilot) -> dict[str, list[str]]:
    """
    Draw the pilot of each tier by rank of the `pilot` hash, the same on every call.

    Returns:
        Per tier the leaders of the units drawn: as many users as the pilot has, or fewer where only units that are
        too large are left.
    """
    return {
        tier: units.first(pilot.size(units.users), buckets.ranked(salt, PURPOSE, units.members))
        for tier, units in tiers.items()
    }


def acceptance(p_max: float, p_ok: float | None = None, alpha: float = 0.05, power: float = 0.90) -> Acceptance:
    """
    Find the smallest pilot that refuses a bad migration and lets a good one pass.

    Args:
        p_max: A share of failures that must not pass (chance of passing: *alpha*).
        p_ok: A share that should pass (chance: *power*); a quarter of *p_max* if not given.
    """
    good = p_max / 4 if p_ok is None else p_ok
    failures = 0
    while True:
        users = chance.clean_users_needed(failures, p_max, alpha)
        if chance.binomial_cdf(failures, users, good) >= power:
            return Acceptance(users, failures)
        failures += 1


def check(users: int, limits: Limits) -> Finding:
    """
    Say before it starts what a pilot of *users* can show.

    HOLD: it could not reach GO even without a failure, because nobody is in it. GO with a warning in the sentence:
    it is too small to prove `max_failed`, so that its gate lets only a clean pilot pass.
    """
    enough = chance.clean_users_needed(0, limits.max_failed, limits.alpha)
    if users == 0:
        said = 'the pilot is empty, so that its gate could never say GO: lower its floor or use `strategy = "whole"`'
        return Finding("pilot", Outcome.HOLD, 0, enough, said)
    if users < enough:
        bound = chance.upper_bound(0, users, limits.alpha)
        said = (
            f"a pilot of {users} users without a failure proves only that at most {bound:.1%} fail; "
            f"{enough} would prove the tolerated {limits.max_failed:.2%}"
        )
        return Finding("pilot", Outcome.GO, users, enough, said)
    said = f"a pilot of {users} users can prove the tolerated {limits.max_failed:.2%}"
    return Finding("pilot", Outcome.GO, users, enough, said)
