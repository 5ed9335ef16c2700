"""Two versions of the mappings over the same users: what differs is told, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.errors import MappingInvalid, NotFound
from migrator.flows.drafting.comparing import Diff, diff
from tests.flows.bakery import Bakery


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    made = Bakery(tmp_path / "bakery", customers=30)
    yield made
    made.close()


def changed(bakery: Bakery, file: str, old: str, new: str) -> str:
    """Another version of the mappings, in a folder of its own."""
    folder = bakery.folder / "other"
    if not folder.exists():
        shutil.copytree(bakery.folder / "mappings", folder)
    path = folder / f"{file}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return str(folder)


def compared(bakery: Bakery, other: str, **how: object) -> Diff:
    return diff(bakery.parts, (str(bakery.folder / "mappings"), other), **how)  # type: ignore[arg-type]


def test_a_version_is_like_itself(bakery: Bakery) -> None:
    same = compared(bakery, str(bakery.folder / "mappings"))

    assert same.same
    assert (same.as_json()["mappings"], same.as_json()["equal"]) == ({}, ["accounts", "orders"])


def test_only_columns_that_differ_are_listed_with_their_share_and_samples(bakery: Bakery) -> None:
    other = changed(bakery, "accounts", "transform: [trim, lower, email]", "transform: [trim, lower]")
    changed(bakery, "orders", "{from: total, transform: [decimal], required: true}",
            "{choose: [{when: {id: 31}, value: 1}, {else: {from: total, transform: [decimal]}}], required: true}")  # fmt: skip
    found = compared(bakery, other, reveal=True).as_json()

    assert found["equal"] == ["accounts"]
    (column,) = found["mappings"]["orders"]["columns"]
    assert (column["column"], column["differ"], round(column["match"], 2)) == ("total", 1, 98.89)
    assert column["samples"] == [{"user": "3", "key": "31", "before": "3.15", "after": "1"}]


def test_rows_of_one_version_only_are_counted(bakery: Bakery) -> None:
    other = changed(bakery, "orders", "user: customer_id,", "user: customer_id, where: {id: {gte: 20}},")
    orders = compared(bakery, other).mappings["orders"]

    assert (orders.rows_a, orders.rows_b, orders.only_a, orders.only_b, orders.changed) == (90, 87, 3, 0, 0)
    assert [row["key"] for row in orders.samples_a] == ["10", "11", "12"]


def test_findings_that_appear_are_told_with_what_they_hold(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set status = 2 where id = 7")
    other = changed(bakery, "accounts", "{1: active, 2: closed}", "{1: active}")
    found = compared(bakery, other)

    assert (found.held_a, found.held_b) == (0, 1)
    finding = next(one for one in found.findings.values() if one["mapping"] == "accounts")
    assert (finding["only_in"], finding["rule"], finding["rows"], finding["samples"]) == (
        "b", "map", 1, [{"user": "7", "key": "7", "value": "2"}],
    )  # fmt: skip
    assert found.mappings["accounts"].only_a == 1


def test_columns_of_one_version_only_are_named(bakery: Bakery) -> None:
    other = changed(bakery, "accounts", "  name: {from: name, transform: [trim]}\n", "")

    assert compared(bakery, other).mappings["accounts"].gone == ["name"]


def test_the_plan_and_a_stored_hash_are_versions_too(bakery: Bakery) -> None:
    bakery.plan()
    hash_ = bakery.parts.folder_set.hash
    changed_ = changed(bakery, "accounts", "transform: [trim, lower, email]", "transform: [trim, upper]")

    assert diff(bakery.parts, ("plan", hash_[:8])).same
    assert not diff(bakery.parts, ("plan", changed_)).same


@pytest.mark.parametrize("name", ["nowhere", "abcdef01"])
def test_a_version_that_is_not_there_is_not_found(bakery: Bakery, name: str) -> None:
    with pytest.raises(NotFound):
        diff(bakery.parts, (str(bakery.folder / "mappings"), name))


def test_a_version_that_does_not_fit_is_refused(bakery: Bakery) -> None:
    with pytest.raises(MappingInvalid, match="nmae"):
        compared(bakery, changed(bakery, "accounts", "from: name", "from: nmae"))
