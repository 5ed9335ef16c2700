"""How long snapshots are kept, whether they would take users back, and what happens while their store is away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from migrator.edges import shelves
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Ref, Snapshots
from migrator.errors import GateHolds, KeyWrong, NotFound, Refused
from migrator.flows.checking import verify
from migrator.flows.erasure import erasing
from migrator.flows.moving.kept import opened
from migrator.flows.parts import Parts
from migrator.flows.snapshots import keeping, rehearsing, rekeying
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import User
from migrator.store import batches, journal, plans, project_keys, tables, users
from tests.edges.databases.places import SqlitePlace
from tests.edges.s3_server import S3Server
from tests.flows.bakery import Bakery
from tests.flows.library import Library
from tests.flows.mariadb_bakery import MariadbBakery
from tests.flows.plug import Power
from tests.mariadb_server import MariadbServer

KEEP = timedelta(days=30)


@pytest.fixture
def bakery(moved: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    copy = moved.copy(tmp_path / "bakery")
    yield copy
    copy.close()


def later(bakery: Bakery, **time: float) -> Parts:
    """The same parts, so much later."""
    return replace(bakery.parts, now=lambda: datetime.now(UTC) + timedelta(**time))


def settle(bakery: Bakery, *keys: str) -> None:
    """For these users there is no way back any more."""
    with bakery.parts.control.write() as db:
        plan = plans.require(db)
        users.move(db, plan.id, keys, (User.LIVE,), User.SETTLED, bakery.parts.now())


def files(bakery: Bakery) -> list[str]:
    return sorted(file.name for file in (bakery.folder / "snapshots").rglob("*.snapshot"))


def entries(bakery: Bakery, event: str) -> list[dict[str, object]]:
    with bakery.parts.control.read() as db:
        return [dict(one["detail"]) for one in journal.latest(db, 50) if one["event"] == event]


# ---- retention


def test_a_snapshot_stays_until_the_last_of_its_users_has_no_way_back(bakery: Bakery) -> None:
    everybody = sorted(bakery.users())
    before = files(bakery)
    settle(bakery, *everybody[:-1])
    stayed = keeping.expire(later(bakery, days=4000), KEEP)

    settle(bakery, everybody[-1])
    early = keeping.expire(later(bakery, days=29), KEEP)
    would = keeping.expire(later(bakery, days=31), KEEP, dry_run=True)

    assert stayed.stay == {"users can still be put back": 1}
    assert (stayed.snapshots, early.snapshots, would.snapshots) == (1, 0, 1)
    assert len(files(bakery)) == len(before) - 1
    assert keeping.expire(later(bakery, days=31), KEEP).waves == ("whole",)
    assert files(bakery) == []
    assert keeping.expire(later(bakery, days=31), KEEP).snapshots == 0
    assert [one["snapshots"] for one in entries(bakery, "expire")] == [1, 1]


def test_what_expired_is_named_by_whoever_looks_for_it(bakery: Bakery) -> None:
    settle(bakery, *bakery.users())
    with bakery.parts.control.read() as db:
        first = users.placed(db, plans.require(db).id, (User.SETTLED,))[0]
    keeping.expire(later(bakery, days=31), KEEP)

    found = verify.verify(bakery.parts, verify.scope(bakery.parts))
    with pytest.raises(NotFound, match=r"expired on .* nor rolled back"):
        opened(bakery.parts, 1, first.batch_id, first.fence)
    with pytest.raises(Refused, match="point of no return"):
        rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert (found.checked_users, found.expired_users) == (0, 12)
    assert rehearsing.check(bakery.parts, share=1.0).good
    (wave,) = keeping.listed(bakery.parts, KEEP)["waves"]
    assert (wave["snapshots"], wave["expired"], wave["missing"]) == (0, 2, 0)


def test_a_held_wave_keeps_its_snapshots_whatever_their_age(bakery: Bakery) -> None:
    settle(bakery, *bakery.users())
    keeping.hold(bakery.parts, "whole", "a claim")

    assert keeping.expire(later(bakery, days=4000), KEEP).stay == {"held: a claim": 2}
    keeping.release(bakery.parts, "whole")
    assert keeping.expire(later(bakery, days=4000), KEEP).snapshots == 2
    assert [len(entries(bakery, event)) for event in ("hold snapshots", "release snapshots")] == [1, 1]


def test_snapshots_of_users_who_were_put_back_expire_too(bakery: Bakery) -> None:
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert keeping.expire(later(bakery, days=29), KEEP).snapshots == 0
    assert keeping.expire(later(bakery, days=31), KEEP).snapshots == 2


def test_attempts_that_came_to_nothing_are_collected_once_they_are_old(bakery: Bakery) -> None:
    path = bakery.folder / "snapshots" / bakery.parts.snapshots.keep(Ref("1", 1, 77, "abc"), {}, {})
    assert keeping.expire(bakery.parts, KEEP).orphans == 0
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    os.utime(path, (long_ago, long_ago))

    assert rehearsing.check(bakery.parts, share=0.01).orphans == 1
    assert keeping.expire(bakery.parts, KEEP, dry_run=True).orphans == 1
    assert keeping.expire(bakery.parts, KEEP).orphans == 1
    assert not path.exists()
    assert rehearsing.check(bakery.parts, share=0.01).good


def test_the_attempt_of_a_batch_that_may_run_again_is_nobodys_to_collect(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "bakery")
    with bakery.parts.control.read() as db:
        first = batches.of_wave(db, bakery.wave().id)[0]
    path = bakery.folder / "snapshots" / bakery.parts.snapshots.keep(Ref("1", first.id, 1, "abc"), {}, {})
    os.utime(path, (0, 0))

    assert keeping.expire(bakery.parts, KEEP).orphans == 0
    assert path.exists()
    bakery.close()


def test_cut_off_while_it_removes_the_next_one_removes_the_rest(bakery: Bakery) -> None:
    settle(bakery, *bakery.users())
    cut = later(bakery, days=31)
    gone: list[Ref] = []

    class Dying(Snapshots):
        def delete(self, ref: Ref) -> None:
            if gone:
                raise Power
            gone.append(ref)
            super().delete(ref)

    with pytest.raises(Power):
        keeping.expire(replace(cut, snapshots=Dying(bakery.folder / "snapshots", cut.key)), KEEP)
    assert len(files(bakery)) == 1

    assert keeping.expire(cut, KEEP).orphans == 1
    assert files(bakery) == []
    assert rehearsing.check(bakery.parts, share=1.0).good


# ---- check


@pytest.mark.parametrize("action", ["update", "fill_nulls", "skip"])
def test_rows_that_were_there_before_are_restored_in_a_copy_and_nothing_is_touched(
    place: SqlitePlace, tmp_path: Path, action: str
) -> None:
    library = Library(tmp_path / "l", place, readers=5, members=f", on_conflict: {{match: [email], action: {action}}}")
    library.there(("r2@x.org", "Old", "+333", 5), ("r5@x.org", "Reader 5", None, 10))
    library.move()
    before = library.rows()

    done = rehearsing.check(library.parts, share=1.0, seed=1)

    assert (done.good, done.broken, done.users) == (True, [], 5)
    assert library.rows() == before
    library.close()


def test_a_snapshot_is_tried_out_in_mariadb(mariadb: MariadbServer, tmp_path: Path) -> None:
    bakery = MariadbBakery(tmp_path / "bakery", mariadb)
    bakery.move()
    before = bakery.rows()

    done = rehearsing.check(bakery.parts, share=1.0)

    assert (done.good, done.broken, done.users, done.rows) == (True, [], 9, 36)
    assert bakery.rows() == before
    bakery.close()


def _spoil(bakery: Bakery, change: str) -> None:
    """Seal a snapshot again with something wrong in it."""
    with bakery.parts.control.read() as db:
        one = users.placed(db, 1, (User.LIVE,))[0]
        hash_ = plans.set_hashes(db)[0]
    ref = Ref("1", one.batch_id, one.fence, hash_)
    kept = bakery.parts.snapshots.load(ref)
    if change == "value":
        rows = kept.frames["rows/accounts"]
        kept.frames["rows/accounts"] = rows.with_columns(name=pl.lit("another"))
    elif change == "source":
        kept.frames["source/orders"] = kept.frames["source/orders"].head(0)
    elif change == "before":
        columns = kept.frames["rows/accounts"].drop("__user", "__key")
        kept.frames["before/accounts"] = columns.with_columns(status=pl.lit("no such status"))
    elif change == "user":
        kept.manifest["users"] = kept.manifest["users"][1:]
    bakery.parts.snapshots.keep(ref, kept.manifest, kept.frames)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("value", "not what its source rows give"),
        ("source", "not what its source rows give"),
        ("before", "the database refused the rows"),
        ("user", "1 users whose snapshot it is are not in it"),
    ],
)
def test_a_snapshot_that_would_not_take_users_back_is_found(bakery: Bakery, change: str, said: str) -> None:
    _spoil(bakery, change)

    done = rehearsing.check(bakery.parts, share=1.0)

    (broken,) = done.broken
    assert said in broken.why
    assert broken.count == len(broken.users) > 0
    assert entries(bakery, "check")[0]["good"] is False


def test_one_that_is_not_there_is_found_whatever_is_drawn(bakery: Bakery) -> None:
    next((bakery.folder / "snapshots").rglob("*.snapshot")).unlink()

    assert [one.why for one in rehearsing.check(bakery.parts, share=0.01).broken] == ["is not there"]


def test_the_same_seed_draws_the_same_snapshots(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=30)
    bakery.move(batch_users=5)

    drawn = [rehearsing.check(bakery.parts, share=0.01, seed=seed).rows for seed in (3, 3)]

    assert drawn[0] == drawn[1] > 0
    done = rehearsing.check(bakery.parts, share=0.01, seed=3)
    assert 20 <= done.users < 30
    bakery.close()


def test_a_plan_may_demand_a_check_before_the_waves_after_the_pilot(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=30)
    bakery.plan(strategy="tiered", gray=(50,), pilot_floor=5, snapshot_check="before gray")
    with bakery.parts.control.read() as db:
        names = [(one.name, one.stage) for one in _waves(db)]
    pilot, after = names[0][0], next(name for name, stage in names if stage != "pilot")
    waves.start(bakery.parts, pilot)
    bakery.run()

    with pytest.raises(GateHolds, match="not checked since the pilot ended; `migrator snapshot check`"):
        waves.start(bakery.parts, after)
    rehearsing.check(bakery.parts, share=0.01)
    waves.start(bakery.parts, after)
    bakery.close()


def _waves(db: sa.Connection) -> list[sa.Row[tuple[str, str]]]:
    query = sa.select(tables.waves.c.name, tables.waves.c.stage).order_by(tables.waves.c.ordinal)
    return list(db.execute(query))


# ---- keys


def rekeyed(bakery: Bakery, new: ProjectKey, old: ProjectKey | None, parts: Parts | None = None) -> rekeying.Rekeyed:
    parts = parts or bakery.parts
    with parts.control.read() as db:
        taken = rekeying.begin(db, new, old)
    assert taken is not None
    return rekeying.rekey(replace(parts, key=taken), lambda key: Snapshots(bakery.folder / "snapshots", key), taken)


def as_opened(bakery: Bakery, key: ProjectKey) -> Parts:
    """As another process would have it, that is given *key*."""
    with bakery.parts.control.read() as db:
        known = project_keys.current(db)
    assert known is not None and known.key_id == key.id
    key = key.within(known.envelope) if known.envelope else key
    return replace(bakery.parts, key=key, snapshots=Snapshots(bakery.folder / "snapshots", key))


def test_a_key_is_changed_twice_and_all_that_was_sealed_opens(bakery: Bakery) -> None:
    old = bakery.parts.key
    keys = [ProjectKey(bytes([n]) * 32) for n in (1, 2)]
    first = rekeyed(bakery, keys[0], old)
    second = rekeyed(bakery, keys[1], keys[0])

    parts = as_opened(bakery, keys[1])

    assert (first.wrapped, second.wrapped, second.damaged) == (2, 2, [])
    assert not parts.key.knows_earlier
    assert rehearsing.check(parts, share=1.0).good
    assert parts.key.fingerprint("x") == old.fingerprint("x")
    for one, other in ((old, parts.key), (keys[0], parts.key), (parts.key, old), (parts.key, keys[0])):
        with pytest.raises(KeyWrong):
            one.open(other.seal("x"))
    done = erasing.erase(parts, erasing.subject(parts, "7"))
    assert done["remains"] == []
    assert rollbacks.roll_back(parts, rollbacks.scope(parts)).restored == 11


def test_cut_off_in_the_middle_both_kinds_open_and_the_next_goes_on(bakery: Bakery) -> None:
    old, new = bakery.parts.key, ProjectKey(bytes([1]) * 32)
    done: list[Ref] = []

    class Dying(Snapshots):
        def rewrap(self, ref: Ref, by: ProjectKey) -> bool:
            if done:
                raise Power
            done.append(ref)
            return super().rewrap(ref, by)

    with bakery.parts.control.read() as db:
        taken = rekeying.begin(db, new, old)
    assert taken is not None
    with pytest.raises(Power):
        rekeying.rekey(replace(bakery.parts, key=taken), lambda key: Dying(bakery.folder / "snapshots", key), taken)
    between = rehearsing.check(as_opened(bakery, new), share=1.0)

    result = rekeyed(bakery, new, None)

    assert between.good
    assert (result.wrapped, result.before) == (1, 1)
    with bakery.parts.control.read() as db:
        assert rekeying.begin(db, new, None) is None
    assert not as_opened(bakery, new).key.knows_earlier


def test_a_wrong_old_key_is_refused_before_anything_is_lost(bakery: Bakery) -> None:
    new, wrong = ProjectKey(bytes([1]) * 32), ProjectKey(bytes([9]) * 32)

    with pytest.raises(Refused, match="does not open what this project has sealed"):
        rekeyed(bakery, new, wrong)
    with pytest.raises(Refused, match="say with --old"):
        rekeyed(bakery, new, None)
    with pytest.raises(Refused, match="are the same"):
        rekeyed(bakery, bakery.parts.key, bakery.parts.key)


# ---- a store elsewhere


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "t")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = S3Server()
    yield server
    server.stop()


def test_while_the_store_is_away_nothing_is_written_and_then_it_goes_on(
    started: Bakery, tmp_path: Path, s3: S3Server
) -> None:
    bakery = started.copy(tmp_path / "bakery")
    place = shelves.shelf(s3.url, s3.options)
    bakery.parts = replace(bakery.parts, snapshots=Snapshots(place, bakery.parts.key))
    s3.stop()
    assert bakery.work_once() > 0
    with bakery.parts.control.read() as db:
        waiting = batches.of_wave(db, bakery.wave().id)
    assert bakery.rows()["accounts"] == []
    assert {one.error.partition(" (")[0] for one in waiting if one.error} == {"the store of snapshots does not answer"}
    assert {one.attempts for one in waiting} == {0}  # nobody is failed for it

    s3.start()
    bakery.lose_leases()
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert sum(name.endswith(".snapshot") for name in s3.names()) == 2
    assert rehearsing.check(bakery.parts, share=1.0).good
    done = erasing.erase(bakery.parts, erasing.subject(bakery.parts, "7"))
    assert (done["snapshots"], done["remains"]) == ({"rewritten": 1, "archived": 0}, [])
    assert rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts)).restored == 11
    assert bakery.rows()["accounts"] == []
    bakery.close()
