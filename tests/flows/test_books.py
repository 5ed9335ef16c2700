"""Nobody is counted twice: whoever leaves a batch and moves again takes what was counted of him along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from migrator.flows.helping import review
from migrator.flows.steering import waves
from migrator.flows.syncing import sync
from migrator.flows.undoing import rollbacks
from migrator.flows.undoing.rolled_back import RolledBack
from migrator.mapping.books import Book
from migrator.rollout.states import Wave
from migrator.store import measures, plans, tables
from tests.flows.bakery import ORDERS, Bakery


def _books(bakery: Bakery) -> dict[str, Book]:
    with bakery.parts.control.read() as db:
        assert measures.books_even(db, bakery.wave().id) is not False
        return measures.plan_books(db, plans.require(db).id)


def _leavers(bakery: Bakery) -> int:
    with bakery.parts.control.read() as db:
        return int(db.scalar(sa.select(sa.func.count()).select_from(tables.leavers)) or 0)


def _back(bakery: Bakery, **scope: str) -> RolledBack:
    return rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, **scope))


def _again(bakery: Bakery) -> None:
    waves.retry(bakery.parts, "whole")
    bakery.start_all()
    bakery.run()


def _picky(folder: Path, customers: int = 12) -> Bakery:
    """A bakery whose orders of less than a mark are not wanted: each customer has one, from the tenth on none."""
    bakery = Bakery(folder, customers=customers)
    orders = ORDERS.replace("without_user", "where: {wanted: 1}, without_user")
    (folder / "mappings" / "orders.yaml").write_text(orders, encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("alter table purchase add column wanted integer not null default 1")
        db.execute("update purchase set wanted = 0 where id % 10 = 0 and customer_id < 10")
    bakery.parts = replace(bakery.parts)  # the schema is read anew
    return bakery


def test_one_user_who_went_back_and_moved_again_is_counted_once(tmp_path: Path) -> None:
    bakery = _picky(tmp_path)
    bakery.move()
    before = _books(bakery)
    assert before["orders"] == Book(read=36, written=27, filtered=9)

    _back(bakery, user="7")
    meanwhile = _books(bakery)
    _again(bakery)

    assert meanwhile["accounts"] == Book(read=11, written=11)
    assert meanwhile["orders"].written == 25
    assert _books(bakery) == before
    assert _leavers(bakery) == 0


def test_all_but_one_who_went_back_and_moved_again_are_counted_once(tmp_path: Path) -> None:
    bakery = _picky(tmp_path)
    bakery.move()
    before = _books(bakery)
    with bakery.target() as db:
        db.execute("update accounts set name = 'New Name' where email = 'c7@bakery.example'")

    assert set(_back(bakery).refused) == {"7"}
    _again(bakery)

    assert _books(bakery) == before


def test_the_last_one_of_a_batch_takes_all_that_is_left_of_its_books(tmp_path: Path) -> None:
    bakery = _picky(tmp_path)
    bakery.move()
    before = _books(bakery)

    _back(bakery, user="7")
    _back(bakery)
    assert (_books(bakery), _leavers(bakery)) == ({}, 0)
    _again(bakery)

    assert _books(bakery) == before


def test_a_held_user_who_is_sent_again_is_counted_where_he_arrives(tmp_path: Path) -> None:
    bakery = _picky(tmp_path)
    with bakery.legacy() as db:
        db.execute("update customer set email = '' where id in (3, 4)")
    bakery.move()
    held = _books(bakery)
    assert held["accounts"] == Book(read=12, written=10, review=2)
    with bakery.legacy() as db:
        db.execute("update customer set email = 'c' || id || '@bakery.example'")
    for cause in review.listed(bakery.parts)["causes"]:
        review.resolve(bakery.parts, cause["cause"], "fixed-in-source", None)
    review.replay(bakery.parts)
    bakery.run()

    assert _books(bakery)["accounts"] == Book(read=12, written=12)
    assert _books(bakery)["orders"] == Book(read=36, written=27, filtered=9)


def test_a_rollback_that_is_recorded_twice_takes_a_share_once(tmp_path: Path) -> None:
    bakery = _picky(tmp_path)
    bakery.move()
    _back(bakery, user="7")
    once = _books(bakery)

    _back(bakery, user="8")
    _again(bakery)
    _back(bakery, user="7")

    assert _books(bakery)["accounts"] == once["accounts"]


def test_who_was_brought_over_again_and_went_back_is_counted_once(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=12)
    bakery.move(cutover="manual")
    before = _books(bakery)
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Another' where id in (2, 7)")
    sync.passes(bakery.parts, sync.scope(bakery.parts))

    _back(bakery, user="7")
    _again(bakery)

    assert _books(bakery) == before


def test_one_row_that_waits_is_no_large_share_because_all_others_went_back(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=12)
    orders = ORDERS.replace("checks:", "limits: {abort_above: 10%}\nchecks:")
    (tmp_path / "mappings" / "orders.yaml").write_text(orders, encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("update purchase set total = 'much' where id = 30")
    bakery.move()
    _back(bakery)
    assert _books(bakery)["orders"] == Book(read=3, review=1, blocked=2)

    _again(bakery)

    assert bakery.wave().status is Wave.PASSED
    assert _books(bakery)["orders"] == Book(read=36, written=33, review=1, blocked=2)
