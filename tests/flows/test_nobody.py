"""Rows of nobody move in a last wave of their own: each is its own owner, with what hangs on it, and no user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import MappingInvalid, Refused
from migrator.flows import report
from migrator.flows.checking import verify
from migrator.flows.helping import overview, review, support
from migrator.flows.moving import batches
from migrator.flows.plans import planning
from migrator.flows.report import numbers
from migrator.flows.steering import waves
from migrator.flows.telling import notices
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import batches as batch_store
from migrator.store import measures, outbox, plans, users
from migrator.store import waves as wave_store
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.plug import Plug, Power, plugged

ORDERS = """
mapping: orders
source:
  table: purchase
  key: id
  user: customer_id
  without_user: {move: true, values: [0]}
  where: {kind: {not: draft}}
target: {table: orders, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: customer_id, on_missing: 'null'}
  total: {from: total, transform: [decimal], required: true}
  placed_at: {from: bought_at, transform: [{datetime: {timezone: UTC}}], required: true}
"""
LINES = """
mapping: lines
source:
  table: purchase_line
  key: [purchase_id, place]
  user: sale.customer_id
  without_user: {move: true, values: [0]}
  where: {sale.kind: {not: draft}}
  join: {sale: {table: purchase, match: {id: purchase_id}}}
target: {table: lines, id: {uuid5: [purchase_id, place]}}
fields:
  order_id: {lookup: orders, by: purchase_id, required: true}
  title: {from: title, required: true}
"""
VOUCHERS = """
mapping: vouchers
source: {table: voucher, key: code, user: customer_id, without_user: move}
target: {table: vouchers, id: {keep: code}}
fields:
  line_id: {lookup: lines, by: [purchase_id, place]}
"""
LEGACY = """
alter table purchase add column kind text not null default 'sale';
create table purchase_line (purchase_id integer not null, place integer not null, title text not null, primary key (purchase_id, place));
create table voucher (code text primary key, customer_id integer, purchase_id integer, place integer);
create index voucher_line on voucher (purchase_id, place);
"""
TARGET = """
drop table orders;
create table orders (id text primary key, account_id text references accounts (id), total numeric(10, 2) not null, placed_at text not null);
create table lines (id text primary key, order_id text not null references orders (id), title text not null);
create table vouchers (code text primary key, line_id text references lines (id));
"""
#: What is true of every row below, in the order of the tables.
PURCHASES: list[tuple[Any, ...]] = [
    (99998, 777, 9.5, "2026-01-02 09:00:00", "sale"),  # of a customer who was deleted
    (99997, 0, 1.25, "2026-01-03 09:00:00", "sale"),  # 0 stands for nobody
    (99996, None, 7, "2026-01-03 09:00:00", "draft"),  # not wanted by `where`
]
SALES = [(99000 + n, None, n, "2026-01-04 09:00:00", "sale") for n in range(30)]
EXTRA_LINES = [(12345, 1, "of no purchase")]  # a stray: its purchase does not exist
VOUCHERS_THERE = [
    ("mine", 3, 30, 1),  # customer 3's
    ("guest", None, 99999, 2),  # hangs on a guest's line
    ("free", None, None, None),  # hangs on nothing
    ("odd", None, 30, 1),  # nobody's, but its line is customer 3's
    ("lost", None, 12345, 1),  # hangs on the stray line
]
OF_NOBODY = {"~orders:99997", "~orders:99998", "~orders:99999", *(f"~orders:{row[0]}" for row in SALES)}
OWNERS = OF_NOBODY | {"~lines:12345:1", "~vouchers:free", "~vouchers:odd"}
HELD = {"~lines:12345:1", "~vouchers:odd"}  # their parent is not among rows of nobody


def a_bakery(folder: Path) -> Bakery:
    """Twelve customers with three purchases each, and 33 purchases of nobody, all with two lines; and vouchers."""
    bakery = Bakery(folder, customers=12)
    for name, text in (("orders", ORDERS), ("lines", LINES), ("vouchers", VOUCHERS)):
        (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    with bakery.target() as db:
        db.executescript(TARGET)
    with bakery.legacy() as db:
        db.executescript(LEGACY)
        db.executemany("insert into purchase values (?, ?, ?, ?, ?)", PURCHASES + SALES)
        bought = [row[0] for row in db.execute("select id from purchase order by id")]
        db.executemany(
            "insert into purchase_line values (?, ?, ?)", [(n, k, f"bread {n}") for n in bought for k in (1, 2)]
        )
        db.executemany("insert into purchase_line values (?, ?, ?)", EXTRA_LINES)
        db.executemany("insert into voucher values (?, ?, ?, ?)", VOUCHERS_THERE)
    return bakery


def rows(bakery: Bakery) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the target but for our own tables."""
    with bakery.target() as db:
        return {
            table: sorted(db.execute(f"select * from {table}").fetchall(), key=repr)
            for table in ("accounts", "orders", "lines", "vouchers", "notes")
        }


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    bakery = a_bakery(tmp_path_factory.mktemp("nobody") / "planned")
    bakery.plan(batch_users=10)
    yield bakery
    bakery.close()


