from __future__ import annotations

from datetime import UTC, datetime

import pytest

from migrator.errors import SettingWrong
from migrator.rollout import schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_windows_every_hour_is_open():
    assert schedule.read([]).open_at(at("2026-10-04 03:00"))


@pytest.mark.parametrize(
    "now, is_open",
    [
        ("2026-10-05 21:59", False),  # Monday
        ("2026-10-05 22:00", True),
        ("2026-10-06 05:59", True),
        ("2026-10-06 06:00", False),
        ("2026-10-10 03:00", True),  # Saturday morning belongs to Friday's window
        ("2026-10-10 23:00", False),
        ("2026-10-12 03:00", False),  # Monday morning would belong to Sunday's
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opened(now, is_open):
    assert schedule.read(["Mon-Fri 22:00-06:00"]).open_at(at(now)) is is_open


def test_a_window_is_read_by_its_own_clock():
    berlin = schedule.read(["09:00-10:00 Europe/Berlin"])

    assert berlin.open_at(at("2026-07-01 07:30"))
    assert berlin.open_at(at("2026-12-01 08:30"))
    assert not berlin.open_at(at("2026-12-01 09:00"))
    assert not berlin.open_at(at("2026-12-01 07:30"))
    assert schedule.read(["09:00-10:00"], zone="Europe/Berlin") == berlin


def test_days_may_be_listed_and_may_go_round_the_week():
    weekend = schedule.read(["Fri-Mon 00:00-00:00"])
    listed = schedule.read(["sat, sun 00:00-00:00"])

    assert [weekend.open_at(at(f"2026-10-{day:02} 12:00")) for day in range(5, 12)] == [
        True, False, False, False, True, True, True,
    ]  # fmt: skip
    assert [listed.open_at(at(f"2026-10-{day:02} 12:00")) for day in (9, 10, 11, 12)] == [False, True, True, False]


def test_a_blackout_closes_whole_days_of_its_zone():
    quiet = schedule.read([], ["2026-12-24 to 2026-12-26 Asia/Shanghai"])

    assert quiet.open_at(at("2026-12-23 15:59"))
    assert not quiet.open_at(at("2026-12-23 16:00"))
    assert not quiet.open_at(at("2026-12-26 15:59"))
    assert quiet.open_at(at("2026-12-26 16:00"))


def test_next_open_is_now_or_the_first_window_behind_the_blackout():
    both = schedule.read(["22:00-06:00"], ["2026-12-24 to 2026-12-26"])

    assert both.next_open(at("2026-12-20 23:00")) == at("2026-12-20 23:00")
    assert both.next_open(at("2026-12-20 12:00")) == at("2026-12-20 22:00")
    assert both.next_open(at("2026-12-24 12:00")) == at("2026-12-27 00:00")


def test_a_window_that_the_clock_skips_opens_an_hour_later():
    spring = schedule.read(["Sun 02:30-04:00 Europe/Berlin"])

    assert spring.next_open(at("2026-03-28 12:00")) == at("2026-03-29 01:30")


def test_a_schedule_that_never_opens_says_so():
    assert schedule.read(["Mon 09:00-10:00"], ["2026-01-01 to 2028-01-01"]).next_open(at("2026-02-01 00:00")) is None


def test_it_says_until_when_it_is_closed():
    nights = schedule.read(["22:00-06:00 Europe/Berlin"], ["2026-12-24 Europe/Berlin"])

    assert nights.why_closed(at("2026-12-20 23:00")) is None
    assert nights.why_closed(at("2026-12-20 12:00")) == "the schedule is closed until 2026-12-20 21:00 UTC"
    assert nights.why_closed(at("2026-12-24 02:00")) == "the schedule is closed until 2026-12-24 23:00 UTC"
    never = schedule.read(["Mon 09:00-10:00"], ["2026-01-01 to 2028-01-01"])
    assert never.why_closed(at("2026-02-01 00:00")) == "the schedule is closed for more than a year"


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingWrong) as wrong:
        schedule.read(
            ["nightly", "Moon 09:00-10:00", "25:00-26:00", "09:00-10:00 Mars/Olympus"],
            ["christmas", "2026-12-26 to 2026-12-24", "2026-02-31"],
        )

    assert len(wrong.value.problems) == 7
