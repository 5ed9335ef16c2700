"""What changes in legacy after the move comes over; and back still means exactly as before the first generation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator import crashpoints
from migrator.edges.databases.change_log import change_log
from migrator.errors import Refused
from migrator.flows.checking import verify
from migrator.flows.erasure import erasing
from migrator.flows.helping import review
from migrator.flows.homes import cutover
from migrator.flows.parts import Capture
from migrator.flows.syncing import capture, generations, sync
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import cases, changes, effects, measures, plans, tables, users, waves
from tests.edges.databases.places import PostgresqlPlace, SqlitePlace
from tests.flows.bakery import Bakery
from tests.flows.library import Library
from tests.flows.plug import Plug, Power, plugged
from tests.postgresql_server import PostgresqlServer

EDITS = (
    "update customer set name = 'New' where id = 3",  # a value
    "insert into purchase values (5555, 4, 9.5, '2026-01-02 09:00:00')",  # a new row
    "delete from purchase where id = 51",  # one that vanishes
    "update purchase set customer_id = 7 where id = 60",  # one that changes hands
)
CHANGED = {"3", "4", "5", "6", "7"}


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Twelve customers who are moved and still at home in legacy; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("sync") / "away", customers=12)
    bakery.plan(batch_users=8, cutover="manual")
    bakery.start_all()
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(away: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    """One of one's own."""
    copy = away.copy(tmp_path / "b")
    yield copy
    copy.close()


def _edit(bakery: Bakery, *statements: str) -> None:
    with bakery.legacy() as db:
        for statement in statements:
            db.execute(statement)


def _sync(bakery: Bakery, **options: object) -> sync.Synced:
    return sync.passes(bakery.parts, sync.scope(bakery.parts), **options)  # type: ignore[arg-type]


def _checked(bakery: Bakery) -> tuple[int, int]:
    found = verify.verify(bakery.parts, verify.scope(bakery.parts))
    return found.difference_count, found.drift_count


def _with_triggers(bakery: Bakery) -> None:
    log = change_log(f"sqlite:///{bakery.folder / 'legacy.db'}", None, "legacy")
    bakery.parts = replace(bakery.parts, capture=Capture(how={"legacy": "trigger"}, logs={"legacy": log}))
    log.install(capture.watched(bakery.parts, bakery.parts.folder_set)["legacy"])


# ---- coming over ------------------------------------------------------------------------------------------------


def test_whatever_changed_comes_over_and_nothing_else_is_written(bakery: Bakery) -> None:
    _edit(bakery, *EDITS)

    done = _sync(bakery)

    assert (done.brought, done.rows_written, done.rows_removed, done.queue) == (5, 3, 1, 0)
    assert {one["user"] for one in done.users} == CHANGED
    assert _checked(bakery) == (0, 0)
    assert {(user, generation) for user, generation, _ in bakery.ledger() if generation > 1} == {
        (u, 2) for u in CHANGED
    }
    assert set(bakery.users().values()) == {"moved"}


