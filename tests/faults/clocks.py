"""
T10: the clocks of the machines are wrong: an hour ahead or behind, put back in the night when summer ends, smeared over
a leap second. Each process has one of its own; leases, freezes and all else that decides who may write go by the clock
of the control database, so nothing comes of it.

    python -m tests.faults.clocks --kills 50 --seed 7
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from tests.faults import crashes, defects, figures, zombies
from tests.faults.cinema import MANUAL, PLAIN, RESTLESS
from tests.faults.rounds import Told

HOUR = timedelta(hours=1)
NIGHT = datetime(2026, 10, 25, 0, 59, 59, 500_000, UTC)  # in half a second Berlin puts its clocks back
LEAP = 0.01  # by so much a smeared second is longer

Clock = Callable[[datetime, float], datetime]  # of what is right, and the seconds since the process began


def _ahead(right: datetime, _since: float) -> datetime:
    return right + HOUR


def _behind(right: datetime, _since: float) -> datetime:
    return right - HOUR


def _put_back(_right: datetime, since: float) -> datetime:
    """What a machine thinks that takes its local time for the world's: an hour comes twice."""
    return NIGHT + timedelta(seconds=since) - (HOUR if since > 0.5 else timedelta(0))


def _smeared(right: datetime, since: float) -> datetime:
    return right - timedelta(seconds=since * LEAP)


CLOCKS: dict[str, Clock] = {"ahead": _ahead, "behind": _behind, "put back": _put_back, "smeared": _smeared}


def machine(folder: Path) -> int:
    """The number of this process among those that a campaign has begun: who goes on is never where who died was."""
    with folder.with_name("machines").open("ab") as begun:
        begun.write(b".")
        return begun.tell() - 1


def wrong_clock(folder: Path) -> None:
    """This process gets a clock by its number; its time zone is one that has a summer."""
    from migrator.flows import parts

    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    clock, began = list(CLOCKS.values())[machine(folder) % len(CLOCKS)], time.monotonic()

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock(datetime.now(tz or UTC), time.monotonic() - began)

    parts.datetime = Wrong  # type: ignore[misc]


def campaign(kills: int, seed: int) -> Told:
    """Kill, freeze and wait as ever, each process by its own clock."""
    told = crashes.campaign(kills, seed, change=wrong_clock, kinds=(PLAIN, MANUAL, RESTLESS), rest=False)
    ways = (
        lambda: zombies.campaign(max(2, kills // 5), seed, change=wrong_clock, kinds=(PLAIN,)),
        lambda: defects.by_waiting(wrong_clock, seed),
    )
    for way in ways:
        more = way()
        told.kills += more.kills
        told.zombies += more.zombies
        told.findings += more.findings
    return told


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    return figures.told(
        "T10 wrong clocks", asked.seed, lambda: campaign(asked.kills, asked.seed), lambda told: told.killed
    )


if __name__ == "__main__":
    sys.exit(main())
