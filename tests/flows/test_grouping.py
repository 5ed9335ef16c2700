"""Users who are one are found before anybody moves, travel together, come to one account, and go back to what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import Refused
from migrator.flows.checking import verify
from migrator.flows.helping import review, support
from migrator.flows.moving import batches
from migrator.flows.plans import planning
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Batch
from migrator.store import batches as batch_store
from migrator.store import cases, effects, measures, plans
from migrator.store import waves as wave_store
from tests.edges.databases.places import PostgresqlPlace
from tests.flows.bakery import OPTIONS, TIERS
from tests.flows.doubles import ACCOUNTS, PEOPLE, Doubles
from tests.flows.plug import Plug, Power, plugged
from tests.postgresql_server import PostgresqlServer


def person(user: int, email: str, *, login: str = "ann", seen: int = 0, points: int = 0) -> tuple[Any, ...]:
    return (user, login, email, None, "2021-03-01 08:00:00", seen, f"Nick {user}", None, points, 0)


def the_cases(shop: Doubles) -> dict[str, cases.Case]:
    with shop.parts.control.read() as db:
        return {f"{one.rule} {one.source_key}": one for one in cases.select(db, plans.require(db).id)}


def books_even(shop: Doubles) -> bool:
    with shop.parts.control.read() as db:
        found = [wave.id for wave in wave_store.of_plan(db, plans.require(db).id)]
        return all(book.balanced for book in effects.books_of(db, found).values())


def difference_count(shop: Doubles) -> int:
    found = verify.verify(shop.parts, verify.scope(shop.parts))
    return found.difference_count + found.drift_count


@pytest.fixture(scope="session")
def planned_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    """The shop with an approved plan of one wave; to be copied."""
    shop = Doubles(tmp_path_factory.mktemp("doubles") / "planned")
    shop.plan()
    yield shop
    shop.parts.control.close(), shop.parts.legacy.close(), shop.parts.target.close()


@pytest.fixture(scope="session")
def moved_shop(planned_shop: Doubles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    """The same with its wave moved; to be copied."""
    shop = planned_shop.copy(tmp_path_factory.mktemp("doubles") / "moved")
    shop.start_all()
    yield shop
    shop.parts.control.close(), shop.parts.legacy.close(), shop.parts.target.close()


def test_the_plan_says_who_is_one_user_and_asks_about_look_alikes(planned_shop: Doubles) -> None:
    assert planned_shop.groups() == {"1": "1", "3": "1"}
    assert {key: status for key, status in planned_shop.users().items() if status != "planned"} == {
        "5": "excluded",
        "8": "held",
        "9": "held",
    }
    assert planned_shop.reason("8") == "may be the same person as 9; a person decides"
    case = the_cases(planned_shop)["merge_duplicates 8"]
    assert (case.mapping, case.field, set(case.users)) == ("accounts", "email", {"8", "9"})
    assert planned_shop.parts.key.open(case.value or b"") == "eve@z.co"
    assert case.note == "2 users agree in email and differ in username: one person, or several?"
    with planned_shop.parts.control.read() as db:
        assert plans.require(db).counts["merging"] == {"users": 2, "accounts": 1, "doubtful": 2}


def test_two_registrations_become_one_account_with_all_that_hung_on_both(moved_shop: Doubles) -> None:
    rows = moved_shop.rows()

    ann = next(row for row in rows["accounts"] if row[2] == "ann@x.co")
    assert ann[1:] == (
        "ann", "ann@x.co", "+8613800138000", "active", "silver", "2020-01-01T00:00:00Z", "2023-11-14T22:13:20Z",
    )  # fmt: skip
    mine = {
        table: [row for row in rows[table] if ann[0] in row] for table in ("profiles", "preferences", "orders", "carts")
    }
    assert [row[1:] for row in mine["profiles"]] == [("Ann", "1990-05-06", 15)]
    assert [row[1] for row in mine["preferences"]] == ['{"theme":"dark","locale":"zh-CN","legacy":{}}']
    assert [row[1] for row in mine["orders"]] == ["N1", "N3"]
    assert [row[2:] for row in mine["carts"]] == [
        ('[{"goods":71,"quantity":1},{"goods":73,"quantity":1}]', "2020-09-13T12:26:43Z")
    ]
    assert {key: status for key, status in moved_shop.users().items() if status != "live"} == {
        "2": "held", "4": "held", "5": "excluded", "8": "held", "9": "held",
    }  # fmt: skip
    assert moved_shop.ledger() == [("1", 1, "move"), ("3", 1, "move"), ("6", 1, "move")]
    assert books_even(moved_shop) and difference_count(moved_shop) == 0
    assert verify.verify(moved_shop.parts, verify.scope(moved_shop.parts)).sums == {"profiles.loyalty_points": 3}


def test_everybody_of_an_account_goes_back_together_and_comes_again_to_the_same_rows(
    planned_shop: Doubles, moved_shop: Doubles, tmp_path: Path
) -> None:
    shop = moved_shop.copy(tmp_path / "b")

    shown = rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts, user="3"), dry_run=True)
    assert (shown.restored, shown.along, shown.removed_rows["accounts"]) == (2, ["1"], 1)
    assert shop.rows() == moved_shop.rows()
    done = rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts, user="3"))

    assert (done.restored, done.refused) == (2, {})
    assert "ann@x.co" not in {row[2] for row in shop.rows()["accounts"]}
    assert (shop.users()["1"], shop.users()["3"]) == ("rolled_back", "rolled_back")
    rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts))
    assert shop.rows() == planned_shop.rows()
    waves.retry(shop.parts, "whole")
    shop.start_all()
    assert shop.rows() == moved_shop.rows()
    assert difference_count(shop) == 0


def test_what_the_new_system_wrote_on_the_account_keeps_all_of_them_there(moved_shop: Doubles, tmp_path: Path) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    with shop.target() as db:
        db.execute("update orders set total = 99 where number = 'N3'")

    done = rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts))

    assert done.restored == 1
    assert done.refused["3"] == "rows were changed in the target since the move"
    assert done.refused["1"] == "merged with user 3, who cannot go back; they go together or not at all"
    assert (shop.users()["1"], shop.users()["3"]) == ("live", "live")


def test_a_difference_in_a_merged_row_is_found_whoever_is_asked_for(moved_shop: Doubles, tmp_path: Path) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    with shop.target() as db:
        db.execute("update profiles set loyalty_points = 16 where loyalty_points = 15")

    for user in ("1", "3"):
        found = verify.verify(shop.parts, verify.scope(shop.parts, user=user))
        assert (found.checked_users, [one["meant"] for one in found.differences]) == (2, ["15"])


def test_support_is_told_whose_account_a_user_became_part_of(moved_shop: Doubles) -> None:
    found = support.find(moved_shop.parts, "ann@x.co")
    shown = support.show(moved_shop.parts, "3")

    assert [(one["user"], one["group"]["survivor"]) for one in found if one["group"]] == [("1", "1"), ("3", "1")]
    said = "is part of the account of user 1 (users 1, 3 have one account)"
    assert shown["group"] == {"survivor": "1", "users": ["1", "3"], "said": said}
    assert said in [line["what"] for line in shown["timeline"]]
    assert support.show(moved_shop.parts, "6")["group"] is None


def test_the_sum_over_all_statuses_is_everybody(moved_shop: Doubles) -> None:
    with moved_shop.parts.control.read() as db:
        assert sum(measures.user_counts(db, plans.require(db).id).values()) == len(PEOPLE)


def test_in_postgresql_it_is_the_same(moved_shop: Doubles, tmp_path: Path, postgresql: PostgresqlServer) -> None:
    shop = Doubles(tmp_path / "b", place=PostgresqlPlace(postgresql.url()))
    empty = shop.rows()

    shop.move()

    assert shop.users() == moved_shop.users()
    found, same = shop.rows(), moved_shop.rows()
    for table, key in (("accounts", 3), ("profiles", 2), ("orders", 3)):
        assert [row[:key] for row in found[table]] == [row[:key] for row in same[table]]
    assert sorted(len(row[2]) for row in found["carts"]) == [1, 2]
    assert difference_count(shop) == 0
    assert rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts, user="1")).restored == 2
    rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts))
    assert shop.rows() == empty
    shop.parts.target.close()


# ---- one outcome -------------------------------------------------------------------------------------------------


def test_if_one_is_held_all_who_merge_with_him_wait_and_go_on_together(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "b")
    with shop.legacy() as db:
        db.execute("update t_cart set num = 500 where user_id = 3")

    shop.move()

    assert (shop.users()["1"], shop.users()["3"]) == ("held", "held")
    assert shop.reason("1") == "merges with user 3, who is held: they move together or not at all"
    assert shop.reason("3") == "a review case holds the user"
    assert books_even(shop)
    with shop.legacy() as db:
        db.execute("update t_cart set num = 5 where user_id = 3")
    review.resolve(shop.parts, "carts.items.quantity", "fixed-in-source", None)
    assert review.replay(shop.parts)["users"] == 2
    shop.run()
    assert (shop.users()["1"], shop.users()["3"]) == ("live", "live")
    assert books_even(shop) and difference_count(shop) == 0


def test_what_the_database_refuses_is_found_without_parting_anybody(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "b", [person(n, f"{n // 2}@x.co", seen=n) for n in range(2, 14)])
    with shop.target() as db:
        db.execute(
            "create trigger no_seven before insert on orders when new.number = 'N7' "
            "begin select raise(abort, 'not this one'); end"
        )

    shop.move()

    found = shop.users()
    assert {key for key, status in found.items() if status == "failed"} == {"6", "7"}
    assert {status for key, status in found.items() if key not in ("6", "7")} == {"live"}
    case = next(one for one in the_cases(shop).values() if one.rule != "merge_duplicates")
    assert set(case.users) == {"6", "7"}


def test_who_fails_to_read_back_takes_those_he_merges_with_along(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "b", [person(n, f"{n // 2}@x.co", seen=n) for n in range(2, 10)])
    with shop.target() as db:
        db.execute(
            "create trigger dearer after insert on orders when new.number = 'N6' "
            "begin update orders set total = 99 where id = new.id; end"
        )

    shop.move()

    assert {key for key, status in shop.users().items() if status == "failed"} == {"6", "7"}
    assert shop.reason("7") == "merges with user 6, who is failed: they move together or not at all"


def test_excluding_one_leaves_all_who_merge_with_him_in_legacy(planned_shop: Doubles, tmp_path: Path) -> None:
    shop = planned_shop.copy(tmp_path / "b")

    assert review.exclude(shop.parts, "3", "an open dispute") == ["1", "3"]

    assert (shop.users()["1"], shop.users()["3"]) == ("excluded", "excluded")
    assert shop.reason("1") == "an open dispute (with user 3, with whom this one merges)"
    shop.start_all()
    assert "ann@x.co" not in {row[2] for row in shop.rows()["accounts"]}


@pytest.mark.parametrize(("gone", "left"), [("1", "3"), ("3", "1")])
def test_who_is_gone_from_legacy_leaves_an_account_of_one(
    planned_shop: Doubles, tmp_path: Path, gone: str, left: str
) -> None:
    shop = planned_shop.copy(tmp_path / "b")
    with shop.legacy() as db:
        db.execute("delete from t_user where user_id = ?", (gone,))

    shop.start_all()

    assert (shop.users()[gone], shop.users()[left]) == ("excluded", "live")
    assert shop.groups() == {}
    assert len([row for row in shop.rows()["accounts"] if row[2] == "ann@x.co"]) == 1
    assert difference_count(shop) == 0


def test_cut_off_anywhere_a_batch_with_groups_is_moved_once(
    planned_shop: Doubles, moved_shop: Doubles, tmp_path: Path
) -> None:
    shop = planned_shop.copy(tmp_path / "start")
    waves.start(shop.parts, "whole")
    for cut in range(20):
        tried = shop.copy(tmp_path / f"cut {cut}")
        plug = Plug()
        plug.limit = cut
        try:
            batches.move(plugged(tried.parts, plug), 1, None, "lost")
            break
        except Power:
            tried.lose_leases()
            tried.run()
        assert (tried.rows(), tried.users()) == (moved_shop.rows(), moved_shop.users()), f"cut {cut}"
        assert tried.groups() == {"1": "1", "3": "1"}
    assert cut >= 4  # claim, snapshot, the target's commit, the record


# ---- look-alikes -------------------------------------------------------------------------------------------------


def test_look_alikes_whom_a_person_merges_travel_as_one(moved_shop: Doubles, tmp_path: Path) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    case = str(the_cases(shop)["merge_duplicates 8"].id)

    review.resolve(shop.parts, case, "merge", None)
    assert review.replay(shop.parts, dry_run=True)["users"] == 2
    assert shop.groups() == {"1": "1", "3": "1"}
    review.replay(shop.parts)
    shop.run()

    assert shop.groups() == {"1": "1", "3": "1", "8": "8", "9": "8"}
    assert (shop.users()["8"], shop.users()["9"]) == ("live", "live")
    assert [row[1] for row in shop.rows()["accounts"] if row[2] == "eve@z.co"] == ["eve"]
    assert books_even(shop) and difference_count(shop) == 0


def test_look_alikes_stay_apart_only_where_the_target_can_tell_them_apart(moved_shop: Doubles, tmp_path: Path) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    case = str(the_cases(shop)["merge_duplicates 8"].id)
    with pytest.raises(Refused, match="users 8, 9 share email, which must be unique in accounts"):
        review.resolve(shop.parts, case, "apart", None)
    with pytest.raises(Refused, match="asks whether 2 users are one person"):
        review.resolve(shop.parts, case, "accept-null", None)
    with pytest.raises(Refused, match="not asked in all of these cases"):
        review.resolve(shop.parts, "accounts.status", "merge", None)

    with shop.legacy() as db:
        db.execute("update t_user set email = 'eva@z.co' where user_id = 9")
    review.resolve(shop.parts, case, "fixed-in-source", None)
    review.replay(shop.parts)
    shop.run()

    assert {"eve@z.co", "eva@z.co"} <= {row[2] for row in shop.rows()["accounts"]}
    assert shop.groups() == {"1": "1", "3": "1"}


def test_a_likeness_that_is_still_there_after_it_was_corrected_is_asked_again(
    moved_shop: Doubles, tmp_path: Path
) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    review.resolve(shop.parts, str(the_cases(shop)["merge_duplicates 8"].id), "fixed-in-source", None)

    assert review.replay(shop.parts)["users"] == 0

    case = the_cases(shop)["merge_duplicates 8"]
    assert (case.status, case.attempts) == ("open", 2)
    assert shop.users()["8"] == "held"


def test_one_look_alike_is_left_out_and_the_other_moves_alone(moved_shop: Doubles, tmp_path: Path) -> None:
    shop = moved_shop.copy(tmp_path / "b")
    review.resolve(shop.parts, str(the_cases(shop)["merge_duplicates 8"].id), "exclude-user", None, only=["9"])

    review.replay(shop.parts)
    shop.run()

    assert (shop.users()["8"], shop.users()["9"]) == ("live", "excluded")


def test_apart_moves_each_alone_where_nothing_must_be_unique(tmp_path: Path) -> None:
    shop = Doubles(tmp_path / "b", accounts=ACCOUNTS.replace("  on_conflict: {match: [email], action: review}\n", ""))
    with shop.target() as db:
        db.execute("drop table accounts")
        db.execute(
            "create table accounts (id varchar(36) primary key, username varchar(40) not null, email varchar(80), "
            "phone varchar(20), status varchar(10) not null, tier varchar(10) not null, created_at varchar(40) not null, "
            "last_login_at varchar(40))"
        )
    shop.plan()
    review.resolve(shop.parts, str(the_cases(shop)["merge_duplicates 8"].id), "apart", None)
    review.replay(shop.parts)
    shop.start_all()

    assert {row[1] for row in shop.rows()["accounts"] if row[2] == "eve@z.co"} == {"eva", "eve"}
    assert shop.groups() == {"1": "1", "3": "1"}


def test_a_likeness_between_one_of_an_account_and_a_third_holds_all_of_them(tmp_path: Path) -> None:
    merge = "  match: [$email]\n"
    by_phone = ACCOUNTS.replace("mapping: accounts", "mapping: contacts").replace(merge, "  match: [mobile]\n")
    by_phone = by_phone.replace("table: accounts", "table: contacts").replace(
        "{match: [email], action", "{match: [id], action"
    )
    people = [person(1, "a@x.co", seen=5), person(2, "a@x.co", seen=4), person(3, "c@x.co", login="cid", seen=9)]
    shop = Doubles(
        tmp_path / "b",
        [(*one[:3], phone, *one[4:]) for one, phone in zip(people, (None, "13800138000", "13800138000"), strict=True)],
        contacts=by_phone,
    )
    with shop.target() as db:
        db.execute(
            "create table contacts (id varchar(36) primary key, username varchar(40), email varchar(80), phone varchar(20), "
            "status varchar(10), tier varchar(10), created_at varchar(40), last_login_at varchar(40))"
        )

    shop.plan()

    assert shop.groups() == {"1": "1", "2": "1"}
    assert set(shop.users().values()) == {"held"}
    assert "merges with one who may be the same person" in (shop.reason("1") or "")
    assert len({wave for wave, _ in shop.where().values()}) == 1
    review.resolve(shop.parts, str(the_cases(shop)["merge_duplicates 2"].id), "merge", None)
    assert review.replay(shop.parts)["users"] == 3
    assert set(shop.groups()) == {"1", "2", "3"} and len(set(shop.groups().values())) == 1
    shop.start_all()
    assert [len(shop.rows()[table]) for table in ("accounts", "profiles", "orders")] == [1, 1, 3]


def test_what_a_person_said_of_look_alikes_holds_in_the_next_plan(planned_shop: Doubles, tmp_path: Path) -> None:
    shop = planned_shop.copy(tmp_path / "b")
    review.resolve(shop.parts, str(the_cases(shop)["merge_duplicates 8"].id), "merge", None)

    shop.plan()

    assert shop.groups() == {"1": "1", "3": "1", "8": "8", "9": "8"}
    assert shop.users()["8"] == "planned"


# ---- plans -------------------------------------------------------------------------------------------------------


def test_nobody_who_merges_is_parted_by_waves_batches_or_tiers(tmp_path: Path) -> None:
    people = [person(n, f"{n % 20}@x.co", seen=n) for n in range(1, 61)]
    shop = Doubles(tmp_path / "b", people)
    with shop.legacy() as db:
        db.execute("delete from t_order where user_id > 45")
    planning.create(shop.parts, _tiered(), TIERS)
    planning.approve(shop.parts)
    with shop.parts.control.read() as db:
        found = wave_store.of_plan(db, plans.require(db).id)
    assert len(found) > 3
    for wave in found:
        waves.start(shop.parts, wave.name)
        with shop.parts.control.read() as db:
            parts_of = batch_store.of_wave(db, wave.id, (Batch.READY,))
        assert all(batch.users % 3 == 0 for batch in parts_of)
        shop.run()

    assert set(shop.users().values()) == {"live"}
    groups = shop.groups()
    assert len(groups) == 60 and len(set(groups.values())) == 20
    assert all(shop.where()[user] == shop.where()[leader] for user, leader in groups.items())
    assert len(shop.rows()["accounts"]) == 20


def _tiered() -> planning.PlanOptions:
    return replace(OPTIONS, strategy="tiered", batch_users=10, pilot_floor=6, gray=(25, 50))


def test_a_revision_that_would_merge_others_is_refused(planned_shop: Doubles, tmp_path: Path) -> None:
    shop = planned_shop.copy(tmp_path / "b")
    mapping = shop.folder / "mappings" / "accounts.yaml"
    mapping.write_text(ACCOUNTS.replace("match: [$email]\n", "match: [$username]\n"), encoding="utf-8")
    again = Doubles(shop.folder)

    with pytest.raises(Refused, match="other users would merge"):
        planning.revise(again.parts)

    mapping.write_text(ACCOUNTS.replace("  review_if_different: [$username]\n", ""), encoding="utf-8")
    again = Doubles(shop.folder)
    review.resolve(again.parts, str(the_cases(again)["merge_duplicates 8"].id), "fixed-in-mapping", None)
    planning.revise(again.parts)
    planning.approve(again.parts)
    review.replay(again.parts)
    again.start_all()
    assert again.users()["9"] == "live" and again.groups()["9"] == "8"


def test_a_worker_that_died_after_its_commit_is_made_up_for(planned_shop: Doubles, tmp_path: Path) -> None:
    shop = planned_shop.copy(tmp_path / "b")
    waves.start(shop.parts, "whole")
    plug = Plug()
    plug.limit = 3  # claim, snapshot, the target's commit | the record
    with pytest.raises(Power):
        batches.move(plugged(shop.parts, plug), 1, None, "lost")
    shop.lose_leases()
    waves.hold(shop.parts, "whole", "three in the morning")

    done = rollbacks.roll_back(shop.parts, rollbacks.scope(shop.parts, user="3"))

    assert done.restored == 2
    assert [row[2] for row in shop.rows()["accounts"]] == ["fay@x.co"]