@pytest.fixture(scope="module")
def moved(planned: Bakery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    bakery = planned.copy(tmp_path_factory.mktemp("nobody") / "moved")
    bakery.start_all()
    yield bakery
    bakery.close()


# ---------------------------------------------------------------- the plan


def draft(bakery: Bakery) -> planning.Draft:
    return planning.create(bakery.parts, OPTIONS, TIERS, dry_run=True)


def test_every_row_of_nobody_has_an_owner_and_the_last_wave_is_theirs(planned: Bakery) -> None:
    assert {key for key in planned.users() if key.startswith("~")} == OWNERS
    with planned.parts.control.read() as db:
        first, last = wave_store.of_plan(db, plans.require(db).id)
        of_last = users.of_wave(db, last.id)
    assert (first.name, first.users, first.units) == ("whole", 12, "users")
    assert (last.name, last.stage, last.users, last.units) == ("nobody", "nobody", len(OWNERS), "rows of nobody")
    assert {(one.kind, one.tier, one.contact, one.email_print) for one in of_last} == {("rows", "none", None, None)}


def test_per_table_all_rows_are_of_users_or_of_nobody(planned: Bakery) -> None:
    counted = draft(planned).unowned

    assert {name: counted[name]["rows"] for name in ("accounts", "orders", "lines", "vouchers")} == {
        "accounts": 0, "orders": 34, "lines": 69, "vouchers": 4,
    }  # fmt: skip
    # of the lines, two of a draft are left and one hangs on no purchase; of the vouchers `odd` hangs on a user's line
    told = {name: tuple(counted[name][part] for part in ("moves", "strays", "left")) for name in counted}
    assert told == {"accounts": (0, 0, 0), "orders": (33, 0, 1), "lines": (67, 1, 2), "vouchers": (4, 2, 0)}
    assert counted["orders"]["reason"] == "left out by `where`"
    with planned.legacy() as db:
        for name, table in (("orders", "purchase"), ("lines", "purchase_line"), ("vouchers", "voucher")):
            assert counted[name]["all"] == db.execute(f"select count(*) from {table}").fetchone()[0]


def test_rows_of_nobody_are_no_users(planned: Bakery) -> None:
    status = overview.status(planned.parts)

    assert sum(status["users"].values()) == 12
    assert sum(sum(tier.values()) for tier in status["tiers"].values()) == 12
    assert {name: count for name, count in status["nobody"].items() if count} == {"planned": len(OWNERS)}
    with planned.parts.control.read() as db:
        assert [tier.users for tier in measures.tier_numbers(db, plans.require(db).id)] == [12]
        whole = waves.find(db, "whole")
        assert waves.numbers(planned.parts, db, whole).population == 12
        assert waves.numbers(planned.parts, db, waves.find(db, "nobody")).population == len(OWNERS)


def test_a_user_whose_key_reads_like_a_row_of_nobody_is_refused(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    with bakery.legacy() as db:
        db.executescript(
            "alter table customer rename to old; create table customer (id text primary key, email text not null,"
            " name text, status integer not null, closed integer not null); insert into customer select * from old; drop table old;"
            "insert into customer values ('~bob', 'bob@bakery.example', null, 1, 0)"
        )
    assert draft(bakery).users == 13
    with bakery.legacy() as db:
        db.execute("insert into customer values ('~orders:99999', 'x@bakery.example', null, 1, 0)")
    again = Bakery(tmp_path / "b")

    with pytest.raises(Refused, match=r"1 users have a key like those of rows of nobody, e\.g\. ~orders:99999"):
        draft(again)


def test_a_row_of_nobody_without_a_key_is_refused(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("insert into voucher values (null, null, null, null)")

    with pytest.raises(
        MappingInvalid, match=r"E211 rows-of-nobody\n  1 rows of voucher belong to no user and have no code"
    ):
        draft(bakery)


def test_rows_of_nobody_that_nothing_is_said_of_are_refused_with_both_ways_out(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b")
    vouchers = bakery.folder / "mappings" / "vouchers.yaml"
    vouchers.write_text(VOUCHERS.replace(", without_user: move", ""), encoding="utf-8")

    with pytest.raises(MappingInvalid, match="or let them move: without_user: move"):
        draft(bakery)


# ---------------------------------------------------------------- the move


def test_rows_of_nobody_move_with_what_hangs_on_them(moved: Bakery) -> None:
    statuses = moved.users()

    assert {key for key in statuses if key.startswith("~") and statuses[key] == "live"} == OWNERS - HELD
    assert {key for key in statuses if statuses[key] == "held"} == HELD
    with moved.target() as db:
        assert db.execute("select count(*), count(account_id) from orders").fetchone() == (36 + 33, 36)
        assert db.execute("select count(*) from lines").fetchone() == (2 * (36 + 33),)
        assert sorted(db.execute("select code, line_id is null from vouchers")) == [
            ("free", 1),
            ("guest", 0),
            ("mine", 0),
        ]
        hangs = "select count(*) from lines join orders on orders.id = order_id where account_id is null"
        assert db.execute(hangs).fetchone() == (66,)
        ledger = "select count(*) from migrator_ledger where op = 'move' and user_key like '~%'"
        assert db.execute(ledger).fetchone() == (len(OWNERS - HELD),)


def test_the_books_of_users_and_of_nobody_are_even_together(moved: Bakery) -> None:
    with moved.parts.control.read() as db:
        plan = plans.require(db)
        books = measures.plan_books(db, plan.id)
        for wave in wave_store.of_plan(db, plan.id):
            assert measures.books_even(db, wave.id)
    for name, counted in plan.counts["unowned"].items():
        assert books[name].balanced
        assert counted["all"] == books[name].read + counted["left"] + counted["of_excluded"]
        assert counted["rows"] == counted["moves"] + counted["left"]


def test_a_row_whose_parent_is_somebody_elses_waits_for_a_person(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    found = {case["users"][0]: case for case in review.listed(bakery.parts, user="~vouchers:odd")["cases"]}
    case = found["~vouchers:odd"]
    assert (case["mapping"], case["field"], case["rule"]) == ("vouchers", "line_id", "lookup")
    assert case["note"] == "there is no such row, or it is somebody else's"

    review.resolve(bakery.parts, str(case["id"]), "accept-null", None)
    review.replay(bakery.parts)
    bakery.run()

    assert bakery.users()["~vouchers:odd"] == "live"
    with bakery.target() as db:
        assert db.execute("select line_id from vouchers where code = 'odd'").fetchone() == (None,)


def test_a_row_of_nobody_that_got_an_owner_meanwhile_is_not_moved_as_nobodys(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    with bakery.legacy() as db:
        db.execute("update purchase set customer_id = 5 where id = 99999")
        db.execute("delete from purchase where id = 99001")

    bakery.start_all()

    assert {key for key, status in bakery.users().items() if status == "excluded"} == {"~orders:99999", "~orders:99001"}
    with bakery.target() as db:
        assert db.execute("select count(*) from orders").fetchone() == (36 + 1 + 31,)


def test_what_a_person_left_behind_stays_there_in_the_next_plan(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    review.exclude(bakery.parts, "~orders:99000", "a test order")

    bakery.plan(batch_users=10)

    assert bakery.users()["~orders:99000"] == "excluded"
    assert bakery.wave("nobody").users == len(OWNERS) - 1


def test_a_plan_that_has_moved_rows_of_nobody_is_not_replaced(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"))

    with pytest.raises(Refused, match=f"plan 1 has moved {len(OWNERS - HELD)} rows of nobody;"):
        planning.create(bakery.parts, OPTIONS, TIERS)


def test_a_batch_of_nobody_that_was_cut_off_anywhere_ends_as_if_it_never_was(planned: Bakery, tmp_path: Path) -> None:
    started = planned.copy(tmp_path / "started")
    waves.cancel(started.parts, "whole")
    waves.start(started.parts, "nobody")

    def move(name: str, cut_after: int | None) -> tuple[int, object]:
        bakery, plug = started.copy(tmp_path / name), Plug()
        plug.limit = cut_after
        with bakery.parts.control.read() as db:
            batch = batch_store.of_wave(db, bakery.wave("nobody").id)[-1]
        try:
            batches.move(plugged(bakery.parts, plug), batch.id, batch.dispatch_no, "lost")
        except Power:
            bakery.lose_leases()
            batches.move(bakery.parts, batch.id, batch.dispatch_no, "test")
        seen = (
            rows(bakery),
            {key: status for key, status in bakery.users().items() if key in set(OWNERS)},
            bakery.ledger(),
        )
        bakery.close()
        return plug.used, seen

    effects, whole = move("whole", None)
    assert effects >= 4
    for cut_after in range(effects):
        assert move(f"cut{cut_after}", cut_after)[1] == whole, f"differs when cut after {cut_after} effects"


# ---------------------------------------------------------------- and afterwards


def test_a_wave_of_nobody_goes_back_alone_and_moves_again(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = rows(bakery)

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="nobody"))

    assert (done.restored, done.restored_nobody, done.refused) == (0, len(OWNERS - HELD), {})
    with bakery.target() as db:
        assert db.execute("select count(*), count(account_id) from orders").fetchone() == (36, 36)
    status = overview.status(bakery.parts)
    assert {name: count for name, count in status["nobody"].items() if count} == {"held": 2, "rolled_back": 34}
    assert status["next"].startswith("2 rows of nobody are held; decide")
    assert waves.retry(bakery.parts, "nobody") == len(OWNERS - HELD)
    bakery.start_all()
    assert bakery.wave("nobody").status is Wave.PASSED
    assert rows(bakery) == before


def test_all_goes_back_to_what_was_before(planned: Bakery, moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert (done.restored, done.restored_nobody) == (12, len(OWNERS - HELD))
    assert rows(bakery) == rows(planned)


def test_one_row_of_nobody_is_shown_and_goes_back(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    shown = support.show(bakery.parts, "~orders:99999")
    assert (shown["kind"], shown["status"], shown["home"], shown["can_roll_back"]) == ("rows", "live", "target", True)
    assert shown["say"].startswith("These rows belong to no user")

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="~orders:99999"))

    with bakery.target() as db:
        assert db.execute("select count(*) from orders where account_id is null").fetchone() == (32,)
        assert db.execute("select count(*) from vouchers where code = 'guest'").fetchone() == (0,)


def test_verify_finds_what_was_changed_and_what_is_too_many(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    with bakery.target() as db:
        ids = [row[0] for row in db.execute("select id from orders where account_id is null order by total limit 3")]
        db.execute("update orders set total = total + 1 where id = ?", ids[:1])
        db.execute("delete from lines where rowid in (select min(rowid) from lines where order_id = ?)", ids[1:2])
        db.execute("insert into lines values ('stranger', ?, 'not ours')", ids[2:])
    with bakery.legacy() as db:
        db.execute("update purchase_line set title = 'stale' where purchase_id = 99997")

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))

    assert (found.checked_users, found.checked_nobody) == (12, len(OWNERS - HELD))
    told = {(one["mapping"], one["kind"], one["user"][:8]) for one in found.differences}
    assert told == {("orders", "value", "~orders:"), ("lines", "missing", "~orders:"), ("lines", "extra", "~orders:")}
    assert [one["user"] for one in found.drift] == ["~orders:99997"]


def test_a_row_of_nobody_is_told_nothing(moved: Bakery) -> None:
    with moved.parts.control.read() as db:
        plan = plans.require(db)
        nobody = users.of_wave(db, waves.find(db, "nobody").id)
    telling = replace(moved.parts.telling, sender="file", events=("done",))
    parts = replace(moved.parts, telling=telling)

    with moved.parts.control.write() as db:
        assert notices.queue(db, parts, plan.id, None, "done", nobody, parts.now()) == 0
        assert outbox.counts(db, plan.id) == []


def test_the_report_says_how_many_rows_of_nobody_moved(moved: Bakery) -> None:
    with moved.parts.control.read() as db:
        told = numbers.collect(moved.parts, db, plans.require(db))

    assert told["total_users"] == 12
    assert told["headline"]["rows"] == (
        "34 of 36 rows that belong to no user are in the new system and verified, with all that hangs on them; 2 held."
    )
    left = {row["mapping"]: (row["all"], row["moves"], row["rows"]) for row in told["left_behind"]}
    assert left == {"orders": (70, 33, 1), "lines": (141, 67, 2), "vouchers": (5, 4, 0)}
    assert "rows of nobody" in report.html(told)
