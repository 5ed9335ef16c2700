"""T14: one user whom the target refuses, or of whom workers die, is found by halving; everybody else arrives."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.flows.moving import writing
from tests.flows.bakery import Bakery
from tests.flows.plug import Power

CUSTOMERS, POISON = 64, "37"
REFUSALS = {
    "a trigger": "create trigger t before insert on accounts when new.email = 'c37@bakery.example' begin select raise(abort, 'no'); end",
    "a unique value": "insert into accounts values ('theirs', 'c37@bakery.example', 'Theirs', 'active')",
    "a check of a child": "create trigger t before insert on orders when new.total = 37.25 begin select raise(abort, 'no'); end",
}


def _splits(bakery: Bakery) -> int:
    with sqlite3.connect(bakery.folder / "control.db") as db:
        found = db.execute("select count(*) from batches where status = 'split'").fetchone()[0]
    db.close()
    return int(found)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_user_whom_the_target_refuses_is_alone_after_few_halvings(tmp_path: Path, refusal: str) -> None:
    bakery = Bakery(tmp_path / "b", customers=CUSTOMERS)
    with bakery.target() as db:
        db.execute(REFUSALS[refusal])

    bakery.move(batch_users=CUSTOMERS, max_failed=0.5, max_held=0.5)

    users = bakery.users()
    assert users.pop(POISON) in ("failed", "held")
    assert set(users.values()) == {"live"}
    assert _splits(bakery) <= math.log2(CUSTOMERS) + 1
    bakery.close()


def test_a_user_of_whom_workers_die_is_alone_after_few_halvings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = Bakery(tmp_path / "b", customers=CUSTOMERS)
    bakery.parts = replace(bakery.parts, limits=replace(bakery.parts.limits, interruptions=3))
    bakery.plan(batch_users=CUSTOMERS, max_failed=0.5)
    write, deaths = writing.write, 0

    def die(*given: object, **more: object) -> object:
        if POISON in set(given[4]["user_key"]):  # type: ignore[index]
            raise Power
        return write(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "write", die)
    while set(bakery.users().values()) - {"live", "failed"}:
        try:
            bakery.start_all() if not deaths else bakery.run()
        except Power:
            deaths += 1
            bakery.lose_leases()

    users = bakery.users()
    assert users.pop(POISON) == "failed"
    assert set(users.values()) == {"live"}
    assert _splits(bakery) <= math.log2(CUSTOMERS) + 1
    with sqlite3.connect(bakery.folder / "control.db") as db:
        attempts, interruptions = db.execute("select max(attempts), max(interruptions) from batches").fetchone()
        fails = [json.loads(one) for (one,) in db.execute("select detail from journal where event = 'fail'")]
    db.close()
    assert (attempts, interruptions) == (0, 3)  # counted apart
    assert len(fails) == 1
    bakery.close()
