"""Users who are spread over three databases: found, moved whole, held where doubtful, taken back whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import MappingInvalid, Refused, Transient
from migrator.flows.checking import verify
from migrator.flows.helping import review, support
from migrator.flows.moving import reading
from migrator.flows.plans import planning
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.mapping.outcome import Context
from migrator.store import plans
from tests.flows.bakery import OPTIONS, TIERS
from tests.flows.silos import CALLS, DAY, SET, Silos

ANN, BOB, CID, DOT, GUS, HAL = "1", "2", "3", "4", "crm:C7", "news:70"
MOVERS = {ANN, BOB, CID, DOT, GUS, HAL}


@pytest.fixture(scope="module")
def moved_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of which everybody who is not doubtful is live; to be copied."""
    silos = Silos(tmp_path_factory.mktemp("silos") / "moved")
    silos.move()
    silos.close()
    return silos.folder


@pytest.fixture
def a_copy(moved_folder: Path, tmp_path: Path) -> Iterator[Silos]:
    """One that may be changed."""
    shutil.copytree(moved_folder, tmp_path / "copy")
    silos = Silos(tmp_path / "copy")
    yield silos
    silos.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Silos]]:
    """New ones, with other mappings or after other rows; closed in the end."""
    made: list[Silos] = []

    def make(**mappings: str) -> Silos:
        made.append(Silos(tmp_path / f"silos{len(made)}", **mappings))
        return made[-1]

    yield make
    for silos in made:
        silos.close()


def books(silos: Silos) -> dict[str, Any]:
    """read of every mapping, over all batches."""
    from migrator.store import measures

    with silos.parts.control.read() as db:
        return dict(measures.plan_books(db, plans.require(db).id))


def counts(silos: Silos) -> dict[str, Any]:
    """What the plan counted."""
    with silos.parts.control.read() as db:
        return plans.require(db).counts


def the_case(silos: Silos) -> dict[str, Any]:
    """The one open case."""
    [case] = [one for one in review.listed(silos.parts)["cases"] if one["status"] == "open"]
    return dict(case)


def accounts(silos: Silos) -> dict[str, tuple[object, ...]]:
    """email -> (name, phone, newsletter)."""
    return {str(row[1]): row[2:] for row in silos.rows()["accounts"]}


def test_whoever_knows_a_person_there_is_one_account_made_of_all_of_them(a_copy: Silos) -> None:
    assert accounts(a_copy) == {
        "ann@x.example": ("Ann", "111", 1),
        "bob@x.example": ("Bob", "222", 0),
        "cid@x.example": ("Cid", None, 1),
        "dot@x.example": ("Dot", None, 0),
        "gus@x.example": ("Gus", "777", 0),
        "hal@x.example": (None, None, 1),
    }


def test_rows_of_every_source_hang_on_the_account_of_their_user(a_copy: Silos) -> None:
    rows = a_copy.rows()
    email = {row[0]: row[1] for row in rows["accounts"]}

    assert {(email[row[1]], row[2]) for row in rows["calls"]} == {
        ("ann@x.example", "call 1"), ("bob@x.example", "call 2"), ("gus@x.example", "call 7"),
    }  # fmt: skip
    assert {email[row[1]] for row in rows["orders"]} == {f"{name}@x.example" for name in ("ann", "bob", "cid", "dot")}


def test_every_user_of_every_source_is_accounted_for(a_copy: Silos) -> None:
    assert a_copy.users() == dict.fromkeys(MOVERS, "live") | {"5": "held", "6": "excluded", "crm:C5": "held"}


def test_the_figures_say_how_each_record_is_known(a_copy: Silos) -> None:
    assert counts(a_copy)["identity"] == {
        "shop": {"records": 6, "own": 5, "excluded": 1},
        "crm": {"records": 4, "id": 1, "email": 1, "doubtful": 1, "own": 1},
        "news": {"records": 3, "link": 1, "email": 1, "own": 1},
    }


def test_the_rows_of_each_table_are_read_or_of_nobody_or_of_the_excluded_or_wait(a_copy: Silos) -> None:
    unowned, read = counts(a_copy)["unowned"], {name: book.read for name, book in books(a_copy).items()}

    waiting = {"orders": 1, "calls": 1}  # of users 5 and crm:C5, who are held
    for mapping, rows in (("orders", 7), ("calls", 5)):
        left = unowned[mapping]
        assert read[mapping] + left["rows"] + left["of_excluded"] + waiting[mapping] == rows
        assert left["all"] == rows