def test_back_is_exactly_as_before_the_first_generation_after_two_of_them(bakery: Bakery) -> None:
    _edit(bakery, *EDITS)
    _sync(bakery)
    _edit(
        bakery,
        "update customer set name = 'Newer', email = 'third@bakery.example' where id = 3",
        "insert into purchase values (51, 5, 1, '2026-01-02 09:00:00')",  # it vanished, and is there again
        "delete from purchase where id in (5555, 60)",
    )
    _sync(bakery)
    assert _checked(bakery) == (0, 0)

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert (done.restored, done.refused) == (12, {})
    assert bakery.rows() == {"accounts": [], "orders": [], "notes": []}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_that_were_in_the_target_before_come_back_as_they_were(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place: SqlitePlace | PostgresqlPlace = SqlitePlace(tmp_path)
    if kind == "postgresql":
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        place = PostgresqlPlace(server.url())
    library = Library(tmp_path / "l", place, readers=4, members=", on_conflict: {match: [email], action: update}")
    library.there(("r2@x.org", "Two", "+22", 5), ("r3@x.org", "Three", "+33", 5), ("r9@x.org", "Nine", None, 5))
    before = library.rows()
    library.move(cutover="manual")
    place.run("update members set seen = 'today'")  # the new system writes beside us
    edits = (
        "update reader set name = 'Changed' where id in (1, 2)",
        "update reader set email = 'r9@x.org' where id = 4",  # somebody stands there whom nobody of ours wrote
        "update reader set email = 'other@x.org' where id = 3",  # who had written over another stands there no more
        "delete from loan where id = 21",
        "insert into loan values (99, 3, 'Ninth', 1.5, '2026-01-01 10:00:00')",
    )
    _edit(library, *edits)

    done = _sync(library)

    assert (done.brought, done.queue) == (4, 0), done.not_brought
    assert library.differences() == []
    ours = {email: (name, phone) for _, email, name, phone, *_ in library.members()}
    assert ours == {
        "r1@x.org": ("Changed", "+1"),
        "r2@x.org": ("Changed", "+2"),
        "r3@x.org": ("Three", "+33"),  # as it was before he came
        "other@x.org": ("Reader 3", "+3"),
        "r9@x.org": ("Reader 4", "+4"),
    }
    _edit(library, "update reader set phone = '+0' where id in (2, 4)")
    assert _sync(library).brought == 2
    assert library.back().refused == {}
    rows = library.rows()
    assert [row[:5] for row in rows["members"]] == [row[:5] for row in before["members"]]
    assert rows["loans"] == before["loans"]
    library.close()


def test_two_users_who_change_their_unique_addresses_come_over_together(bakery: Bakery) -> None:
    _edit(
        bakery,
        "update customer set email = 'between' where id = 1",
        "update customer set email = 'c1@bakery.example' where id = 2",
        "update customer set email = 'c2@bakery.example' where id = 1",
    )

    done = _sync(bakery)

    assert (done.brought, done.queue) == (2, 0), done.not_brought
    assert _checked(bakery) == (0, 0)


def test_a_row_that_changes_hands_comes_over_whichever_batch_is_first(bakery: Bakery) -> None:
    bakery.parts = replace(bakery.parts, limits=replace(bakery.parts.limits, users=1))
    _edit(
        bakery, "update purchase set customer_id = 2 where id = 60", "update purchase set customer_id = 9 where id = 30"
    )

    done = _sync(bakery)

    assert done.queue == 0, done.not_brought
    assert _checked(bakery) == (0, 0)
    with bakery.parts.control.read() as db:
        assert cases.count(db, plans.require(db).id, cases.Status.OPEN) == 0


class _Dying:
    """Goes off at a crash point, the first time that it is reached."""

    def __init__(self, at: str | None) -> None:
        self.at, self.seen = at, list[str]()

    def __call__(self, name: str) -> None:
        self.seen.append(name)
        if name == self.at:
            self.at = None
            raise Power


def test_who_dies_at_any_point_is_brought_over_once(away: Bakery, tmp_path: Path) -> None:
    def synced(folder: Path, *points: str) -> tuple[list[str], object]:
        bakery = away.copy(folder)
        _edit(bakery, *EDITS, "insert into customer values (77, 'new@bakery.example', 'New', 1, 0)")
        seen: list[str] = []
        for point in (*points, None):
            dying = _Dying(point)
            crashpoints.watch(dying)
            try:
                _sync(bakery)
            except Power:
                bakery.lose_leases()
            finally:
                crashpoints.watch(None)
            assert dying.at is None, f"{point} was not reached"
            seen += dying.seen
        assert _checked(bakery) == (0, 0)
        with bakery.parts.control.read() as db:
            plan_id = plans.require(db).id
            assert changes.open_batches(db, plan_id) == []
            assert changes.count(db, plan_id) == 0
            assert measures.books_even(db, bakery.wave().id)
            books = measures.plan_books(db, plan_id)
        found = (bakery.rows(), bakery.ledger(), bakery.users(), books, bakery.wave("late").users)
        rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
        assert bakery.rows() == {"accounts": [], "orders": [], "notes": []}
        bakery.close()
        return seen, found

    reached, whole = synced(tmp_path / "whole")
    ours = [point for point in dict.fromkeys(reached) if point.startswith(("sync-", "newcomers-", "write-committed"))]
    lost = [(point,) for point in ours] + [("sync-mapped", "sync-drop-written"), ("sync-committed", "sync-taken-up")]
    assert len(lost) >= 12
    for points in lost:
        assert synced(tmp_path / "-".join(points), *points)[1] == whole, f"differs when it dies at {points}"


def test_a_rollback_after_a_lost_process_finds_out_what_it_had_brought_over(bakery: Bakery) -> None:
    _edit(bakery, *EDITS)
    plug = Plug()
    plug.limit = 4  # the queue, the claim, the snapshot, the target; not the record
    with pytest.raises(Power):
        sync.passes(plugged(bakery.parts, plug), sync.scope(bakery.parts))
    bakery.lose_leases()
    assert {generation for _, generation, _ in bakery.ledger()} == {1, 2}

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert done.refused == {}
    assert bakery.rows()["accounts"] == []


def test_the_books_balance_and_count_nobody_twice(bakery: Bakery) -> None:
    with bakery.parts.control.read() as db:
        plan = plans.require(db)
        before = measures.plan_books(db, plan.id)
    _edit(bakery, *EDITS)

    _sync(bakery)

    with bakery.parts.control.read() as db:
        after = measures.plan_books(db, plan.id)
        assert measures.books_even(db, bakery.wave().id)
        assert effects.books_of(db, [bakery.wave().id]) == after
    assert after["accounts"] == before["accounts"]
    assert after["orders"].written == before["orders"].written  # one came, one went


# ---- who stays behind -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "update accounts set name = 'App' where email = 'c3@bakery.example'",
        "delete from orders where account_id = (select id from accounts where email = 'c3@bakery.example')",
    ],
)
def test_a_user_whom_the_new_system_has_touched_is_left_alone(bakery: Bakery, change: str) -> None:
    with bakery.target() as db:
        db.execute(change)
    before = [row for row in bakery.rows()["accounts"] if "c3@" in str(row)]
    _edit(bakery, *EDITS)

    done = _sync(bakery)

    assert (done.brought, done.classes["both"], done.queue) == (4, 1, 1)
    assert done.not_brought[0]["user"] == "3"
    assert [row for row in bakery.rows()["accounts"] if "c3@" in str(row)] == before
    assert sync.pending(bakery.parts, "3") and not sync.pending(bakery.parts, "4")
    assert ("3", 1, "move") in bakery.ledger()


