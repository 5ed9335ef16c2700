from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import Refused, SettingWrong
from migrator.rollout import tiers
from migrator.rollout.cuts import Cut
from migrator.rollout.tiers import Rules, Thresholds

AS_OF = datetime(2026, 10, 1, tzinfo=UTC)
MONEY = pl.Decimal(38, 18)


def days(*seen: tuple[str, date]) -> pl.DataFrame:
    return pl.DataFrame(seen, schema={"user": pl.String, "day": pl.Date}, orient="row")


def money(*paid: tuple[str, str, str, str | None]) -> pl.DataFrame:
    rows = [
        (user, datetime.fromisoformat(at).replace(tzinfo=UTC), Decimal(much), what) for user, at, much, what in paid
    ]
    schema = {"user": pl.String, "at": pl.Datetime("us", "UTC"), "amount": MONEY, "currency": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def rfm(*rows: tuple[int | None, int, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [(str(i), r, f, Decimal(m)) for i, (r, f, m) in enumerate(rows)], schema=tiers.RFM, orient="row"
    )


def limits(recency: str = "30", frequency: str = "3", paid: str = "100", rules: Rules | None = None) -> Thresholds:
    return Thresholds(Decimal(recency), Decimal(frequency), Decimal(paid), AS_OF, rules or Rules())


def ago(count: int) -> date:
    return AS_OF.date() - timedelta(days=count)


@pytest.mark.parametrize("latest", ["2026-09-30 00:00:00", "2026-09-30 23:59:59"])
def test_a_plan_looks_from_the_midnight_after_the_latest_sign_of_life(latest):
    assert tiers.as_of(datetime.fromisoformat(latest).replace(tzinfo=UTC)) == AS_OF


def test_recency_is_the_days_since_the_last_sign_of_life_whenever_that_was():
    seen = days(("a", ago(3)), ("a", ago(200)), ("b", ago(400)), ("c", ago(-1)))

    measured = tiers.measure(["a", "b", "c", "d"], seen, money(), AS_OF, Rules())

    assert measured["r"].to_list() == [3, 400, None, None]


def test_frequency_counts_distinct_days_inside_the_window():
    seen = days(*(("a", ago(n)) for n in (0, 1, 1, 89, 90, 91)))

    assert tiers.measure(["a"], seen, money(), AS_OF, Rules(frequency_window=90))["f"].to_list() == [3]
    assert tiers.measure(["a"], seen, money(), AS_OF, Rules(frequency_window=None))["f"].to_list() == [5]


def test_money_is_exact_with_refunds_taken_off_and_later_payments_left_out():
    paid = money(
        ("a", "2026-09-30 12:00", "0.1", None),
        ("a", "2026-09-30 13:00", "0.2", None),
        ("a", "2025-10-01 23:59", "500", None),  # 365 days before: outside
        ("a", "2026-10-01 12:00", "7", None),  # the day of `as_of` itself counts, as it does for signs of life
        ("a", "2026-10-02 00:00", "500", None),
        ("b", "2026-01-01 00:00", "20.50", None),
        ("b", "2026-01-02 00:00", "-30.00", None),
        ("x", "2026-01-02 00:00", "1", None),
    )

    measured = tiers.measure(["b", "a", "c"], days(), paid, AS_OF, Rules(money_window=365))

    assert measured["user"].to_list() == ["b", "a", "c"]
    assert measured["m"].to_list() == [Decimal("-9.5"), Decimal("7.3"), Decimal(0)]
    assert measured.schema == tiers.RFM


def test_two_currencies_are_not_added_without_a_rate():
    paid = money(("a", "2026-09-01 00:00", "10", "EUR"), ("a", "2026-09-01 00:00", "10", "USD"))

    with pytest.raises(Refused, match="has none for EUR, USD"):
        tiers.measure(["a"], days(), paid, AS_OF, Rules())
    with pytest.raises(Refused, match="has none for USD"):
        tiers.measure(["a"], days(), paid, AS_OF, Rules(rates={"EUR": Decimal(1)}))

    rates = {"EUR": Decimal(1), "USD": Decimal("0.923")}
    assert tiers.measure(["a"], days(), paid, AS_OF, Rules(rates=rates))["m"].to_list() == [Decimal("19.23")]


def test_two_currencies_outside_the_window_are_nobodys_trouble():
    paid = money(("a", "2020-09-01 00:00", "10", "DEM"), ("a", "2026-09-01 00:00", "10", "EUR"))

    assert tiers.measure(["a"], days(), paid, AS_OF, Rules())["m"].to_list() == [Decimal(10)]


@pytest.mark.parametrize(
    "r, f, m, code, tier, win_back",
    [
        (30, 4, "100.01", "111", "core", False),
        (30, 4, "0.01", "110", "core", False),
        (30, 4, "0", "110", "normal", False),
        (31, 4, "100.01", "011", "normal", True),
        (31, 3, "100.01", "001", "normal", True),
        (30, 3, "0.01", "100", "normal", False),
        (30, 3, "0", "100", "edge", False),
        (31, 3, "-5", "000", "edge", False),
        (None, 0, "0", "000", "edge", False),
        (30, 3, "100", "100", "normal", False),  # equal is not more
    ],
)
def test_a_tier_follows_from_the_three_bits_and_money_at_all(r, f, m, code, tier, win_back):
    (row,) = tiers.assign(rfm((r, f, m)), limits()).to_dicts()

    assert (row["code"], row["tier"], row["win_back"]) == (code, tier, win_back)


def test_users_of_the_same_figures_are_in_the_same_tier_whatever_the_thresholds():
    figures = rfm(*[(5, 2, "10")] * 40, *[(5, 3, "11")] * 40)
    for mode in (Cut("median"), Cut("mean"), Cut("quantile", Decimal("0.3")), Cut("pareto", Decimal("0.5"))):
        rules = Rules(frequency=mode, money=mode)
        found = tiers.assign(figures, tiers.thresholds(figures, AS_OF, rules))
        assert found.select("r", "f", "m", "code").unique().height == 2


def the_money_cut(cut: Cut, *amounts: str) -> Decimal:
    return tiers.thresholds(rfm(*((1, 1, amount) for amount in amounts)), AS_OF, Rules(money=cut)).money


def test_a_quantile_is_a_value_that_a_user_has():
    amounts = [str(number) for number in range(1, 11)]

    assert the_money_cut(Cut("quantile", Decimal("0.8")), *amounts) == 8
    assert the_money_cut(Cut("quantile", Decimal("0.81")), *amounts) == 9
    assert the_money_cut(Cut("median"), *amounts) == 5


def test_a_quantile_of_recency_is_counted_from_the_most_recent():
    recent = rfm(*((number, 1, "1") for number in range(1, 11)))

    found = tiers.thresholds(recent, AS_OF, Rules(recency=Cut("quantile", Decimal("0.8"))))

    assert found.recency == 2
    assert tiers.assign(recent, found)["code"].str.starts_with("1").sum() == 2


def test_a_mean_is_exact_where_floats_are_not():
    assert the_money_cut(Cut("mean"), "0.1", "0.2", "0.3") == Decimal("0.2")
    assert the_money_cut(Cut("mean"), "99999999999999.10", "99999999999999.30") == Decimal("99999999999999.20")


def test_pareto_takes_the_best_users_who_make_up_the_share_and_those_of_equal_value_with_them():
    assert the_money_cut(Cut("pareto", Decimal("0.8")), "60", "20", "10", "5", "5", "0", "-50") == 10
    assert the_money_cut(Cut("pareto", Decimal("0.7")), "40", "20", "20", "20") == 0
    assert the_money_cut(Cut("pareto", Decimal("0.8")), "0", "-1") == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 99))
