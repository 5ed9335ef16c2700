"""What a killed process held is free as soon as it is known to be gone; what one elsewhere holds is left to its lease."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.edges.queue import CHECK
from migrator.flows.checking import verify
from migrator.flows.syncing import sync
from migrator.rollout.states import Wave
from migrator.store import effects, leases, plans, tables
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


@cache
def _gone() -> str:
    name = "from migrator.edges import holders; print(holders.here())"
    return subprocess.run([sys.executable, "-c", name], capture_output=True, text=True, check=True).stdout.strip()


def _checking(started: Bakery, folder: Path, holder: str) -> Bakery:
    """A wave that is to be verified, and was being verified by *holder* when everything stopped."""
    bakery = started.copy(folder)
    bakery.run(until=Wave.CHECKING)
    with bakery.parts.control.write() as db:
        leases.acquire(db, f"check:{bakery.wave().id}", holder, timedelta(minutes=3))
        db.execute(sa.update(tables.waves).values(rung_at=sa.func.current_timestamp()))
    return bakery


def test_a_wave_whose_verifier_was_killed_is_verified_at_once(started: Bakery, tmp_path: Path) -> None:
    bakery = _checking(started, tmp_path / "b", _gone())

    rung = bakery.tick()

    assert [task for task, _ in rung] == [CHECK]
    verify.check_wave(bakery.parts, bakery.wave().id, "another")
    with bakery.parts.control.read() as db:
        assert effects.last_verification(db, plans.require(db).id, bakery.wave().id) is not None


def test_a_wave_that_somebody_elsewhere_verifies_is_left_to_him(started: Bakery, tmp_path: Path) -> None:
    assert _checking(started, tmp_path / "b", "elsewhere:7:1").tick() == []


@pytest.mark.parametrize("effects_done", [2, 4], ids=["before the target was written", "before it was recorded"])
def test_the_next_sync_takes_up_at_once_what_a_killed_one_had_begun(tmp_path: Path, effects_done: int) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(cutover="manual")
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Another' where id in (2, 7)")
    plug = Plug()
    plug.limit = effects_done
    with pytest.raises(Power):
        sync.passes(plugged(bakery.parts, plug), sync.scope(bakery.parts))
    with bakery.parts.control.write() as db:
        ours = tables.batches.c.op == "sync"
        assert db.execute(sa.update(tables.batches).where(ours).values(owner=_gone())).rowcount == 1

    found = sync.passes(bakery.parts, sync.scope(bakery.parts))

    assert (found.busy, found.queue, found.done) == (0, 0, True)
    assert [row for row in bakery.rows()["accounts"] if "Another" in row] and found.not_brought == []


def test_the_next_sync_leaves_users_alone_whom_a_living_one_has(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(cutover="manual")
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Another' where id in (2, 7)")
    plug = Plug()
    plug.limit = 2
    with pytest.raises(Power):
        sync.passes(plugged(bakery.parts, plug), sync.scope(bakery.parts))  # this process: it is there

    assert sync.passes(bakery.parts, sync.scope(bakery.parts)).busy == 2
