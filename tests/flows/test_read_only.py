"""While the project is read-only nobody changes anything, and no batch begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.errors import NotPermitted, Refused
from migrator.flows.checking import verify
from migrator.flows.helping import overview
from migrator.flows.people import access, read_only
from migrator.flows.people.office import Office
from migrator.flows.steering import campaign, waves
from migrator.rollout.rights import COMMANDS, Permission
from migrator.rollout.states import Wave
from tests.flows.bakery import Bakery


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    """A bakery with an approved plan of one wave of several batches."""
    bakery = Bakery(tmp_path / "bakery", customers=30)
    bakery.plan(batch_users=10)
    yield bakery
    bakery.close()


def office(bakery: Bakery) -> Office:
    parts = bakery.parts
    return Office(parts.control, parts.key, None, "lea@desk", parts.now)


def knock(bakery: Bakery, command: str, *, changes: bool = True) -> None:
    asked = access.Knock(command, "lea@desk", bakery.parts.now(), changes)
    access.admit(bakery.parts.control, asked, lambda: None)


def test_whatever_changes_something_is_refused_with_the_reason(bakery: Bakery) -> None:
    read_only.turn_on(office(bakery), "the target is being restored")

    refused = []
    for command, right in COMMANDS.items():
        if right.permission is not Permission.FREE:
            try:
                knock(bakery, command)
            except NotPermitted as closed:
                assert "lea@desk: the target is being restored" in str(closed)
                refused.append(command)
    assert refused == [command for command, right in COMMANDS.items() if right.changes]
    assert {"run", "wave start", "rollback all", "plan create", "review resolve", "store upgrade"} <= set(refused)


def test_a_dry_run_changes_nothing_and_is_let_in(bakery: Bakery) -> None:
    read_only.turn_on(office(bakery), "an audit")

    knock(bakery, "rollback all", changes=False)


def test_off_again_everything_goes_on(bakery: Bakery) -> None:
    read_only.turn_on(office(bakery), "an audit")
    read_only.turn_off(office(bakery))

    knock(bakery, "rollback all")
    with pytest.raises(Refused, match="is not read-only"):
        read_only.turn_off(office(bakery))


def test_batches_that_run_end_and_no_other_begins_until_it_is_off(bakery: Bakery) -> None:
    waves.start(bakery.parts, "whole")
    dispatcher = bakery.dispatcher()
    [(task, ids), *_] = bakery.tick(dispatcher)
    read_only.turn_on(office(bakery), "an audit")

    bakery.work(task, ids)
    moved = sum(status == "live" for status in bakery.users().values())
    assert 0 < moved < 30
    assert bakery.tick(dispatcher) == []
    found = overview.status(bakery.parts)
    assert "the project is read-only since" in found["read_only"]
    assert found["waves"][0]["waiting"]["reasons"][0]["signal"] == "read-only"

    read_only.turn_off(office(bakery))
    bakery.run()
    assert set(bakery.users().values()) == {"live"}
    assert overview.status(bakery.parts)["read_only"] is None


def test_a_gate_does_not_decide_until_it_is_off(bakery: Bakery) -> None:
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    verify.check_wave(bakery.parts, bakery.wave().id, "test")
    read_only.turn_on(office(bakery), "an audit")
    assert bakery.tick() == []
    assert bakery.wave().status is Wave.CHECKING

    read_only.turn_off(office(bakery))
    bakery.tick()
    assert bakery.wave().status is Wave.PASSED


def test_nothing_else_is_rung_for_until_it_is_off(bakery: Bakery) -> None:
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    bakery.lose_leases()
    read_only.turn_on(office(bakery), "an audit")
    assert bakery.tick() == []

    read_only.turn_off(office(bakery))
    assert bakery.tick() == [("tasks.waves.check", (bakery.wave().id,))]


def test_an_unattended_run_waits_with_its_next_wave(bakery: Bakery) -> None:
    read_only.turn_on(office(bakery), "an audit")

    now = campaign.look(bakery.parts)

    assert (now.situation, now.wave and now.wave.name) == (campaign.Situation.WORKING, "whole")
    assert now.waits is not None and "read-only" in now.waits["sentence"]
    read_only.turn_off(office(bakery))
    assert campaign.look(bakery.parts).situation is campaign.Situation.NEXT
