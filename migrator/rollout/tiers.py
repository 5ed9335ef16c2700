"""
R, F and M of a user become a tier, and a sentence that says why.

R = whole days since the last sign of life, F = days with one, M = what was paid, refunds taken off: all at one
`as_of`. A bit of each (few days, many days, much money) gives the code, the code the tier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, localcontext

import polars as pl

from migrator.errors import Refused
from migrator.rollout import cuts
from migrator.rollout.rules import DEFAULT_ORDER, DIMENSIONS, Rules, Thresholds, Tier, explain, read

__all__ = [
    "DEFAULT_ORDER",
    "DIMENSIONS",
    "RFM",
    "Rules",
    "Thresholds",
    "Tier",
    "as_of",
    "assign",
    "explain",
    "measure",
    "read",
    "thresholds",
    "warnings",
]

#: What `measure` gives. `r` is null for a user without a sign of life.
_MONEY = pl.Decimal(38, 18)
RFM = pl.Schema([("user", pl.String()), ("r", pl.Int64()), ("f", pl.Int64()), ("m", _MONEY)])


def as_of(latest: datetime) -> datetime:
    """Give the midnight (UTC) after the latest sign of life: the instant at which a plan looks at everybody."""
    return datetime.combine(latest.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def measure(
    users: Sequence[str] | pl.Series, days: pl.DataFrame, money: pl.DataFrame, at: datetime, rules: Rules
) -> pl.DataFrame:
    """
    Measure R, F and M of each user.

    Args:
        users: The user keys wanted; others in the frames are left out.
        days: `user`, `day`: one row per user and day with a sign of life, or several.
        money: `user`, `at` (UTC), `amount`, `currency`: one row per payment, refunds negative.
        at: `as_of`. A day counts if it is not after it, and after it minus the window.
        rules: The windows, and the rates where there are several currencies.

    Returns:
        RFM, one row per user in the order given; without a sign of life R is null, F 0, M 0.

    Raises:
        Refused: several currencies and no rate for one of them.
    """
    wanted = pl.DataFrame({"user": users}, schema={"user": pl.String})
    today = at.astimezone(UTC).date()
    seen = days.filter(pl.col("day") <= today)
    last = seen.group_by("user").agg(r=(pl.lit(today) - pl.col("day").max()).dt.total_days())
    often = _within(seen, pl.col("day"), at, rules.frequency_window).unique().group_by("user").agg(f=pl.len())
    paid_day = pl.col("at").dt.date()
    paid = _within(money.filter(paid_day <= today), paid_day, at, rules.money_window)
    rfm = wanted.join(last, on="user", how="left", maintain_order="left")
    rfm = rfm.join(often, on="user", how="left", maintain_order="left")
    rfm = rfm.join(_sums(paid, rules.rates), on="user", how="left", maintain_order="left")
    return rfm.select("user", "r", pl.col("f").fill_null(0), pl.col("m").fill_null(Decimal(0))).cast(RFM)


def thresholds(rfm: pl.DataFrame, at: datetime, rules: Rules) -> Thresholds:
    """Find the three thresholds among the users of *rfm*; those without a sign of life have no say in recency."""
    return Thresholds(
        recency=cuts.find(rules.recency, rfm["r"], few_is_good=True),
        frequency=cuts.find(rules.frequency, rfm["f"]),
        money=cuts.find(rules.money, rfm["m"]),
        as_of=at,
        rules=rules,
    )


def assign(rfm: pl.DataFrame, limits: Thresholds) -> pl.DataFrame:
    """
    Give each user a code and a tier.

    Returns:
        The rows of *rfm* with `tier`, `code` (three digits: recent, frequent, paying; 1 is yes) and `win_back`: once
        paid much, silent now (codes 011 and 001).
    """
    recent = (pl.col("r") <= _number(limits.recency)).fill_null(False)
    frequent = pl.col("f") > _number(limits.frequency)
    paying = pl.col("m") > _number(limits.money)
    tier = (
        pl.when(frequent & (pl.col("m") > 0) & recent)
        .then(pl.lit(Tier.CORE.value))
        .when(~frequent & (pl.col("m") <= 0))
        .then(pl.lit(Tier.EDGE.value))
        .otherwise(pl.lit(Tier.NORMAL.value))
    )
    code = pl.concat_str([bit.cast(pl.Int8).cast(pl.String) for bit in (recent, frequent, paying)])
    return rfm.with_columns(tier=tier, code=code, win_back=~recent & paying)


def warnings(assigned: pl.DataFrame, limits: Thresholds) -> list[str]:
    """Say where the thresholds divide badly: many users exactly on one, or next to nobody in a tier."""
    everybody = assigned.height
    if not everybody:
        return []
    said = []
    for name, column in zip(DIMENSIONS, ("r", "f", "m"), strict=True):
        limit: Decimal = getattr(limits, name)
        tied = assigned.filter(pl.col(column) == _number(limit)).height
        if tied * 10 > everybody:
            said.append(
                f"{tied} of {everybody} users have exactly the {name} of the threshold ({cuts.plain(limit)}); "
                f"a small change of it would move them all"
            )
    for tier in DEFAULT_ORDER:
        members = assigned.filter(pl.col("tier") == tier.value).height
        if members * 100 < everybody:
            said.append(f"tier {tier} has {members} of {everybody} users, less than 1 %: look at [tiers]")
    return said


def _within(frame: pl.DataFrame, day: pl.Expr, at: datetime, window: int | None) -> pl.DataFrame:
    if window is None:
        return frame
    return frame.filter(day > (at.astimezone(UTC) - timedelta(days=window)).date())


def _sums(paid: pl.DataFrame, rates: Mapping[str, Decimal]) -> pl.DataFrame:
    currencies = paid["currency"].unique().to_list()
    if not rates and len(currencies) < 2:
        return paid.group_by("user").agg(m=pl.col("amount").sum())
    without_rate = sorted(str(currency) for currency in currencies if currency not in rates)
    if without_rate:
        raise Refused(
            f"payments are in several currencies and [tiers.rates] has none for {', '.join(without_rate)}: "
            "say there what one of each is worth"
        )
    per_currency = paid.group_by("user", "currency").agg(m=pl.col("amount").sum())
    # Python's decimals, because a product of two of 18 digits behind the point does not fit in Polars'.
    with localcontext(prec=60):  # rates of many digits times amounts of many digits, rounded once
        worth = [
            (amount * rates[currency]).quantize(cuts.SMALLEST)
            for amount, currency in per_currency.select("m", "currency").iter_rows()
        ]
        if sum(map(abs, worth)) >= cuts.LARGEST:
            raise Refused("payments times [tiers.rates] are more than 20 digits: say there what one of each is worth")
    values = pl.Series("m", worth, dtype=_MONEY)
    return per_currency.with_columns(values).group_by("user").agg(m=pl.col("m").sum())


def _number(value: Decimal) -> pl.Expr:
    return pl.lit(value, dtype=_MONEY)
