from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import SettingWrong
from migrator.rollout import buckets, plan
from migrator.rollout.pilot import Pilot
from migrator.rollout.stages import Stage

TIERS = ("core", "normal", "edge")
sizes = st.tuples(*(st.integers(0, 400) for _ in TIERS))
shares = st.lists(st.integers(1, 99), unique=True, max_size=4).map(sorted)


def people(core: int = 0, normal: int = 0, edge: int = 0) -> pl.DataFrame:
    tiers = ["core"] * core + ["normal"] * normal + ["edge"] * edge
    return pl.DataFrame(
        {"user": [str(n) for n in range(len(tiers))], "tier": tiers}, schema_overrides={"tier": pl.String}
    )


@given(sizes, shares)
def test_every_user_is_in_exactly_one_wave(counts, gray):
    users = people(*counts)

    waves = plan.waves(users, TIERS, gray, "s")

    assert sorted(user for wave in waves for user in wave.users) == sorted(users["user"])
    assert [wave.ordinal for wave in waves] == list(range(1, len(waves) + 1))
    assert all(wave.users for wave in waves)


@given(sizes, shares)
def test_after_a_gray_wave_its_share_of_the_tier_is_in_with_the_pilot_counted(counts, gray):
    users = people(*counts)
    tier_of = dict(users.iter_rows())
    moved: list[str] = []

    for wave in plan.waves(users, TIERS, gray, "s"):
        moved += wave.users
        if wave.tier:
            total = counts[TIERS.index(wave.tier)]
            inside = sum(tier_of[user] == wave.tier for user in moved)
            assert inside == max(-(-wave.share * total // 100), Pilot().size(total))
            assert all(tier_of[user] == wave.tier for user in wave.users)


@given(sizes, shares)
def test_users_of_a_wave_are_in_the_order_of_their_hash(counts, gray):
    for wave in plan.waves(people(*counts), TIERS, gray, "s"):
        purpose = "pilot" if wave.stage is Stage.PILOT else "gray"
        assert buckets.ranked("s", purpose, wave.users) == wave.users


def test_a_plan_reads_as_pilot_then_tier_by_tier():
    waves = plan.waves(people(core=2000, normal=4000, edge=60), TIERS, [5, 25, 50], "s")

    assert [(wave.name, wave.stage.value, wave.share, len(wave.users)) for wave in waves] == [
        ("pilot", "pilot", None, 100 + 200 + 30),
        ("core-25", "gray", 25, 400),
        ("core-50", "gray", 50, 500),
        ("core-rest", "full", 100, 1000),
        ("normal-25", "gray", 25, 800),
        ("normal-50", "gray", 50, 1000),
        ("normal-rest", "full", 100, 2000),
        ("edge-rest", "full", 100, 30),
    ]


def test_widening_a_gray_share_never_puts_a_user_out():
    users = people(core=3000)

    def early(share: int) -> set[str]:
        waves = plan.waves(users, TIERS, [share], "s")
        return {user for wave in waves if wave.stage is not Stage.FULL for user in wave.users}

    assert early(6) < early(25) < early(50) < early(99)


def test_the_order_of_the_rows_changes_nothing_and_the_salt_does():
    users = people(core=500, edge=500)

    assert plan.waves(users, TIERS, [50], "s") == plan.waves(users.reverse(), TIERS, [50], "s")
    assert plan.waves(users, TIERS, [50], "s") != plan.waves(users, TIERS, [50], "t")


def test_the_whole_strategy_is_one_wave_of_everybody():
    (wave,) = plan.waves(people(core=3, edge=4), TIERS, [5], "s", strategy="whole")

    assert (wave.name, wave.tier, wave.share, len(wave.users)) == ("whole", None, 100, 7)


def test_a_plan_of_nobody_has_no_waves():
    assert plan.waves(people(), TIERS, [5], "s") == []


def test_all_mistakes_of_a_plan_are_told_at_once():
    with pytest.raises(SettingWrong) as wrong:
        plan.waves(people(core=1, edge=1), ["core", "core"], [25, 5, 100], "s")

    assert wrong.value.problems == (
        "[plan] order names a tier twice: core, core",
        "[plan] order does not say when tier edge moves",
        "[plan] gray are rising percents above 0 and below 100, not [25, 5, 100]",
    )


def test_a_strategy_nobody_knows_is_refused():
    with pytest.raises(SettingWrong, match="strategy is tiered or whole, not big-bang"):
        plan.waves(people(core=1), TIERS, [], "s", strategy="big-bang")


@given(st.integers(0, 3000), st.integers(1, 1200))
def test_batches_hold_every_user_once_and_none_is_too_large(count, size):
    users = buckets.ranked("s", "gray", [str(n) for n in range(count)])

    cut = plan.batches(users, size)

    assert sorted(user for batch in cut for user in batch) == sorted(users)
    assert all(0 < len(batch) <= size for batch in cut)


def test_batches_begin_with_a_ramp_in_the_order_of_the_hash_and_go_on_by_key():
    users = buckets.ranked("s", "gray", [str(n) for n in range(4000)])

    cut = plan.batches(users, 1000)

    assert [len(batch) for batch in cut] == [25, 100, 400, 1000, 1000, 1000, 475]
    assert [user for batch in cut[:3] for user in batch] == users[:525]
    assert [user for batch in cut[3:] for user in batch] == sorted(users[525:], key=int)
    assert plan.ramp(4000, 1000) == [25, 100, 400]


@pytest.mark.parametrize("count, parts", [(1, [1]), (49, [49]), (50, [25, 25]), (60, [25, 35]), (300, [25, 100, 175])])
def test_a_small_wave_is_not_cut_to_pieces(count, parts):
    assert [len(batch) for batch in plan.batches([str(n) for n in range(count)], 1000)] == parts


def test_a_size_below_the_first_step_has_no_ramp():
    assert [len(batch) for batch in plan.batches([str(n) for n in range(45)], 20)] == [20, 20, 5]
    assert plan.ramp(1000, 25) == []


@pytest.mark.parametrize(
    "users, order, expected",
    [
        (["10", "9", "-1"], "auto", ["-1", "9", "10"]),
        (["10", "9", "a"], "auto", ["10", "9", "a"]),
        (["10", "9"], "text", ["10", "9"]),
        (["9", "10", "09"], "number", ["09", "9", "10"]),
        (["²", "1"], "auto", ["1", "²"]),  # a digit to Unicode, not a number
    ],
)
def test_keys_are_in_the_order_of_the_database(users, order, expected):
    assert plan.batches(users, 10, order) == [expected]


def test_a_batch_of_nobody_is_refused():
    with pytest.raises(SettingWrong):
        plan.batches(["1"], 0)


def test_rows_of_nobody_are_the_last_wave_and_there_is_none_without_them():
    planned = plan.waves(people(core=100), TIERS, [25], "s")
    owners = [f"~orders:{n}" for n in range(40)]

    last = plan.rows_of_nobody(owners, "s", planned)[-1]

    assert (last.ordinal, last.name, last.stage, last.tier) == (len(planned) + 1, "nobody", Stage.NOBODY, None)
    assert last.users == buckets.ranked("s", "gray", owners)
    assert (last.stage.units, planned[0].stage.units) == ("rows of nobody", "users")
    assert plan.rows_of_nobody([], "s", planned) == planned


def test_rows_of_nobody_are_cut_by_mapping_and_number():
    owners = ["~orders:10", "~lines:7:2", "~orders:9", "~vouchers:x", "~lines:7:10"]

    assert plan.batches(owners, 100) == [["~lines:7:2", "~lines:7:10", "~orders:9", "~orders:10", "~vouchers:x"]]


keys = st.integers(-50, 10**12).map(str) | st.builds("~{}:{}".format, st.sampled_from(["a", "b"]), st.integers(0, 200))


@given(st.lists(keys | st.text("xyé:1", min_size=1), unique=True), st.data())
def test_places_are_the_order_in_which_batches_are_cut_by_key(users: list[str], data: st.DataObject) -> None:
    heads = data.draw(st.lists(st.sampled_from(users), unique=True, max_size=3)) if users else []
    leaders = [data.draw(st.none() | st.sampled_from(heads)) if heads else None for _ in users]
    leaders = [user if user in heads else leader for user, leader in zip(users, leaders, strict=True)]
    together = {user: leader for user, leader in zip(users, leaders, strict=True) if leader is not None}

    found = plan.places(pl.Series(users, dtype=pl.String), pl.Series(leaders, dtype=pl.String)).to_list()

    assert sorted(found) == list(range(len(users)))
    in_place = [together.get(user, user) for _, user in sorted(zip(found, users, strict=True))]
    units = [together.get(part[0], part[0]) for part in plan.batches(users, 1, together=together)]
    assert list(dict.fromkeys(in_place)) == units
    assert sum(one != other for one, other in pairwise(in_place)) == max(len(units) - 1, 0), "a unit is parted"
