"""Rows that are in the target already: every action, whatever is there; and back means exactly as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.flows.undoing import rollbacks
from tests.edges.databases.places import SqlitePlace
from tests.flows.library import Library
from tests.flows.plug import Plug, Power, plugged


def _by_email(action: str) -> str:
    return f", on_conflict: {{match: [email], action: {action}}}"


#: Reader 1 is nowhere; 2 is there just so; 3 says something else there, and is older; 4 is newer there; 5 lacks a phone.
THERE = (
    ("r2@x.org", "Reader 2", "+2", 10),
    ("r3@x.org", "Old", "+333", 5),
    ("r4@x.org", "New", "+444", 20),
    ("r5@x.org", "Reader 5", None, 10),
)
UNTOUCHED = {n: (name, phone, changed) for n, (_, name, phone, changed) in enumerate(THERE, start=2)}
OURS = {n: (f"Reader {n}", f"+{n}", 10) for n in range(1, 6)}


@pytest.mark.parametrize(
    ("action", "held", "becomes"),
    [
        ("review", [2, 3, 4, 5], {1: OURS[1], **UNTOUCHED}),
        ("skip", [], {1: OURS[1], **UNTOUCHED}),
        ("skip_if_equal", [3, 4, 5], {1: OURS[1], **UNTOUCHED}),
        ("update", [], OURS),
        ("update_if_newer, newer: changed", [], {**OURS, **{n: UNTOUCHED[n] for n in (4, 5)}}),
        ("fill_nulls", [], {1: OURS[1], **UNTOUCHED, 5: OURS[5]}),
    ],
)
def test_every_action_does_what_it_says_and_goes_back_exactly(
    place: SqlitePlace, tmp_path: Path, action: str, held: list[int], becomes: dict[int, tuple[object, ...]]
) -> None:
    library = Library(tmp_path / "l", place, readers=5, members=_by_email(action))
    library.there(*THERE)
    before = library.rows()

    library.move(max_held=1.0)

    assert library.held() == [str(n) for n in held]
    assert {row[1]: row[2:5] for row in library.members()} == {f"r{n}@x.org": row for n, row in becomes.items()}
    assert {email for _, email, _ in library.loans()} == {f"r{n}@x.org" for n in OURS if n not in held}
    assert [row[0] for row in library.members()][:4] == [row[0] for row in before["members"]]  # nobody got another id
    assert library.differences() == []
    assert library.back().refused == {}
    assert library.rows() == before
    library.close()


def test_a_row_that_several_rows_there_could_be_is_for_a_person(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place, members=_by_email("update"))
    library.there(("r2@x.org", "One", None, 1), ("r2@x.org", "Other", None, 1))

    library.move(max_held=1.0)

    assert library.held() == ["2"]
    library.close()


def test_a_row_that_another_user_of_ours_wrote_is_for_a_person(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place, loans=", on_conflict: {match: [title], action: update}")
    with library.legacy() as db:
        db.execute("update loan set title = 'Dune' where id in (11, 21)")  # of readers 1 and 2
    before = library.rows()

    library.move(batch_users=1, max_held=1.0)

    assert len(library.held()) == 1 and library.held()[0] in ("1", "2")
    assert [title for _, _, title in library.loans()].count("Dune") == 1
    assert library.differences() == []
    library.back()
    assert library.rows() == before
    assert place.ask("select * from migrator_owners") == []
    library.close()


def test_what_is_left_to_the_target_is_neither_written_nor_compared_nor_put_back(
    place: SqlitePlace, tmp_path: Path
) -> None:
    rule = (
        ", on_conflict: {match: [email], action: update, leave: {phone: {name: Old}, name: {name: {is_null: false}}}}"
    )
    library = Library(tmp_path / "l", place, members=rule)
    library.there(("r1@x.org", "Old", "+111", 1), ("r2@x.org", "Other", "+222", 1), ("r3@x.org", None, None, 1))

    library.move()

    assert [row[1:5] for row in library.members()] == [
        ("r1@x.org", "Old", "+111", 10), ("r2@x.org", "Other", "+2", 10), ("r3@x.org", "Reader 3", "+3", 10),
    ]  # fmt: skip
    place.run("update members set phone = '+999', seen = 'today' where email = 'r1@x.org'")  # theirs, not ours
    assert library.differences() == []
    assert library.back().refused == {}
    assert [row[1:] for row in library.members()] == [
        ("r1@x.org", "Old", "+999", 1, "today"), ("r2@x.org", "Other", "+222", 1, "never"),
        ("r3@x.org", None, None, 1, "never"),
    ]  # fmt: skip
    library.close()


def test_who_changed_what_we_wrote_over_stays(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place, members=_by_email("update"))
    library.there(("r1@x.org", "Old", "+111", 1), ("r2@x.org", "Old", "+222", 1))
    library.move()
    place.run("update members set phone = '+999' where email = 'r1@x.org'")

    assert set(library.back().refused) == {"1"}

    assert [(row[1], row[3]) for row in library.members()] == [("r1@x.org", "+999"), ("r2@x.org", "+222")]
    library.close()


def test_a_protected_row_is_not_touched_and_children_point_at_it(place: SqlitePlace, tmp_path: Path) -> None:
    rule = ", on_conflict: {match: [email], action: update, leave: {'*': {seen: never}}}"
    library = Library(tmp_path / "l", place, members=rule)
    library.there(("r1@x.org", "Old", "+111", 1), ("r2@x.org", "Old", "+222", 1))
    place.run("update members set seen = 'today' where email = 'r2@x.org'")

    library.move()

    assert [row[2] for row in library.members()] == ["Old", "Reader 2", "Reader 3"]
    assert {email for _, email, _ in library.loans()} == {"r1@x.org", "r2@x.org", "r3@x.org"}
    assert library.differences() == []
    library.close()


def test_an_account_that_was_there_keeps_the_rows_it_had(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place, members=_by_email("update"))
    library.there(("r1@x.org", "Old", "+111", 1))
    place.run("insert into loans (member_id, title) values (1, 'Emma')")
    before = library.rows()

    library.move()

    assert library.differences() == []
    assert library.back().refused == {}
    assert library.rows() == before
    library.close()


def test_an_update_and_its_rollback_that_were_cut_off_anywhere_end_as_if_they_never_were(tmp_path: Path) -> None:
    started = Library.started(
        tmp_path / "started", 2, members=_by_email("fill_nulls"), there=("r2@x.org", None, "+2", 5)
    )
    before = started.rows()

    def moved_and_back(folder: Path, cut_after: int | None) -> tuple[int, object]:
        library = started.copy(folder)
        plug = Plug()
        plug.limit = cut_after
        parts, full = plugged(library.parts, plug), None
        try:
            library.run(parts)
            full = library.rows()
            rollbacks.roll_back(parts, rollbacks.scope(parts))
        except Power:
            library.lose_leases()
            if full is None:
                library.run()
                full = library.rows()
            library.back()
        assert library.rows() == before
        library.close()
        return plug.used, (full, library.ledger(), library.users(), library.place.ask("select * from migrator_owners"))

    effects, whole = moved_and_back(tmp_path / "whole", None)
    assert effects > 8
    for cut_after in range(effects):
        found = moved_and_back(tmp_path / str(cut_after), cut_after)[1]
        assert found == whole, f"differs when cut after {cut_after} effects"
    started.close()
