"""
T2: a worker freezes at a crash point, its lease runs out, another finishes its work, and then it wakes.

    python -m tests.faults.zombies --zombies 50 --seed 7

Most are frozen past their lease by the database's clock while their own has hardly moved: they must be stopped by the
fence alone.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import cinema, figures
from tests.faults.cinema import PLAIN, REFUSING, STANDING, Kind
from tests.faults.forks import Child
from tests.faults.oracle import Finding
from tests.faults.rounds import Aim, Change, Ground, Round, Told, unchanged

DRAWN = (PLAIN, STANDING, PLAIN, STANDING, REFUSING)
#: What others do while the zombie sleeps, and what follows when it is gone.
SUCCESSIONS = ((("move",), ()), (("move",), ()), (("back",), ("move",)), (("back", "move"), ()))
BLOCKED = 0.25  # seconds given to somebody who waits for what the zombie holds


def campaign(
    zombies: int,
    seed: int,
    *,
    change: Change = unchanged,
    kinds: tuple[Kind, ...] = DRAWN,
    findings: int = 5,
    first: tuple[str, ...] = (),
) -> Told:
    """
    Wake that many zombies.

    Args:
        change: what each of them, and each of the others, does to the product first (a deliberate defect).
        kinds: cinemas to draw from.
        findings: end with so many.
        first: points to freeze at before chance takes over; all is put back meanwhile.
    """
    told, chance = Told(), random.Random(seed)
    aim = Aim(told, chance)
    waiting = list(first)
    ground = Ground(figures.a_folder(), list(dict.fromkeys(kinds)), change)
    try:
        while told.zombies.total() < zombies and len(told.findings) < findings:
            kind = chance.choice(kinds)
            if waiting:
                aim.wanted = [waiting.pop(0)]
                _duel(Round(ground, kind, aim), "shift", ("back",), ())
            elif chance.random() < 0.75:
                _duel(Round(ground, kind, aim), "shift", *chance.choice(SUCCESSIONS))
            else:
                one = Round(ground, kind, aim)
                one.calmly("move")
                _duel(one, "back", ("back",), ("move",) if chance.random() < 0.5 else ())
    finally:
        ground.close()
    return told


def _duel(one: Round, step: str, meanwhile: tuple[str, ...], after: tuple[str, ...]) -> None:
    """One freezes, the others go on (one of them may freeze, too), it wakes; then everything is looked at."""
    ground, told, chance = one.ground, one.told, one.aim.chance
    log = ground.root / "zombie"
    log.unlink(missing_ok=True)
    arm = one.aim.arm(one.kind, f"frozen {step}").replace(":kill", ":stop")
    code, seen, zombie = one.begun(step, arm, log="zombie")
    one.aim.learn(one.kind, f"frozen {step}", seen)
    if code is not None:
        last = "back" if step == "back" else "move"
        one.calmly(last)  # it was through before it could freeze
        return
    if _locked(ground.work / "control.db"):  # nobody can do anything beside it: its lease is not judged either
        one.aim.useless.add(seen[-1])
        zombie.go_on()
        zombie.wait()
        one.calmly("back" if step == "back" else "move")
        return
    told.kills[seen[-1]] += 1
    cinema.leases_run_out(ground.work)
    if _locked(ground.work / "target.db"):
        second = one.aside(meanwhile[0])
        time.sleep(BLOCKED)
        _awake(one, zombie, log, asked=False)
        second.wait()
    else:
        second = None
        for name in meanwhile[:-1]:
            one.calmly(name)
        last_arm = one.aim.arm(one.kind, f"frozen {step}").replace(":kill", ":stop") if chance.random() < 0.4 else None
        code, passed, second = one.begun(meanwhile[-1], last_arm)
        if code is None and _locked(ground.work / "target.db"):
            second.go_on()  # it would be the zombie who waits
            code = second.wait()
        _awake(one, zombie, log, asked=code is not None or "fence-raised" in passed)
        if second.ended is None:
            second.go_on()
            second.wait()
    cinema.leases_run_out(ground.work)
    for name in (meanwhile[-1], *after):
        one.calmly(name)


def _awake(one: Round, zombie: Child, log: Path, *, asked: bool) -> None:
    """Let it go on, and see how it ends."""
    before = one.oracle.fences(one.ground.work, asked=asked)
    zombie.go_on()
    code = zombie.wait()
    said = log.read_text(encoding="utf-8") if log.exists() else ""
    ends = {
        "has a newer lease": "fenced", "of this batch is lost": "fenced", "lost after the commit": "lost lease",
        "Fenced": "fenced", "cannot": "refused", "not written": "gave back", "touched by somebody": "outrun",
    }  # fmt: skip
    end = next((name for words, name in ends.items() if words in said), "had nothing to write")
    one.told.zombies[end] += 1
    if code not in (0, 70):
        one.told.findings.append(Finding("lost", f"a zombie ended with {code}: {said[-200:]}"))
    one.look_now("when the zombie had ended", before)


def _locked(path: Path) -> bool:
    """Whether somebody holds the one write slot of a file."""
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        db.execute("begin immediate")
        db.execute("rollback")
    except sqlite3.OperationalError:
        return True
    finally:
        db.close()
    return False


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zombies", type=int, default=50)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    run: Callable[[], Told] = lambda: campaign(asked.zombies, asked.seed)
    return figures.told("T2 zombies", asked.seed, run, lambda told: told.zombies.total())


if __name__ == "__main__":
    sys.exit(main())
