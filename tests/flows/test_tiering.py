"""Tiers are measured in legacy, stored with their numbers, and explained in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.errors import NotFound, Refused, SettingWrong
from migrator.flows.plans import planning, tiering
from migrator.store import tiers
from tests.flows.bakery import OPTIONS, TIERS, Bakery


def a_bakery(folder: Path) -> Bakery:
    """Six customers: 5 is closed, 6 has never bought anything."""
    bakery = Bakery(folder, customers=6)
    with bakery.legacy() as db:
        db.execute("update customer set closed = 1 where id = 5")
        db.execute("delete from purchase where customer_id = 6")
    return bakery


def stored(bakery: Bakery) -> dict[str, str]:
    with bakery.parts.control.read() as db:
        return dict(tiers.every(db).select("user_key", "tier").iter_rows())


def test_every_user_who_is_not_excluded_has_a_tier_with_its_numbers(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")

    done = tiering.assign(bakery.parts, TIERS)

    assert (done.as_of, done.users) == ("2026-01-07T00:00:00Z", 5)
    assert set(stored(bakery)) == {"1", "2", "3", "4", "6"}
    assert stored(bakery)["6"] == "edge"
    told = tiering.explain(bakery.parts, "1")
    assert (told["r"], told["f"], told["m"]) == (5, 1, "3.45")
    assert told["sentence"]


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")

    assert tiering.assign(bakery.parts, TIERS, dry_run=True).users == 5

    assert stored(bakery) == {}
    with pytest.raises(NotFound, match="no tiers are assigned yet"):
        tiering.explain(bakery.parts, "1")


def test_who_has_no_tier_is_said(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    tiering.assign(bakery.parts, TIERS)

    with pytest.raises(NotFound, match='user "5" has no tier'):
        tiering.explain(bakery.parts, "5")


def test_without_a_sign_of_life_there_are_no_tiers(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("delete from purchase")

    with pytest.raises(Refused, match="no sign of life"):
        tiering.assign(bakery.parts, TIERS)


def test_windows_and_thresholds_that_make_no_sense_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingWrong):
        tiering.assign(a_bakery(tmp_path / "b").parts, replace(TIERS, frequency_window="sometimes"))


def test_a_plan_measures_again_when_the_users_or_the_rules_have_changed(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    tiering.assign(bakery.parts, TIERS)
    with bakery.legacy() as db:
        db.execute("update customer set closed = 0 where id = 5")

    planning.create(bakery.parts, OPTIONS, TIERS)
    assert set(stored(bakery)) == {"1", "2", "3", "4", "5", "6"}

    other = replace(TIERS, thresholds={**TIERS.thresholds, "frequency": {"fixed": 99}})
    planning.create(bakery.parts, OPTIONS, other)
    with bakery.parts.control.read() as db:
        run = tiers.last_run(db)
    assert run is not None
    assert run.thresholds["limits"]["frequency"] == "99"
