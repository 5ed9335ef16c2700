"""One user's rows, step by step: what is told, what is covered, what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.errors import NotFound, Refused
from migrator.flows.drafting.explaining import explain
from tests.flows.bakery import Bakery


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    made = Bakery(tmp_path / "bakery", customers=12)
    yield made
    made.close()


def test_a_row_is_told_with_what_becomes_of_it(bakery: Bakery) -> None:
    found = explain(bakery.parts, "orders", "3", key="31")
    (row,) = found["rows"]

    assert (found["user"]["becomes"], row["key"], row["outcome"]) == ("moves", "31", "new")
    total = next(field for field in row["fields"] if field["field"] == "total")
    assert [(step["step"], step["out"]) for step in total["steps"]] == [
        ("from: total", "3.15"),
        ("decimal", "3.15"),
        ("fit", "3.15"),
    ]


def test_several_rows_are_told_up_to_a_few(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.executemany(
            "insert into purchase values (?, 3, 1, '2026-01-02 10:00:00')", [(number,) for number in range(900, 905)]
        )
    found = explain(bakery.parts, "orders", "3")

    assert len(found["rows"]) == 3 and len(found["more"]) == 5


def test_why_a_user_is_held_is_told_where_it_happens(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id = 3")
    found = explain(bakery.parts, "accounts", "3", field="status")
    (row,) = found["rows"]
    (status,) = row["fields"]

    assert (found["user"]["becomes"], row["outcome"]) == ("held", "review")
    assert status["steps"][1]["said"].startswith("review: it has no entry in map")
    assert explain(bakery.parts, "orders", "3")["rows"][0]["outcome"] == "blocked"


def test_what_does_not_fit_is_told_at_the_last_step(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update purchase set total = '3.149' where id = 31")
    (row,) = explain(bakery.parts, "orders", "3", key="31", field="total")["rows"]

    assert row["fields"][0]["steps"][-1]["step"] == "fit"
    assert "without losing digits" in row["fields"][0]["steps"][-1]["said"]


def test_sensitive_values_are_covered_at_every_step_unless_one_asks(bakery: Bakery) -> None:
    told = str(explain(bakery.parts, "accounts", "3"))
    asked = str(explain(bakery.parts, "accounts", "3", reveal=True))

    assert "c3@bakery" not in told.lower() and "Customer 3" not in told
    assert "c3@bakery.example" in asked and "Customer 3" in asked


def test_passwords_are_shown_to_nobody(bakery: Bakery) -> None:
    path = bakery.folder / "mappings" / "accounts.yaml"
    path.write_text(path.read_text().replace("from: name,", "from: password,"))
    with bakery.legacy() as db:
        db.execute("alter table customer rename column name to password")
        db.execute("update customer set password = 'hunter2'")
    (bakery.folder / "mappings" / "set.yaml").write_text(
        (bakery.folder / "mappings" / "set.yaml").read_text().replace(", name: name", "")
    )

    assert "hunter2" not in str(explain(bakery.parts, "accounts", "3", reveal=True))


def test_values_that_change_in_the_target_are_told(bakery: Bakery) -> None:
    bakery.move()
    with bakery.legacy() as db:
        db.execute("update customer set status = 2 where id = 3")
    found = explain(bakery.parts, "accounts", "3")

    assert found["user"]["becomes"] == "is live already"
    assert found["rows"][0]["changes"] == [{"field": "status", "before": "active", "after": "closed"}]


def test_a_user_without_rows_has_nothing_to_tell(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("delete from purchase where customer_id = 3")

    assert explain(bakery.parts, "orders", "3")["rows"] == []


def test_what_is_not_there_is_not_found(bakery: Bakery) -> None:
    with pytest.raises(NotFound, match='did you mean "orders"'):
        explain(bakery.parts, "order", "3")
    with pytest.raises(NotFound, match="no user 99"):
        explain(bakery.parts, "orders", "99")
    with pytest.raises(NotFound, match="has no row 41 in orders"):
        explain(bakery.parts, "orders", "3", key="41")
    with pytest.raises(NotFound, match='no field "totl"'):
        explain(bakery.parts, "orders", "3", field="totl")


def test_an_excluded_user_is_not_mapped(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set closed = 1 where id = 3")
    with pytest.raises(Refused, match="excluded"):
        explain(bakery.parts, "accounts", "3")
