"""A batch may be cut off anywhere, told twice, overtaken: it ends as if nothing had been."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from migrator.flows.moving import batches, writing
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import batches as batch_store
from migrator.store import users
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged


def _moved(started: Bakery, folder: Path, cut_after: int | None = None) -> tuple[int, object]:
    """Move the bakery; when *cut_after* effects are done the power goes, and somebody else begins again."""
    bakery = started.copy(folder)
    plug = Plug()
    plug.limit = cut_after
    try:
        bakery.run(plugged(bakery.parts, plug))
    except Power:
        bakery.lose_leases()
        bakery.run()
    bakery.close()
    return plug.used, (bakery.rows(), bakery.ledger(), bakery.users(), bakery.wave().status)


def test_a_run_that_was_cut_off_anywhere_ends_as_if_it_never_was(started: Bakery, tmp_path: Path) -> None:
    effects, whole = _moved(started, tmp_path / "whole")
    assert effects > 8
    for cut_after in range(effects):
        assert _moved(started, tmp_path / str(cut_after), cut_after)[1] == whole, (
            f"differs when cut after {cut_after} effects"
        )


def test_everybody_arrives_with_every_value(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path)

    bakery.move()

    assert set(bakery.users().values()) == {"live"}
    assert bakery.wave().status is Wave.PASSED
    rows = bakery.rows()
    assert len(rows["accounts"]) == 30 and len(rows["orders"]) == 90
    assert {row[1] for row in rows["accounts"]} == {f"c{n}@bakery.example" for n in range(1, 31)}
    assert [entry[1:] for entry in bakery.ledger()] == [(1, "move")] * 30


def test_a_message_that_comes_twice_moves_nobody_twice(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = bakery.rows(), bakery.ledger()

    with bakery.parts.control.read() as db:
        found = batch_store.of_wave(db, bakery.wave().id)
    for batch in found:
        batches.move(bakery.parts, batch.id, batch.dispatch_no, "late")

    assert (bakery.rows(), bakery.ledger()) == before


def test_a_message_with_an_old_number_is_not_heeded(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.read() as db:
        batch = batch_store.of_wave(db, bakery.wave().id)[0]

    assert batches.claim(bakery.parts, batch.id, 7, "somebody") is None
    assert batches.claim(bakery.parts, batch.id, 0, "somebody") is not None
    assert batches.claim(bakery.parts, batch.id, 0, "somebody else") is None


def test_a_worker_who_wakes_after_its_lease_writes_nothing(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.read() as db:
        batch = batch_store.of_wave(db, bakery.wave().id)[0]
    zombie = batches.claim(bakery.parts, batch.id, 0, "zombie")
    assert zombie is not None
    bakery.lose_leases()
    bakery.run()
    after = bakery.rows(), bakery.ledger()

    batches._move(bakery.parts, zombie)

    assert (bakery.rows(), bakery.ledger()) == after
    assert set(bakery.users().values()) == {"live"}


def test_a_user_the_target_refuses_is_found_and_the_others_move(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=16)
    with bakery.target() as db:
        db.execute(
            "create trigger no_seven before insert on accounts when new.email = 'c7@bakery.example' "
            "begin select raise(abort, 'not this one'); end"
        )

    bakery.move()

    users = bakery.users()
    assert users.pop("7") == "failed"
    assert set(users.values()) == {"live"}
    assert bakery.wave().status is Wave.HELD


def test_a_trigger_that_changes_what_we_wrote_is_found_by_reading_back(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=16)
    with bakery.target() as db:
        db.execute(
            "create trigger rename after insert on accounts when new.email = 'c7@bakery.example' "
            "begin update accounts set name = 'somebody' where id = new.id; end"
        )

    bakery.move()

    users = bakery.users()
    assert users.pop("7") == "failed"
    assert set(users.values()) == {"live"}


def test_a_worker_lost_between_commit_and_record_is_made_up_for_before_a_rollback(
    planned: Bakery, started: Bakery, tmp_path: Path
) -> None:
    bakery = started.copy(tmp_path / "b")
    plug = Plug()
    plug.limit = 3  # claim, snapshot, the target's commit | the record
    with pytest.raises(Power):
        batches.move(plugged(bakery.parts, plug), 1, None, "lost")
    assert len(bakery.ledger()) == 8
    assert "live" not in bakery.users().values()
    bakery.lose_leases()
    waves.hold(bakery.parts, "whole", "three in the morning")

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"))

    assert done.restored == 8
    assert bakery.rows() == planned.rows()


def test_a_change_in_legacy_between_read_and_commit_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = Bakery(tmp_path, customers=6)
    bakery.plan()
    waves.start(bakery.parts, "whole")
    bakery.parts = replace(bakery.parts, limits=replace(bakery.parts.limits, retry_after=timedelta(0)))
    written, changes = writing.write, iter(["update customer set name = 'Late' where id = 3"])

    def write_late(*given: object, **more: object) -> object:
        with bakery.legacy() as db:
            for change in changes:  # once: the customer writes while we do
                db.execute(change)
        return written(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "write", write_late)
    bakery.run()

    assert set(bakery.users().values()) == {"live"}
    assert "Late" in {row[2] for row in bakery.rows()["accounts"]}


def test_each_user_of_a_batch_keeps_his_own_generation_where_some_were_there_before(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=6)
    bakery.move()
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"))
    with bakery.target() as db:
        db.execute("delete from migrator_ledger where user_key = '3'")  # to the target he is new
    waves.retry(bakery.parts, "whole")
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.PASSED)

    ledger = {key: generation for key, generation, _ in bakery.ledger()}
    assert ledger == dict.fromkeys("12456", 3) | {"3": 1}
    with bakery.parts.control.read() as db:
        assert {one.user_key: one.generation for one in users.of_wave(db, bakery.wave().id)} == ledger
