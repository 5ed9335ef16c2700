"""Ids that the target counts: taken in bulk, the same after a rollback or a crash, never given to two rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from migrator.errors import Refused
from migrator.flows.steering import waves
from migrator.rollout.states import Wave
from tests.edges.databases.places import SqlitePlace
from tests.flows.library import Library
from tests.flows.plug import Plug, Power, plugged


def test_rows_get_the_next_numbers_and_children_point_at_them(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place)
    library.there(("early@x.org", "Early", None, 1))

    library.move()

    assert [(row[0], row[1]) for row in library.members()] == [
        (1, "early@x.org"), (2, "r1@x.org"), (3, "r2@x.org"), (4, "r3@x.org"),
    ]  # fmt: skip
    assert {(email, title) for _, email, title in library.loans()} == {
        (f"r{n}@x.org", f"Book {n}.{k}") for n in (1, 2, 3) for k in (1, 2)
    }
    assert [row[0] for row in library.loans()] == [1, 2, 3, 4, 5, 6]
    assert library.differences() == []
    place.run("insert into members (email) values ('late@x.org')")
    assert max(library.members())[0] == 5
    library.close()


def test_the_same_rows_have_the_same_numbers_when_they_come_back(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place)
    library.there(("early@x.org", "Early", None, 1))
    before = library.rows()
    library.move()
    full = library.rows()

    assert library.back().restored == 3

    assert library.rows() == before
    place.run("insert into members (email) values ('between@x.org')")
    waves.retry(library.parts, "whole")
    library.start_all()
    assert [row for row in library.members() if row[1] != "between@x.org"] == full["members"]
    assert library.rows()["loans"] == full["loans"]
    library.close()


def test_only_who_is_pointed_at_by_rows_of_the_new_system_stays(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place)
    place.run("create table logins (id integer primary key, member_id integer references members (id))")
    library.move()
    place.run("insert into logins select 1, id from members where email = 'r2@x.org'")

    done = library.back()

    assert (done.restored, set(done.refused)) == (2, {"2"})
    assert [row[1] for row in library.members()] == ["r2@x.org"]
    assert library.differences() == []
    library.close()


def test_a_number_that_the_application_was_first_with_is_replaced(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    # without AUTOINCREMENT SQLite counts on from what is there
    library = Library(tmp_path / "l", place, id_="integer primary key")
    library.move()
    library.back()
    place.run("insert into members (email) values ('between@x.org')")

    waves.retry(library.parts, "whole")
    library.start_all()

    assert [(row[0], row[1]) for row in library.members()] == [
        (1, "between@x.org"), (2, "r2@x.org"), (3, "r3@x.org"), (4, "r1@x.org"),
    ]  # fmt: skip
    assert library.differences() == []
    library.close()


def test_a_move_that_was_cut_off_anywhere_gives_the_same_numbers(tmp_path: Path) -> None:
    started = Library.started(tmp_path / "started", 2)

    def moved(folder: Path, cut_after: int | None) -> tuple[int, object]:
        library = started.copy(folder)
        plug = Plug()
        plug.limit = cut_after
        try:
            library.run(plugged(library.parts, plug))
        except Power:
            library.lose_leases()
            library.run()
        ids = library.place.ask("select mapping, key, id from migrator_ids order by 1, 2")
        library.close()
        return plug.used, (library.rows(), library.ledger(), library.users(), ids)

    effects, whole = moved(tmp_path / "whole", None)
    assert effects > 8
    for cut_after in range(effects):
        assert moved(tmp_path / str(cut_after), cut_after)[1] == whole, f"differs when cut after {cut_after} effects"
    started.close()


def test_workers_who_move_at_once_give_every_row_a_number_of_its_own(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place, readers=9)
    library.plan(batch_users=3)
    waves.start(library.parts, "whole")
    others = [Library(tmp_path / "l", place) for _ in range(2)]

    def work(told: tuple[int, tuple[str, tuple[int, ...]]]) -> None:
        number, (task, ids) = told
        [library, *others][number % 3].work(task, ids)

    with ThreadPoolExecutor(3) as pool:
        while library.wave().status is not Wave.PASSED:
            list(pool.map(work, enumerate(library.tick())))
            library.lose_leases()  # who was sent away to wait comes again

    assert len(library.members()) == 9 and len(library.loans()) == 18
    assert {email for _, email, _ in library.loans()} == {f"r{n}@x.org" for n in range(1, 10)}
    kept = place.ask("select mapping, id, count(*) from migrator_ids group by 1, 2")
    assert len(kept) == 27 and {count for *_, count in kept} == {1}
    assert library.differences() == []
    for one in (library, *others):
        one.close()


def test_a_project_that_has_ledger_and_fence_gets_the_tables_that_it_lacks(place: SqlitePlace, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", place)
    place.run("drop table migrator_ids")
    place.run("drop table migrator_owners")

    with pytest.raises(Refused, match="migrator store upgrade"):
        library.plan()
    library.parts.target.prepare()
    library.move()

    assert len(library.members()) == 3
    library.close()
