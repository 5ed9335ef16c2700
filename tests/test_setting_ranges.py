"""Whatever number stands in [plan], [gates], [batches] and [tiers]: a clear error, or a plan that can be carried out."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st

from migrator import settings
from migrator.errors import Refused, SettingWrong
from migrator.flows.plans.tiering import TierOptions
from migrator.rollout import breaker, gate, pace, pilot, plan, tiers
from migrator.rollout.gate import Limits, Measured
from migrator.settings import Settings

FEW = how(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHARES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, 0.9, 0.5, 1e-9, 1e-300, 5e-324, 0.8999999999999999, 1 - 1e-16, -1.0, math.inf, math.nan]
    ),
    st.floats(0, 1),
    st.floats(allow_nan=False),
)
WHOLE = st.one_of(st.sampled_from([0, 1, -1, 100, 101, 2**31, 2**63, 10**30]), st.integers(0, 200), st.integers())
AT = datetime(2026, 1, 1, tzinfo=UTC)


def _loaded(folder: Path, text: str) -> Settings | None:
    """The settings, or nothing where they are refused with every reason."""
    (folder / "migrator.toml").write_text(text, encoding="utf-8")
    try:
        return settings.load(folder / "migrator.toml", {})
    except SettingWrong as wrong:
        assert "Traceback" not in str(wrong) and str(wrong)
        return None


def _toml(number: float) -> str:
    return "nan" if math.isnan(number) else ("inf" if number > 0 else "-inf") if math.isinf(number) else repr(number)


@FEW
@given(SHARES, SHARES, SHARES, SHARES, st.integers(0, 400), st.integers(0, 400), st.none() | st.integers(0, 5000))
@example(1.0, 0.05, 0.05, 0.01, 10, 0, None)
@example(5e-324, 0.05, 5e-324, 5e-324, 10, 1, 100)
def test_gates_judge_or_are_refused(
    tmp_path: Path, max_failed: float, max_held: float, alpha: float, stop_alpha: float,
    moved: int, failed: int, population: int | None,
) -> None:  # fmt: skip
    shares = {"max_failed": max_failed, "max_held": max_held, "alpha": alpha, "stop_alpha": stop_alpha}
    found = _loaded(tmp_path, "[gates]\n" + "\n".join(f"{name} = {_toml(one)}" for name, one in shares.items()))
    if found is None:
        return
    limits = Limits(**{name: getattr(found.gates, name) for name in shares})

    decided = gate.decide(Measured(moved + failed, moved, failed, 0, population, 0, True), limits)
    tripped = breaker.look(failed, moved + failed, limits.max_failed, limits.stop_alpha)
    before = pilot.check(moved, limits)

    checks = [*decided.checks, tripped, before]
    assert all(one.sentence for one in checks)
    assert all(math.isfinite(one.measured) for one in checks if one.measured is not None)
    assert all(math.isfinite(one.limit) for one in checks if one.limit is not None)
    if not failed and moved:
        assert decided.outcome is gate.Outcome.GO and tripped.outcome is gate.Outcome.GO


@FEW
@given(WHOLE, WHOLE, st.lists(WHOLE, max_size=3), WHOLE)
@example(100, 10**30, [5], 1)
@example(0, 0, [], 1)
def test_every_user_is_in_one_wave_and_one_batch_or_the_numbers_are_refused(
    tmp_path: Path, share: int, floor: int, gray: list[int], size: int
) -> None:
    text = f"[plan]\npilot_share = {share}\npilot_floor = {floor}\ngray = {gray}\n[batches]\nusers = {size}\n"
    found = _loaded(tmp_path, text)
    if found is None:
        return
    people = [f"{n}" for n in range(47)]
    users = pl.DataFrame({"user": people, "tier": ["core" if n % 3 else "edge" for n in range(47)]})
    wanted = pilot.Pilot(found.plan.pilot_floor, found.plan.pilot_share)
    try:
        drafted = plan.waves(users, found.plan.order, found.plan.gray, "salt", "tiered", wanted)
    except SettingWrong:
        return

    assert sorted(one for wave in drafted for one in wave.users) == sorted(people)
    for wave in drafted:
        assert sorted(one for part in plan.batches(wave.users, found.batches.users) for one in part) == sorted(
            wave.users
        )
    assert pace.follow(found.batches.users, [pace.Ended(10, 3.0)], 1, pace.Pace().around(found.batches.users)) >= 1


@FEW
@given(st.integers(0, 10**12), st.sampled_from("smhdw"))
@example(400_000, "w")
def test_a_duration_leads_to_a_day_or_is_refused(tmp_path: Path, number: int, unit: str) -> None:
    found = _loaded(tmp_path, f'[plan]\nsoak = "{number}{unit}"\n[snapshots]\nkeep = "{number}{unit}"')

    if found is not None:
        assert AT + found.plan.soak >= AT and AT - found.snapshots.keep <= AT


NUMBERS = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "-1",
            "0.5",
            "1e-30",
            "1e19",
            "99999999999999999999",
            "1e300",
            "0.1234567890123456789012345",
            "nan",
            "inf",
        ]
    ),
    st.integers(-100, 100).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
CUT = st.one_of(
    st.tuples(st.sampled_from(["fixed", "quantile", "pareto"]), NUMBERS).map(lambda one: f"{{{one[0]} = {one[1]}}}"),
    st.sampled_from(["{mean = true}", "{median = true}", "{mean = false}", "{}", "{mode = 1}"]),
)
WINDOW = st.sampled_from(["all", "0d", "1d", "90d", "99999d", "100000d", "90", ""])


@FEW
@given(CUT, CUT, CUT, WINDOW, WINDOW, st.dictionaries(st.sampled_from(["EUR", "USD"]), NUMBERS))
@example("{fixed = 30}", "{fixed = 0.1234567890123456789012345}", "{fixed = 99999999999999999999}", "90d", "all", {})
@example("{fixed = 30}", "{mean = true}", "{mean = true}", "90d", "all", {"EUR": "1e19", "USD": "1e-30"})
def test_tiers_hold_everybody_or_are_refused(
    tmp_path: Path, recency: str, frequency: str, money: str, often: str, paid: str, rates: dict[str, str]
) -> None:
    text = f'[tiers]\nfrequency_window = "{often}"\nmoney_window = "{paid}"\n'
    text += f"recency = {recency}\nfrequency = {frequency}\nmoney = {money}\n"
    text += f"rates = {{{', '.join(f'{name} = {rate}' for name, rate in rates.items())}}}\n"
    found = _loaded(tmp_path, text)
    if found is None:
        return
    said = {"recency": found.tiers.recency, "frequency": found.tiers.frequency, "money": found.tiers.money}
    try:
        rules = TierOptions(
            found.tiers.frequency_window, found.tiers.money_window, said, dict(found.tiers.rates)
        ).rules()
    except SettingWrong:
        return
    days = pl.DataFrame({"user": ["a", "b", "b"], "day": [date(2025, 12, 1), date(2025, 12, 2), date(2025, 12, 5)]})
    amounts = pl.Series("amount", [Decimal("12.5"), Decimal(-3), Decimal(99999)], dtype=pl.Decimal(38, 18))
    bought = pl.DataFrame({"user": ["a", "b", "b"], "at": [AT, AT, AT], "currency": ["EUR", "EUR", "EUR"]})
    try:
        measured = tiers.measure(["a", "b", "c"], days, bought.with_columns(amounts), AT, rules)
    except Refused as refused:
        assert "[tiers.rates]" in str(refused)
        return

    limits = tiers.thresholds(measured, AT, rules)
    assigned = tiers.assign(measured, limits)

    assert assigned["tier"].null_count() == 0 and set(assigned["user"]) == {"a", "b", "c"}
    assert all(tiers.explain(row, limits) for row in assigned.iter_rows(named=True))
    assert isinstance(tiers.warnings(assigned, limits), list)


def test_all_of_a_wave_may_fail_in_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingWrong, match=r"max_failed: must be above 1e-09 and below 0.9, not 1"):
        settings.load(_file(tmp_path, "[gates]\nmax_failed = 1.0"), {})


def _file(folder: Path, text: str) -> Path:
    (folder / "migrator.toml").write_text(text, encoding="utf-8")
    return folder / "migrator.toml"