def test_a_doubtful_record_holds_both_users_in_one_case_that_names_them(a_copy: Silos) -> None:
    case = the_case(a_copy)

    assert (case["mapping"], case["key"], case["rule"], case["users"]) == ("crm", "C5", "identity", ["5", "crm:C5"])
    assert case["note"] == "another user has this e-mail address, and it is not verified on both sides"
    assert (case["file"], case["line"], case["column"]) == ("set.yaml", 5, 3)


def test_the_same_user_moves_with_the_record_and_the_other_is_no_user_any_more(a_copy: Silos) -> None:
    review.resolve(a_copy.parts, str(the_case(a_copy)["id"]), "same-user", None)
    outcome = review.replay(a_copy.parts)
    a_copy.run()

    assert outcome["users"] == 1
    assert accounts(a_copy)["eve@x.example"] == ("Eve", "555", 0)
    assert {row[2] for row in a_copy.rows()["calls"]} == {"call 1", "call 2", "call 5", "call 7"}
    assert a_copy.users() == dict.fromkeys(MOVERS | {"5"}, "live") | {"6": "excluded", "crm:C5": "excluded"}
    assert verify.verify(a_copy.parts, verify.scope(a_copy.parts)).difference_count == 0


def test_until_it_is_replayed_a_decision_may_be_another(a_copy: Silos) -> None:
    case = str(the_case(a_copy)["id"])
    review.resolve(a_copy.parts, case, "another-user", None)
    review.resolve(a_copy.parts, case, "same-user", None)
    review.replay(a_copy.parts)
    a_copy.run()

    assert accounts(a_copy)["eve@x.example"] == ("Eve", "555", 0)