def test_a_row_is_not_taken_away_from_under_rows_of_the_new_system(bakery: Bakery) -> None:
    with bakery.target() as db:
        db.execute("create table parcels (id integer primary key, order_id text references orders (id))")
        db.execute("insert into parcels select 1, id from orders where total = 5.15")
    bakery.parts.target.schema()
    bakery.parts = replace(bakery.parts)  # what it knows of the schema it looks at anew
    _edit(bakery, "delete from purchase where customer_id = 5")

    done = _sync(bakery)

    assert (done.brought, done.classes["both"]) == (0, 1), done
    assert len([row for row in bakery.rows()["orders"] if row[2] in (5.05, 5.15, 5.25)]) == 3


def test_what_a_rule_does_not_take_is_a_case_and_comes_once_it_is_mended(bakery: Bakery) -> None:
    _edit(bakery, "update customer set status = 9 where id = 3", "update customer set name = 'B' where id = 4")

    done = _sync(bakery)

    assert (done.brought, done.classes["held"]) == (1, 1)
    with bakery.parts.control.read() as db:
        plan_id = plans.require(db).id
        assert cases.count(db, plan_id, cases.Status.OPEN) == 1
    assert bakery.users()["3"] == "moved"
    _edit(bakery, "update customer set status = 2 where id = 3")
    assert _sync(bakery).brought == 1
    with bakery.parts.control.read() as db:
        assert cases.count(db, plan_id, cases.Status.OPEN) == 0
    assert _checked(bakery) == (0, 0)


def test_a_dry_run_tells_of_whom_and_changes_nothing(bakery: Bakery) -> None:
    with bakery.target() as db:
        db.execute("update accounts set name = 'App' where email = 'c3@bakery.example'")
    _edit(bakery, *EDITS, "delete from customer where id = 9", "delete from purchase where customer_id = 9")
    before = bakery.rows(), bakery.ledger(), bakery.users()

    done = _sync(bakery, dry_run=True)

    assert {name: count for name, count in done.classes.items() if count} == {
        "legacy changed": 4, "both": 1, "vanished": 1,
    }  # fmt: skip
    assert (bakery.rows(), bakery.ledger(), bakery.users()) == before
    assert _sync(bakery).brought == 4


