"""Cleaning in a real move: counted, archived under seal, undone with everything it left out."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from migrator.errors import NotFound, Refused
from migrator.flows.checking import verify
from migrator.flows.helping import cleaning, review
from migrator.flows.undoing import rollbacks
from tests.flows.bakery import ORDERS, Bakery

STALE = "{name: stale, when: {bought_at: {older_than: 5d}}, action: archive, reason: paid long ago}"
FREE = "{name: free, when: {total: 0}, action: hold, reason: was it a gift}"


def a_bakery(folder: Path, *rules: str) -> Bakery:
    """Ten customers with three purchases each, on different days of January; cleaned by *rules*."""
    bakery = Bakery(folder, customers=10)
    text = ORDERS.replace("fields:", f"clean: [{', '.join(rules)}]\nfields:", 1)
    (folder / "mappings" / "orders.yaml").write_text(text, encoding="utf-8")
    return bakery


def test_archived_rows_are_counted_sealed_and_found_again(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", STALE)
    whole = Bakery(tmp_path / "whole", customers=10)
    whole.move()

    bakery.move()

    [rule] = cleaning.listed(bakery.parts)
    gone = {row[0] for row in whole.rows()["orders"]} - {row[0] for row in bakery.rows()["orders"]}
    archived = pl.concat(cleaning.archived(bakery.parts, "orders.stale"))
    assert 0 < rule["rows"] == len(gone) == archived.height < 30
    assert (archived["bought_at"].str.slice(0, 10) < "2026-01-07").all()  # five days before the newest sign of life
    assert all(b"2026-01" not in file.read_bytes() for file in (tmp_path / "b").rglob("*.snapshot"))
    assert not verify.verify(bakery.parts, verify.scope(bakery.parts)).differences


def test_a_rule_taken_back_brings_the_rows_of_those_who_moved_without_them(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", STALE)
    whole = Bakery(tmp_path / "whole", customers=10)
    whole.move()
    bakery.move()
    before = bakery.rows()

    dry = cleaning.take_back(bakery.parts, "orders.stale", dry_run=True)
    assert bakery.rows() == before
    done = cleaning.take_back(bakery.parts, "orders.stale")
    bakery.run()

    assert done.users == dry.users
    assert 0 < len(done.users) < 10
    assert bakery.rows() == whole.rows()
    assert set(bakery.users().values()) == {"live"}
    with pytest.raises(Refused, match="already"):
        cleaning.take_back(bakery.parts, "orders.stale")


def test_rolled_back_rows_are_in_the_archive_no_more(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", STALE)
    bakery.move()

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert list(cleaning.archived(bakery.parts, "orders.stale")) == []
    assert bakery.rows() == {"accounts": [], "orders": [], "notes": []}


@pytest.mark.parametrize(("action", "orders"), [("keep-row", 3), ("skip-row", 2)])
def test_a_person_says_what_becomes_of_a_held_row(tmp_path: Path, action: str, orders: int) -> None:
    bakery = a_bakery(tmp_path / "b", FREE)
    with bakery.legacy() as db:
        db.execute("update purchase set total = 0 where id = 41")
    bakery.move()
    assert bakery.users()["4"] == "held"

    review.resolve(bakery.parts, "orders.free", action, None)
    review.replay(bakery.parts)
    bakery.run()

    assert bakery.users()["4"] == "live"
    assert len(bakery.rows()["orders"]) == 27 + orders


def test_a_rule_that_is_not_there_or_archives_nothing_is_said(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "b", FREE)
    bakery.plan()

    with pytest.raises(NotFound, match="clean list"):
        cleaning.take_back(bakery.parts, "orders.stale")
    with pytest.raises(Refused, match="does not archive"):
        list(cleaning.archived(bakery.parts, "orders.free"))
