"""A look before anything is planned says what is there and what is wrong, and writes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from migrator.flows.drafting import assessing
from tests.flows.bakery import ORDERS, Bakery

STALE = "clean: [{name: stale, when: {bought_at: {older_than: 5d}}, action: drop, reason: paid long ago}]\nfields:"


def a_dirty_bakery(folder: Path) -> Bakery:
    """Ten customers: one closed, two with one address, one without, one whose status nobody knows; old purchases."""
    bakery = Bakery(folder, customers=10)
    (folder / "mappings" / "orders.yaml").write_text(ORDERS.replace("fields:", STALE, 1), encoding="utf-8")
    with bakery.legacy() as db:
        db.execute("update customer set closed = 1 where id = 1")
        db.execute("update customer set email = ' C2@bakery.example' where id = 3")
        db.execute("update customer set email = '' where id = 4")
        db.execute("update customer set status = 7 where id = 5")
        db.execute("update customer set name = null")
        db.execute("delete from purchase where customer_id = 6")
    return bakery


def fingerprint(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.db"))}


def test_it_says_what_is_in_legacy_and_what_the_mappings_make_of_it(tmp_path: Path) -> None:
    bakery = a_dirty_bakery(tmp_path)
    before = fingerprint(tmp_path)

    found = assessing.assess(bakery.parts)

    customer, purchase = found.tables
    assert (customer["rows"], customer["columns"], customer["read"], customer["empty"]) == (10, 5, 5, ["name"])
    assert (purchase["rows"], purchase["nulls"]) == (28, {"customer_id": 1})
    told = {
        name: found.users[name]
        for name in ("users", "excluded", "without_email", "sharing_an_email", "no_sign_of_life")
    }
    assert told == {"users": 10, "excluded": 1, "without_email": 1, "sharing_an_email": 2, "no_sign_of_life": 1}
    assert found.nobody["orders"]["rows"] == 1
    assert found.sample is not None and found.forecast is not None
    assert {(cause["field"], cause["rule"]) for cause in found.sample["causes"]} == {
        ("email", "unique"), ("email", "email"), ("status", "map"),
    }  # fmt: skip
    assert [(one["rule"], one["rows"] > 0) for one in found.sample["cleaned"]] == [("stale", True)]
    assert found.forecast["users"] == 9
    assert fingerprint(tmp_path) == before


def test_mappings_with_errors_are_no_reason_not_to_look(tmp_path: Path) -> None:
    bakery = a_dirty_bakery(tmp_path)
    (tmp_path / "mappings" / "orders.yaml").write_text(
        ORDERS.replace("{from: total", "{from: totally"), encoding="utf-8"
    )

    found = assessing.assess(bakery.parts)

    assert (found.sample, found.forecast) == (None, None)
    assert "errors in the mappings" in found.remarks[0]
    assert found.users["users"] == 10
