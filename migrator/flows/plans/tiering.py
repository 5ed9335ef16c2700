"""Measure R, F and M in the legacy data and give every user a tier, with the numbers that explain it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.errors import NotFound, Refused
from migrator.flows.moving import tombstones
from migrator.flows.parts import Parts
from migrator.flows.plans import identities
from migrator.flows.plans.tier_reasons import sentence
from migrator.mapping import activity, values
from migrator.mapping.model import MappingSet
from migrator.rollout import cuts
from migrator.rollout import tiers as rules_of
from migrator.store import journal, plans
from migrator.store import tiers as store


@dataclass(frozen=True, slots=True)
class TierOptions:
    """`[tiers]` as the settings give it."""

    frequency_window: str
    money_window: str
    thresholds: dict[str, Any]  # recency, frequency, money
    rates: dict[str, Any]

    def rules(self) -> rules_of.Rules:
        """Read them; SettingWrong with every mistake."""
        return rules_of.read(self.frequency_window, self.money_window, self.thresholds, self.rates)

    def as_json(self) -> dict[str, Any]:
        """What is stored beside the result."""
        return {
            "frequency_window": self.frequency_window,
            "money_window": self.money_window,
            "thresholds": {
                name: {key: _plain(value) for key, value in cut.items()} for name, cut in self.thresholds.items()
            },
            "rates": {name: str(rate) for name, rate in self.rates.items()},
        }


@dataclass(frozen=True, slots=True)
class Assigned:
    """The outcome for a person: sizes, the day it was measured at, what to look at."""

    as_of: str
    users: int
    tiers: dict[str, int]
    codes: dict[str, int]
    limits: dict[str, str]
    warnings: list[str]


def assign(parts: Parts, options: TierOptions, *, dry_run: bool = False) -> Assigned:
    """
    Give every user of legacy who is not excluded a tier; replaces the last assignment.

    Raises:
        Refused: legacy holds no sign of life at all.
    """
    rules = options.rules()
    set_, schema = parts.folder_set, parts.legacy_schema
    people = identities.find(parts, set_)
    erased = list(tombstones.among(parts, people.users["key"]))
    users = people.users.filter(~pl.col("excluded") & ~pl.col("key").is_in(erased))
    with parts.legacy.reading() as reader:
        found = activity.days(set_, schema, reader.select, people.records)
    if found.latest is None:
        raise Refused("legacy holds no sign of life: name rows with a user and a time under `activity:` in set.yaml")
    at = rules_of.as_of(found.latest)
    rfm = rules_of.measure(users["key"], found.days, found.money, at, rules)
    limits = rules_of.thresholds(rfm, at, rules)
    assigned = rules_of.assign(rfm, limits)
    warnings = rules_of.warnings(assigned, limits)
    if found.unreadable:
        warnings.append(f"{found.unreadable} times in activity and paid could not be read and were not used")
    numbers = {name: cuts.plain(getattr(limits, name)) for name in ("recency", "frequency", "money")}
    if not dry_run:
        rows = assigned.select(pl.col("user").alias("user_key"), "tier", "code", "r", "f", values.text(assigned["m"]))
        rows = rows.sort("user_key")  # an index that is filled in its own order is filled once
        with parts.control.write() as db:
            now = parts.now()
            store.replace(db, rows, at, {**options.as_json(), "limits": numbers}, set_.hash, now)
            journal.add(db, now, parts.actor, "assign", "tiers", set_.set.name, users=rows["user_key"])
    return Assigned(
        as_of=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        users=assigned.height,
        tiers=_sizes(assigned, "tier", [tier.value for tier in rules_of.DEFAULT_ORDER]),
        codes=_sizes(assigned, "code", []),
        limits=numbers,
        warnings=warnings,
    )


def place(
    parts: Parts, set_: MappingSet, run: store.TierRun, keys: pl.Series, records: pl.DataFrame | None
) -> pl.DataFrame:
    """
    Give users who came later a tier, by the thresholds and as of the day of the last assignment.

    Returns: `key`, `tier`, `code`, `r`, `f`, `m` (text), one row per user.
    """
    said, numbers = run.thresholds, run.thresholds["limits"]
    rules = TierOptions(said["frequency_window"], said["money_window"], said["thresholds"], said["rates"]).rules()
    with parts.legacy.reading() as reader:
        found = activity.days(set_, parts.legacy_schema, reader.select, records)
    rfm = rules_of.measure(keys, found.days, found.money, run.as_of, rules)
    limits = rules_of.Thresholds(
        **{name: Decimal(numbers[name]) for name in ("recency", "frequency", "money")}, as_of=run.as_of, rules=rules
    )
    assigned = rules_of.assign(rfm, limits)
    return assigned.select(pl.col("user").alias("key"), "tier", "code", "r", "f", values.text(assigned["m"]))


def explain(parts: Parts, user_key: str) -> dict[str, Any]:
    """Why one user is in a tier: numbers, limits and one sentence."""
    with parts.control.read() as db:
        run, row = store.last_run(db), store.get(db, user_key)
        plan = plans.current(db)
    if run is None:
        raise NotFound("no tiers are assigned yet; run `migrator tier assign`")
    if row is None:
        raise NotFound(f'user "{user_key}" has no tier: not in legacy, or excluded by `users.where`')
    return {
        **row,
        "sentence": sentence(run, row),
        "as_of": run.as_of,
        "limits": run.thresholds["limits"],
        "plan": plan and plan.id,
    }


def _sizes(assigned: pl.DataFrame, column: str, first: list[str]) -> dict[str, int]:
    counted = dict(assigned.group_by(column).len().sort(column).iter_rows())
    return {name: int(counted.get(name, 0)) for name in first} | {name: int(size) for name, size in counted.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int) else str(value)
