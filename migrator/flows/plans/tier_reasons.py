"""Why a user is in a tier, from what was stored when tiers were assigned."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from migrator.rollout import rules as rules_of
from migrator.store.tiers import TierRun


def sentence(run: TierRun, row: dict[str, Any]) -> str:
    """One sentence of a stored row under the run it came from."""
    stored = run.thresholds
    rules = rules_of.read(stored["frequency_window"], stored["money_window"], stored["thresholds"], stored["rates"])
    limits = rules_of.Thresholds(
        **{name: Decimal(stored["limits"][name]) for name in ("recency", "frequency", "money")},
        as_of=run.as_of,
        rules=rules,
    )
    return rules_of.explain(row, limits)