def test_the_users_above_a_pareto_threshold_hold_the_share_and_fewer_would_not(amounts, percent):
    share = Decimal(percent) / 100
    cut = the_money_cut(Cut("pareto", share), *map(str, amounts))
    above = sorted(amount for amount in amounts if amount > cut)

    assert sum(above) >= share * sum(amounts)
    if above:
        assert sum(amount for amount in above if amount > above[0]) < share * sum(amounts)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 99))
def test_no_more_than_the_rest_of_a_quantile_are_above_it(amounts, percent):
    cut = the_money_cut(Cut("quantile", Decimal(percent) / 100), *map(str, amounts))
    above = sum(amount > cut for amount in amounts)

    assert above * 100 <= (100 - percent) * len(amounts)


def test_thresholds_of_nobody_are_zero():
    found = tiers.thresholds(rfm(), AS_OF, Rules())

    assert (found.recency, found.frequency, found.money) == (30, 0, 0)
    assert tiers.warnings(tiers.assign(rfm(), found), found) == []


def test_a_tie_at_a_threshold_and_an_empty_tier_are_warned_of():
    figures = tiers.assign(rfm(*[(1, 1, "5")] * 30, *[(1, 9, "500")] * 70), limits(frequency="1"))

    assert tiers.warnings(figures, limits(frequency="1")) == [
        "30 of 100 users have exactly the frequency of the threshold (1); a small change of it would move them all",
        "tier edge has 0 of 100 users, less than 1 %: look at [tiers]",
    ]


