"""Once a day what had its day is removed, and nothing else: who may still be put back, asked for or told stays whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator import crashpoints
from migrator.errors import Unreachable
from migrator.flows.homes import on_demand, settling
from migrator.flows.snapshots import purging
from migrator.store import chores, journal, leases, requests, tables
from tests.flows.bakery import Bakery

PURGE = ("tasks.chores.purge", ())
LATER = timedelta(days=200)


@pytest.fixture
def bakery(moved: Bakery, tmp_path: Path) -> Bakery:
    """Twelve customers who are live, two of them settled; one was asked for, and one was told."""
    bakery = moved.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        now = bakery.parts.now()
        db.execute(sa.insert(tables.notices), [_notice(bakery, 1, "3", "sent"), _notice(bakery, 2, "4", "queued")])
        for user, status, ended in (("3", "done", now), ("4", "open", None)):
            asked = {"plan_id": 1, "user_key": user, "asked_by": "support", "asked_at": now, "cut_over": False}
            db.execute(sa.insert(tables.requests).values(**asked, status=status, ended_at=ended))
        leases.seen(db, "machine", "machine", 1, 2)
    return bakery


def _notice(bakery: Bakery, number: int, user: str, status: str) -> dict[str, Any]:
    return {
        "plan_id": 1, "wave_id": None, "user_key": user, "event": "done", "channel": "email", "locale": "en",
        "template": "t", "unique_key": str(number), "status": status, "address": bakery.parts.key.seal("c@bakery.example"),
        "variables": bakery.parts.key.seal('{"name": "Customer"}'), "attempts": 0, "queued_at": bakery.parts.now(),
    }  # fmt: skip


def later(bakery: Bakery, by: timedelta = LATER) -> None:
    """So much time has passed for whoever asks for it."""
    now = bakery.parts.now
    bakery.parts = replace(bakery.parts, now=lambda: now() + by)


def everything(bakery: Bakery) -> dict[str, list[Any]]:
    with bakery.parts.control.read() as db:
        return {
            table.name: [tuple(row) for row in db.execute(sa.select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        }


def purged(bakery: Bakery) -> purging.Purged:
    done = purging.purge(bakery.parts, "test")
    assert done is not None
    return done


def test_what_had_its_day_goes_and_everything_else_stays_as_it_is(bakery: Bakery) -> None:
    before = everything(bakery)
    later(bakery)

    done = purged(bakery)

    after = everything(bakery)
    assert done.rows == {"notices": 1, "requests": 1, "approvals": 0, "workers": 1, "leases": done.rows["leases"]}
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"notices", "requests", "workers", "leases", "chores", "journal", "journal_head", "snapshots"}
    with bakery.parts.control.read() as db:
        told = db.execute(sa.select(tables.notices).order_by(tables.notices.c.id)).mappings().all()
        assert requests.any_open(db)
    assert [one["address"] is None for one in told] == [True, False], "who is still to be told is"
    assert bakery.parts.key.open(told[0]["variables"]) == "{}" and told[0]["status"] == "sent"


def test_what_is_younger_stays(bakery: Bakery) -> None:
    later(bakery, timedelta(days=80))

    done = purged(bakery)

    assert set(done.rows.values()) == {0} and done.snapshots.snapshots == 0


def test_a_look_says_what_a_purge_would_remove_and_removes_nothing(bakery: Bakery) -> None:
    later(bakery)
    before = everything(bakery)

    would = purging.look(bakery.parts)

    assert everything(bakery) == before and would.dry_run
    done = purged(bakery)
    assert done.rows | {"leases": 0} == would.rows | {"leases": 0}
    assert done.snapshots.snapshots == would.snapshots.snapshots


def test_snapshots_whose_users_are_settled_expire_and_the_others_stay(bakery: Bakery) -> None:
    settling.settle(bakery.parts, "whole")
    later(bakery, timedelta(days=31))

    done = purged(bakery)

    assert done.snapshots.snapshots > 0 and list(bakery.parts.snapshots.there()) == []
    with bakery.parts.control.read() as db:
        entry = journal.of(db, "project", ["all"])[-1]
    assert entry["event"] == "purge" and entry["detail"]["snapshots"] == done.snapshots.snapshots


@pytest.mark.parametrize("point", ["purge-snapshots-expired", "purge-rows-removed"])
def test_cut_off_anywhere_the_next_one_removes_what_is_left(bakery: Bakery, point: str) -> None:
    settling.settle(bakery.parts, "whole")
    later(bakery)
    wanted = purging.look(bakery.parts).rows

    def crash(name: str) -> None:
        if name == point:
            raise crashpoints.Crashed

    crashpoints.watch(crash)
    with pytest.raises(crashpoints.Crashed):
        purging.purge(bakery.parts, "test")
    crashpoints.watch(None)
    assert purging.purge(bakery.parts, "another") is None, "who died at it is waited for a while"
    with bakery.parts.control.write() as db:
        leases.release(db, "purge", "test")

    done = purged(bakery)

    assert done.rows | {"leases": 0} == wanted | {"leases": 0}
    assert list(bakery.parts.snapshots.there()) == []


# ---- once a day -------------------------------------------------------------------------------------------------


def test_it_is_rung_for_once_a_day_and_not_on_the_first(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    assert PURGE not in bakery.tick() and PURGE not in bakery.tick()

    a_day_passes(bakery)

    assert bakery.tick() == [PURGE]
    assert bakery.tick() == [], "somebody is asked for it"
    purged(bakery)
    assert bakery.tick() == [], "it is done"
    a_day_passes(bakery)
    assert bakery.tick() == [PURGE]


def a_day_passes(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        ago = bakery.parts.now() - timedelta(hours=25)
        db.execute(sa.update(tables.chores).values(done_at=ago, rung_at=None))


def test_where_it_is_switched_off_nobody_is_asked(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    bakery.tick()
    a_day_passes(bakery)
    bakery.parts = replace(bakery.parts, keeping=replace(bakery.parts.keeping, every=timedelta(0)))

    assert bakery.tick() == []


def test_a_message_that_did_not_arrive_is_sent_again(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    bakery.tick()
    a_day_passes(bakery)

    class Deaf:
        def wake(self, task: str, *ids: int) -> None:
            raise Unreachable("cannot reach Redis")

    replace(bakery.dispatcher(), bell=Deaf()).tick()

    assert bakery.tick() == [PURGE]


def test_while_nobody_may_change_anything_nothing_is_purged(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    bakery.tick()
    a_day_passes(bakery)
    with bakery.parts.control.write() as db:
        db.execute(
            sa.insert(tables.switches).values(name="read-only", reason="restore", by="ops", at=bakery.parts.now())
        )

    assert bakery.tick() == []


def test_counting_begins_once(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        chores.begin(db, chores.PURGE, bakery.parts.now())
        chores.begin(db, chores.PURGE, bakery.parts.now() + LATER)
        assert not chores.due(db, chores.PURGE, bakery.parts.now(), timedelta(days=1), timedelta(hours=1))
        assert chores.begun(db, chores.PURGE)
        assert on_demand.under_way(db) == []
