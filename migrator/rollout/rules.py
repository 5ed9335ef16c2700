"""What `[tiers]` of the settings says: how R, F and M become a tier; and the sentence that explains one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from migrator.errors import SettingWrong
from migrator.rollout import cuts


class Tier(StrEnum):
    """A user's value class."""

    CORE = "core"
    NORMAL = "normal"
    EDGE = "edge"


DEFAULT_ORDER = (Tier.CORE, Tier.NORMAL, Tier.EDGE)
DIMENSIONS = ("recency", "frequency", "money")
WITHIN_A_MONTH = cuts.Cut("fixed", Decimal(30))
BEST_FIFTH = cuts.Cut("quantile", Decimal("0.8"))


@dataclass(frozen=True, slots=True)
class Rules:
    """The `[tiers]` of the settings: windows in days (None: all there is), and how each threshold is found."""

    frequency_window: int | None = 90
    money_window: int | None = 365
    recency: cuts.Cut = WITHIN_A_MONTH
    frequency: cuts.Cut = BEST_FIFTH
    money: cuts.Cut = BEST_FIFTH
    rates: Mapping[str, Decimal] = field(default_factory=dict)  # currency -> what one of it is worth


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Recent: R <= `recency`. Frequent: F > `frequency`. Paying: M > `money`; found at `as_of` by `rules`."""

    recency: Decimal
    frequency: Decimal
    money: Decimal
    as_of: datetime
    rules: Rules


def read(
    frequency_window: str,
    money_window: str,
    given: Mapping[str, Mapping[str, object]],
    rates: Mapping[str, object],
) -> Rules:
    """
    Read the `[tiers]` of the settings.

    Args:
        frequency_window: Days as `90d`, or `all`.
        money_window: The same.
        given: `recency`, `frequency`, `money`, each {fixed | quantile | pareto = number} or {mean | median = true}.
        rates: Currency -> number.

    Raises:
        SettingWrong: everything that is not understood.
    """
    problems: list[str] = []
    windows = [
        _window(name, text, problems)
        for name, text in (("frequency_window", frequency_window), ("money_window", money_window))
    ]
    recency, frequency, money = (cuts.read(name, given[name], problems) for name in DIMENSIONS)
    worth = {currency: cuts.read_number(f"rates.{currency}", rate, problems) for currency, rate in rates.items()}
    problems += [f"[tiers] rates.{currency} is more than 0" for currency, rate in worth.items() if rate <= 0]
    if problems:
        raise SettingWrong(*problems)
    return Rules(windows[0], windows[1], recency, frequency, money, worth)


def explain(row: Mapping[str, object], limits: Thresholds) -> str:
    """
    Say in one sentence why a user is in a tier.

    Args:
        row: `r`, `f`, `m`, `tier`, `code` of the user, as `assign` gave them (m may be text).
        limits: Those it was assigned by.
    """
    recent, frequent, paying = (digit == "1" for digit in str(row["code"]))
    rules = limits.rules
    day = f"{limits.as_of:%Y-%m-%d}"
    seen = "never seen active" if row["r"] is None else f"last active {_days(row['r'])} before {day}"
    money = cuts.plain(Decimal(str(row["m"])))
    return (
        f"{row['tier']} ({row['code']}): "
        f"{seen} ({_is(recent)}recent: at most {cuts.plain(limits.recency)}), "
        f"active on {_days(row['f'])} {_in(rules.frequency_window)} "
        f"({_is(frequent)}frequent: more than {cuts.plain(limits.frequency)}, {rules.frequency}), "
        f"{money} paid {_in(rules.money_window)} "
        f"({_is(paying)}high: more than {cuts.plain(limits.money)}, {rules.money})."
    )


def _window(name: str, text: str, problems: list[str]) -> int | None:
    if text == "all":
        return None
    if found := re.fullmatch(r"([1-9]\d{0,4})d", text):
        return int(found[1])
    problems.append(f"[tiers] {name} is a number of days such as 90d, or all, not {text!r}")
    return None


def _days(count: object) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _is(yes: bool) -> str:
    return "" if yes else "not "


def _in(window: int | None) -> str:
    return "in all" if window is None else f"in {window} days"
