"""The numbers of status, gates and report are counted over every user and every row, on both control databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from migrator.mapping.books import Book
from migrator.rollout.states import User, Wave
from migrator.store import batches, effects, measures, waves
from migrator.store.control import Control
from tests.flows.memory import NOW, a_batch, a_case, a_control, a_control_on, a_plan, a_user, a_verification, a_wave


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def control(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """An empty control database of either kind."""
    if request.param == "sqlite":
        control = a_control(tmp_path_factory.mktemp("control"))
    else:
        control = a_control_on(request.getfixturevalue("postgresql"))
    yield control
    control.close()


@pytest.fixture
def db(control: Control) -> Iterator[sa.Connection]:
    """A transaction of which nothing stays."""
    with control.engine.connect().execution_options(writes=True) as connection:
        work = connection.begin()
        yield connection
        work.rollback()


def test_every_status_is_counted_and_their_sum_is_the_plan(db: sa.Connection) -> None:
    plan = a_plan(db)
    for number, status in enumerate([*User, User.LIVE]):
        a_user(db, plan, str(number), status=status.value)
    a_user(db, a_plan(db, salt="another"), "1")

    counts = measures.user_counts(db, plan.id)

    assert counts == {status.value: 1 for status in User} | {"live": 2}


def test_a_wave_counts_all_who_are_in_the_target_as_moved(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    for number, status in enumerate(User):
        a_user(db, plan, str(number), status=status.value, wave_id=wave.id)
    a_user(db, plan, "elsewhere")

    found = measures.wave_numbers(db, wave.id)

    assert (found.moved, found.users) == (3, len(User))
    others = (found.planned, found.moving, found.held, found.failed, found.excluded, found.rolled_back, found.erased)
    assert found.moved + sum(others) + found.rolling_back == found.users


def test_a_wave_that_nobody_verified_has_no_differences_not_zero(db: sa.Connection) -> None:
    wave = a_wave(db, a_plan(db))

    found = measures.wave_numbers(db, wave.id)

    assert (found.verified, found.differences, found.drift, found.books_even) == (False, None, None, None)


def test_the_last_verification_of_the_wave_counts(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave, other = a_wave(db, plan), a_wave(db, plan)
    a_verification(db, plan, wave, differences=3)
    a_verification(db, plan, wave, differences=0, drift=1)
    a_verification(db, plan, other, differences=7)
    a_verification(db, plan, None, differences=9)

    found = measures.wave_numbers(db, wave.id)

    assert (found.verified, found.differences, found.drift) == (True, 0, 1)


def test_a_verification_from_before_the_check_began_does_not_count(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    a_verification(db, plan, wave)
    waves.move(db, wave, Wave.CHECKING, checking_at=NOW + timedelta(seconds=1))

    assert measures.wave_numbers(db, wave.id).differences is None


def test_a_verification_at_the_moment_the_check_began_counts(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    waves.move(db, wave, Wave.CHECKING, checking_at=NOW)
    a_verification(db, plan, wave)

    assert measures.wave_numbers(db, wave.id).differences == 0


def test_a_row_too_many_here_does_not_make_up_for_one_too_few_there(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave, even = a_wave(db, plan), a_wave(db, plan)
    a_batch(db, wave, [], read=10, written=11)
    a_batch(db, wave, [], ordinal=2, read=10, written=9)
    a_batch(db, even, [], read=10, expanded=2, written=5, folded=1, filtered=1, skipped=2, review=1, blocked=2)

    assert effects.books_of(db, [wave.id])["orders"].balanced
    assert measures.books_even(db, wave.id) is False
    assert measures.books_even(db, even.id) is True


def test_a_batch_that_nobody_is_in_any_more_is_in_no_book(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    for key in ("1", "2", "3"):
        a_user(db, plan, key, status="live", wave_id=wave.id)
    a_batch(db, wave, ["1", "2"], read=5, written=5)
    a_batch(db, wave, ["3"], ordinal=2, read=3, written=2, filtered=1)
    a_batch(db, wave, ["1", "2"], ordinal=3, read=7, written=7)

    assert measures.plan_books(db, plan.id) == {"orders": Book(read=10, written=9, filtered=1)}


def test_batches_are_counted_by_status(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    a_batch(db, wave, [])
    batches.add(db, wave.id, 2, [], plan.id, ramp=False)
    batches.add(db, wave.id, 3, [], plan.id, ramp=False)

    assert measures.wave_numbers(db, wave.id).batches == {"done": 1, "ready": 2}


def test_the_middle_user_of_a_tier_is_found_by_number_not_by_text(db: sa.Connection) -> None:
    plan = a_plan(db)
    for key, r, m in (("1", 9, "9.5"), ("2", None, "10"), ("3", 100, "1000.00"), ("4", 20, "-3")):
        a_user(db, plan, key, tier="core", r=r, f=int(key), m=m)
    a_user(db, plan, "5", tier="edge", r=None, f=0, m="0")

    core, edge = measures.tier_numbers(db, plan.id)

    assert (core.tier, core.users, core.recency_days, core.frequency_days, core.money) == ("core", 4, 20, 2, "9.5")
    assert (edge.tier, edge.recency_days, edge.frequency_days) == ("edge", None, 0)


def test_progress_counts_those_who_are_still_in_the_target(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    for key, status in (("1", "live"), ("2", "moved"), ("3", "rolled_back"), ("4", "held"), ("5", "settled")):
        a_user(db, plan, key, status=status, wave_id=wave.id)
    first = a_batch(db, wave, ["1", "2", "3"])
    second = a_batch(db, wave, ["4", "5"], ordinal=2)

    assert measures.progress(db, plan.id) == [(first.finished_at, 2), (second.finished_at, 1)]


def test_pace_counts_time_at_work_once_and_idle_time_not_at_all(db: sa.Connection) -> None:
    wave = a_wave(db, a_plan(db))
    for ordinal, (begin, end) in enumerate([(0, 10), (5, 12), (6, 8), (11, 13), (100, 103)], start=1):
        at_work(db, a_batch(db, wave, [], ordinal=ordinal), begin, end)

    found = measures.pace(db, [wave.id])

    assert (found.batches, found.rows, found.seconds) == (5, 50, 16)


def at_work(db: sa.Connection, batch: batches.Batch, begin: int, end: int) -> None:
    times = {"started_at": NOW + timedelta(seconds=begin), "finished_at": NOW + timedelta(seconds=end)}
    db.execute(sa.update(measures.batches).where(measures.batches.c.id == batch.id).values(**times))


def test_cases_with_one_cause_are_one_line_with_all_its_users(db: sa.Connection) -> None:
    plan = a_plan(db)
    a_case(db, plan, ["1", "2"])
    a_case(db, plan, ["2", "3"], source_key="other")
    a_case(db, plan, ["9"], mapping="carts", cause="77aa0011", holds=False)

    orders, carts = measures.causes(db, plan.id)

    assert (orders.cause, orders.users, orders.cases, orders.open, orders.holds) == ("c0ffee00", 3, 2, 2, True)
    assert (orders.file, orders.line) == ("mappings/shop/orders.yaml", 21)
    assert (carts.mapping, carts.users, carts.holds) == ("carts", 1, False)


def test_warnings_are_summed_over_batches_most_frequent_first(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    for ordinal in (1, 2):
        batch = a_batch(db, wave, [], ordinal=ordinal)
        effects.keep_warnings(
            db,
            batch.id,
            [
                {"mapping": "profiles", "field": "birthday", "rule": "date", "count": 2, "sample": None},
                {"mapping": "accounts", "field": "name", "rule": "repair_encoding", "count": 5, "sample": None},
            ],
        )

    assert measures.warning_counts(db, plan.id) == [
        ("accounts", "name", "repair_encoding", 10),
        ("profiles", "birthday", "date", 4),
    ]


def test_excluded_users_are_counted_by_reason(db: sa.Connection) -> None:
    plan = a_plan(db)
    for key, reason in (("1", "test account"), ("2", "test account"), ("3", None)):
        a_user(db, plan, key, status="excluded", reason=reason)

    assert measures.excluded_reasons(db, plan.id) == {"test account": 2, "no reason stored": 1}


def test_of_each_wave_and_of_everything_the_newest_verification_is_given(db: sa.Connection) -> None:
    plan = a_plan(db)
    wave = a_wave(db, plan)
    for checked in (1, 2):
        a_verification(db, plan, wave, checked_users=checked)
        a_verification(db, plan, None, checked_users=10 * checked)

    found = measures.verifications_of(db, plan.id)

    assert [(row["wave_id"], row["checked_users"]) for row in found] == [(wave.id, 2), (None, 20)]