def test_users_who_are_cut_over_are_left_alone(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    _edit(bakery, *EDITS)

    done = _sync(bakery)

    assert (done.looked_at, done.brought, done.queue) == (0, 0, 0)


def test_verification_tells_what_has_changed_by_class(bakery: Bakery) -> None:
    with bakery.target() as db:
        db.execute("update accounts set name = 'App' where email in ('c3@bakery.example', 'c1@bakery.example')")
        db.execute(
            "insert into orders select 'new', id, 5, '2026-02-01T00:00:00Z' from accounts where email = 'c2@bakery.example'"
        )
    _edit(bakery, *EDITS, "delete from customer where id = 9")

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert found.by_class() == {
        "1": "target changed", "2": "extra", "3": "both", "9": "vanished",
        **dict.fromkeys(("4", "5", "6", "7"), "legacy changed"),
    }  # fmt: skip
    assert sum(found.classes.values()) == 8


# ---- who comes and who goes -------------------------------------------------------------------------------------


def test_who_registers_meanwhile_is_found_placed_and_moved(bakery: Bakery) -> None:
    _edit(
        bakery,
        "insert into customer values (77, 'new@bakery.example', 'New', 1, 0)",
        "insert into customer values (78, 'closed@bakery.example', 'Closed', 1, 1)",
        "insert into purchase values (7700, 77, 3.5, '2026-01-03 09:00:00')",
    )

    done = _sync(bakery)

    assert (done.new.users, done.new.excluded, done.new.waves) == (2, 1, {"late": 1})
    assert bakery.users()["77"] == "planned" and bakery.users()["78"] == "excluded"
    with bakery.parts.control.read() as db:
        plan = plans.require(db)
        assert sum(count for *_, count in users.counts(db, plan.id)) == 14
        assert plan.counts["users"] == 14 and bakery.wave("late").users == 1
        amended = db.execute(sa.select(tables.journal.c.detail).where(tables.journal.c.event == "amend")).all()
    assert len(amended) == 1
    assert _sync(bakery).new.users == 0
    bakery.start_all()
    assert bakery.users()["77"] == "moved"
    assert _checked(bakery) == (0, 0)


def test_a_newcomer_goes_into_a_wave_that_was_not_begun(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.plan(cutover="manual")
    _edit(
        bakery,
        "insert into customer values (77, 'new@bakery.example', 'New', 1, 0)",
        "delete from customer where id = 2",
    )

    done = _sync(bakery)

    assert (done.new.users, done.new.gone, done.new.waves) == (1, 1, {"whole": 1})
    assert bakery.wave().users == 5
    bakery.start_all()
    assert bakery.users() == {"1": "moved", "2": "excluded", "3": "moved", "4": "moved", "77": "moved"}
    bakery.close()


def test_who_was_erased_does_not_come_back_as_a_newcomer(bakery: Bakery) -> None:
    erasing.erase(bakery.parts, erasing.subject(bakery.parts, "3"))
    _edit(bakery, *EDITS)

    done = _sync(bakery)

    assert (done.new.users, done.brought, done.queue) == (0, 4, 0)
    assert not any("c3@" in str(row) for row in bakery.rows()["accounts"])
    assert len(bakery.users()) == 12


def test_who_is_gone_from_legacy_is_told_and_taken_back_only_when_asked(bakery: Bakery) -> None:
    _edit(bakery, "delete from purchase where customer_id = 9", "delete from customer where id = 9")

    scope = sync.scope(bakery.parts)
    done = sync.passes(bakery.parts, scope)

    assert (done.classes["vanished"], done.queue, bakery.users()["9"]) == (1, 1, "moved")
    assert any("c9@" in str(row) for row in bakery.rows()["accounts"])
    sync.remove_vanished(bakery.parts, scope, done)
    assert (done.taken_back, done.queue, bakery.users()["9"]) == (1, 0, "excluded")
    assert not any("c9@" in str(row) for row in bakery.rows()["accounts"])
    assert _checked(bakery) == (0, 0)


def test_who_closes_his_account_is_gone_although_his_row_is_there(bakery: Bakery) -> None:
    _edit(bakery, "update customer set closed = 1 where id = 9")
    scope = sync.scope(bakery.parts)

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))
    left = cutover.cut_over_users(bakery.parts, ["9"]).left
    done = sync.passes(bakery.parts, scope)

    assert (dict(found.by_class()), list(left), done.classes["vanished"]) == ({"9": "vanished"}, ["9"], 1)
    sync.remove_vanished(bakery.parts, scope, done)
    assert (done.taken_back, bakery.users()["9"]) == (1, "excluded")


@pytest.mark.parametrize("noticed_by", ["sync", "the batch"])
def test_who_closes_his_account_before_he_is_moved_stays_behind(tmp_path: Path, noticed_by: str) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    bakery.plan(cutover="manual")
    _edit(bakery, "update customer set closed = 1 where id = 9")
    if noticed_by == "sync":
        assert _sync(bakery).new.gone == 1
        assert bakery.users()["9"] == "excluded"

    bakery.start_all()

    assert (bakery.users()["9"], bakery.users()["8"]) == ("excluded", "moved")
    bakery.close()


