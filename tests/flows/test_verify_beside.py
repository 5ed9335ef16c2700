"""Users who are written anew while they are compared are compared with what is meant now, or left out; never reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from migrator.flows.checking import verify
from migrator.flows.homes import cutover
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.syncing import sync
from migrator.flows.undoing import rollbacks
from migrator.store import plans
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(cutover="manual")
    return bakery


def _edit(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Another' where id in (2, 7)")


def _while_it_verifies(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let *act* happen once, when the first snapshot was opened and nothing was compared."""
    only, waiting = KeptBatch.only, [act]

    def opened(kept: KeptBatch, keys: list[str]) -> KeptBatch:
        if waiting:
            waiting.pop()()
        return only(kept, keys)

    monkeypatch.setattr(KeptBatch, "only", opened)


def test_who_is_brought_over_meanwhile_is_compared_anew(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    _edit(bakery)
    _while_it_verifies(monkeypatch, lambda: sync.passes(bakery.parts, sync.scope(bakery.parts)))

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert (found.differences, found.drift, found.busy) == ([], [], set())
    assert found.checked_users == 12


def test_who_goes_back_meanwhile_is_not_missing(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    _while_it_verifies(monkeypatch, lambda: rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7")))

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert (found.difference_count, found.checked_users, found.busy) == (0, 11, set())


def test_whom_a_lost_process_brought_over_is_said_to_be_busy_and_is_not_cut_over(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "PAUSE", 0)
    _edit(bakery)
    plug = Plug()
    plug.limit = 4  # the queue, the claim, the snapshot, the target; not the record
    with pytest.raises(Power):
        sync.passes(plugged(bakery.parts, plug), sync.scope(bakery.parts))

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert (found.differences, found.busy, found.checked_users) == ([], {"2", "7"}, 10)
    with bakery.parts.control.read() as db:
        plan = plans.require(db)
    assert set(cutover.trouble(bakery.parts, plan, ["1", "2"])) == {"2"}


def test_who_was_changed_by_somebody_else_is_reported_all_the_same(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bakery.target() as db:
        db.execute("update accounts set name = 'Wrong' where email = 'c5@bakery.example'")
    _edit(bakery)
    _while_it_verifies(monkeypatch, lambda: sync.passes(bakery.parts, sync.scope(bakery.parts)))

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert [one["user"] for one in found.differences] == ["5"]
