"""A plan leaves nobody out, stands still once it is approved, and gives way to the next one without a trace."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from migrator.errors import MappingInvalid, NotAllowed, NotFound, Refused
from migrator.flows.checking import verify
from migrator.flows.helping import review
from migrator.flows.moving import batches
from migrator.flows.plans import planning, tiering
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Batch, Wave
from migrator.store import batches as batch_store
from migrator.store import cases, plans
from migrator.store import waves as wave_store
from tests.flows.bakery import OPTIONS, TIERS, Bakery
from tests.flows.memory import a_control
from tests.flows.plug import Plug, Power, plugged


def current(bakery: Bakery) -> plans.Plan:
    with bakery.parts.control.read() as db:
        return plans.require(db)


def create(bakery: Bakery, *, dry_run: bool = False) -> planning.Draft:
    return planning.create(bakery.parts, OPTIONS, TIERS, dry_run=dry_run)


def rolled_back(bakery: Bakery) -> None:
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))


def change_legacy(bakery: Bakery, sql: str) -> None:
    with bakery.legacy() as db:
        db.execute(sql)


def test_every_user_is_planned_held_or_excluded(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)
    change_legacy(bakery, "update customer set closed = 1 where id = 3")
    change_legacy(bakery, "update customer set email = ' C4@bakery.EXAMPLE' where id = 5")

    draft = create(bakery)

    assert (draft.users, draft.excluded, draft.held) == (12, 1, 2)
    found = bakery.users()
    assert [key for key, status in found.items() if status == "held"] == ["4", "5"]
    assert found["3"] == "excluded"
    assert sorted(found.values()).count("planned") == 9
    with bakery.parts.control.read() as db:
        case = cases.select(db, current(bakery).id)[0]
    assert (case.users, case.rule, case.field) == (("4", "5"), "unique", "email")
    assert draft.unowned["orders"]["rows"] == 1


def test_a_dry_run_says_the_same_and_stores_nothing(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=12)

    shown = create(bakery, dry_run=True)

    with bakery.parts.control.read() as db:
        assert plans.current(db) is None
    stored = create(bakery)
    assert (shown.users, shown.waves, shown.tiers) == (stored.users, stored.waves, stored.tiers)


def test_a_plan_is_signed_once_and_for_the_mappings_it_was_made_from(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    with pytest.raises(NotFound, match="there is no plan yet; run `migrator plan create`"):
        planning.approve(bakery.parts)
    create(bakery)
    accounts = bakery.folder / "mappings" / "accounts.yaml"
    text = accounts.read_text(encoding="utf-8")
    accounts.write_text(text + "# a word\n", encoding="utf-8")
    fresh = Bakery(bakery.folder)
    with pytest.raises(Refused, match="the mappings changed since plan 1 was created"):
        planning.approve(fresh.parts)

    planning.approve(bakery.parts)

    with pytest.raises(NotAllowed, match="cannot approve plan 1: it is approved"):
        planning.approve(bakery.parts)


def test_mappings_that_change_after_the_signature_change_nothing(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    accounts = bakery.folder / "mappings" / "accounts.yaml"
    accounts.write_text("mapping: nonsense", encoding="utf-8")

    bakery.start_all()

    assert set(bakery.users().values()) == {"live"}


def test_mappings_with_errors_make_no_plan(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    orders = bakery.folder / "mappings" / "orders.yaml"
    orders.write_text(orders.read_text(encoding="utf-8").replace(", without_user: {leave: sold over the counter}", ""))

    with pytest.raises(MappingInvalid, match="1 rows of purchase belong to no user"):
        create(bakery)


@pytest.mark.parametrize(
    ("sql", "why"),
    [("delete from customer", "legacy has no users"), ("update customer set closed = 1", "no")],
)
def test_without_users_there_is_no_plan(tmp_path: Path, sql: str, why: str) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    change_legacy(bakery, sql)

    if why == "no":
        assert create(bakery).excluded == 4
    else:
        with pytest.raises(Refused, match=why):
            create(bakery)


def test_a_draft_is_replaced_by_the_next(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    create(bakery)
    create(bakery)

    with bakery.parts.control.read() as db:
        assert plans.get(db, 1).status == "superseded"
        assert [wave.status for wave in wave_store.of_plan(db, 1)] == [Wave.CANCELLED]
    assert current(bakery).id == 2


def test_whoever_replaces_an_approved_plan_is_told_so(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    bakery.plan()

    said = planning.create(bakery.parts, OPTIONS, TIERS, dry_run=True).remarks

    assert said[0].startswith("plan 1 was approved and has nobody in the target: this one takes its place")


def test_no_plan_replaces_one_that_is_at_work_or_has_moved_users(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with pytest.raises(Refused, match="wave whole of plan 1 is running; pause it"):
        create(bakery)
    bakery.run()
    with pytest.raises(Refused, match="plan 1 has moved 12 users"):
        create(bakery)


def test_a_wave_that_waits_does_not_stand_in_the_way_of_the_next_plan(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    waves.hold(bakery.parts, "whole", "wrong mapping")

    create(bakery)
    planning.approve(bakery.parts)

    with bakery.parts.control.read() as db:
        old = wave_store.of_plan(db, 1)[0]
        assert old.status is Wave.CANCELLED
        assert {batch.status for batch in batch_store.of_wave(db, old.id)} == {Batch.FAILED}
    bakery.start_all()
    assert set(bakery.users().values()) == {"live"}


def test_who_was_written_by_a_worker_that_died_counts_as_moved(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    plug = Plug()
    plug.limit = 3  # claim, snapshot, the target's commit | the record
    with pytest.raises(Power):
        batches.move(plugged(bakery.parts, plug), 1, None, "lost")
    bakery.lose_leases()
    bakery.tick()
    waves.pause(bakery.parts, "whole")
    assert set(bakery.users().values()) == {"planned"}

    with pytest.raises(Refused, match="plan 1 has moved 8 users"):
        create(bakery)

    assert sorted(bakery.users().values()) == ["live"] * 8 + ["planned"] * 4


def test_after_a_full_rollback_the_next_plan_moves_everybody_to_the_same_rows(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rows = bakery.rows()
    rolled_back(bakery)

    bakery.move()

    assert current(bakery).id == 2
    assert bakery.rows() == rows
    assert {entry[1:] for entry in bakery.ledger()} == {(3, "move")}


def test_a_control_database_that_knows_nothing_of_users_who_are_there_makes_no_plan(
    moved: Bakery, tmp_path: Path
) -> None:
    bakery = moved.copy(tmp_path / "b")
    (tmp_path / "new").mkdir()
    bakery.parts = dataclasses.replace(bakery.parts, control=a_control(tmp_path / "new"))
    tiering.assign(bakery.parts, TIERS)

    with pytest.raises(Refused, match="says that 12 users were moved, and this control database knows of no plan"):
        create(bakery)


def test_what_people_decided_holds_in_the_next_plan(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    change_legacy(bakery, "update customer set email = ' C4@bakery.EXAMPLE' where id = 5")
    change_legacy(bakery, "update customer set status = 9 where id = 6")
    bakery.move()
    by_rule = {case.rule: str(case.id) for case in _cases(bakery)}
    review.resolve(bakery.parts, by_rule["unique"], "use", "five@bakery.example", only=["5"])
    review.resolve(bakery.parts, by_rule["map"], "use", "active")
    rolled_back(bakery)
    review.exclude(bakery.parts, "1", "an open dispute")

    bakery.move()

    found = bakery.users()
    assert found.pop("1") == "excluded"
    assert set(found.values()) == {"live"}
    assert "five@bakery.example" in {row[1] for row in bakery.rows()["accounts"]}


def _cases(bakery: Bakery) -> list[cases.Case]:
    with bakery.parts.control.read() as db:
        return cases.select(db, plans.require(db).id)


def test_a_lease_that_still_lives_keeps_the_next_plan_away(started: Bakery, tmp_path: Path) -> None:
    bakery = started.copy(tmp_path / "b")
    with bakery.parts.control.write() as db:
        wave = wave_store.get(db, 1)
        assert batches._take(bakery.parts, db, wave, 1, None, "alive") is not None
        wave_store.move(db, wave, Wave.HELD, verdict="hold", findings=[])
    assert timedelta(0) < bakery.parts.limits.lease

    with pytest.raises(Refused, match="plan 1 has moved 8 users"):
        create(bakery)


def test_a_revised_plan_moves_who_is_left_by_the_new_mappings_and_leaves_who_was_moved(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=6)
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id = 3")
    bakery.move()
    assert bakery.users()["3"] == "held"
    with pytest.raises(Refused, match="nothing to revise"):
        planning.revise(bakery.parts)
    mapping = tmp_path / "mappings" / "accounts.yaml"
    mapping.write_text(
        mapping.read_text(encoding="utf-8").replace("2: closed", "2: closed, 9: closed"), encoding="utf-8"
    )
    later = dataclasses.replace(bakery.parts)  # another process: nothing is remembered

    review.resolve(later, "accounts.status", "fixed-in-mapping", None)
    planning.revise(later)
    with pytest.raises(Refused, match="is a draft"):
        review.replay(later)
    planning.approve(later)
    review.replay(later)
    bakery.run(later)

    assert set(bakery.users().values()) == {"live"}
    found = verify.verify(later, verify.scope(later))
    assert (found.checked_users, found.difference_count) == (6, 0)
    with bakery.target() as db:
        assert db.execute("select count(distinct set_hash) from migrator_ledger").fetchone() == (2,)
    with pytest.raises(Refused, match="has moved 6 users"):
        planning.create(later, OPTIONS, TIERS)


def test_mappings_that_would_write_over_rows_of_users_moved_before_are_no_revision(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=3)
    bakery.move()
    mapping = tmp_path / "mappings" / "accounts.yaml"
    text = mapping.read_text(encoding="utf-8")
    mapping.write_text(
        text.replace("id: {uuid5: id}}", "id: {uuid5: id}, on_conflict: {match: [email], action: update}}"),
        encoding="utf-8",
    )
    later = dataclasses.replace(bakery.parts)

    with pytest.raises(Refused, match="whose they are is not known"):
        planning.revise(later)
    rolled_back(bakery)
    planning.revise(dataclasses.replace(bakery.parts))
