"""A person decides once; the decision is applied, and nobody else's wave or user stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.errors import NotFound, Refused
from migrator.flows.helping import case_view, overview, review
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Case, User, Wave
from migrator.store import cases, journal, plans, users
from migrator.store import waves as wave_store
from tests.flows.bakery import Bakery


def dirty(folder: Path, *, moved: bool = True, **changes: object) -> Bakery:
    """Ten customers: 1 and 2 have a status that no map knows, 3 has no e-mail address, 4 and 5 share one."""
    bakery = Bakery(folder, customers=10)
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id in (1, 2)")
        db.execute("update customer set email = 'none' where id = 3")
        db.execute("update customer set email = ' C4@bakery.EXAMPLE' where id = 5")
    if moved:
        bakery.move(**{"max_held": 0.9, **changes})
    return bakery


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Bakery:
    """The dirty bakery, moved but for the five who are held; to be copied."""
    return dirty(tmp_path_factory.mktemp("dirty") / "held")


def case_of(bakery: Bakery, user: str) -> cases.Case:
    with bakery.parts.control.read() as db:
        return cases.select(db, plans.require(db).id, user=user)[0]


def who_is(bakery: Bakery, status: str) -> list[str]:
    return sorted((key for key, found in bakery.users().items() if found == status), key=int)


def decide(bakery: Bakery, user: str, action: str, value: str | None = None, **more: object) -> None:
    review.resolve(bakery.parts, str(case_of(bakery, user).id), action, value, **more)  # type: ignore[arg-type]


def test_cases_name_field_rule_value_and_place_and_are_grouped_by_cause(held: Bakery) -> None:
    assert who_is(held, "held") == ["1", "2", "3", "4", "5"]

    found = review.listed(held.parts, reveal=True)

    told = {(one["field"], one["rule"], one["value"], one["cases"], one["users"]) for one in found["causes"]}
    assert told == {
        ("status", "map", "9", 2, 2),
        ("email", "email", "none", 1, 1),
        ("email", "unique", "c4@bakery.example", 1, 2),
    }
    assert all(one["file"].endswith("accounts.yaml") and one["line"] for one in found["causes"])
    assert [one["users"] for one in review.listed(held.parts, user="2")["cases"]] == [["2"]]


def test_a_cause_is_decided_once_for_all_who_share_it(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    cause = case_of(bakery, "1").cause
    assert review.resolve(bakery.parts, cause, "use", "closed", dry_run=True)["users"] == ["1", "2"]
    assert case_of(bakery, "1").status is Case.OPEN

    review.resolve(bakery.parts, cause, "use", "closed")
    outcome = review.replay(bakery.parts)
    bakery.run()

    assert (outcome["users"], outcome["waves"]) == (2, ["whole"])
    assert who_is(bakery, "held") == ["3", "4", "5"]
    assert sum(row[3] == "closed" for row in bakery.rows()["accounts"]) == 2
    assert case_of(bakery, "1").status is Case.REPLAYED


def test_a_value_that_the_target_refuses_fails_its_user_alone(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "1", "use", "nonsense")
    decide(bakery, "2", "use", "closed")
    review.replay(bakery.parts)
    bakery.run()

    assert (bakery.users()["1"], bakery.users()["2"]) == ("failed", "live")
    assert [one["rule"] for one in review.listed(bakery.parts, status="open", user="1")["cases"]] == ["database"]


def test_a_required_value_cannot_be_null_and_a_source_that_was_mended_moves(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "1", "accept-null")
    with bakery.legacy() as db:
        db.execute("update customer set email = 'three@bakery.example' where id = 3")
    decide(bakery, "3", "fixed-in-source")
    review.replay(bakery.parts)
    bakery.run()

    assert bakery.users()["1"] == "held"
    assert bakery.users()["3"] == "live"


def test_a_row_that_is_skipped_stays_behind_with_all_that_hangs_on_it(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    before = bakery.rows()
    decide(bakery, "3", "skip-row")
    review.replay(bakery.parts)
    bakery.run()

    assert "moving" not in bakery.users().values()
    assert bakery.rows()["accounts"] == before["accounts"]


def test_of_users_who_share_a_value_one_gets_another_and_both_move(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    with pytest.raises(Refused, match="say whose value it is with --user"):
        decide(bakery, "4", "use", "five@bakery.example")
    with pytest.raises(Refused, match="not held by this case: 9"):
        decide(bakery, "4", "use", "five@bakery.example", only=["9"])

    decide(bakery, "4", "use", "five@bakery.example", only=["5"])
    review.replay(bakery.parts)
    bakery.run()

    assert who_is(bakery, "held") == ["1", "2", "3"]
    emails = {row[1] for row in bakery.rows()["accounts"]}
    assert {"c4@bakery.example", "five@bakery.example"} <= emails


def test_of_users_who_share_a_value_one_is_excluded_and_the_other_moves(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")

    decide(bakery, "4", "exclude-user", only=["5"])
    assert review.replay(bakery.parts)["users"] == 1
    bakery.run()

    assert (bakery.users()["4"], bakery.users()["5"]) == ("live", "excluded")


def test_a_case_whose_only_user_was_excluded_waits_for_nothing(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "3", "exclude-user")

    assert review.replay(bakery.parts)["users"] == 0

    assert case_of(bakery, "3").status is Case.REPLAYED
    assert "3" not in {user for one in review.listed(bakery.parts)["cases"] for user in one["users"]}


def test_who_is_held_by_two_cases_waits_for_both(tmp_path: Path) -> None:
    bakery = dirty(tmp_path / "b", moved=False)
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id = 3")
    bakery.move(max_held=0.9)
    first, second = (one["id"] for one in review.listed(bakery.parts, user="3")["cases"])

    review.resolve(bakery.parts, str(first), "skip-row", None)
    outcome = review.replay(bakery.parts)
    assert (outcome["users"], outcome["waiting"]) == (0, 1)

    review.resolve(bakery.parts, str(second), "skip-row", None)
    assert review.replay(bakery.parts, dry_run=True)["users"] == 1
    assert review.replay(bakery.parts)["users"] == 1


def test_a_dry_run_of_a_replay_sends_nobody(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "3", "fixed-in-source")

    assert review.replay(bakery.parts, dry_run=True)["users"] == 1

    assert bakery.users()["3"] == "held"


@pytest.mark.parametrize("status", [Wave.CANCELLED, Wave.ROLLING_BACK])
def test_users_of_a_wave_that_takes_nobody_stay_held_with_their_decision(
    held: Bakery, tmp_path: Path, status: Wave
) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "3", "use", "three@bakery.example")
    with bakery.parts.control.write() as db:
        wave_store.move(db, bakery.wave(), status)

    outcome = review.replay(bakery.parts)

    assert (outcome["users"], outcome["left"]) == (0, 1)
    assert bakery.users()["3"] == "held"
    assert case_of(bakery, "3").status is Case.RESOLVED


def test_who_was_held_in_a_wave_that_was_rolled_back_moves_with_it_again(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    decide(bakery, "3", "use", "three@bakery.example")
    review.replay(bakery.parts)
    assert bakery.users()["3"] == "planned"

    waves.retry(bakery.parts, "whole")
    bakery.start_all()

    assert who_is(bakery, "live") == ["3", "6", "7", "8", "9", "10"]


def test_a_decision_holds_when_the_user_is_moved_a_second_time(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    decide(bakery, "3", "use", "three@bakery.example")
    review.replay(bakery.parts)
    bakery.run()
    rows = bakery.rows()

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="3"))
    waves.retry(bakery.parts, "whole")
    bakery.run()

    assert bakery.rows() == rows


@pytest.mark.parametrize(
    ("action", "value", "why"),
    [("forget", None, "there is no resolution"), ("use", None, "needs a value"), ("skip-row", "x", "needs a value")],
)
def test_what_cannot_be_decided_so_is_said(held: Bakery, action: str, value: str | None, why: str) -> None:
    with pytest.raises(Refused, match=why):
        review.resolve(held.parts, "all", action, value)


def test_a_cause_is_named_by_its_beginning_or_by_its_field(held: Bakery) -> None:
    cause = case_of(held, "1").cause

    named = [review.show(held.parts, ref) for ref in (cause, cause[:4], "accounts.status")]

    assert [{user for case in found for user in case["users"]} for found in named] == [{"1", "2"}] * 3


def test_a_case_that_is_not_there_is_said(held: Bakery) -> None:
    with pytest.raises(NotFound, match='there is no case or cause "deadbeef"'):
        review.show(held.parts, "deadbeef")


def test_nobody_is_excluded_while_a_batch_has_the_user(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        users.assign(db, plans.require(db).id, ["3"], status=User.MOVING.value, home="moving")

    with pytest.raises(Refused, match="user 3 is being moved"):
        review.exclude(bakery.parts, "3", "an open dispute")


def test_nobody_is_excluded_whom_a_dead_worker_has_written(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        users.assign(db, plans.require(db).id, ["9"], status=User.PLANNED.value)

    with pytest.raises(Refused, match="user 9 is being moved"):
        review.exclude(bakery.parts, "9", "an open dispute")


def test_values_are_shown_to_who_decides_and_sealed_where_they_lie(held: Bakery) -> None:
    assert case_view.masked("jane@bakery.example") == "j…@…ample"
    assert case_view.as_json(held.parts, case_of(held, "3"), reveal=False)["value"] == "n…"
    for name in ("control.db", "control.db-wal"):
        path = held.folder / name
        assert not path.exists() or b"bakery.example" not in path.read_bytes()


def test_the_next_step_is_told_until_nothing_is_left(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")
    assert "5 users are held; decide" in overview.status(bakery.parts)["next"]
    for user in ("1", "2", "3"):
        decide(bakery, user, "exclude-user")
    decide(bakery, "4", "exclude-user")
    review.replay(bakery.parts)

    assert "everybody has arrived" in overview.status(bakery.parts)["next"]


def test_who_arrives_after_all_leaves_no_open_case_behind(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    with bakery.target() as db:
        db.execute(
            "create trigger no_two before insert on accounts when new.email = 'c2@bakery.example' "
            "begin select raise(abort, 'not this one'); end"
        )
    bakery.move()
    assert len(review.listed(bakery.parts, status="open")["cases"]) == 1
    with bakery.target() as db:
        db.execute("drop trigger no_two")

    waves.retry(bakery.parts, "whole")
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert review.listed(bakery.parts)["cases"] == []


def test_a_case_stays_open_as_long_as_somebody_waits_for_it(held: Bakery, tmp_path: Path) -> None:
    bakery = held.copy(tmp_path / "b")

    review.exclude(bakery.parts, "3", "asked to stay")
    review.exclude(bakery.parts, "4", "asked to stay")

    assert {tuple(one["users"]) for one in review.listed(bakery.parts)["cases"]} == {("1",), ("2",), ("4", "5")}


def test_an_address_in_a_reason_is_kept_nowhere(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=4)
    bakery.plan()

    review.exclude(bakery.parts, "3", reason="ann@bakery.example asked for it")

    with bakery.parts.control.read() as db:
        kept = users.get(db, 1, "3")
        entry = journal.latest(db, 1)[0]
    assert kept is not None
    assert kept.reason == entry["detail"]["reason"] == "(address) asked for it"
