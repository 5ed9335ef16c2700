from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rollout import buckets

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.parametrize(
    "salt, purpose, uid, number",
    [
        ("run-2026-10", "gray", "1", 4068),
        ("run-2026-10", "gray", "2", 1042),
        ("run-2026-10", "pilot", "1", 1099),
        ("run-2026-10", "gray", "user-42", 7615),
        ("r2", "gray", "1", 837),
    ],
)
def test_buckets_are_pinned_so_that_a_new_release_cannot_move_users(salt, purpose, uid, number):
    assert buckets.bucket(salt, purpose, uid) == number
    assert buckets.buckets(salt, purpose, ["other", uid])[1] == number


def test_an_integer_is_the_same_user_as_its_text():
    assert buckets.bucket("s", "gray", 42) == buckets.bucket("s", "gray", "42")


def test_two_ways_to_write_one_letter_are_one_user():
    assert buckets.place("s", "gray", "caf\u00e9") == buckets.place("s", "gray", "cafe\u0301")


@pytest.mark.parametrize("nobody", [None, True, 1.0, "", b"1"])
def test_what_is_no_user_id_is_refused_rather_than_put_into_some_bucket(nobody):
    with pytest.raises(ValueError, match="a user id is a text or an integer"):
        buckets.bucket("s", "gray", nobody)


@given(keys, keys, keys)
def test_a_bucket_is_a_number_from_0_to_9999_and_cuts_the_ring_in_order(salt, one, other):
    first, second = sorted(
        (buckets.place(salt, "gray", uid), buckets.bucket(salt, "gray", uid)) for uid in (one, other)
    )

    assert 0 <= first[1] <= second[1] <= 9999


@given(st.lists(keys, unique=True), st.integers(0, 20), st.integers(0, 20))
def test_widening_a_share_never_puts_a_user_out(users, narrow, wide):
    narrow, wide = sorted((narrow, wide))
    order = buckets.ranked("s", "gray", users)

    assert sorted(order) == sorted(users)
    assert set(order[:narrow]) <= set(order[:wide])
    assert buckets.ranked("s", "gray", reversed(users)) == order


def test_the_rank_is_by_place_and_then_by_key():
    users = [str(number) for number in range(500)]

    assert buckets.ranked("s", "gray", users) == sorted(users, key=lambda uid: (buckets.place("s", "gray", uid), uid))


def test_buckets_are_even_and_two_purposes_are_independent():
    users = [str(number) for number in range(20_000)]
    gray, pilot = (buckets.buckets("s", purpose, users) for purpose in ("gray", "pilot"))

    tenths = [sum(number // 1000 == tenth for number in gray) for tenth in range(10)]
    early_in_both = sum(one < 1000 and other < 1000 for one, other in zip(gray, pilot, strict=True))

    assert all(1800 < members < 2200 for members in tenths)
    assert 140 < early_in_both < 260
