"""T9: where a disk is full or a file may not be written, nothing is half done, it is said why, and it goes on afterwards."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from migrator.edges import snapshots
from migrator.errors import MigratorError
from migrator.flows.steering import waves
from tests.faults.oracle import counted
from tests.flows.bakery import Bakery

CUSTOMERS = 24
COUNTING = """
create table applied (tab text, row text, what text, n integer not null, primary key (tab, row, what));
create trigger a_insert after insert on accounts begin
  insert into applied values ('accounts', new.id, 'insert', 1) on conflict do update set n = n + 1; end;
create trigger o_insert after insert on orders begin
  insert into applied values ('orders', new.id, 'insert', 1) on conflict do update set n = n + 1; end;
"""


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    """A wave that runs: three batches."""
    made = Bakery(tmp_path / "b", customers=CUSTOMERS)
    with made.target() as db:
        db.executescript(COUNTING)
    made.parts = replace(made.parts, limits=replace(made.parts.limits, retry_after=timedelta(0), attempts=3))
    made.plan(batch_users=8)
    waves.start(made.parts, "whole")
    yield made
    made.close()


@contextmanager
def told(engine: sa.Engine, *pragmas: str) -> Iterator[None]:
    """Every connection of ours to a file is told something."""

    def tell(db: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            db.execute(f"pragma {pragma}")

    engine.dispose()
    event.listen(engine, "connect", tell)
    yield
    event.remove(engine, "connect", tell)
    engine.dispose()


def full(path: Path, engine: sa.Engine) -> AbstractContextManager[None]:
    """The file may not grow by a page, and no page of it is free; small pages, so that little work needs a new one."""
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        for sql in ("pragma journal_mode = delete", "pragma page_size = 512", "vacuum"):
            db.execute(sql)
        pages = db.execute("pragma page_count").fetchone()[0]
    return told(engine, f"max_page_count = {pages}")


def _looked(bakery: Bakery) -> list[object]:
    with closing(sqlite3.connect(bakery.folder / "target.db")) as db:
        return list(counted(lambda sql: db.execute(sql).fetchall(), CUSTOMERS, moves=1, rollbacks=0))


def _whole_users(bakery: Bakery) -> None:
    """Nobody is in the target by half, and the ledger names just who is there."""
    with closing(sqlite3.connect(bakery.folder / "target.db")) as db:
        each = db.execute(
            "select a.id, count(o.id) from accounts a left join orders o on o.account_id = a.id group by a.id"
        )
        assert {n for _, n in each} <= {3}
        there = db.execute("select count(*) from accounts").fetchone()
        assert db.execute("select count(*) from migrator_ledger").fetchone() == there


def _tries(bakery: Bakery, rounds: int = 4) -> list[str]:
    """Let dispatcher and workers try; what those said who could not even begin."""
    said = []
    for _ in range(rounds):
        try:
            bakery.work_once()
        except MigratorError as why:
            said.append(str(why))
    return said


def _errors(bakery: Bakery) -> list[str]:
    with closing(sqlite3.connect(bakery.folder / "control.db")) as db:
        return [error for (error,) in db.execute("select error from batches where error is not null")]


def _goes_on(bakery: Bakery) -> None:
    bakery.lose_leases()
    bakery.run()
    assert set(bakery.users().values()) == {"live"}
    assert _looked(bakery) == []


def test_a_full_target_leaves_no_part_of_a_batch_and_the_batch_says_why(bakery: Bakery) -> None:
    with full(bakery.folder / "target.db", bakery.parts.target._engine):  # type: ignore[attr-defined]
        _tries(bakery)
        _whole_users(bakery)
        assert any("full" in error for error in _errors(bakery))
        assert "failed" not in bakery.users().values()  # it is no fault of a user
    _goes_on(bakery)


def test_a_full_control_database_says_so_and_nothing_is_lost(bakery: Bakery) -> None:
    with full(bakery.folder / "control.db", bakery.parts.control.engine):
        said = _tries(bakery, 12)
        _whole_users(bakery)
        assert any("full" in words for words in said)
    _goes_on(bakery)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_folder_of_snapshots_stops_before_anything_is_written(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(snapshots.os, "fsync", refuse)
        _tries(bakery)
        assert bakery.ledger() == []
        assert any("snapshot folder" in error for error in _errors(bakery))
        assert "failed" not in bakery.users().values()
    assert not list((bakery.folder / "snapshots").rglob("*.part"))
    _goes_on(bakery)


def test_a_target_that_may_only_be_read_is_named_and_nothing_is_written(bakery: Bakery) -> None:
    with told(bakery.parts.target._engine, "query_only = on"):  # type: ignore[attr-defined]
        _tries(bakery, 2)
        assert bakery.ledger() == []
        assert any("read" in error.lower() for error in _errors(bakery)), _errors(bakery)
    _goes_on(bakery)


def test_a_control_database_that_may_only_be_read_says_so(bakery: Bakery) -> None:
    with told(bakery.parts.control.engine, "query_only = on"):
        with pytest.raises(MigratorError, match=r"control database.*read"):
            bakery.work_once()
        assert bakery.ledger() == []
    _goes_on(bakery)
