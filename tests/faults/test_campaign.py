"""
The campaign of faults at its small size. Each part is a program of its own: it forks, and a process that has queried
with Polars must not. `make faults` runs the same programs at their large size.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.faults import programs
from tests.faults.defects import DEFECTS
from tests.faults.programs import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.apart]
#: Flows that no round goes through: what is killed there is killed by their own tests.
ELSEWHERE = {
    "carry-": "tests/faults/carrying.py",
    "purge-": "tests/flows/test_purging.py",
    "reseal-": "tests/flows/test_resealing.py",
}


def ran(program: str, *words: str, seconds: int = 600) -> list[dict[str, Any]]:
    """What a part of the campaign said; what it printed is shown where it did not come to its end."""
    ended = programs.run(["-m", f"tests.faults.{program}", *words], {"POLARS_MAX_THREADS": "1"}, seconds)
    said = ended.said
    assert said, f"{'stood still' if ended.code is None else f'ended with {ended.code}'}: {ended.err[-6000:]}"
    for line in said:
        print({name: value for name, value in line.items() if name not in ("points", "findings")})
        assert line["findings"] == [], f"seed {line['seed']}"
    return said


def _points() -> set[str]:
    """Every crash point in the source."""
    found: set[str] = set()
    for path in sorted((REPOSITORY / "migrator").rglob("*.py")):
        if path.name != "crashpoints.py":
            found |= set(re.findall(r'crash_point\(\s*"([^"]+)"', path.read_text(encoding="utf-8")))
    return found


def test_killed_anywhere_nobody_is_lost_or_moved_twice_and_every_point_was_died_at() -> None:
    (line,) = ran("crashes", "--kills", "160", "--seed", "20")

    assert line["amount"] >= 160
    never = _points() - set(line["points"])
    assert {name for name in never if not name.startswith(tuple(ELSEWHERE))} == set()


def test_who_wakes_after_his_lease_writes_nothing() -> None:
    (line,) = ran("zombies", "--zombies", "15", "--seed", "20")

    assert line["amount"] >= 15
    assert {"fenced", "lost lease"} & set(line["zombies"])


@pytest.mark.parametrize("name", [defect.name for defect in DEFECTS])
def test_the_campaign_sees_a_deliberate_defect(name: str) -> None:
    (line,) = ran("defects", "--only", name, "--seed", "20")

    assert line["seen"]
    assert line["amount"] <= 500


def test_where_nothing_is_wrong_the_ways_to_see_a_defect_see_none() -> None:
    assert len(ran("defects", "--only", "none", "--seed", "20")) == 3


def test_a_commit_in_doubt_is_resolved_by_the_ledger() -> None:
    (line,) = ran("commits", "--commits", "20", "--seed", "20")

    assert line["amount"] >= 20


def test_what_the_new_system_changed_is_carried_back_whoever_dies_and_nothing_else_is_touched() -> None:
    (line,) = ran("carrying", "--users", "40", "--seed", "20")

    assert {name for name in _points() if name.startswith("carry-")} == set(line["points"])


def test_clocks_that_are_wrong_decide_nothing() -> None:
    (line,) = ran("clocks", "--kills", "12", "--seed", "20")

    assert line["amount"] >= 12


def test_the_old_product_goes_on_while_its_customers_move() -> None:
    (line,) = ran("writers", "--minutes", "0.1", "--customers", "40", "--seed", "20")

    assert line["amount"] > 20
    assert line["did"]["drifts planted"] > 10


@pytest.mark.parametrize(
    ("what", "faults", "only"),
    [
        ("workers", 3, ()),
        ("workers", 1, ("hard limit",)),
        ("workers", 1, ("workers deaf",)),
        ("redis", 2, ()),
        ("redis", 2, ("redis full", "redis rights taken")),
        ("log", 1, ()),
    ],
)
def test_real_workers_and_a_real_redis_may_come_to_harm_at_any_time(
    what: str, faults: int, only: tuple[str, ...]
) -> None:
    ways = [word for way in only for word in ("--only", way)]
    (line,) = ran("works", "--what", what, *ways, "--faults", str(faults), "--users", "200", "--seed", "20")

    assert line["amount"] >= faults
    assert set(only) <= set(line["ways"])
