"""What the new system has changed goes back to legacy with its users, or is given up by name; and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator import crashpoints
from migrator.edges.databases import connect
from migrator.edges.databases.carried import WRITABLE
from migrator.errors import InDoubt, NeedsApproval, Refused, Transient
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.flows.steering import waves
from migrator.flows.undoing import carried_files, rollbacks, rolled_back, unfreezing
from migrator.rollout.rights import Role
from migrator.store import carries, tables
from tests.flows.bakery import Bakery, parts_of
from tests.flows.plug import Plug, Power, plugged, transactions
from tests.flows.silos import Silos
from tests.flows.test_approvals import make_operators

ACCOUNT_7 = "(select id from accounts where email = 'c7@bakery.example')"


def writable(bakery: Bakery) -> Parts:
    """The parts of a bakery whose legacy may be written to."""
    database = connect(f"sqlite:///{bakery.folder / 'legacy.db'}", None, WRITABLE)
    database.prepare()
    return replace(bakery.parts, writable={"legacy": database})


def legacy(bakery: Bakery) -> dict[str, set[tuple[object, ...]]]:
    """All rows of legacy but for our own table."""
    with bakery.legacy() as db:
        return {table: set(db.execute(f"select * from {table}")) for table in ("customer", "purchase")}


def homes_of(bakery: Bakery) -> dict[str, str]:
    """Where each user is served."""
    with bakery.parts.control.read() as db:
        return {key: home for key, home in db.execute(sa.select(tables.users.c.user_key, tables.users.c.home))}


def home(bakery: Bakery, user: str) -> str:
    return homes_of(bakery)[user]


def back(bakery: Bakery, policy: str = "carry_back", *, dry_run: bool = False, **scope: str) -> rolled_back.RolledBack:
    parts = writable(bakery)
    try:
        return rollbacks.roll_back(parts, rollbacks.scope(parts, **scope), policy=policy, dry_run=dry_run)
    finally:
        parts.writable["legacy"].close()


def changed(bakery: Bakery, *statements: str) -> Bakery:
    """The new system writes."""
    with bakery.target() as db:
        for statement in statements:
            db.execute(statement)
    return bakery


def test_what_was_changed_is_in_legacy_and_nothing_else_is_touched(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = legacy(bakery)
    changed(
        bakery,
        "update accounts set name = 'New Name', status = 'closed' where email = 'c7@bakery.example'",
        f"update orders set total = 99.5 where id = (select min(id) from orders where account_id = {ACCOUNT_7})",
    )

    done = back(bakery)

    assert (done.restored, done.refused) == (12, {})
    assert done.carried == {
        "customer": {"updated": 1, "inserted": 0, "deleted": 0},
        "purchase": {"updated": 1, "inserted": 0, "deleted": 0},
    }
    after = legacy(bakery)
    assert after["customer"] - before["customer"] == {(7, " C7@Bakery.example", "New Name", 2, 0)}
    assert len(before["customer"] - after["customer"]) == 1
    assert {row[2] for row in after["purchase"] - before["purchase"]} == {99.5}
    assert len(before["purchase"] - after["purchase"]) == 1
    assert bakery.rows() == {"accounts": [], "orders": [], "notes": []}
    assert set(bakery.users().values()) == {"rolled_back"}


def test_who_was_carried_back_moves_again_with_the_carried_values(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    full = bakery.rows()
    back(bakery)

    waves.retry(bakery.parts, "whole")
    bakery.start_all()

    assert bakery.rows() == full


def test_a_row_that_was_made_is_made_in_legacy_and_one_that_was_removed_goes_there(
    moved: Bakery, tmp_path: Path
) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = legacy(bakery)
    when = bakery.rows()["orders"][0][3]
    changed(
        bakery,
        f"insert into orders select 'app-1', id, 5.25, '{when}' from accounts where email = 'c7@bakery.example'",
        "delete from orders where id = (select min(id) from orders where account_id = "
        "(select id from accounts where email = 'c8@bakery.example'))",
    )

    done = back(bakery)

    assert done.refused == {}
    assert done.carried == {"purchase": {"updated": 0, "inserted": 1, "deleted": 1}}
    after = legacy(bakery)
    (made,) = after["purchase"] - before["purchase"]
    (gone,) = before["purchase"] - after["purchase"]
    assert made[1:3] == (7, 5.25) and gone[1] == 8
    assert after["customer"] == before["customer"]
    assert bakery.rows()["orders"] == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (f"insert into notes (account_id, text) values ({ACCOUNT_7}, 'hello')", "notes: rows that nobody maps"),
        ("update accounts set email = 'no address' where email = 'c7@bakery.example'", "accounts.email"),
    ],
)
def test_who_has_a_change_that_cannot_go_back_stays_with_the_reason(
    moved: Bakery, tmp_path: Path, change: str, why: str
) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = legacy(bakery)
    changed(bakery, change)
    there = bakery.rows()["accounts"]

    done = back(bakery)

    assert set(done.refused) == {"7"} and why in done.refused["7"]
    assert done.restored == 11 and done.carried == {}
    assert legacy(bakery) == before
    assert bakery.rows()["accounts"] == [row for row in there if row[1].startswith("c7@") or row[1] == "no address"]
    assert bakery.users()["7"] == "live"
    assert home(bakery, "7") == "target"


def test_a_value_that_legacy_changed_too_keeps_the_user_and_another_one_does_not(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(
        bakery,
        "update accounts set name = 'New Name' where email in ('c7@bakery.example', 'c8@bakery.example')",
    )
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Written In Legacy' where id = 7")
        db.execute("update customer set status = 2 where id = 8")

    done = back(bakery)

    assert set(done.refused) == {"7"} and "legacy changed the same value" in done.refused["7"]
    assert {row for row in legacy(bakery)["customer"] if row[0] in (7, 8)} == {
        (7, " C7@Bakery.example", "Written In Legacy", 1, 0),
        (8, " C8@Bakery.example", "New Name", 2, 0),
    }


def test_force_gives_up_what_was_changed_and_keeps_it_in_a_sealed_file(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = legacy(bakery)
    changed(
        bakery,
        "update accounts set name = 'New Name' where email = 'c7@bakery.example'",
        f"insert into notes (account_id, text) values ({ACCOUNT_7}, 'hello')",
        "insert into notes (text) values ('of nobody')",
    )

    done = back(bakery, "force")

    assert (done.restored, done.refused) == (12, {})
    assert done.given_up == {"accounts.name": 1, "notes (rows nobody maps)": 1}
    assert legacy(bakery) == before
    assert bakery.rows() == {"accounts": [], "orders": [], "notes": [(2, None, "of nobody")]}
    (found,) = bakery.parts.snapshots.carried.there()
    with bakery.parts.control.read() as db:
        carry = carries.get(db, found.fence)
    assert carry is not None
    kept = bakery.parts.snapshots.carried.load(found.ref(carry.set_hash))
    assert kept.frames["whole/notes"]["text"].to_list() == ["hello"]
    assert kept.frames["now/accounts"]["name"].to_list() == ["New Name"]


def test_block_stays_the_default_and_a_dry_run_changes_nothing(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    before = legacy(bakery), bakery.rows(), bakery.users(), bakery.ledger()

    looked = back(bakery, dry_run=True)

    assert (looked.restored, looked.carried_users, looked.refused) == (12, 1, {})
    assert looked.carried == {"customer": {"updated": 1, "inserted": 0, "deleted": 0}}
    assert (legacy(bakery), bakery.rows(), bakery.users(), bakery.ledger()) == before
    blocked = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    assert set(blocked.refused) == {"7"}


def test_without_an_account_that_may_write_nothing_is_carried_and_that_is_said(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")

    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts), policy="carry_back")

    assert done.restored == 11
    assert "[legacy] write_url is not set" in done.refused["7"]


def test_a_dry_run_refuses_whom_the_real_one_would_refuse(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")

    looked = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts), policy="carry_back", dry_run=True)

    assert (looked.restored, looked.carried) == (11, {})
    assert "[legacy] write_url is not set" in looked.refused["7"]


def test_what_merge_gives_up_is_kept_of_those_of_whom_nothing_is_carried_too(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=3)
    bakery.move()
    changed(bakery, "update accounts set status = 'closed' where email = 'c2@bakery.example'")

    done = back(bakery, "merge")

    assert (done.refused, done.carried, done.given_up) == ({}, {}, {"accounts.status": 1})
    (kept,) = carried_files.of_user(bakery.parts, "2")
    assert [row["status"] for row in kept["rows"]["now/accounts"]] == ["closed"]


BASKETS = """
mapping: baskets
source: {table: basket, key: [customer_id, sku], user: customer_id}
target: {table: baskets, id: {fields: [account_id, sku]}}
fields:
  account_id: {lookup: accounts, by: customer_id, required: true}
  sku: {from: sku, required: true}
  word: {from: password}