def test_who_is_gone_from_a_wave_that_moves_is_taken_back_the_next_time(bakery: Bakery) -> None:
    _edit(bakery, "delete from purchase where customer_id = 9", "delete from customer where id = 9")
    scope = sync.scope(bakery.parts)
    done = sync.passes(bakery.parts, scope)
    with bakery.parts.control.write() as db:
        waves.move(db, bakery.wave(), Wave.RUNNING)

    sync.remove_vanished(bakery.parts, scope, done)

    assert (done.taken_back, done.queue, bakery.users()["9"]) == (0, 1, "moved")
    assert "wave whole is running" in done.not_brought[0]["reason"]
    bakery.run()
    sync.remove_vanished(bakery.parts, scope, done)
    assert (done.taken_back, done.queue, bakery.users()["9"]) == (1, 0, "excluded")


def test_taking_back_who_is_gone_goes_on_where_it_was_cut_off(bakery: Bakery) -> None:
    _edit(bakery, "delete from purchase where customer_id = 9", "delete from customer where id = 9")
    scope = sync.scope(bakery.parts)
    done = sync.passes(bakery.parts, scope)
    crashpoints.watch(crashpoints.armed("rollback-begun:1:raise"))
    try:
        with pytest.raises(crashpoints.Crashed):
            sync.remove_vanished(bakery.parts, scope, done)
    finally:
        crashpoints.watch(None)
    assert bakery.users()["9"] == "rolling_back"
    bakery.lose_leases()

    done = sync.passes(bakery.parts, scope)
    sync.remove_vanished(bakery.parts, scope, done)

    assert (done.taken_back, done.queue, bakery.users()["9"]) == (1, 0, "excluded")
    assert not any("c9@" in str(row) for row in bakery.rows()["accounts"])


def test_a_row_given_by_who_stays_behind_holds_up_only_who_gets_it(bakery: Bakery) -> None:
    _edit(
        bakery,
        "update customer set status = 9 where id = 6",  # no rule knows it: he is not brought over
        "update purchase set customer_id = 7 where id = 60",  # his row goes to another
        "update customer set name = 'New' where id = 3",
    )

    done = _sync(bakery)

    assert {one["user"] for one in done.users} == {"3"}
    assert {one["user"]: one["class"] for one in done.not_brought} == {"6": "held", "7": "failed"}
    assert any(generations.ANOTHERS in one["reason"] for one in done.not_brought)
    assert done.busy == 0
    _edit(bakery, "update customer set status = 1 where id = 6")
    assert (_sync(bakery).queue, _checked(bakery)) == (0, (0, 0))


# ---- how changes are found --------------------------------------------------------------------------------------


def test_triggers_tell_who_changed_and_nobody_else_is_read(bakery: Bakery) -> None:
    _with_triggers(bakery)
    assert _sync(bakery).brought == 0  # the first look reads everybody, and notes how far the log is read
    _edit(bakery, *EDITS)

    done = _sync(bakery)

    assert ({one["user"] for one in done.users}, done.queue) == (CHANGED, 0)
    assert _checked(bakery) == (0, 0)
    assert _sync(bakery).changed == 0


def test_who_is_moving_while_a_trigger_tells_of_him_is_looked_at_once_he_is_there(bakery: Bakery) -> None:
    _with_triggers(bakery)
    _sync(bakery)
    with bakery.parts.control.write() as db:  # his batch has read him, and has not recorded him
        mine = tables.users.c.user_key == "3"
        db.execute(sa.update(tables.users).where(mine).values(status="moving", home="moving"))
    _edit(bakery, *EDITS)
    _sync(bakery)
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.users).where(mine).values(status="moved", home="legacy"))

    done = _sync(bakery)

    assert [one["user"] for one in done.users] == ["3"]
    assert _checked(bakery) == (0, 0)


def test_triggers_that_are_not_there_are_told_with_the_remedy(bakery: Bakery) -> None:
    log = change_log(f"sqlite:///{bakery.folder / 'legacy.db'}", None, "legacy")
    bakery.parts = replace(bakery.parts, capture=Capture(how={"legacy": "trigger"}, logs={"legacy": log}))

    with pytest.raises(Refused, match="migrator changes script"):
        _sync(bakery)