def test_the_reason_is_one_sentence_that_support_can_read():
    (row,) = tiers.assign(rfm((12, 9, "1499.5")), limits(rules=Rules(money_window=None))).to_dicts()

    assert tiers.explain(row, limits(rules=Rules(money_window=None))) == (
        "core (111): last active 12 days before 2026-10-01 (recent: at most 30), "
        "active on 9 days in 90 days (frequent: more than 3, quantile 0.8), "
        "1499.5 paid in all (high: more than 100, quantile 0.8)."
    )


def test_the_reason_of_a_user_without_a_sign_of_life_says_so():
    (row,) = tiers.assign(rfm((None, 0, "0")), limits()).to_dicts()

    assert tiers.explain(row, limits()).startswith(
        "edge (000): never seen active (not recent: at most 30), active on 0"
    )


def test_settings_are_read():
    rules = tiers.read(
        "all",
        "365d",
        {"recency": {"fixed": 30}, "frequency": {"median": True}, "money": {"pareto": 0.8}},
        {"USD": "0.92"},
    )

    expected = Rules(
        None, 365, Cut("fixed", Decimal(30)), Cut("median"), Cut("pareto", Decimal("0.8")), {"USD": Decimal("0.92")}
    )
    assert rules == expected


def test_all_mistakes_of_the_settings_are_told_at_once():
    with pytest.raises(SettingWrong) as wrong:
        tiers.read(
            "90",
            "a year",
            {"recency": {"pareto": 0.8}, "frequency": {"quantile": 1.5}, "money": {"fixed": "lots"}},
            {"USD": True, "EUR": -1},
        )

    assert [problem.split(" is ")[0].split(":")[0] for problem in wrong.value.problems] == [
        "[tiers] frequency_window",
        "[tiers] money_window",
        "[tiers] recency",
        "[tiers] frequency",
        "[tiers] money.fixed",
        "[tiers] rates.USD",
        "[tiers] rates.EUR",
    ]


@pytest.mark.real_data
@pytest.mark.parametrize(
    "rules, sizes",
    [
        (Rules(None, None, Cut("mean"), Cut("mean"), Cut("mean")), {"111": 19.6, "011": 1.9, "110": 8.4, "000": 57.7}),
        (
            Rules(None, None, *(Cut("quantile", Decimal("0.8")),) * 3),
            {"111": 10.0, "011": 3.5, "001": 4.6, "110": 1.9, "100": 6.2, "000": 70.6},
        ),
        (
            Rules(None, None, Cut("fixed", Decimal(180)), Cut("fixed", Decimal(2)), Cut("quantile", Decimal("0.8"))),
            {"111": 12.9, "011": 5.1, "001": 1.8, "110": 6.9, "100": 2.8, "000": 63.0},
        ),
    ],
)
def test_the_classes_of_cdnow_are_as_large_as_published_for_it(rules, sizes):
    if not (folder := os.environ.get("MIGRATOR_REAL_DATA")):
        pytest.skip("MIGRATOR_REAL_DATA is not set")
    figures = pl.read_csv(Path(folder) / "cdnow" / "expected_rfm_1998-06-30.csv", schema_overrides={"id": pl.String})
    measured = figures.select(
        user="id", r="recency_days", f="frequency_tx", m=pl.col("monetary_sum").round(2).cast(pl.String).cast(MONEY)
    )

    assigned = tiers.assign(measured, tiers.thresholds(measured, AS_OF, rules))

    percent = {code: 100 * count / assigned.height for code, count in assigned["code"].value_counts().iter_rows()}
    assert {code: round(percent[code], 1) for code in sizes} == sizes
