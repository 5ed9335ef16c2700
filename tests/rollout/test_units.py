"""Who must travel together is one unit: never parted by a wave, a batch or a half, and counted by heads."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.rollout import plan, units
from migrator.rollout.pilot import Pilot
from migrator.rollout.units import Units

ORDER = ("core", "normal", "edge")


def people(tiers: list[str], unit_of: list[int]) -> pl.DataFrame:
    """Users 0, 1, 2, … of these tiers; those with one number above zero travel together."""
    first: dict[int, str] = {}
    for user, number in enumerate(unit_of):
        if number:
            first.setdefault(number, str(user))
    told = [first.get(number) for number in unit_of]
    frame = pl.DataFrame(
        {"user": [str(n) for n in range(len(tiers))], "tier": tiers, "unit": pl.Series(told, dtype=pl.String)}
    )
    return units.one_tier(frame, ORDER)


def test_a_unit_has_the_tier_of_its_most_valuable_user() -> None:
    frame = people(["edge", "core", "normal", "edge", "normal"], [1, 1, 0, 2, 2])

    assert frame["tier"].to_list() == ["core", "core", "normal", "normal", "normal"]
    turned = units.one_tier(frame.with_columns(tier=pl.Series(["edge", "core", "own", "edge", "normal"])), ORDER[::-1])
    assert turned["tier"].to_list() == ["core", "core", "own", "normal", "normal"]


def test_shares_and_the_pilot_count_users_and_take_no_more_than_they_should() -> None:
    frame = people(["normal"] * 100, [n // 5 + 1 if n < 50 else 0 for n in range(100)])

    waves = plan.waves(frame, ORDER, (25, 50), "salt", pilot=Pilot(floor=10))

    assert [(wave.name, len(wave.users)) for wave in waves] == [
        ("pilot", 10), ("normal-25", 15), ("normal-50", 25), ("normal-rest", 50),
    ]  # fmt: skip


def test_a_batch_is_larger_than_it_should_be_only_for_those_who_cannot_be_parted() -> None:
    users = [str(n) for n in range(1, 11)]

    cut = plan.batches(users, 3, together=dict.fromkeys(["2", "3", "4", "5"], "2"))

    assert cut == [["1"], ["2", "3", "4", "5"], ["6", "7", "8"], ["9", "10"]]


def test_halves_never_part_a_unit_and_one_unit_has_no_halves() -> None:
    together = {"1": "1", "3": "1"}

    assert plan.halves(["1", "2", "3", "4"], together) == [["1", "3"], ["2", "4"]]
    assert plan.halves(["1", "3"], together) == [["1", "3"]]
    assert plan.halves([], together) == []


def test_where_the_first_is_not_there_the_next_stands_for_the_unit() -> None:
    assert dict(Units.among(["2", "3", "4"], {"1": "1", "2": "1", "4": "1"}).members) == {"2": ["2", "4"], "3": ["3"]}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(ORDER), st.integers(0, 6)), max_size=60),
    st.sampled_from(["tiered", "whole"]),
    st.integers(1, 40),
)
def test_nobody_is_parted_and_nobody_is_lost(drawn: list[tuple[str, int]], strategy: str, size: int) -> None:
    frame = people([tier for tier, _ in drawn], [number for _, number in drawn])
    together = dict(frame.select("user", "unit").drop_nulls().iter_rows())

    waves = plan.waves(frame, ORDER, (10, 60), "salt", strategy, Pilot(floor=5))

    assert sorted(user for wave in waves for user in wave.users) == sorted(frame["user"])
    for kept in (
        [wave.users for wave in waves],
        *(plan.batches(wave.users, size, together=together) for wave in waves),
    ):
        place = {user: number for number, users in enumerate(kept) for user in users}
        assert all(place.get(user) == place.get(leader) for user, leader in together.items())
    for wave in waves:
        cut = plan.batches(wave.users, size, together=together)
        assert sorted(user for part in cut for user in part) == sorted(wave.users) and all(cut)
        for part in cut:
            leaders = {together.get(user, user) for user in part}
            assert len(part) <= size or len(leaders) == 1
