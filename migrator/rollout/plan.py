"""Who moves when: tiers and shares become waves, the users of a wave become batches. Returns values, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from migrator.errors import SettingWrong
from migrator.rollout import buckets
from migrator.rollout import pilot as pilots
from migrator.rollout.pilot import Pilot
from migrator.rollout.stages import Stage
from migrator.rollout.units import Units

GRAY = "gray"
_FIRST_STEP, _GROWTH = 25, 4  # users, and how many times as many are risked as were found to be well


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
        users: `user` (unique) and `tier` of everybody who is to move, in any order; `unit`, where it is there, is the
            first of those with whom a user travels (null for who travels alone): all in one wave, drawn by the first.
        order: The tiers, first to move first; every tier of *users* is in it.
        gray: Cumulative percents of a tier, the pilot's users counted in; rising, above 0 and below 100.
        salt: The run's salt; the same salt and users give the same waves.
        strategy: `tiered`, or `whole` for one wave of everybody.
        pilot: The size of the pilot.

    Returns:
        Waves that hold every user exactly once, none of them empty, ordinals from 1; those who travel together stand
        one behind the other. Shares and pilot count users.

    Raises:
        SettingWrong: order, shares or strategy make no plan; all reasons at once.

    Cost:
        Two hashes and two sorts per user: about three seconds for a million.
    """
    _check(users, order, gray, strategy)
    if strategy == "whole":
        units = Units.of(users)
        everybody = units.spread(buckets.ranked(salt, GRAY, units.members))
        drafts = [WaveDraft(0, "whole", None, Stage.FULL, 100, everybody)]
    else:
        drafts = _tiered(users, order, gray, salt, pilot or Pilot())
    full = [draft for draft in drafts if draft.users]
    return [
        WaveDraft(ordinal, draft.name, draft.tier, draft.stage, draft.share, draft.users)
        for ordinal, draft in enumerate(full, start=1)
    ]


def rows_of_nobody(owners: Sequence[str], salt: str, before: Sequence[WaveDraft]) -> list[WaveDraft]:
    """Add the last wave, of rows that belong to no user; none where there are no such rows."""
    if not owners:
        return list(before)
    ranked = buckets.ranked(salt, GRAY, owners)
    return [*before, WaveDraft(len(before) + 1, "nobody", None, Stage.NOBODY, 100, ranked)]


def batches(
    users: Sequence[str], size: int, key_order: str = "auto", together: Mapping[str, str] | None = None
) -> list[list[str]]:
    """
    Cut a wave into batches: a ramp of 25, 100, 400, … in the order given, the rest by key. Nobody is parted.

    The ramp is a sample (the breaker looks after each); the rest goes by key because near rows lie together.

    Args:
        users: The users of a wave in order of their hash.
        size: Users per batch.
        key_order: `number`, `text`, or `auto`: numbers if every key of the wave is an integer.
        together: user -> the first of those with whom he must be in one batch; a batch is larger than *size* only
            where that takes it.
    """
    if size < 1:
        raise SettingWrong(f"a batch holds at least 1 user, not {size}")
    units = Units.among(users, together or {})
    leaders = list(units.members)
    cut, start = _ramp(units, leaders, len(users), size)
    leaders, start = _by_key(leaders[start:], key_order), 0
    while start < len(leaders):
        end = units.part(size, leaders, start)
        cut.append(units.spread(leaders[start:end]))
        start = end
    return cut


def first_batches(users: Sequence[str], of: int, size: int, together: Mapping[str, str]) -> list[list[str]]:
    """
    Cut only the ramp of a wave.

    Args:
        users: The first users of the wave in order of their hash: at least as many as the ramp takes.
        of: How many users the wave has.
    """
    units = Units.among(users, together)
    return _ramp(units, list(units.members), of, size)[0]


