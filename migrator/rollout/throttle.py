"""
When no batch is handed out: any one signal stops, each reason is a sentence, and what cannot be measured is a reason.

Source: gh-ost's throttle (replication lag, load, a query of one's own, a flag file, an order of a person).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

#: What may be ordered for a wave while it runs, by the name it has on the command line.
ORDERS = {
    "batch-size": "batch_size",
    "workers": "workers",
    "max-lag": "max_lag",
    "max-sessions": "max_sessions",
    "max-statement": "max_statement",
    "throttle": "throttle",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these nothing is handed out; None: not looked at. Seconds, sessions at work, seconds."""

    max_lag: float | None = None
    max_sessions: int | None = None
    max_statement: float | None = None

    def under(self, orders: Mapping[str, Any]) -> Limits:
        """The same, where a person has not ordered otherwise for one wave."""
        names = ("max_lag", "max_sessions", "max_statement")
        return replace(self, **{name: orders[name] for name in names if orders.get(name) is not None})


@dataclass(frozen=True, slots=True)
class Measured:
    """What one look at one database gave. None: not looked at, or not to be told there."""

    of: str  # target, legacy.shop, replica db2:5432
    lag: float | None = None
    sessions: int | None = None
    statement: float | None = None
    number: float | None = None  # of a query of one's own, and above which it stops
    above: float | None = None
    failed: str | None = None

    @property
    def sentence(self) -> str:
        """What was measured, for a person."""
        told = (
            ("replication lag {} s", self.lag),
            ("{} sessions at work", self.sessions),
            ("longest transaction {} s", self.statement),
            ("its query gives {}", self.number),
        )
        said = ", ".join(words.format(_plain(value)) for words, value in told if value is not None)
        return f"{self.of}: {said or 'tells nothing of what limits are set for'}"


@dataclass(frozen=True, slots=True)
class Reason:
    """One signal that stops: lag · sessions · statement · sql · flag · order · probe · read-only · schedule."""

    signal: str
    of: str
    measured: float | None
    limit: float | None
    sentence: str


def decide(
    measured: Iterable[Measured], limits: Limits, *, flag: str | None = None, ordered_by: str | None = None
) -> list[Reason]:
    """
    All reasons to wait, in the order in which a person would ask for them; none: go on.

    Args:
        flag: The flag file, if it is there.
        ordered_by: Who said that the wave is to wait.
    """
    found = []
    if ordered_by is not None:
        found.append(Reason("order", ordered_by, None, None, f"{ordered_by} said so"))
    if flag is not None:
        found.append(Reason("flag", flag, None, None, f"the flag {flag} is there"))
    for one in measured:
        found += _of_one(one, limits)
    return found


def _of_one(one: Measured, limits: Limits) -> list[Reason]:
    if one.failed is not None:
        return [Reason("probe", one.of, None, None, f"{one.of} cannot be looked at: {one.failed}")]
    compared = (
        ("lag", one.lag, limits.max_lag, "replication lag of {of} {measured} s is above {limit} s"),
        ("sessions", one.sessions, limits.max_sessions, "sessions at work in {of}: {measured}, above {limit}"),
        ("statement", one.statement, limits.max_statement, "a transaction in {of} runs for {measured} s, above {limit} s"),
        ("sql", one.number, one.above, "the query of {of} gives {measured}, above {limit}"),
    )  # fmt: skip
    return [
        Reason(signal, one.of, value, limit, said.format(of=one.of, measured=_plain(value), limit=_plain(limit)))
        for signal, value, limit, said in compared
        if value is not None and limit is not None and value > limit
    ]


def _plain(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
