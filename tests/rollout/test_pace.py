"""The size of the next batch: toward its target, within its bounds, and calm."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from migrator.rollout.pace import STEP, Ended, Pace, follow, per_user, shared, step

PACE = Pace(target=15.0, smallest=10, largest=5000, memory=600)
sizes = st.integers(10, 5000)
batches = st.builds(Ended, st.integers(0, 5000), st.floats(0, 3600), st.none() | st.integers(0, 5000))


def run(cost: float, fixed: float, start: int, batches: int, *, pace: Pace = PACE, under_way: int = 1) -> list[int]:
    """The sizes a wave would cut where *fixed* seconds and *cost* per user are what a batch takes."""
    size, ended, cut, sizes = start, [], deque([start] * under_way), []
    for _ in range(batches):
        users = cut.popleft()
        ended.append(Ended(users, fixed + cost * users))
        size = follow(size, ended, 1, pace)
        cut.append(size)
        sizes.append(size)
    return sizes


@given(sizes, st.lists(batches, min_size=1, max_size=30), st.integers(0, 30))
def test_it_never_leaves_its_bounds(present: int, ended: list[Ended], new: int) -> None:
    assert 10 <= follow(present, ended, new, PACE) <= 5000


@given(sizes, st.lists(batches, min_size=1, max_size=30))
def test_a_step_is_at_most_a_fifth_or_one_user(present: int, ended: list[Ended]) -> None:
    assert abs(step(present, ended, PACE) - present) <= max(1, present * STEP + 1)


@given(st.floats(1e-4, 1.2), st.floats(0, 5), sizes, st.integers(1, 8))
def test_it_comes_to_its_target_and_stays_whatever_a_user_costs(
    cost: float, fixed: float, start: int, under_way: int
) -> None:
    sizes = run(cost, fixed, start, 150, under_way=under_way)

    last = sizes[-20:]
    assert len(set(last)) == 1, "it does not come to rest"
    takes = fixed + cost * last[0]
    if 10 < last[0] < 5000:
        assert 10 * 0.99 <= takes <= 20 * 1.01
    elif last[0] == 10:
        assert takes >= 10 * 0.99
    else:
        assert takes <= 20 * 1.01


@given(st.floats(0.003, 0.1), st.floats(0, 1000))
def test_one_batch_that_took_for_ever_costs_at_most_one_step(cost: float, longer: float) -> None:
    size = int(15 / cost)
    ended = [Ended(size, size * cost) for _ in range(20)]
    assert follow(size, ended, 1, PACE) == size

    ended.append(Ended(size, size * cost + longer))
    after = follow(size, ended, 1, PACE)
    for _ in range(20):
        ended.append(Ended(after, after * cost))
        after = follow(after, ended, 1, PACE)

    assert after >= int(size * (1 - STEP)) - 1


def test_the_ramp_says_as_much_as_it_is_worth() -> None:
    # the first batch waits for a worker to warm up; five small ones must not pass for a slow database
    ramp = [Ended(25, 3.0), Ended(50, 0.3), Ended(100, 0.4), Ended(200, 0.6), Ended(400, 1.1)]

    assert per_user(ramp) < 0.005
    assert follow(1000, ramp, 5, PACE) > 900


def test_without_a_new_batch_nothing_changes() -> None:
    assert follow(1000, [Ended(1000, 1.0)], 0, PACE) == 1000


def test_a_size_that_is_set_by_hand_is_kept() -> None:
    fixed = Pace(adaptive=False)

    assert follow(7000, [Ended(7000, 3600.0, 5000)], 1, fixed) == 7000


@given(sizes, st.floats(0, 3600))
def test_a_worker_that_holds_too_much_gets_less(present: int, seconds: float) -> None:
    assume(present > 12)

    assert step(present, [Ended(present, seconds, 601)], PACE) < present


def test_batches_that_were_cut_before_the_size_went_down_do_not_count_twice() -> None:
    assert step(800, [Ended(1000, 1.0, 700)], PACE) == 800


def test_it_does_not_grow_to_where_memory_would_be_short() -> None:
    assert step(1000, [Ended(1000, 1.0, 501)], PACE) == 1000
    assert step(1000, [Ended(1000, 1.0, 400)], PACE) == 1200


@pytest.mark.parametrize(("start", "smallest", "largest"), [(3, 3, 5000), (8000, 10, 8000), (500, 10, 5000)])
def test_what_a_plan_starts_with_is_within_bounds(start: int, smallest: int, largest: int) -> None:
    found = PACE.around(start)

    assert (found.smallest, found.largest) == (smallest, largest)


@given(st.integers(1, 20_000), st.integers(0, 1_000_000), st.integers(2, 16))
def test_the_last_batches_of_a_wave_are_smaller_so_that_its_workers_end_together(
    size: int, left: int, workers: int
) -> None:
    cuts = []
    while left > 0:
        cuts.append(min(left, shared(size, left, workers)))
        left -= cuts[-1]

    assert all(1 <= cut <= size for cut in cuts)
    assert all(later <= earlier for earlier, later in pairwise(cuts))
    assert all(cut >= size // 2 for cut in cuts[:-1])
    if len(cuts) > 4 * workers and size >= 8:
        assert cuts[-2] <= size // 2 + 1


def test_who_works_alone_has_nobody_to_wait_for() -> None:
    assert shared(5000, 5001, 1) == 5000
