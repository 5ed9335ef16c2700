"""How a threshold is said in the settings, and how it is found among the users' values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MODES = ("fixed", "mean", "median", "quantile", "pareto")
#: One of the last digit that frames of money carry.
SMALLEST = Decimal(1).scaleb(-18)
LARGEST = Decimal(10) ** 20  # no amount of money that frames can carry is as large


@dataclass(frozen=True, slots=True)
class Cut:
    """
    How a threshold is found. mode: fixed · mean · median · quantile · pareto.

    `value`: the threshold itself (fixed), or a share between 0 and 1 (quantile, pareto).
    """

    mode: str
    value: Decimal | None = None

    def __str__(self) -> str:
        return self.mode if self.value is None else f"{self.mode} {plain(self.value)}"


def read(name: str, given: Mapping[str, object], problems: list[str]) -> Cut:
    """Read the threshold *name*: {fixed | quantile | pareto = number} or {mean | median = true}; mistakes are added."""
    modes = ("fixed", "mean", "median", "quantile") if name == "recency" else MODES
    if len(given) != 1 or next(iter(given)) not in modes:
        problems.append(f"[tiers] {name} is one of {', '.join(modes)}, such as {{quantile = 0.8}}, not {dict(given)}")
        return Cut("mean")
    mode, value = next(iter(given.items()))
    if mode in ("mean", "median"):
        if value is not True:
            problems.append(f"[tiers] {name}: {mode} is true or left out")
        return Cut(mode)
    number = read_number(f"{name}.{mode}", value, problems)
    if mode != "fixed" and not 0 < number < 1:
        problems.append(f"[tiers] {name}: {mode} is a share between 0 and 1, not {value}")
    return Cut(mode, number)


def read_number(name: str, value: object, problems: list[str]) -> Decimal:
    """Read a number by way of its text: 0.8 is meant, not the nearest binary fraction. Mistakes are added."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(value, bool) or not number.is_finite() or abs(number) >= LARGEST:
        problems.append(f"[tiers] {name} is a number, not {value!r}")
        return Decimal("0.5")
    return number


def find(cut: Cut, values: pl.Series, *, few_is_good: bool = False) -> Decimal:
    """
    Find the threshold among the *values* of all users; nulls have no say.

    *few_is_good* turns the quantile round: the best fifth by recency are those with the fewest days.
    """
    with localcontext(prec=60):  # sums of money have more digits than Python keeps by default
        return _find(cut, values.drop_nulls().sort(), few_is_good=few_is_good)


def _find(cut: Cut, known: pl.Series, *, few_is_good: bool) -> Decimal:
    share = cut.value or Decimal(0)
    if cut.mode == "fixed":
        return share
    if known.is_empty():
        return Decimal(0)
    if cut.mode == "mean":
        return (Decimal(known.sum()) / known.len()).quantize(SMALLEST)  # Polars' own mean goes through floats
    if cut.mode == "median":
        return _quantile(known, Decimal("0.5"))
    if cut.mode == "quantile":
        return _quantile(known, 1 - share if few_is_good else share)
    return _pareto(known, share)


def _quantile(known: pl.Series, share: Decimal) -> Decimal:
    # A value that a user really has, never one in between: at least `share` of the users are at or below it.
    rank = max(1, math.ceil(share * known.len()))
    return Decimal(known[rank - 1])


def _pareto(known: pl.Series, share: Decimal) -> Decimal:
    # The smallest set of the best users that makes up `share` of the whole; users of one value stay together,
    # so the threshold is the next value below them.
    positive = known.filter(known > 0)
    steps = positive.value_counts().sort(known.name, descending=True)
    goal = share * Decimal(positive.sum())
    reached = Decimal(0)
    for value, count in steps.iter_rows():
        if reached >= goal:
            return Decimal(value)
        reached += Decimal(value) * count
    return Decimal(0)


def plain(number: Decimal) -> str:
    """Write a number without exponent and trailing zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
