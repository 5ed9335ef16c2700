"""Back means exactly as before, or not at all; and cut off anywhere it is done again."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.errors import Refused
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks, rolled_back
from migrator.rollout.states import Wave
from tests.edges.databases.places import PostgresqlPlace
from tests.flows.bakery import Bakery
from tests.flows.library import Library
from tests.flows.plug import Plug, Power, plugged
from tests.postgresql_server import PostgresqlServer


def _back(bakery: Bakery, **scope: str) -> rolled_back.RolledBack:
    return rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, **scope))


def test_everything_goes_back_and_moving_again_gives_the_same_rows(
    planned: Bakery, moved: Bakery, tmp_path: Path
) -> None:
    bakery = moved.copy(tmp_path / "b")
    empty, full = planned.rows(), moved.rows()

    done = _back(bakery)

    assert (done.restored, done.refused) == (12, {})
    assert bakery.rows() == empty
    assert set(bakery.users().values()) == {"rolled_back"}
    assert bakery.wave().status is Wave.ROLLED_BACK
    waves.retry(bakery.parts, "whole")
    bakery.start_all()
    assert bakery.rows() == full
    assert [entry[1:] for entry in bakery.ledger()] == [(3, "move")] * 12


def test_one_user_goes_back_alone(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")

    _back(bakery, user="7")

    assert len(bakery.rows()["accounts"]) == 11
    assert bakery.users()["7"] == "rolled_back"


def test_a_dry_run_counts_and_changes_nothing(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = bakery.rows(), bakery.users(), bakery.ledger()

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts), dry_run=True)

    assert (done.restored, done.removed_rows) == (12, {"accounts": 12, "orders": 36})
    assert (bakery.rows(), bakery.users(), bakery.ledger()) == before


@pytest.mark.parametrize(
    "change",
    [
        "update accounts set name = 'New Name' where email = 'c7@bakery.example'",
        "update orders set total = total + 0.01 where account_id = (select id from accounts where email = 'c7@bakery.example')",
        "delete from orders where account_id = (select id from accounts where email = 'c7@bakery.example')",
        "insert into notes (account_id, text) select id, 'hello' from accounts where email = 'c7@bakery.example'",
        "insert into orders select 'new', id, 5, '2026-02-01T00:00:00Z' from accounts where email = 'c7@bakery.example'",
    ],
)
def test_a_user_whom_the_new_system_has_touched_stays_and_all_others_go(
    moved: Bakery, tmp_path: Path, change: str
) -> None:
    bakery = moved.copy(tmp_path / "b")
    with bakery.target() as db:
        db.execute(change)

    done = _back(bakery)

    assert set(done.refused) == {"7"} and done.restored == 11
    assert [row[1] for row in bakery.rows()["accounts"]] == ["c7@bakery.example"]
    assert bakery.users()["7"] == "live"


def test_rows_that_were_there_before_stay(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=8)
    with bakery.target() as db:
        db.execute("insert into accounts values ('old', 'somebody@else.example', 'Old', 'active')")
    before = bakery.rows()

    bakery.move()
    _back(bakery)

    assert bakery.rows() == before


def test_a_rollback_that_was_cut_off_anywhere_ends_as_if_it_never_was(moved: Bakery, tmp_path: Path) -> None:
    def rolled_back(folder: Path, cut_after: int | None) -> tuple[int, object]:
        bakery = moved.copy(folder)
        plug = Plug()
        plug.limit = cut_after
        try:
            parts = plugged(bakery.parts, plug)
            rollbacks.roll_back(parts, rollbacks.scope(parts))
        except Power:
            _back(bakery)
        return plug.used, (bakery.rows(), bakery.ledger(), bakery.users(), bakery.wave().status)

    effects, whole = rolled_back(tmp_path / "whole", None)
    for cut_after in range(effects):
        assert rolled_back(tmp_path / str(cut_after), cut_after)[1] == whole, f"differs when cut after {cut_after}"


def test_nobody_to_roll_back_is_said(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")

    with pytest.raises(Refused, match="nobody here is in the target"):
        _back(bakery)


def test_who_was_refused_goes_back_later_and_stops_nobody_elses_rollback(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    with bakery.target() as db:
        db.execute("update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    assert set(_back(bakery).refused) == {"7"}
    assert bakery.wave().status is Wave.ROLLED_BACK
    with bakery.target() as db:
        db.execute("update accounts set name = 'Customer 7' where email = 'c7@bakery.example'")

    assert _back(bakery).restored == 1

    assert set(bakery.users().values()) == {"rolled_back"}
    assert bakery.rows()["accounts"] == []


def test_a_wave_that_only_begins_to_move_keeps_a_rollback_of_all_waiting(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    bakery.work(*bakery.tick()[0])

    with pytest.raises(Refused, match="`migrator wave pause whole` first"):
        _back(bakery)

    waves.pause(bakery.parts, "whole")
    assert _back(bakery).restored == 8


def test_a_snapshot_that_does_not_open_keeps_only_its_own_users(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.move(batch_users=4)
    torn, *others = sorted((bakery.folder / "snapshots").rglob("*.snapshot"))
    assert others
    torn.write_bytes(b"torn")
    looked = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts), dry_run=True)

    done = _back(bakery)

    assert (done.restored, set(done.refused)) == (looked.restored, set(looked.refused))
    assert 0 < len(done.refused) == 12 - done.restored
    assert {key for key, status in bakery.users().items() if status == "live"} == set(done.refused)
    assert bakery.wave().status is Wave.ROLLED_BACK
    bakery.close()


def test_a_table_whose_rules_rewrite_a_delete_goes_back_too(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    place = PostgresqlPlace(postgresql.url())
    library = Library(tmp_path / "l", place)
    library.place.run("create table gone (id bigint)")
    library.place.run("create rule noting as on delete to loans do also insert into gone values (old.id)")
    library.move()

    done = library.back()

    assert (done.restored, done.refused, library.rows()) == (3, {}, {"members": [], "loans": []})
    assert place.ask("select count(*) from gone") == [(6,)]
    library.close()
