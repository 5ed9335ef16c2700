"""The bakery moves from MariaDB to MariaDB: everybody arrives, differences are found, and everything goes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.flows.checking import verify
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from tests.flows.mariadb_bakery import MariadbBakery
from tests.flows.plug import Plug, Power, plugged
from tests.mariadb_server import MariadbServer


@pytest.fixture
def bakery(mariadb: MariadbServer, tmp_path: Path) -> MariadbBakery:
    """The bakery before its move, with an account that was made in the new shop."""
    bakery = MariadbBakery(tmp_path / "bakery", mariadb)
    bakery.ask(
        bakery.target_url, "insert into accounts (id, email, status) values ('old', 'old@else.example', 'active')"
    )
    return bakery


def checked(bakery: MariadbBakery) -> verify.Verified:
    return verify.verify(bakery.parts, verify.scope(bakery.parts))


def test_everybody_arrives_with_every_value_and_goes_back_exactly(bakery: MariadbBakery) -> None:
    before = bakery.rows()

    bakery.move()
    moved, found = bakery.rows(), checked(bakery)
    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    bakery.close()

    assert (len(moved["accounts"]), len(moved["orders"])) == (10, 27)
    assert {row[1] for row in moved["accounts"]} == {
        "old@else.example",
        *(f"c{n}@bäckerei.example" for n in range(1, 10)),
    }
    assert {row[2:] for row in moved["accounts"] if row[2]} == {
        (f"Customer {n}", "active", f"CUSTOMER {n}") for n in range(1, 10)
    }
    assert (found.checked_rows, found.differences, found.drift) == (36, [], [])
    assert (done.restored, done.refused) == (9, {})
    assert bakery.rows() == before
    assert [entry[1:] for entry in bakery.ledger()] == [(2, "rollback")] * 9


def test_what_was_changed_in_either_database_is_found(bakery: MariadbBakery) -> None:
    bakery.move()
    bakery.ask(bakery.target_url, "update accounts set name = 'customer 7' where email = 'c7@bäckerei.example'")
    bakery.ask(bakery.legacy_url, "update customer set name = 'CUSTOMER 3 ' where id = 3")

    found = checked(bakery)
    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    bakery.close()

    assert [(one["user"], one["field"], one["kind"]) for one in found.differences] == [("7", "name", "value")]
    assert [one["user"] for one in found.drift] == ["3"]
    assert set(done.refused) == {"7"} and done.restored == 8


def test_somebody_with_an_email_that_is_taken_in_another_case_is_refused_and_the_others_move(
    bakery: MariadbBakery,
) -> None:
    bakery.ask(bakery.target_url, "update accounts set email = 'C7@BÄCKEREI.example' where id = 'old'")

    bakery.move()
    users, wave = bakery.users(), bakery.wave().status
    kept = bakery.ask(bakery.target_url, "select email from accounts where id = 'old'")
    bakery.close()

    assert users.pop("7") == "failed"
    assert set(users.values()) == {"live"}
    assert wave is Wave.HELD
    assert kept == [("C7@BÄCKEREI.example",)]


@pytest.mark.parametrize("cut_after", [3, 6, 8])
def test_a_run_that_was_cut_off_ends_as_if_it_never_was(bakery: MariadbBakery, cut_after: int) -> None:
    bakery.plan()
    plug = Plug()
    plug.limit = cut_after
    waves.start(bakery.parts, "whole")
    with pytest.raises(Power):
        bakery.run(plugged(bakery.parts, plug))

    bakery.lose_leases()
    bakery.run()
    users, rows, ledger, found = bakery.users(), bakery.rows(), bakery.ledger(), checked(bakery)
    bakery.close()

    assert set(users.values()) == {"live"}
    assert (len(rows["accounts"]), len(rows["orders"])) == (10, 27)
    assert [entry[1:] for entry in ledger] == [(1, "move")] * 9
    assert found.differences == []
