"""Any one signal stops, and the reason is a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rollout.throttle import Limits, Measured, decide

LIMITS = Limits(max_lag=5, max_sessions=20, max_statement=30)
CALM = Measured("target", lag=0.4, sessions=3, statement=0.1, number=1, above=2)
limits = st.none() | st.floats(0, 100)


def test_where_all_is_calm_nothing_waits() -> None:
    assert decide([CALM, Measured("legacy")], LIMITS) == []


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        (Measured("replica db2", lag=12.34), "replication lag of replica db2 12.3 s is above 5 s"),
        (Measured("target", sessions=21), "sessions at work in target: 21, above 20"),
        (Measured("legacy", statement=31.0), "a transaction in legacy runs for 31 s, above 30 s"),
        (Measured("target", number=7, above=2.5), "the query of target gives 7, above 2.5"),
        (Measured("legacy.crm", failed="it is away"), "legacy.crm cannot be looked at: it is away"),
    ],
)
def test_any_one_signal_stops_and_says_why(measured: Measured, sentence: str) -> None:
    assert [reason.sentence for reason in decide([CALM, measured], LIMITS)] == [sentence]


def test_a_flag_and_a_person_stop_whatever_is_measured() -> None:
    found = decide([], Limits(), flag="/srv/stop", ordered_by="ada@desk")

    assert [reason.signal for reason in found] == ["order", "flag"]
    assert [reason.sentence for reason in found] == ["ada@desk said so", "the flag /srv/stop is there"]


def test_what_has_no_limit_stops_nothing() -> None:
    assert decide([Measured("target", 1e9, 10**9, 1e9, 1e9)], Limits()) == []


@given(st.builds(Measured, st.just("target"), *(limits for _ in range(5))), limits, limits, limits)
def test_it_stops_just_where_something_is_above_its_limit(
    one: Measured, lag: float | None, sessions: float | None, statement: float | None
) -> None:
    pairs = [(one.lag, lag), (one.sessions, sessions), (one.statement, statement), (one.number, one.above)]
    above = sum(value is not None and limit is not None and value > limit for value, limit in pairs)

    assert len(decide([one], Limits(lag, sessions, statement))) == above  # type: ignore[arg-type]


def test_an_order_for_a_wave_counts_instead_of_the_settings() -> None:
    assert LIMITS.under({"max_lag": 2, "workers": 3}) == Limits(2, 20, 30)
    assert LIMITS.under({"max_lag": None}) == LIMITS
