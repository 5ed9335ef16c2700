"""A real row becomes an example: it holds, it is nobody's, and the file stays what it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.errors import NotFound, Refused
from migrator.flows.drafting.golden import Golden, add
from migrator.mapping import document, examples
from tests.flows.bakery import Bakery


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    made = Bakery(tmp_path / "bakery", customers=12)
    yield made
    made.close()


def added(bakery: Bakery, mapping: str, user: str, **how: object) -> Golden:
    return add(bakery.parts, mapping, user, bakery.folder / "mappings", **how)  # type: ignore[arg-type]


def results(bakery: Bakery) -> dict[str, bool]:
    set_ = document.load(bakery.folder / "mappings")
    found = examples.run(set_, bakery.parts.legacy_schema, bakery.parts.target_schema)
    return {one.name: one.passed for one in found}


def test_an_example_of_a_real_row_holds_and_says_nothing_of_the_user(bakery: Bakery) -> None:
    path = bakery.folder / "mappings" / "accounts.yaml"
    before = path.read_text()
    golden = added(bakery, "accounts", "3", name="a customer")

    assert results(bakery) == {"a customer": True}
    assert path.read_text().startswith(before.rstrip("\n"))
    assert "C3@Bakery" not in path.read_text() and "Customer 3" not in path.read_text()
    assert golden.given["email"].startswith(" ") and golden.given["email"].endswith(("@example.com", "@example.org"))
    assert golden.expect is not None
    assert golden.expect["email"] == golden.given["email"].strip().lower()
    assert golden.expect["status"] == "active"


def test_as_it_is_it_says_what_legacy_says(bakery: Bakery) -> None:
    golden = added(bakery, "accounts", "3", redact=False)

    assert (golden.given["name"], golden.redacted) == ("Customer 3", False)


def test_a_row_that_waits_for_a_person_is_an_example_of_that(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set status = 9, email = 'no address' where id = 3")
    golden = added(bakery, "accounts", "3")

    assert golden.expect is None
    assert golden.expect_review == [
        {"field": "email", "rule": "email"},
        {"field": "status", "rule": "map", "value": "9"},
    ]
    assert "no address" not in str(golden.given)
    assert results(bakery) == {"a real row whose email waits for a person": True}


def test_ids_that_are_looked_up_are_not_expected(bakery: Bakery) -> None:
    golden = added(bakery, "orders", "3", key="31")

    assert golden.expect == {"total": "3.15", "placed_at": "2026-01-04T10:00:00Z"}


def test_several_rows_ask_for_a_key(bakery: Bakery) -> None:
    with pytest.raises(Refused, match="has 3 rows in orders; name one with --key"):
        added(bakery, "orders", "3")


def test_the_same_row_is_added_once(bakery: Bakery) -> None:
    added(bakery, "orders", "3", key="31")
    renewed(bakery)
    with pytest.raises(Refused, match='an example of orders already: "a real row"'):
        added(bakery, "orders", "3", key="31")


def test_names_are_given_once(bakery: Bakery) -> None:
    added(bakery, "orders", "3", key="31")
    renewed(bakery)

    assert added(bakery, "orders", "4", key="41").name == "a real row (2)"
    with pytest.raises(Refused, match="say another --name"):
        added(bakery, "orders", "5", key="51", name="a real row")


def test_a_dry_run_changes_no_file(bakery: Bakery) -> None:
    before = (bakery.folder / "mappings" / "orders.yaml").read_text()
    added(bakery, "orders", "3", key="31", dry_run=True)

    assert (bakery.folder / "mappings" / "orders.yaml").read_text() == before


def test_a_file_that_changed_meanwhile_is_left_alone(bakery: Bakery) -> None:
    assert bakery.parts.folder_set.mappings
    path = bakery.folder / "mappings" / "orders.yaml"
    path.write_text(path.read_text() + "# somebody writes\n")
    with pytest.raises(Refused, match="changed meanwhile"):
        added(bakery, "orders", "3", key="31")


def test_who_or_what_is_not_there_is_not_found(bakery: Bakery) -> None:
    with pytest.raises(NotFound, match="no user 99"):
        added(bakery, "orders", "99")
    with pytest.raises(NotFound, match="has no row 99"):
        added(bakery, "orders", "3", key="99")
    with pytest.raises(NotFound, match="did you mean"):
        added(bakery, "order", "3")


def renewed(bakery: Bakery) -> None:
    """Another command: the folder is read again."""
    del bakery.parts.__dict__["folder_set"]


def test_a_row_that_made_up_values_would_send_another_way_is_left_to_a_person(bakery: Bakery) -> None:
    path = bakery.folder / "mappings" / "accounts.yaml"
    text = path.read_text()
    path.write_text(text.replace("transform: [trim]}", "transform: [{matches: 'Customer .*'}]}"))
    before = path.read_text()
    with pytest.raises(Refused, match=r"go another way in: name; .* say --as-is"):
        added(bakery, "accounts", "3")

    assert path.read_text() == before
    assert added(bakery, "accounts", "3", redact=False).expect == {
        "email": "c3@bakery.example", "name": "Customer 3", "status": "active",
    }  # fmt: skip
