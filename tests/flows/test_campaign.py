"""An unattended run knows where it stands, whatever people do beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.errors import NotFound, Refused
from migrator.flows import wave_view
from migrator.flows.plans import planning
from migrator.flows.steering import campaign, waves
from migrator.flows.steering.campaign import Situation
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import waves as wave_store
from tests.flows.bakery import OPTIONS, TIERS, Bakery


def situation(bakery: Bakery) -> Situation:
    return campaign.look(bakery.parts).situation


def test_without_a_signed_plan_nothing_runs(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    with pytest.raises(NotFound, match="there is no plan yet"):
        campaign.look(bakery.parts)
    planning.create(bakery.parts, OPTIONS, TIERS)
    with pytest.raises(Refused, match="plan 1 is draft; run `migrator plan approve` first"):
        campaign.look(bakery.parts)


def test_it_goes_from_wave_to_wave_until_it_is_done(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=2, pilot_share=10)
    names = []
    while (now := campaign.look(bakery.parts)).situation is Situation.NEXT:
        assert now.wave is not None
        names.append(now.wave.name)
        waves.start(bakery.parts, now.wave.name)
        assert situation(bakery) is Situation.WORKING
        bakery.run()

    assert now.situation is Situation.DONE
    assert names[0] == "pilot" and len(names) > 2
    assert campaign.outcome(bakery.parts) == {"live": 12}


def test_once_a_person_has_taken_a_wave_back_none_goes_on_before_a_person_says_how(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=2, pilot_share=10)
    waves.start(bakery.parts, "pilot")
    bakery.run()
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="pilot"))

    now = campaign.look(bakery.parts)

    assert now.situation is Situation.HELD and now.wave and now.wave.name == "pilot"
    assert wave_view.held_sentence(now.wave) == (
        "wave pilot was rolled back. Now: find the cause, then `migrator wave retry pilot`, "
        "or leave its users in legacy with `migrator wave cancel pilot`"
    )
    with pytest.raises(Refused, match="wave pilot was rolled back"):
        waves.start(bakery.parts, "2")

    waves.cancel(bakery.parts, "pilot")

    now = campaign.look(bakery.parts)
    assert now.situation is Situation.NEXT and now.wave and now.wave.ordinal == 2


def test_a_wave_does_not_start_before_those_whose_evidence_it_stands_on(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=2, pilot_share=10)

    with pytest.raises(Refused, match=r"wave pilot comes before .* and has not been moved"):
        waves.start(bakery.parts, "3")

    assert situation(bakery) is Situation.NEXT


def test_progress_is_counted_in_users_with_an_outcome(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    assert campaign.look(bakery.parts).settled == 0

    bakery.work(*bakery.tick()[0])

    assert campaign.look(bakery.parts).settled == 8


def test_every_status_of_a_wave_is_a_situation(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    expected = [
        (Wave.PAUSED, Situation.PAUSED),
        (Wave.PAUSING, Situation.WORKING),
        (Wave.CANCELLING, Situation.WORKING),
        (Wave.CHECKING, Situation.WORKING),
        (Wave.ROLLING_BACK, Situation.PAUSED),
        (Wave.HELD, Situation.HELD),
        (Wave.CANCELLED, Situation.DONE),
        (Wave.ROLLED_BACK, Situation.DONE),
    ]
    for status, stands in expected:
        with bakery.parts.control.write() as db:
            wave_store.move(db, bakery.wave(), status)

        assert situation(bakery) is stands