def test_what_is_linked_to_a_doubtful_record_goes_where_the_record_goes(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    with silos.source("news") as db:
        db.execute("insert into link values (70, 'C5')")
    silos.move()
    held = silos.users()

    review.resolve(silos.parts, str(the_case(silos)["id"]), "same-user", None)
    review.replay(silos.parts)
    silos.run()

    assert (held["5"], held["crm:C5"], HAL in held) == ("held", "held", False)
    assert accounts(silos)["eve@x.example"] == ("Eve", "555", 1)


def test_who_turns_out_to_be_one_with_somebody_in_doubt_waits_for_both_answers(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    with silos.source("crm") as db:
        db.execute("update contact set customer_id = 5, mail = 'eve@work.example' where code = 'C5'")
        db.execute("insert into contact values ('C9', 5, 'ida@x.example', 'Ida', '999', 0)")
    with silos.source("news") as db:
        db.execute("insert into subscriber values (50, 'eve@work.example', 0, ?)", [DAY])
    silos.move()
    cases = {case["key"]: (str(case["id"]), case["users"]) for case in review.listed(silos.parts)["cases"]}

    review.resolve(silos.parts, cases["C5"][0], "same-user", None)
    review.resolve(silos.parts, cases["C9"][0], "another-user", None)
    first = review.replay(silos.parts)
    review.resolve(silos.parts, cases["50"][0], "same-user", None)
    second = review.replay(silos.parts)
    silos.run()

    assert cases["50"][1] == ["crm:C5", "news:50"]
    assert (first["users"], second["users"]) == (1, 1)
    assert silos.users() == dict.fromkeys([*MOVERS, "5", "crm:C9"], "live") | dict.fromkeys(
        ["6", "crm:C5", "news:50"], "excluded"
    )
    assert {(one["source"], one["key"], one["by"]) for one in support.show(silos.parts, "5")["records"]} == {
        ("shop", "5", "own"), ("crm", "C5", "person"), ("news", "50", "person"),
    }  # fmt: skip
    assert verify.verify(silos.parts, verify.scope(silos.parts)).difference_count == 0


def test_another_user_moves_by_himself(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    with silos.source("crm") as db:
        db.execute("update contact set customer_id = 1, mail = 'new@x.example' where code = 'C5'")
    silos.move()
    twins = [case for case in review.listed(silos.parts)["cases"] if case["rule"] == "identity"]
    held = silos.users()

    for case in twins:
        action = "another-user" if case["key"] == "C5" else "same-user"
        review.resolve(silos.parts, str(case["id"]), action, None)
    review.replay(silos.parts)
    silos.run()

    assert [case["key"] for case in twins] == ["C1", "C5"]
    assert {key for key, status in held.items() if status == "held"} == {"1", "crm:C1", "crm:C5"}
    assert accounts(silos)["ann@x.example"] == ("Ann", "111", 1)
    assert accounts(silos)["new@x.example"] == ("Eve E.", "555", 0)


def test_a_decision_is_kept_by_the_next_plan(a_copy: Silos) -> None:
    review.resolve(a_copy.parts, str(the_case(a_copy)["id"]), "same-user", None)
    review.replay(a_copy.parts)
    a_copy.run()
    rollbacks.roll_back(a_copy.parts, rollbacks.scope(a_copy.parts))

    a_copy.move()

    assert accounts(a_copy)["eve@x.example"] == ("Eve", "555", 0)
    assert counts(a_copy)["identity"]["crm"] == {"records": 4, "id": 1, "email": 1, "person": 1, "own": 1}
    assert a_copy.users() == dict.fromkeys(MOVERS | {"5"}, "live") | {"6": "excluded"}


def test_a_record_that_a_person_leaves_out_stays_and_the_user_moves_without_it(a_copy: Silos) -> None:
    review.resolve(a_copy.parts, str(the_case(a_copy)["id"]), "exclude-user", None, only=["crm:C5"])
    review.replay(a_copy.parts)
    a_copy.run()

    assert accounts(a_copy)["eve@x.example"] == ("Eve", None, 0)
    assert a_copy.users()["crm:C5"] == "excluded"


@pytest.mark.parametrize("action", ["use", "accept-null", "skip-row", "fixed-in-source", "fixed-in-mapping"])
def test_a_doubt_is_decided_by_saying_who_it_is_and_by_nothing_else(a_copy: Silos, action: str) -> None:
    value, only = ("x", ["5"]) if action == "use" else (None, [])

    with pytest.raises(Refused, match="--same-user, --another-user, or --exclude-user"):
        review.resolve(a_copy.parts, str(the_case(a_copy)["id"]), action, value, only=only)


def test_which_of_several_users_it_is_must_be_said(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    with silos.source("shop") as db:
        db.execute("update customer set email = 'bob@x.example' where id = 4")
        db.execute("update customer set email_ok = 1 where id = 4")
    planning.create(silos.parts, OPTIONS, TIERS)
    [case] = [one for one in review.listed(silos.parts)["cases"] if one["key"] == "C2"]

    with pytest.raises(Refused, match="may be any of 2, 4; say which with --user"):
        review.resolve(silos.parts, str(case["id"]), "same-user", None)
    review.resolve(silos.parts, str(case["id"]), "same-user", None, only=["4"])


def test_all_of_it_goes_back_exactly(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    before = silos.rows()
    silos.move()

    rollbacks.roll_back(silos.parts, rollbacks.scope(silos.parts))

    assert silos.rows() == before
    assert {key for key, status in silos.users().items() if status == "rolled_back"} == MOVERS


def test_one_user_goes_back_whole_from_all_sources(a_copy: Silos) -> None:
    rollbacks.roll_back(a_copy.parts, rollbacks.scope(a_copy.parts, user=ANN))

    assert "ann@x.example" not in accounts(a_copy)
    assert {row[2] for row in a_copy.rows()["calls"]} == {"call 2", "call 7"}
    assert len(a_copy.rows()["orders"]) == 3


def test_a_change_in_any_source_is_drift_of_its_user(a_copy: Silos) -> None:
    with a_copy.source("crm") as db:
        db.execute("update call set subject = 'changed' where code = 'C2'")
    with a_copy.source("news") as db:
        db.execute("update subscriber set confirmed = 0 where sid = 70")

    found = verify.verify(a_copy.parts, verify.scope(a_copy.parts))

    assert found.difference_count == 0
    assert {(one["user"], one["kind"]) for one in found.drift} == {(BOB, "legacy changed"), (HAL, "legacy changed")}


def test_a_user_is_gone_when_no_source_has_a_record_left(a_copy: Silos) -> None:
    with a_copy.source("news") as db:
        db.execute("delete from subscriber")

    found = verify.verify(a_copy.parts, verify.scope(a_copy.parts))

    assert {(one["user"], one["kind"]) for one in found.drift} == {
        (ANN, "legacy changed"), (CID, "legacy changed"), (HAL, "vanished"),
    }  # fmt: skip


def test_a_commit_in_any_source_while_users_move_is_seen_before_they_are_committed(a_copy: Silos) -> None:
    parts = a_copy.parts
    set_, context, mark = parts.folder_set, Context("1", "2026-01-06T00:00:00Z"), parts.legacy.mark()
    before = reading.read(parts, set_, [ANN, BOB], context)
    with a_copy.source("news") as db:
        db.execute("update subscriber set confirmed = 0 where sid = 10")

    with pytest.raises(Transient, match="1 users changed in legacy"):
        reading.require_unchanged(parts, set_, context, before, [ANN, BOB], mark)


def test_rows_of_nobody_in_any_source_need_a_word(fresh: Callable[..., Silos]) -> None:
    silos = fresh(calls=CALLS.replace(", without_user: {leave: calls of strangers}", ""))

    with pytest.raises(MappingInvalid, match=r"1 rows of crm\.call belong to no user"):
        planning.create(silos.parts, OPTIONS, TIERS)


def test_a_record_key_that_is_there_twice_is_refused(fresh: Callable[..., Silos]) -> None:
    silos = fresh(set=SET.replace("key: sid", "key: confirmed").replace("user: sid", "user: confirmed"))

    with pytest.raises(Refused, match=r"3 rows of news\.subscriber have no confirmed of their own"):
        planning.create(silos.parts, OPTIONS, TIERS)


def test_a_revised_plan_keeps_who_is_who(a_copy: Silos) -> None:
    path = a_copy.folder / "mappings" / "set.yaml"
    path.write_text(path.read_text().replace("same: [{id: customer_id}, email]", "same: [email]"))

    with pytest.raises(Refused, match="says in another way who is who"):
        planning.revise(a_reopened(a_copy).parts)


def a_reopened(silos: Silos) -> Silos:
    """The same folder as another process sees it."""
    silos.close()
    return Silos(silos.folder)


def test_support_finds_a_user_by_the_key_of_any_record(a_copy: Silos) -> None:
    shown = support.show(a_copy.parts, "crm:C1")

    assert shown["user"] == ANN
    assert {(one["source"], one["key"], one["by"]) for one in shown["records"]} == {
        ("shop", "1", "own"), ("crm", "C1", "id"), ("news", "10", "link"),
    }  # fmt: skip
    assert [one["user"] for one in support.find(a_copy.parts, "news:10")] == [ANN]


def test_support_is_led_from_a_record_that_was_thought_a_user_to_the_user(a_copy: Silos) -> None:
    review.resolve(a_copy.parts, str(the_case(a_copy)["id"]), "same-user", None)
    review.replay(a_copy.parts)

    shown = support.show(a_copy.parts, "crm:C5")

    assert (shown["status"], shown["same_as"]) == ("excluded", "5")
    assert shown["reason"] == "the same person as another user, decided by tester"


def test_tiers_are_measured_over_all_sources(fresh: Callable[..., Silos]) -> None:
    silos = fresh()
    with silos.source("crm") as db:
        db.executemany(
            "insert into call values (?, 'C7', 'again', ?)",
            [(200 + n, DAY.replace("05", f"{n:02d}")) for n in range(6, 9)],
        )

    planning.create(silos.parts, replace(OPTIONS, strategy="tiered"), TIERS)

    assert support.show(silos.parts, GUS)["tier"]["f"] == 4
    assert support.show(silos.parts, HAL)["tier"]["f"] == 1


def test_a_wave_of_users_from_all_sources_can_be_tried_again(a_copy: Silos) -> None:
    rollbacks.roll_back(a_copy.parts, rollbacks.scope(a_copy.parts))
    waves.retry(a_copy.parts, "whole")
    a_copy.start_all()

    assert len(accounts(a_copy)) == 6
