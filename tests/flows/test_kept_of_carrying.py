"""The sealed files of what was carried back or given up: they forget whoever is erased, open with a new key, and expire."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.flows.erasure import erasing
from migrator.flows.snapshots import keeping, rekeying
from migrator.flows.undoing import carried_files
from tests.flows.bakery import Bakery
from tests.flows.test_carrying import back, changed, writable

RENAMED = "update accounts set name = 'Changed {0}' where email = 'c{0}@bakery.example'"


def carried(moved: Bakery, folder: Path) -> Bakery:
    """Customers 7 and 8 were changed by the new system, and went back with it."""
    bakery = changed(moved.copy(folder), RENAMED.format(7), RENAMED.format(8))
    assert back(bakery).refused == {}
    return bakery


def names(bakery: Bakery, user: str) -> list[str | None]:
    """What the files say of a user's name."""
    found = carried_files.of_user(bakery.parts, user)
    return [row["name"] for one in found for row in one["rows"]["now/accounts"]]


def test_whoever_is_erased_is_in_no_file_and_not_in_our_table_in_legacy(moved: Bakery, tmp_path: Path) -> None:
    bakery = carried(moved, tmp_path / "b")
    assert (names(bakery, "7"), names(bakery, "8")) == (["Changed 7"], ["Changed 8"])

    parts = writable(bakery)
    erasing.erase(parts, erasing.subject(parts, "7"))

    assert (names(bakery, "7"), names(bakery, "8")) == ([], ["Changed 8"])
    with bakery.legacy() as db:
        assert db.execute("select user_key from migrator_carried").fetchall() == [("8",)]
    parts.writable["legacy"].close()


def test_sensitive_values_are_shown_to_who_asks_for_them(moved: Bakery, tmp_path: Path) -> None:
    bakery = carried(moved, tmp_path / "b")
    emails = lambda *, reveal: {
        row["email"]
        for one in carried_files.of_user(bakery.parts, "7", reveal=reveal)
        for row in one["rows"]["now/accounts"]
    }

    assert emails(reveal=True) == {"c7@bakery.example"}
    assert emails(reveal=False).isdisjoint({"c7@bakery.example"})


def test_with_a_new_key_they_open_as_before(moved: Bakery, tmp_path: Path) -> None:
    bakery = carried(moved, tmp_path / "b")
    new = ProjectKey.create(tmp_path / "new.key")
    with bakery.parts.control.read() as db:
        taken = rekeying.begin(db, new, bakery.parts.key)
    assert taken is not None

    rekeying.rekey(replace(bakery.parts, key=taken), lambda key: Snapshots(bakery.folder / "snapshots", key), taken)

    bakery.parts = replace(bakery.parts, key=taken, snapshots=Snapshots(bakery.folder / "snapshots", taken))
    assert names(bakery, "8") == ["Changed 8"]


def test_they_expire_with_the_snapshots(moved: Bakery, tmp_path: Path) -> None:
    bakery = carried(moved, tmp_path / "b")
    later = bakery.parts.now() + timedelta(days=400)

    done = keeping.expire(replace(bakery.parts, now=lambda: later), timedelta(days=30))

    assert done.carried == 1
    assert list(bakery.parts.snapshots.carried.there()) == []
    assert carried_files.of_user(bakery.parts, "8") == []
