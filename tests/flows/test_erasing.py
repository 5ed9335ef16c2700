"""The right to be forgotten: nothing of a user can be read after, and he never comes back."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.edges.databases.base import Claim
from migrator.errors import Erased, NeedsApproval, NotAllowed, NotFound, Refused
from migrator.flows.checking import verify
from migrator.flows.erasure import erasing
from migrator.flows.helping import cleaning
from migrator.flows.moving import batches, tombstones
from migrator.flows.parts import Parts, Telling
from migrator.flows.people import approvals
from migrator.flows.plans import planning, tiering
from migrator.flows.report import numbers
from migrator.flows.snapshots import rehearsing
from migrator.flows.steering import waves
from migrator.flows.telling.templates import Templates
from migrator.flows.undoing import rollbacks
from migrator.rollout.rights import Act, Role
from migrator.rollout.states import User, Wave
from migrator.store import batches as batch_store
from migrator.store import cases, effects, erasures, measures, people, plans, tables, users
from migrator.store.control import Control
from tests.edges.databases.places import PostgresqlPlace, SqlitePlace
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.doubles import Doubles
from tests.flows.library import Library
from tests.flows.memory import BUNDLED
from tests.flows.plug import Plug, Power, plugged
from tests.flows.test_cleaning import STALE, a_bakery
from tests.postgresql_server import PostgresqlServer

NAME, ADDRESS = "Forget-Me Quux", "forget.me@quux.example"
HIS = "987654321"


def _make_telling(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update purchase set customer_id = ?, id = id + 1000 where customer_id = 7", (HIS,))
        db.execute("update customer set id = ?, email = ?, name = ? where id = 7", (HIS, f" {ADDRESS}", NAME))


@pytest.fixture(scope="module")
def all_moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Twelve live customers, one of whom has values that are found wherever they are; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("erasing") / "moved", customers=12)
    _make_telling(bakery)
    bakery.plan(batch_users=8)
    bakery.start_all()
    yield bakery
    bakery.close()


@pytest.fixture
def bakery(all_moved: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    copy = all_moved.copy(tmp_path / "bakery")
    yield copy
    copy.close()


def erase(bakery: Bakery, user: str = HIS, parts: Parts | None = None) -> dict[str, object]:
    parts = parts or bakery.parts
    return erasing.erase(parts, erasing.subject(parts, user))


def told_of_him(bakery: Bakery) -> list[str]:
    """Where one of his values can be read: in all bytes of the control database, in every snapshot, in the target."""
    found = []
    signs = [NAME, ADDRESS, HIS]
    for file in bakery.folder.glob("control.db*"):
        content = file.read_bytes()
        found += [f"{file.name}: {sign}" for sign in signs if sign.encode() in content]
    for one in bakery.parts.snapshots.there():
        with bakery.parts.control.read() as db:
            hashes = plans.set_hashes(db)
        kept = bakery.parts.snapshots.load(one.ref(hashes[0]))
        said = json.dumps(kept.manifest) + "".join(frame.write_json() for frame in kept.frames.values())
        found += [f"snapshot of batch {one.batch}: {sign}" for sign in signs if sign in said]
    found += [f"target: {row}" for row in bakery.rows()["accounts"] if NAME in str(row) or ADDRESS in str(row)]
    found += [f"ledger: {row}" for row in bakery.ledger() if row[0] == HIS]
    return found


def rows_naming(bakery: Bakery, key: str) -> dict[str, int]:
    """Per table of the control database, how many rows have a text that is just his key."""
    with bakery.parts.control.read() as db:
        found = {}
        for table in tables.metadata.sorted_tables:
            for column in table.c:
                if isinstance(column.type, sa.Text | sa.String):
                    count = db.scalar(sa.select(sa.func.count()).select_from(table).where(column == key))
                    if count:
                        found[f"{table.name}.{column.name}"] = int(count)
        return found


def test_nothing_of_an_erased_user_can_be_read_after(bakery: Bakery) -> None:
    bakery.parts.control.scrub()
    assert told_of_him(bakery)  # so that the looking is not blind
    orders = len(bakery.rows()["orders"])

    done = erase(bakery)

    assert told_of_him(bakery) == []
    assert rows_naming(bakery, HIS) == {}
    assert len(bakery.rows()["orders"]) == orders - 3
    assert done["target"] == {"rows": {"orders": 3, "accounts": 1}, "tombstone": True}
    assert done["remains"] == []
    assert done["snapshots"] == {"rewritten": 1, "archived": 0}
    with bakery.parts.control.read() as db:
        report = json.dumps(numbers.collect(bakery.parts, db, plans.require(db)), default=str)
    assert NAME not in report and ADDRESS not in report
    assert NAME not in str(done) and ADDRESS not in str(done)


def test_everybody_is_still_accounted_for_and_verified(bakery: Bakery) -> None:
    erase(bakery)

    with bakery.parts.control.read() as db:
        counts = measures.user_counts(db, plans.require(db).id)
        assert measures.books_even(db, bakery.wave().id)
    assert (counts["live"], counts["erased"], sum(counts.values())) == (11, 1, 12)
    found = verify.verify(bakery.parts, verify.scope(bakery.parts))
    assert (found.checked_users, found.difference_count, found.drift_count) == (11, 0, 0)


def test_a_rollback_of_everybody_does_not_bring_him_back(bakery: Bakery) -> None:
    erase(bakery)

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    assert bakery.rows() == {"accounts": [], "orders": [], "notes": []}
    assert waves.retry(bakery.parts, "whole") == 11
    waves.start(bakery.parts, "whole")
    bakery.run()

    assert len(bakery.rows()["accounts"]) == 11
    assert told_of_him(bakery) == []
    assert rows_naming(bakery, HIS) == {}


def test_a_new_plan_counts_him_and_moves_him_not(bakery: Bakery) -> None:
    erase(bakery)
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    draft = planning.create(bakery.parts, OPTIONS, TIERS)
    planning.approve(bakery.parts)
    bakery.start_all()

    statuses = list(bakery.users().values())
    assert (draft.users, draft.excluded) == (12, 0)
    assert (statuses.count("live"), statuses.count("erased"), len(statuses)) == (11, 1, 12)
    assert rows_naming(bakery, HIS) == {}
    bakery.parts.control.scrub()
    assert told_of_him(bakery) == []
    tiering.assign(bakery.parts, TIERS)
    assert rows_naming(bakery, HIS) == {}


def test_a_control_database_that_forgot_the_erasure_is_told_by_the_target(bakery: Bakery) -> None:
    parts = bakery.parts
    rollbacks.roll_back(parts, rollbacks.scope(parts))
    parts.control.engine.dispose()
    shutil.copy(bakery.folder / "control.db", bakery.folder / "copy.db")
    erase(bakery)
    parts.control.engine.dispose()
    for file in bakery.folder.glob("control.db*"):
        file.unlink()
    shutil.copy(bakery.folder / "copy.db", bakery.folder / "control.db")

    waves.retry(parts, "whole")
    waves.start(parts, "whole")
    bakery.run()

    statuses = list(bakery.users().values())
    assert (statuses.count("live"), statuses.count("erased")) == (11, 1)
    assert len(bakery.rows()["accounts"]) == 11
    assert rows_naming(bakery, HIS) == {}


def test_a_worker_that_read_him_before_he_was_erased_writes_nothing(bakery: Bakery) -> None:
    erase(bakery)

    with pytest.raises(Erased), bakery.parts.target.writing() as writer:
        tombstones.refuse(bakery.parts, writer, ["6", HIS])
    with bakery.parts.target.reading() as reader:
        tombstones.refuse(bakery.parts, reader, ["6", "8"])
    assert HIS not in str(Erased((HIS,)))


def test_who_is_being_moved_or_put_back_is_not_erased_now(tmp_path: Path, started: Bakery) -> None:
    bakery = started.copy(tmp_path / "bakery")
    with bakery.parts.control.read() as db:
        first = batch_store.of_wave(db, bakery.wave().id)[0]
    work = batches.claim(bakery.parts, first.id, None, "worker")
    assert work is not None

    with pytest.raises(NotAllowed, match="cannot erase"):
        erasing.subject(bakery.parts, work.users[0])
    bakery.close()


def test_whom_a_worker_wrote_and_did_not_record_is_not_erased_now(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        users.assign(db, plans.require(db).id, [HIS], status=User.PLANNED.value, fence=None)

    with pytest.raises(Refused, match="has not said so yet"):
        erasing.subject(bakery.parts, HIS)


def test_a_user_nobody_knows_is_not_found(bakery: Bakery) -> None:
    with pytest.raises(NotFound):
        erasing.subject(bakery.parts, "4711")


def test_one_who_was_never_moved_leaves_a_tombstone_all_the_same(tmp_path: Path, planned: Bakery) -> None:
    bakery = planned.copy(tmp_path / "bakery")

    done = erase(bakery, "7")
    bakery.start_all()

    assert done["target"] == {"rows": {}, "tombstone": True}
    assert len(bakery.rows()["accounts"]) == 11
    assert bakery.wave().status is Wave.PASSED
    bakery.close()


def test_rows_of_the_new_system_that_point_at_his_are_for_the_application(bakery: Bakery) -> None:
    with bakery.target() as db:
        (account,) = db.execute("select id from accounts where name = ?", (NAME,)).fetchone()
        db.execute("insert into notes values (1, ?, 'hello')", (account,))
    before = bakery.rows()

    with pytest.raises(Refused, match=r"rows of notes .* point at the user's rows of accounts"):
        erase(bakery)

    assert bakery.rows() == before
    assert bakery.users()[HIS] == "live"
    with bakery.target() as db:
        db.execute("delete from notes")
    assert erase(bakery)["remains"] == []


def test_asked_again_it_gives_the_same_certificate(bakery: Bakery) -> None:
    first = erase(bakery)

    assert erase(bakery) == first


def test_what_would_go_is_said_and_nothing_is_touched(bakery: Bakery) -> None:
    before = (bakery.rows(), bakery.ledger(), bakery.users())

    found = erasing.look(bakery.parts, erasing.subject(bakery.parts, HIS))

    assert found.target == {"accounts": 1, "orders": 3}
    assert (found.snapshots, found.archived, found.remains) == (1, 0, [])
    assert found.control["users"] == 1
    assert (bakery.rows(), bakery.ledger(), bakery.users()) == before


def test_the_statements_for_legacy_name_his_rows_children_first(bakery: Bakery) -> None:
    said = erasing.statements(bakery.parts, erasing.subject(bakery.parts, HIS))

    assert said == [
        "DELETE FROM purchase WHERE purchase.id IN (1070, 1071, 1072);",
        "DELETE FROM customer WHERE customer.id IN (987654321);",
    ]
    with bakery.legacy() as db:
        for statement in said:
            db.execute(statement)
        assert db.execute("select count(*) from purchase where customer_id = 987654321").fetchone() == (0,)


def test_an_expired_snapshot_leaves_his_rows_to_the_application_and_says_so(bakery: Bakery) -> None:
    for one in bakery.parts.snapshots.there():
        with bakery.parts.control.read() as db:
            bakery.parts.snapshots.delete(one.ref(plans.set_hashes(db)[0]))

    done = erase(bakery)

    assert "is not there" in done["remains"][0]  # type: ignore[index]
    assert "application's own means" in done["remains"][0]  # type: ignore[index]
    with bakery.parts.target.reading() as reader:
        assert reader.erased(list(tombstones.prints(bakery.parts, [HIS]).values()))


def test_cut_off_anywhere_and_done_again_it_ends_the_same(all_moved: Bakery, tmp_path: Path) -> None:
    whole = all_moved.copy(tmp_path / "whole")
    plug = Plug()
    erase(whole, parts=plugged(whole.parts, plug))
    after = (whole.rows(), whole.ledger(), sorted(whole.users().values()))
    assert plug.used >= 5
    whole.close()
    for limit in range(plug.used):
        bakery = all_moved.copy(tmp_path / f"cut {limit}")
        cut = Plug()
        cut.limit = limit
        with pytest.raises(Power):
            erase(bakery, parts=plugged(bakery.parts, cut))

        done = erase(bakery)

        assert told_of_him(bakery) == [], limit
        assert (bakery.rows(), bakery.ledger(), sorted(bakery.users().values())) == after, limit
        assert rows_naming(bakery, HIS) == {}, limit
        assert done["target"]["rows"] in ({"orders": 3, "accounts": 1}, {}), limit  # type: ignore[index]
        bakery.close()


def test_between_two_cuts_nobody_moves_him(all_moved: Bakery, tmp_path: Path) -> None:
    bakery = all_moved.copy(tmp_path / "bakery")
    cut = Plug()
    cut.limit = 2  # begun, and out of the target
    with pytest.raises(Power):
        erase(bakery, parts=plugged(bakery.parts, cut))

    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert bakery.rows()["accounts"] == []
    erase(bakery)
    assert told_of_him(bakery) == []
    bakery.close()


# ---- everything that may hold something of a user


def sealed_values(parts: Parts) -> list[str]:
    """All that is sealed in the control database, opened."""
    found = []
    with parts.control.read() as db:
        for table in tables.metadata.sorted_tables:
            for column in table.c:
                if isinstance(column.type, sa.LargeBinary):
                    query = sa.select(column).where(column.is_not(None))
                    found += [parts.key.open(value) for value in db.scalars(query)]
    return found


def test_cases_notices_and_samples_of_an_erased_user_are_gone(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=8)
    _make_telling(bakery)
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id = ?", (HIS,))
        db.execute("update customer set status = 8 where id = 3")
    telling = Telling(sender="file", product="Bakery", contact="help@x.example", templates=Templates(BUNDLED))
    parts = bakery.parts = replace(bakery.parts, telling=telling)
    bakery.plan(batch_users=8)
    waves.start(parts, "whole")
    bakery.run(until=Wave.PASSED)
    with parts.control.write() as db:
        wave_id = bakery.wave().id
        first = batch_store.of_wave(db, wave_id)[0].id
        sample = {
            "mapping": "accounts",
            "field": "name",
            "rule": "trim",
            "count": 1,
            "sample": parts.key.seal(f"{NAME} ->"),
        }
        effects.keep_warnings(db, first, [sample])
    assert bakery.users()[HIS] == "held"
    before = sealed_values(parts)
    assert any(ADDRESS in value for value in before) and any(NAME in value for value in before)
    others = len(_cases(parts))

    done = erase(bakery)

    assert [value for value in sealed_values(parts) if ADDRESS in value or NAME in value or value == "9"] == []
    assert len(_cases(parts)) == others - 1
    assert rows_naming(bakery, HIS) == {}
    assert {"users", "case_users", "notices"} <= set(done["control"]["rows"])  # type: ignore[index]
    assert told_of_him(bakery) == []
    bakery.close()


def _cases(parts: Parts) -> list[cases.Case]:
    with parts.control.read() as db:
        return cases.select(db, plans.require(db).id)


def test_who_merged_is_one_person_and_is_forgotten_as_one(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "doubles")
    shop.move()
    assert shop.groups() == {"1": "1", "3": "1"}

    who = erasing.subject(shop.parts, "3")
    done = erasing.erase(shop.parts, who)

    assert who.keys == ["1", "3"]
    assert done["remains"] == []
    assert "ann@x.co" not in str(shop.rows())
    # somebody else, who was left out, has the same address
    left = [value for value in sealed_values(shop.parts) if "ann@x.co" in value.lower()]
    assert left == ['{"email":"ann@x.co","name":"Old Ann"}']
    found = verify.verify(shop.parts, verify.scope(shop.parts))
    assert (found.difference_count, found.drift_count) == (0, 0)
    assert erasing.erase(shop.parts, erasing.subject(shop.parts, "1")) == done
    assert list(shop.users().values()).count("erased") == 2
    shop.close()


def test_a_case_that_others_share_stays_and_does_not_name_him(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "doubles")
    shop.plan()

    erasing.erase(shop.parts, erasing.subject(shop.parts, "8"))

    [case] = [one for one in _cases(shop.parts) if one.rule == "merge_duplicates"]
    assert case.users == ("9",)
    assert case.source_key.startswith("erased:")
    shop.close()


def test_archived_rows_of_an_erased_user_are_gone(tmp_path: Path) -> None:
    bakery = a_bakery(tmp_path / "bakery", STALE)
    bakery.move()
    kept = pl.concat(cleaning.archived(bakery.parts, "orders.stale"))
    his = kept["__user"].to_list()[0]

    done = erase(bakery, his)

    left = pl.concat(cleaning.archived(bakery.parts, "orders.stale"))
    assert done["snapshots"] == {"rewritten": 1, "archived": 1}
    assert left.height == kept.filter(pl.col("__user") != his).height < kept.height
    bakery.close()


def test_an_older_plan_and_older_snapshots_forget_him_too(bakery: Bakery) -> None:
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    planning.create(bakery.parts, OPTIONS, TIERS)
    planning.approve(bakery.parts)
    bakery.start_all()
    assert rows_naming(bakery, HIS)["users.user_key"] == 2

    done = erase(bakery)

    assert done["snapshots"]["rewritten"] == 2  # type: ignore[index]
    assert rows_naming(bakery, HIS) == {}
    assert told_of_him(bakery) == []
    with bakery.parts.control.read() as db:
        assert [measures.user_counts(db, plan_id)["erased"] for plan_id in (1, 2)] == [1, 1]


def test_rows_that_were_there_before_under_his_keys_go_and_those_of_others_stay(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    library = Library(tmp_path / "l", place, readers=3, members=", on_conflict: {match: [email], action: update}")
    library.there(("r2@x.org", "Old Two", "+222", 5), ("r3@x.org", "Old Three", "+333", 5))
    library.move()

    erasing.erase(library.parts, erasing.subject(library.parts, "2"))

    said = "".join(
        frame.write_json()
        for one in library.parts.snapshots.there()
        for frame in library.parts.snapshots.load(one.ref(_set_hash(library))).frames.values()
    )
    assert "Old Two" not in said and "r2@x.org" not in said and "Old Three" in said
    assert [row[1] for row in library.members()] == ["r3@x.org", "r1@x.org"]
    assert rehearsing.check(library.parts, share=1.0).good
    rollbacks.roll_back(library.parts, rollbacks.scope(library.parts))
    assert [row[1:3] for row in library.members()] == [("r3@x.org", "Old Three")]
    library.close()


def _set_hash(bakery: Bakery) -> str:
    with bakery.parts.control.read() as db:
        return plans.set_hashes(db)[0]


# ---- at the same moment


def test_who_is_written_at_this_moment_is_waited_for_and_taken_out(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    library = Library(tmp_path / "l", PostgresqlPlace(postgresql.url()), readers=3)
    library.move()
    parts, who = library.parts, erasing.subject(library.parts, "2")
    other = connect(library.place.url, None, "target")
    looked = threading.Event()

    def slow_worker() -> None:
        with other.writing() as writer:
            mine = pl.DataFrame({"user_key": ["2"], "generation": [2]})
            writer.take(Claim(1, 9, "move", "h"), mine)
            looked.set()
            time.sleep(0.5)

    worker = threading.Thread(target=slow_worker)
    worker.start()
    looked.wait(10)
    done = erasing.erase(parts, who)
    worker.join()

    # the ledger names a snapshot that nobody knows: his rows are left to a person, and that is said
    assert "is not known here" in done["remains"][0]
    with pytest.raises(Erased), other.writing() as writer:
        writer.take(Claim(1, 10, "move", "h"), pl.DataFrame({"user_key": ["2"], "generation": [9]}))
        tombstones.refuse(parts, writer, ["2"])
    with parts.target.reading() as reader:
        assert reader.ledger(["2"]).height == 0
    other.close(), library.close()


def test_everything_is_erased_from_postgresql(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    library = Library(tmp_path / "l", PostgresqlPlace(postgresql.url()), readers=3)
    library.move()

    done = erasing.erase(library.parts, erasing.subject(library.parts, "2"))

    assert done["target"]["rows"] == {"loans": 2, "members": 1}
    assert len(library.members()) == 2
    assert library.differences() == []
    library.close()


# ---- two people


def test_with_operators_it_takes_two_of_whom_neither_names_him(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        for name, has in {"ann": (Role.PRIVACY,), "bob": (Role.APPROVER,)}.items():
            people.put(db, name, has, "tester", bakery.parts.now())
    ann, bob = (replace(bakery.parts, actor=name) for name in ("ann", "bob"))
    with pytest.raises(NeedsApproval, match="bob allows it"):
        erase(bakery, parts=ann)
    assert bakery.users()[HIS] == "live"
    [asked] = approvals.listed(bob)
    assert HIS not in str(asked)

    approvals.give(bob, asked["id"])
    done = erase(bakery, parts=ann)

    assert (done["asked_by"], done["remains"]) == ("ann", [])
    assert told_of_him(bakery) == []


def test_in_a_control_database_of_postgresql_nothing_names_him_either(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    bakery = Bakery(tmp_path / "bakery", customers=6)
    control = Control(postgresql.url())
    control.sign = bakery.parts.key.sign
    control.upgrade(control.sign)
    bakery.parts = replace(bakery.parts, control=control)
    bakery.move(batch_users=8)

    done = erase(bakery, "5")

    assert done["remains"] == []
    with control.read() as db:
        counts = measures.user_counts(db, plans.require(db).id)
        assert db.scalar(sa.select(sa.func.count()).where(tables.users.c.user_key == "5")) == 0
    assert (counts["live"], counts["erased"]) == (5, 1)
    bakery.close()


def test_what_two_people_were_to_decide_about_him_names_him_no_more(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        for name, has in {"ann": (Role.OPS,), "bob": (Role.APPROVER,)}.items():
            people.put(db, name, has, "tester", bakery.parts.now())
    ann, bob = (replace(bakery.parts, actor=name) for name in ("ann", "bob"))
    for keys in (HIS, f"2, {HIS}", "2"):
        with pytest.raises(NeedsApproval), approvals.asking(ann), bakery.parts.control.write() as db:
            approvals.use(db, ann, Act.FORCE_ROLLBACK, "user", keys)
    about_him = next(one["id"] for one in approvals.listed(bob) if one["ref"] == HIS)
    approvals.give(bob, about_him, reason=f"{HIS} asked for it")
    with bakery.parts.control.write() as db:
        db.execute(sa.delete(tables.operators))

    erase(bakery)

    assert told_of_him(bakery) == []
    with bakery.parts.control.read() as db:
        refs = sorted(db.scalars(sa.select(tables.approvals.c.ref)))
        asked = sa.select(tables.journal.c.detail).where(tables.journal.c.noun == "approval")
        said = [one["of"] for one in db.scalars(asked) if one]
    assert (refs[0], said) == ("2", ["2"])  # another user's is his own affair
    assert all(ref.startswith(erasures.ALIAS) for ref in refs[1:]) and len(refs) == 3