def test_a_column_tells_what_was_written_and_a_scan_what_was_removed(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    with (bakery.folder / "mappings" / "set.yaml").open("a") as file:
        file.write("changes: {purchase: bought_at}\n")
    bakery.plan(cutover="manual")
    bakery.start_all()
    bakery.parts = replace(bakery.parts, capture=Capture(how={"legacy": "updated_at"}))
    assert _sync(bakery).brought == 0
    _edit(
        bakery,
        "update purchase set total = 1.25, bought_at = '2026-03-01 10:00:00' where id = 20",
        "insert into purchase values (900, 4, 1.5, '2026-03-01 09:59:00')",
        "delete from purchase where id = 50",
    )

    done = _sync(bakery)

    assert {one["user"] for one in done.users} == {"2", "4"}
    assert "customer" in done.remarks[0]
    _edit(bakery, "insert into purchase values (901, 4, 1.5, '2026-03-01 09:55:00')")  # committed late
    assert {one["user"] for one in _sync(bakery).users} == {"4"}
    assert {one["user"] for one in _sync(bakery, scan=True).users} == {"5"}
    assert _checked(bakery) == (0, 0)
    bakery.close()


def test_delta_brings_some_users_to_what_legacy_says_now(bakery: Bakery) -> None:
    _edit(bakery, *EDITS)

    done = sync.delta(bakery.parts, ["3", "8"])

    assert ([one["user"] for one in done.users], done.queue) == (["3"], 0)
    assert not sync.pending(bakery.parts, "3")
    assert {generation for user, generation, _ in bakery.ledger() if user != "3"} == {1}


# ---- while legacy is in use -------------------------------------------------------------------------------------


class Writers(threading.Thread):
    """Somebody who writes to legacy all the time, until told to stop."""

    def __init__(self, bakery: Bakery, customers: int) -> None:
        super().__init__(daemon=True)
        self._bakery, self._customers, self.over, self.writes = bakery, customers, threading.Event(), 0

    def run(self) -> None:
        while not self.over.wait(0.02):
            n, user = self.writes, 1 + self.writes % self._customers
            statement = (
                f"update customer set name = 'Name {n}' where id = {user}",
                f"insert into purchase values ({100_000 + n}, {user}, {n}.5, '2026-01-05 10:00:00')",
                f"update purchase set total = {n} where id = {user * 10}",
                f"delete from purchase where id = {100_000 + n - 2}",
                f"update purchase set customer_id = {user} where id = {10 * (1 + (n * 7) % self._customers)}",
            )[n % 5]
            _edit(self._bakery, statement)
            self.writes += 1


def test_with_writers_all_the_time_nothing_differs_in_the_end_and_every_drift_is_found(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=16)
    with bakery.legacy() as db:
        db.execute("pragma journal_mode = wal")
    _with_triggers(bakery)
    patient = replace(bakery.parts.limits, retry_after=timedelta(0), attempts=50)
    bakery.parts = replace(bakery.parts, limits=patient)
    bakery.plan(batch_users=8, cutover="manual", max_held=1.0)
    writers = Writers(bakery, 16)
    writers.start()
    try:
        bakery.start_all()
        _sync(bakery, most=1)
    finally:
        writers.over.set()
        writers.join()

    for _ in range(6):
        if _sync(bakery).done and set(bakery.users().values()) == {"moved"}:
            break
        _send_on_who_is_held(bakery)
        bakery.run()

    assert writers.writes > 20
    assert set(bakery.users().values()) == {"moved"}
    assert _checked(bakery) == (0, 0)
    _edit(bakery, "drop trigger " + _trigger("update"), "update customer set name = 'planted' where id in (5, 6)")
    with bakery.target() as db:
        db.execute("update accounts set name = 'planted' where email in ('c6@bakery.example', 'c7@bakery.example')")
    found = verify.verify(bakery.parts, verify.scope(bakery.parts)).by_class()
    assert found == {"5": "legacy changed", "6": "both", "7": "target changed"}
    assert {one["user"] for one in _sync(bakery, scan=True).users} == {"5"}  # what no trigger has told, a scan finds
    bakery.close()


def _send_on_who_is_held(bakery: Bakery) -> None:
    """Whose row was in the target still as another's, who had not been brought over yet."""
    for cause in review.listed(bakery.parts, status="open")["causes"]:
        review.resolve(bakery.parts, cause["cause"], "fixed-in-source", None)
    review.replay(bakery.parts)


def _trigger(event: str) -> str:
    from migrator.edges.databases.change_scripts import trigger_name

    return trigger_name("customer", event)