def places(users: pl.Series, leaders: pl.Series) -> pl.Series:
    """
    Number users in the order in which the rest of a wave is cut: by key, who stay together one behind the other.

    Args:
        users: Their keys, each once.
        leaders: The first of those with whom each must be in one batch; null for who travels alone.
    """
    with_ = leaders.fill_null(users).alias("leader")
    order = pl.DataFrame([with_, users.alias("user")]).with_row_index("row").sort(*_order(with_), "leader", "user")
    return order.with_row_index("place").sort("row")["place"].cast(pl.Int64)


def halves(users: Sequence[str], together: Mapping[str, str]) -> list[list[str]]:
    """Part users in two, those who must stay together in one half; a single part where there is nothing to part."""
    units = Units.among(users, together)
    leaders = list(units.members)
    half = len(leaders) // 2
    return [units.spread(part) for part in (leaders[:half], leaders[half:]) if part]


def ramp(users: int, size: int) -> list[int]:
    """Give the sizes of the first batches of a wave: growing below *size*, while more than as many again remain."""
    steps, step = [], _FIRST_STEP
    while step < size and users >= 2 * step:
        steps.append(step)
        users -= step
        step *= _GROWTH
    return steps


def _ramp(units: Units, leaders: Sequence[str], users: int, size: int) -> tuple[list[list[str]], int]:
    """The batches of the ramp, and the place of the first leader behind them."""
    cut, start = [], 0
    for step in ramp(users, size):
        end = units.part(step, leaders, start)
        cut.append(units.spread(leaders[start:end]))
        start = end
    return [part for part in cut if part], start


def _tiered(users: pl.DataFrame, order: Sequence[str], gray: Sequence[int], salt: str, pilot: Pilot) -> list[WaveDraft]:
    everybody = Units.of(users)
    tiers = {tier: Units.of(users.filter(pl.col("tier") == tier)) for tier in order}
    drawn = pilots.draw(tiers, salt, pilot)
    in_order = buckets.ranked(salt, pilots.PURPOSE, (leader for part in drawn.values() for leader in part))
    drafts = [WaveDraft(0, "pilot", None, Stage.PILOT, None, everybody.spread(in_order))]
    for tier, units in tiers.items():
        gone = set(drawn[tier])
        rest = buckets.ranked(salt, GRAY, (leader for leader in units.members if leader not in gone))
        drafts += _shares(tier, units, len(units.spread(drawn[tier])), rest, gray)
    return drafts


def _shares(tier: str, units: Units, moved: int, rest: list[str], gray: Sequence[int]) -> list[WaveDraft]:
    # The pilot counts towards every share, so a wave holds only what is missing to it, and a share can be reached before.
    drafts, total = [], units.users
    for share in gray:
        wanted = -(-share * total // 100) - moved
        part = units.first(wanted, rest)
        taken = set(part)
        rest = [leader for leader in rest if leader not in taken]
        users = units.spread(part)
        moved += len(users)
        drafts.append(WaveDraft(0, f"{tier}-{share}", tier, Stage.GRAY, share, users))
    return [*drafts, WaveDraft(0, f"{tier}-rest", tier, Stage.FULL, 100, units.spread(rest))]


def _by_key(users: Sequence[str], key_order: str) -> list[str]:
    if key_order == "number" or (key_order == "auto" and all(_is_integer(user) for user in users)):
        return sorted(users, key=lambda user: (int(user), user))
    return sorted(users, key=_place)


def _order(keys: pl.Series) -> list[pl.Expr]:
    """What `_by_key` sorts by, for `leader`."""
    key = pl.col("leader")
    if keys.str.contains(r"^-?[0-9]{1,18}$").all():
        return [key.cast(pl.Int64)]
    parts = key.str.extract_groups(r"^(.+):(-?[0-9]{1,18})$")
    return [parts.struct[0].fill_null(key), parts.struct[1].cast(pl.Int64).fill_null(0)]


def _place(key: str) -> tuple[str, int, str]:
    """Where a key stands: `~orders:9` before `~orders:10`, because their rows lie so."""
    owner, _, number = key.rpartition(":")
    return (owner, int(number), key) if owner and _is_integer(number) else (key, 0, key)


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
