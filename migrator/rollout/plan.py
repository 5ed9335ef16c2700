"""Who moves when: tiers and shares become waves, the users of a wave become batches. Returns values, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from migrator.errors import SettingWrong
from migrator.rollout import buckets
from migrator.rollout import pilot as pilots
from migrator.rollout.pilot import Pilot

GRAY = "gray"
_FIRST_STEP = 25


class Stage(StrEnum):
    """How wide a wave is."""

    PILOT = "pilot"
    GRAY = "gray"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class WaveDraft:
    """
    One wave to be.

    `share` is how many percent of the tier are in once it is done; None for the pilot. `users` are in order of their
    hash, so that the early ones are a sample of all.
    """

    ordinal: int
    name: str
    tier: str | None  # None: all tiers
    stage: Stage
    share: int | None
    users: list[str]


def waves(
    users: pl.DataFrame,
    order: Sequence[str],
    gray: Sequence[int],
    salt: str,
    strategy: str = "tiered",
    pilot: Pilot | None = None,
) -> list[WaveDraft]:
    """
    Divide users into waves: a pilot of all tiers, then tier by tier the gray shares, then the rest of the tier.

    Args:
        users: `user` (unique) and `tier` of everybody who is to move, in any order.
        order: The tiers, first to move first; every tier of *users* is in it.
        gray: Cumulative percents of a tier, the pilot's users counted in; rising, above 0 and below 100.
        salt: The run's salt; the same salt and users give the same waves.
        strategy: `tiered`, or `whole` for one wave of everybody.
        pilot: The size of the pilot.

    Returns:
        Waves that hold every user exactly once, none of them empty, ordinals from 1.

    Raises:
        SettingWrong: order, shares or strategy make no plan; all reasons at once.

    Cost:
        Two hashes and two sorts per user: about three seconds for a million.
    """
    _check(users, order, gray, strategy)
    if strategy == "whole":
        drafts = [WaveDraft(0, "whole", None, Stage.FULL, 100, buckets.ranked(salt, GRAY, users["user"]))]
    else:
        drafts = _tiered(users, order, gray, salt, pilot or Pilot())
    full = [draft for draft in drafts if draft.users]
    return [
        WaveDraft(ordinal, draft.name, draft.tier, draft.stage, draft.share, draft.users)
        for ordinal, draft in enumerate(full, start=1)
    ]


def batches(users: Sequence[str], size: int, key_order: str = "auto") -> list[list[str]]:
    """
    Cut a wave into batches: a ramp of 25, 50, 100, … in the order given, the rest by key.

    The ramp is a sample (the breaker looks after each); the rest goes by key because near rows lie together.

    Args:
        users: The users of a wave in order of their hash.
        size: Users per batch.
        key_order: `number`, `text`, or `auto`: numbers if every key of the wave is an integer.
    """
    if size < 1:
        raise SettingWrong(f"a batch holds at least 1 user, not {size}")
    cut, start = [], 0
    for step in ramp(len(users), size):
        cut.append(list(users[start : start + step]))
        start += step
    rest = _by_key(users[start:], key_order)
    return cut + [rest[i : i + size] for i in range(0, len(rest), size)]


def ramp(users: int, size: int) -> list[int]:
    """Give the sizes of the first batches of a wave: doubling below *size*, while more than as many again remain."""
    steps, step = [], _FIRST_STEP
    while step < size and users >= 2 * step:
        steps.append(step)
        users -= step
        step *= 2
    return steps


def _tiered(users: pl.DataFrame, order: Sequence[str], gray: Sequence[int], salt: str, pilot: Pilot) -> list[WaveDraft]:
    tiers = {tier: users.filter(pl.col("tier") == tier)["user"].to_list() for tier in order}
    drawn = pilots.draw(tiers, salt, pilot)
    everybody_drawn = buckets.ranked(salt, pilots.PURPOSE, (user for part in drawn.values() for user in part))
    drafts = [WaveDraft(0, "pilot", None, Stage.PILOT, None, everybody_drawn)]
    for tier, members in tiers.items():
        gone = set(drawn[tier])
        rest = buckets.ranked(salt, GRAY, (user for user in members if user not in gone))
        drafts += _shares(tier, len(gone), rest, gray)
    return drafts


def _shares(tier: str, moved: int, rest: list[str], gray: Sequence[int]) -> list[WaveDraft]:
    # The pilot counts towards every share, so a wave holds only what is missing to it, and a share can be reached before.
    drafts, total, taken = [], moved + len(rest), 0
    for share in gray:
        until = max(taken, -(-share * total // 100) - moved)
        drafts.append(WaveDraft(0, f"{tier}-{share}", tier, Stage.GRAY, share, rest[taken:until]))
        taken = until
    return [*drafts, WaveDraft(0, f"{tier}-rest", tier, Stage.FULL, 100, rest[taken:])]


def _by_key(users: Sequence[str], key_order: str) -> list[str]:
    if key_order == "number" or (key_order == "auto" and all(_is_integer(user) for user in users)):
        return sorted(users, key=lambda user: (int(user), user))
    return sorted(users)


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _check(users: pl.DataFrame, order: Sequence[str], gray: Sequence[int], strategy: str) -> None:
    problems = []
    if strategy not in ("tiered", "whole"):
        problems.append(f"[plan] strategy is tiered or whole, not {strategy}")
    if len(set(order)) != len(order):
        problems.append(f"[plan] order names a tier twice: {', '.join(order)}")
    nowhere = sorted(set(users["tier"].unique().to_list()) - set(order))
    if strategy == "tiered" and nowhere:
        problems.append(f"[plan] order does not say when tier {', '.join(map(str, nowhere))} moves")
    if any(not 0 < share < 100 for share in gray) or sorted(set(gray)) != list(gray):
        problems.append(f"[plan] gray are rising percents above 0 and below 100, not {list(gray)}")
    if problems:
        raise SettingWrong(*problems)
