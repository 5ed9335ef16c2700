"""When the key is changed everything sealed goes along, cut off or not, and the old key then opens nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator import crashpoints
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.errors import KeyWrong, Refused
from migrator.flows.helping import support
from migrator.flows.parts import Parts
from migrator.flows.snapshots import rekeying
from migrator.store import project_keys, sealed, tables
from tests.flows.bakery import Bakery

CODE = "def loud(text):\n    return text.upper()\n"
#: Columns of bytes that are not sealed values.
OTHERS = {"project_keys.envelope"}
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def bakery(moved: Bakery, tmp_path: Path) -> Iterator[Bakery]:
    """Twelve customers who are live, with something in every sealed column, and code in a mapping set."""
    bakery = moved.copy(tmp_path / "b")
    key = bakery.parts.key
    with bakery.parts.control.write() as db:
        db.execute(sa.insert(tables.notices).values(
            plan_id=1, user_key="3", event="done", channel="email", locale="en", template="t", unique_key="1",
            status="sent", address=key.seal("c3@bakery.example"), variables=key.seal("{}"), queued_at=MOMENT,
        ))  # fmt: skip
        db.execute(sa.insert(tables.cases).values(
            plan_id=1, mapping="accounts", source_key="3", item_key="", field="email", rule="email", cause="c0ffee00",
            value=key.seal("no address"), resolution=key.seal("c3@bakery.example"), holds=True, status="resolved",
            first_seen=MOMENT, last_seen=MOMENT, sensitive=True,
        ))  # fmt: skip
        db.execute(sa.insert(tables.warnings).values(
            batch_id=1, mapping="accounts", field="name", rule="trim", count=1, sample=key.seal(" a -> a"),
        ))  # fmt: skip
        db.execute(sa.insert(tables.erasures).values(
            asked_by="privacy", asked_at=MOMENT, options={}, who=key.seal('["9"]'), done={},
        ))  # fmt: skip
        texts = {"loud.py": base64.b64encode(key.seal(CODE)).decode(), "set.yaml": "set: x"}
        db.execute(sa.insert(tables.mapping_sets).values(hash="a" * 64, texts=texts, stored_at=MOMENT))
    yield bakery
    crashpoints.watch(None)
    bakery.close()


def values(bakery: Bakery, key: ProjectKey) -> dict[str, list[str]]:
    """Everything that is sealed, opened by one key alone."""
    found: dict[str, list[str]] = {}
    with bakery.parts.control.read() as db:
        for one in sealed.COLUMNS:
            rows = [blob for _, blob in sealed.after(db, one, None)]
            found[f"{one.table}.{one.name}"] = [key.open(blob) for blob in rows]
        for _, texts in sealed.sets(db):
            found["code"] = [key.open(base64.b64decode(text)) for name, text in texts.items() if name.endswith(".py")]
    return found


def taken(bakery: Bakery, new: ProjectKey, old: ProjectKey | None) -> ProjectKey:
    with bakery.parts.control.read() as db:
        found = rekeying.begin(db, new, old)
    assert found is not None
    return found


def rekeyed(bakery: Bakery, new: ProjectKey, old: ProjectKey | None) -> rekeying.Rekeyed:
    key = taken(bakery, new, old)
    return rekeying.rekey(
        replace(bakery.parts, key=key), lambda one: Snapshots(bakery.folder / "snapshots", one), key, progress
    )


def progress(done: int, all_: int) -> None:
    assert 0 <= done <= all_


def in_force(bakery: Bakery, key: ProjectKey) -> Parts:
    with bakery.parts.control.read() as db:
        known = project_keys.current(db)
    assert known is not None and known.envelope is not None
    return replace(bakery.parts, key=key.within(known.envelope))


def a_key(number: int) -> ProjectKey:
    return ProjectKey(bytes([number]) * 32)


def test_every_column_of_bytes_is_known_to_be_sealed_or_not() -> None:
    bytes_ = {
        f"{table.name}.{column.name}"
        for table in tables.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }

    assert {f"{one.table}.{one.name}" for one in sealed.COLUMNS} == bytes_ - OTHERS


def test_all_that_is_sealed_goes_along_and_the_old_key_opens_nothing(bakery: Bakery) -> None:
    old, new = bakery.parts.key, a_key(1)
    before = values(bakery, old)

    done = rekeyed(bakery, new, old)

    parts = in_force(bakery, new)
    assert values(bakery, parts.key) == before and all(before.values())
    assert (done.sealed, done.damaged) == (sum(map(len, before.values())), [])
    with pytest.raises(KeyWrong):
        values(bakery, old)
    assert not any(old.seals(blob) for blob in blobs(bakery))


def blobs(bakery: Bakery) -> list[bytes]:
    with bakery.parts.control.read() as db:
        return [blob for one in sealed.COLUMNS for _, blob in sealed.after(db, one, None)]


def test_users_are_found_by_their_address_under_the_new_key_alone(bakery: Bakery) -> None:
    old, new = bakery.parts.key, a_key(1)
    before = prints(bakery)
    assert [one["user"] for one in support.find(bakery.parts, "C3@bakery.example")] == ["3"]

    rekeyed(bakery, new, old)

    after = in_force(bakery, new)
    assert [one["user"] for one in support.find(after, "C3@bakery.example")] == ["3"]
    assert support.find(bakery.parts, "C3@bakery.example") == [], "whoever has the old key guesses in vain"
    assert not set(prints(bakery)) & set(before)


def prints(bakery: Bakery) -> list[str]:
    with bakery.parts.control.read() as db:
        return list(db.scalars(sa.select(tables.users.c.email_print)))


def test_changed_again_and_again_it_stays_so(bakery: Bakery) -> None:
    before = values(bakery, bakery.parts.key)
    keys = [bakery.parts.key, *map(a_key, (1, 2, 3))]
    for old, new in pairwise(keys):
        rekeyed(bakery, new, old)

    assert values(bakery, in_force(bakery, keys[-1]).key) == before
    for older in keys[:-1]:
        with pytest.raises(KeyWrong):
            values(bakery, older)


class Off(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("at", range(1, 12, 2))
def test_cut_off_anywhere_both_open_and_the_next_goes_on(
    bakery: Bakery, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, reached = bakery.parts.key, a_key(1), 0
    before = values(bakery, old)
    monkeypatch.setattr(sealed, "AT_ONCE", 5)

    def off(point: str) -> None:
        nonlocal reached
        reached += point == "reseal-part-written"
        if reached == at:
            raise Off

    crashpoints.watch(off)
    with pytest.raises(Off):
        rekeyed(bakery, new, old)
    crashpoints.watch(None)

    monkeypatch.setattr(sealed, "AT_ONCE", 2000)
    between = in_force(bakery, new)
    assert values(bakery, between.key) == before
    assert [one["user"] for one in support.find(between, "c3@bakery.example")] == ["3"]
    assert [one["user"] for one in support.find(between, "c12@bakery.example")] == ["12"]
    with pytest.raises(Refused, match="was cut off"):
        taken(bakery, a_key(2), new)
    rekeyed(bakery, new, None)
    assert values(bakery, in_force(bakery, new).key) == before
    assert all(in_force(bakery, new).key.seals(blob) for blob in blobs(bakery))


def test_a_value_that_no_key_opens_is_told_and_the_old_key_stays_known(bakery: Bakery) -> None:
    with bakery.parts.control.write() as db:
        db.execute(sa.update(tables.cases).values(value=a_key(9).seal("x")))

    done = rekeyed(bakery, a_key(1), bakery.parts.key)

    assert done.damaged == ["1 values of cases.value"]
    assert in_force(bakery, a_key(1)).key.knows_earlier


def test_what_an_older_version_left_with_the_first_key_opens_and_goes_along_the_next_time(bakery: Bakery) -> None:
    old, second = bakery.parts.key, a_key(1)
    before = values(bakery, old)
    nonce = bytes(12)
    envelope = nonce + second._data_keys.encrypt(nonce, old._root, b"the key before")
    with bakery.parts.control.write() as db:
        project_keys.note(db, second.id, envelope, "ops", MOMENT)
    parts = in_force(bakery, second)
    assert values(bakery, parts.key) == before
    assert [one["user"] for one in support.find(parts, "c3@bakery.example")] == ["3"]

    rekeyed(bakery, a_key(2), second)

    assert values(bakery, in_force(bakery, a_key(2)).key) == before
    with pytest.raises(KeyWrong):
        values(bakery, old)


def test_what_stands_in_the_target_and_the_journal_stays_as_it_was(bakery: Bakery) -> None:
    old, new = bakery.parts.key, a_key(1)
    rekeyed(bakery, new, old)
    key = in_force(bakery, new).key

    assert key.fingerprint("user:3") == old.fingerprint("user:3"), "tombstones are found"
    assert key.digest("password", "x") == old.digest("password", "x"), "mappings write the same"
    assert key.sign(b"entry") == old.sign(b"entry") and key.alias("3") == old.alias("3")
    assert json.loads(key.open(blobs(bakery)[0]))["email"]


def test_an_example_of_all_columns_is_there(bakery: Bakery) -> None:
    told: dict[str, Any] = values(bakery, bakery.parts.key)
    assert len(told) == len(sealed.COLUMNS) + 1 and all(told.values())