"""


def test_a_row_that_was_made_where_the_fields_are_the_id_is_made_in_legacy(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=3)
    (bakery.folder / "mappings" / "baskets.yaml").write_text(BASKETS, encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("create table basket (customer_id integer, sku text, password text, primary key (customer_id, sku))")
        db.execute("insert into basket values (2, 'rye', 'x1')")
    with bakery.target() as db:
        db.execute(
            "create table baskets (account_id text references accounts (id), sku text, word text, primary key (account_id, sku))"
        )
    bakery.parts = parts_of(bakery.folder)
    bakery.move()
    account = "(select id from accounts where email = 'c2@bakery.example')"
    changed(bakery, f"insert into baskets values ({account}, 'oat', 'y2')")

    done = back(bakery)

    assert (done.refused, done.carried["basket"]["inserted"]) == ({}, 1)
    with bakery.legacy() as db:
        assert sorted(db.execute("select * from basket")) == [(2, "oat", "y2"), (2, "rye", "x1")]
    kept = [row for one in carried_files.of_user(bakery.parts, "2", reveal=True) for row in one["rows"]["now/baskets"]]
    assert {row["word"] for row in kept} == {"(secret)"}


def test_cut_off_anywhere_the_same_command_ends_it_and_nothing_is_carried_twice(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "changed")
    when = bakery.rows()["orders"][0][3]
    changed(
        bakery,
        "update accounts set name = 'New Name' where email = 'c7@bakery.example'",
        f"delete from orders where id = (select min(id) from orders where account_id = {ACCOUNT_7})",
        f"insert into orders select 'app-1', {ACCOUNT_7}, 5.25, '{when}'",
    )

    def ended(folder: Path, cut_after: int | None) -> tuple[int, object]:
        one = bakery.copy(folder)
        plug = Plug()
        plug.limit = cut_after
        parts = writable(one)
        real = parts.writable["legacy"]
        cut = replace(plugged(parts, plug), writable={"legacy": transactions(real, plug, "writing")})
        try:
            rollbacks.roll_back(cut, rollbacks.scope(cut, user="7"), policy="carry_back")
        except Power:
            with suppress(Refused):  # all was done, and only its end was not written
                rollbacks.roll_back(parts, rollbacks.scope(parts, user="7"), policy="carry_back")
        real.close()
        made = {row[1:] for row in legacy(one)["purchase"]}
        return plug.used, (
            legacy(one)["customer"],
            made,
            len(legacy(one)["purchase"]),
            one.rows(),
            one.ledger(),
            one.users(),
            homes_of(one),
        )

    effects, whole = ended(tmp_path / "whole", None)
    assert effects > 10
    for cut_after in range(effects):
        assert ended(tmp_path / str(cut_after), cut_after)[1] == whole, f"differs when cut after {cut_after}"


class Doubtful:
    """A database whose next commit is not answered; whether it came to be is said beforehand."""

    def __init__(self, real: Any, *, comes_to_be: bool) -> None:
        self._real, self._comes_to_be = real, comes_to_be

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        try:
            with self._real.writing() as writer:
                yield writer
                if not self._comes_to_be:
                    raise ConnectionError
        except ConnectionError:
            pass
        raise InDoubt("the connection was lost at COMMIT")


@pytest.mark.parametrize("comes_to_be", [True, False])
def test_a_commit_in_legacy_that_is_not_answered_is_looked_up_there(
    moved: Bakery, tmp_path: Path, *, comes_to_be: bool
) -> None:
    bakery = moved.copy(tmp_path / "b")
    before = legacy(bakery)
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    parts = writable(bakery)
    doubtful = replace(parts, writable={"legacy": Doubtful(parts.writable["legacy"], comes_to_be=comes_to_be)})
    scope = rollbacks.scope(parts, user="7")

    if not comes_to_be:
        with pytest.raises(Transient, match="nothing was carried back; try again"):
            rollbacks.roll_back(doubtful, scope, policy="carry_back")
        assert (legacy(bakery), home(bakery, "7")) == (before, "target")
    done = rollbacks.roll_back(doubtful if comes_to_be else parts, scope, policy="carry_back")
    parts.writable["legacy"].close()

    assert (done.restored, done.refused) == (1, {})
    assert {row for row in legacy(bakery)["customer"] if row[0] == 7} == {(7, " C7@Bakery.example", "New Name", 1, 0)}
    assert home(bakery, "7") == "legacy"


def test_merge_carries_what_the_new_system_owns_and_gives_up_the_rest(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=3)
    accounts = tmp_path / "b" / "mappings" / "accounts.yaml"
    text = accounts.read_text(encoding="utf-8")
    owned = text.replace(
        "name: {from: name, transform: [trim]}", "name: {from: name, transform: [trim], owner: target}"
    )
    accounts.write_text(owned, encoding="utf-8")
    bakery.move()
    changed(bakery, "update accounts set name = 'New Name', status = 'closed' where email = 'c2@bakery.example'")

    done = back(bakery, "merge")

    assert done.refused == {} and done.given_up == {"accounts.status": 1}
    assert {row for row in legacy(bakery)["customer"] if row[0] == 2} == {(2, " C2@Bakery.example", "New Name", 1, 0)}


def test_nobody_stays_frozen_whatever_happens_to_the_rollback(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    seen: list[str] = []

    def looked(name: str) -> None:
        if name == "carry-drained":
            seen.append(home(bakery, "7"))
        if name == "carry-legacy-locked":
            raise crashpoints.Crashed

    crashpoints.watch(looked)
    try:
        with pytest.raises(crashpoints.Crashed):
            back(bakery, user="7")
    finally:
        crashpoints.watch(None)

    assert seen == ["moving"]
    assert home(bakery, "7") == "target"
    assert back(bakery, user="7").restored == 1
    assert home(bakery, "7") == "legacy"


@pytest.mark.parametrize("torn", [False, True], ids=["", "and its snapshots do not open"])
def test_whom_a_dead_rollback_left_frozen_is_served_where_the_ledger_says(
    moved: Bakery, tmp_path: Path, *, torn: bool
) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New' where email in ('c7@bakery.example', 'c8@bakery.example')")

    for user, point in (("7", "carry-kept"), ("8", "carry-committed")):
        plug = Plug()

        def died(name: str, at: str = point, plug: Plug = plug) -> None:
            if name == at:
                plug.limit = plug.used

        parts = writable(bakery)
        cut = replace(
            plugged(parts, plug), writable={"legacy": transactions(parts.writable["legacy"], plug, "writing")}
        )
        crashpoints.watch(died)
        try:
            with pytest.raises(Power):
                rollbacks.roll_back(cut, rollbacks.scope(cut, user=user), policy="carry_back")
        finally:
            crashpoints.watch(None)
            parts.writable["legacy"].close()
    assert {home(bakery, "7"), home(bakery, "8")} == {"moving"}
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.returners).values(until=sa.func.datetime("now", "-1 second")))
    for path in (bakery.folder / "snapshots").rglob("*.snapshot") if torn else ():
        path.write_bytes(b"torn")

    assert unfreezing.reap(bakery.parts) == 2

    assert (home(bakery, "7"), home(bakery, "8")) == ("target", "legacy")
    assert (bakery.users()["7"], bakery.users()["8"]) == ("rolling_back", "rolled_back")
    assert torn or back(bakery, user="7").restored == 1


def test_to_give_up_what_users_did_takes_a_second_person(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    changed(bakery, "update accounts set name = 'New Name' where email = 'c7@bakery.example'")
    make_operators(bakery.parts, tester=(Role.OPS,), other=(Role.APPROVER,))

    with pytest.raises(NeedsApproval, match="needs a second person"):
        back(bakery, "force")

    assert set(bakery.users().values()) == {"live"}
    approvals.give(replace(bakery.parts, actor="other"), 1)
    assert back(bakery, "force").restored == 12


def test_a_rollback_that_was_allowed_and_cut_off_is_ended_without_asking_again(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    allowed_and_cut_off(bakery)
    assert set(bakery.users().values()) == {"rolling_back"}

    assert back(bakery, "force").restored == 12


def test_what_was_allowed_for_one_rollback_allows_no_other(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    allowed_and_cut_off(bakery)
    cut_off(bakery, "block")

    with pytest.raises(NeedsApproval):
        back(bakery, "force")
    with pytest.raises(NeedsApproval):
        back(bakery, "force", user="7")


def allowed_and_cut_off(bakery: Bakery) -> None:
    """A second person has allowed to give up what users did; the rollback is begun and cut off."""
    make_operators(bakery.parts, tester=(Role.OPS,), other=(Role.APPROVER,))
    with pytest.raises(NeedsApproval):
        back(bakery, "force")
    approvals.give(replace(bakery.parts, actor="other"), 1)
    cut_off(bakery, "force")


def cut_off(bakery: Bakery, policy: str) -> None:
    """A rollback is begun and cut off."""

    def reached(name: str) -> None:
        if name == "rollback-begun":
            raise Transient("cut off")

    crashpoints.watch(reached)
    try:
        with pytest.raises(Transient, match="cut off"):
            back(bakery, policy)
    finally:
        crashpoints.watch(None)


def test_every_change_goes_to_the_database_that_its_row_is_of(tmp_path: Path) -> None:
    silos = Silos(tmp_path / "silos")
    silos.move()
    with silos.target() as db:
        db.execute("update orders set total = 77.5 where total = 1.5")
        db.execute("update calls set subject = 'another subject' where subject = 'call 1'")
    named = {
        name: connect(f"sqlite:///{silos.folder / f'{name}.db'}", None, WRITABLE) for name in ("shop", "crm", "news")
    }
    for database in named.values():
        database.prepare()
    parts = replace(silos.parts, writable=named)

    done = rollbacks.roll_back(parts, rollbacks.scope(parts), policy="carry_back")

    assert done.refused == {}
    assert sorted(done.carried) == ["crm.call", "shop.purchase"]
    with silos.source("shop") as db:
        assert db.execute("select id from purchase where total = 77.5").fetchall() == [(1,)]
    with silos.source("crm") as db:
        assert db.execute("select id from call where subject = 'another subject'").fetchall() == [(1,)]
    for database in named.values():
        database.close()
