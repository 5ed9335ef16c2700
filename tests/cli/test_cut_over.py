"""Commands that let the target serve users, that ask for one ahead of his wave, and that pass the point of no return."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.errors import Refused
from migrator.store import cutovers, tables
from migrator.store.control import clock
from tests.cli.saying import say, told
from tests.flows.bakery import Bakery

NO_DRAIN = '[cutover]\ndrain = "0s"\n'


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Six customers who are moved and served by legacy, in a plan without a soak; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("cutting") / "waiting", customers=6)
    bakery.move(cutover="manual")
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(waiting: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bakery]:
    copied = waiting.copy(tmp_path / "b")
    copied.write_settings(NO_DRAIN)
    monkeypatch.chdir(copied.folder)
    yield copied
    copied.close()


def test_a_wave_is_cut_over_and_says_how_long_anybody_was_frozen(bakery: Bakery) -> None:
    assert "6 users would be cut over, of wave whole; nothing was done" in say("wave", "cut-over", "whole", "--dry-run")
    assert set(bakery.users().values()) == {"moved"}

    said = say("wave", "cut-over", "all", "--yes")

    assert said.startswith("rollback after this: block; ")
    assert "6 users are live in the target; nobody was frozen for more than " in said
    assert set(bakery.users().values()) == {"live"}
    with pytest.raises(Refused, match="wave whole has no user who is moved"):
        say("wave", "cut-over", "whole", "--yes")


def test_who_cannot_go_is_listed_with_the_reason_and_the_command_ends_with_4(bakery: Bakery) -> None:
    with bakery.target() as db:
        db.execute("update accounts set name = 'Mallory' where email = 'c3@bakery.example'")

    said = say("wave", "cut-over", "whole", "--yes", code=4)

    assert "5 users are live in the target" in said and "1 stay in legacy:" in said
    assert "the target is not what was written; see `migrator verify --user 3`" in " ".join(said.split())
    assert told("wave", "cut-over", "whole", "--yes", code=1)["left"].keys() == {"3"}


def test_nobody_is_there_to_answer_so_nothing_is_done_without_yes(bakery: Bakery) -> None:
    for words in (("wave", "cut-over", "whole"), ("user", "cut-over", "3")):
        with pytest.raises(Refused, match="say --yes"):
            say(*words)
    assert set(bakery.users().values()) == {"moved"}


def test_one_user_is_cut_over_and_shown_with_since_when_and_what_was_before(bakery: Bakery) -> None:
    before = told("user", "show", "3")
    assert (before["home"], before["homes"], before["request"]) == ("legacy", [], None)

    assert told("user", "cut-over", "3", "--yes")["live"] == 1

    found = told("user", "show", "3")
    assert (found["home"], found["since"]) == ("target", found["homes"][0]["since"])
    assert [(one["version"], one["was"], one["home"]) for one in found["homes"]] == [(1, "legacy", "target")]
    said = say("user", "show", "3")
    assert "live, served by target since 20" in said and "served by target from now on: cutover 1 by " in said
    assert {key for key, status in bakery.users().items() if status == "live"} == {"3"}


def test_who_has_arrived_needs_not_be_asked_for(bakery: Bakery) -> None:
    asked = told("user", "move", "3")

    assert (asked["status"], asked["workers"]) == ("done", 0)
    assert "is moved" in say("user", "move", "3")
    assert "no worker is alive" in say("user", "move", "4", "--cut-over")
    assert "asked for: open, is moved; he is cut over next" in say("user", "show", "4")


def test_a_wave_is_settled_by_its_name_and_never_rolled_back_again(bakery: Bakery) -> None:
    with pytest.raises(Refused, match="has nobody who is live"):
        say("wave", "settle", "whole", "--dry-run")
    say("wave", "cut-over", "whole", "--yes")
    with pytest.raises(Refused, match="Nobody is here to type its name; say --confirm whole"):
        say("wave", "settle", "1")
    with pytest.raises(Refused, match='"hole" is not the name of wave whole: nothing was done'):
        say("wave", "settle", "1", "--confirm", "hole")
    with bakery.target() as db:  # what the new system does with its own rows is its own affair
        db.execute("update accounts set name = 'New name' where email = 'c3@bakery.example'")
    assert told("wave", "settle", "1", "--dry-run")["settled"] == 6
    assert set(bakery.users().values()) == {"live"}

    said = say("wave", "settle", "1", "--confirm", "whole")

    assert "6 users of wave whole are settled: there is no way back for them" in said
    assert "the new system has changed 1 values since" in said
    assert set(bakery.users().values()) == {"settled"}
    for whom in (("wave", "whole"), ("user", "3"), ("all",)):
        with pytest.raises(Refused, match="has passed the point of no return"):
            say("rollback", *whom, "--yes")


def test_a_wave_to_which_legacy_still_writes_is_not_settled(bakery: Bakery) -> None:
    say("wave", "cut-over", "whole", "--yes")
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Lost' where id = 3")

    assert "legacy was written to since the cutover" in say("wave", "settle", "whole", "--dry-run", code=1)
    with pytest.raises(Refused, match=r"for 1 users whom the target serves \(3\)"):
        say("wave", "settle", "whole", "--confirm", "whole")
    assert set(bakery.users().values()) == {"live"}


def test_a_wave_is_not_settled_before_its_soak_is_over(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        settings = db.scalar(sa.select(tables.plans.c.settings))
        db.execute(sa.update(tables.plans).values(settings={**settings, "soak_seconds": 3600}))
    say("wave", "cut-over", "whole", "--yes")

    with pytest.raises(Refused, match="it soaks until "):
        say("wave", "settle", "whole", "--confirm", "whole")


def test_the_doctor_says_what_is_protected_and_who_was_left_frozen(bakery: Bakery) -> None:
    assert "users are frozen, brought up to date and compared" in " ".join(say("doctor").split())
    with bakery.parts.control.write() as db:
        one = cutovers.get(db, cutovers.begin(db, 1, None, "somebody", bakery.parts.now()))
        cutovers.freeze(db, one, ["3"], timedelta(seconds=30))
        db.execute(sa.update(tables.frozen).values(until=clock(db) - timedelta(seconds=1)))

    said = " ".join(say("doctor", code=1).split())

    assert "1 users are frozen by a cutover that died" in said
    assert "read-only since" in say("user", "show", "3")


def test_the_doctor_says_what_a_cutover_at_once_does_not_protect(bakery: Bakery) -> None:
    bakery.write_settings(f'{NO_DRAIN}[plan]\ncutover = "immediate"\n')

    assert "without a freeze" in " ".join(say("doctor").split())


def test_a_drain_longer_than_the_budget_is_a_mistake_in_the_settings(bakery: Bakery) -> None:
    from migrator.errors import SettingWrong

    bakery.write_settings('[cutover]\ndrain = "30s"\n')

    with pytest.raises(SettingWrong, match="nothing could be cut over in time"):
        say("status")
