"""
T1: SIGKILL at every crash point, again and again; then somebody else goes on, and the oracle looks.

    python -m tests.faults.crashes --kills 300 --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.faults import figures
from tests.faults.cinema import (
    ABORTING,
    CHANGING,
    DISTURBED,
    KINDS,
    MANUAL,
    PLAIN,
    REFUSING,
    RESTLESS,
    STANDING,
    Kind,
)
from tests.faults.rounds import Aim, Change, Ground, Round, Told, unchanged
from tests.faults.steps import STEPS

#: Which kinds are drawn how often: most rounds are of those where most happens.
DRAWN = (PLAIN, PLAIN, STANDING, STANDING, REFUSING, CHANGING, ABORTING, DISTURBED, MANUAL, RESTLESS, RESTLESS)
FINDINGS = 5  # then it is known


#: What the operator does in one round; `move…`: a worker is lost in it, and he does not wait for the next.
STORIES = (
    ("move", "back", "move"), ("move…", "back", "move"), ("move", "back", "move", "back"), ("move…", "back…", "back"),
    ("move",), ("back", "move"), ("move", "erase", "back", "move"), ("erase", "move"),
)  # fmt: skip
CUT_OVER = ("move", "settle")  # where a person cuts over, which `move` ends with
FIRST = ("move", "back", "move…", "back", "move")  # what each kind goes through once
#: Where legacy changes once they have come: they come over again, before the cutover or in it.
CHANGES = (
    ("come", "edits", "upheaval", "sync", "erase", "late", "back all"), ("come", "edits", "move"),
    ("come", "erase", "edits", "upheaval", "sync", "late", "back all"),
    ("come", "edits", "sync", "upheaval", "sync", "back all"),
)  # fmt: skip
#: Points that only who comes after a death passes, and where that one died.
AFTER = {"sync-taken-up": "sync-committed"}
#: How a step is come to, where nobody dies before it.
BEFORE = {
    "back": ("move",), "settle": ("move",), "erase": ("move",), "sync": ("come", "edits", "upheaval"),
    "late": ("come", "upheaval", "sync"), "back all": ("come", "edits", "sync"),
}  # fmt: skip


def campaign(
    kills: int,
    seed: int,
    *,
    change: Change = unchanged,
    kinds: tuple[Kind, ...] = DRAWN,
    findings: int = FINDINGS,
    rest: bool = True,
) -> Told:
    """
    Kill that often.

    Args:
        change: what each child does to the product first (a deliberate defect).
        kinds: cinemas to draw from.
        findings: end with so many.
        rest: at last die wherever children came by and none has died yet, however many kills that takes.
    """
    told, chance = Told(), random.Random(seed)
    aim = Aim(told, chance)
    every = list(dict.fromkeys(kinds))
    ground = Ground(figures.a_folder(), every, change)
    first = chance.sample(every, len(every))
    try:
        while told.killed < kills and len(told.findings) < findings:
            new = bool(first)
            kind = first.pop() if first else chance.choice(kinds)
            one = Round(ground, kind, aim)
            for step in _story(kind, chance, first=new):
                if told.killed >= kills or len(told.findings) >= findings:
                    break
                if step.endswith("…"):
                    one.dies(step.removesuffix("…"))
                else:
                    one.step(step)
        if rest and not told.findings:
            _the_rest(ground, aim, every)
    finally:
        ground.close()
    return told


def _story(kind: Kind, chance: random.Random, *, first: bool) -> tuple[str, ...]:
    """What happens in one round."""
    if kind.restless:
        return CHANGES[0] if first else chance.choice(CHANGES)
    if kind.manual and (first or chance.random() < 0.5):
        return CUT_OVER
    return FIRST if first else chance.choice(STORIES)


def _the_rest(ground: Ground, aim: Aim, kinds: list[Kind]) -> None:
    """Where children came by and none has died yet, one dies now."""
    for kind in kinds:
        for step in STEPS:
            known = dict(aim.known.get((kind.name, step), ()))
            known |= dict.fromkeys(name for name, first in AFTER.items() if first in known)
            for name in aim.left(known):
                one = Round(ground, kind, aim)
                for before in BEFORE.get(step, ()):
                    one.calmly(before)
                aim.wanted = [AFTER[name], name] if name in AFTER else [name]
                if all(one.dies(step) for _ in tuple(aim.wanted)):
                    one.calmly(step)
                if aim.told.findings:
                    return


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="only cinemas of this kind")
    asked = parser.parse_args(given)
    kinds = tuple(KINDS[name] for name in asked.kind) if asked.kind else DRAWN
    return figures.told(
        "T1 crashes", asked.seed, lambda: campaign(asked.kills, asked.seed, kinds=kinds), lambda told: told.killed
    )


if __name__ == "__main__":
    sys.exit(main())
