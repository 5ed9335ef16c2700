"""Passwords and code on their way through the whole: nothing that anybody keeps or reads shows a hash."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.edges.keys import ProjectKey
from migrator.errors import KeyWrong, Refused
from migrator.flows import report, sets
from migrator.flows.checking import verify
from migrator.flows.helping import review, support
from migrator.flows.report import numbers
from migrator.store import plans, tables
from tests.flows.bakery import ACCOUNTS, Bakery

CANARY = "canary-5f4dcc3b5aa765d61d8327deb882cf99"
GOOD = "5f4dcc3b5aa765d61d8327deb882cf99"
CODE = """
from migrator.mapping.custom import transform

@transform(takes=str, gives=str)
def shout(values):
    for value in values:
        if "canary" in value:
            raise ValueError(f"cannot shout {value}")
    return [value.upper() for value in values]
"""
FIELDS = """  password: {from: pass, transform: [password_hash], required: true}
  old_pwd: {from: old_pwd}
  shouted_pass: {from: shout_pwd, transform: [{call: 'voice:shout'}]}
  extra: {object: {inner: {from: $old_pwd}}}
"""


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Bakery]:
    """A bakery that keeps passwords; those of customers 1 to 5 are out of order, each in another way."""
    bakery = Bakery(tmp_path / "bakery", customers=12)
    with bakery.legacy() as db:
        for column in ("pass", "old_pwd", "shout_pwd"):
            db.execute(f"alter table customer add column {column} text")
        db.execute("update customer set pass = ?", (GOOD,))
        db.execute("update customer set pass = ? where id = 1", (CANARY,))
        db.execute("update customer set old_pwd = ? where id = 2", (CANARY + "x" * 40,))
        db.execute("update customer set shout_pwd = ? where id = 3", (CANARY,))
        db.execute("update customer set old_pwd = ? where id = 4", (f"refused-{CANARY}",))
        db.execute("update customer set old_pwd = ? where id = 5", (CANARY,))
    with bakery.target() as db:
        db.execute("alter table accounts add column password text")
        db.execute("alter table accounts add column old_pwd varchar(60) check (old_pwd not like 'refused%')")
        db.execute("alter table accounts add column shouted_pass text")
        db.execute("alter table accounts add column extra json")
    mappings = bakery.folder / "mappings"
    (mappings / "accounts.yaml").write_text(ACCOUNTS + FIELDS)
    (mappings / "voice.py").write_text(CODE)
    yield bakery
    bakery.close()


def test_a_password_that_fails_is_shown_to_nobody_and_kept_nowhere(
    keeping: Bakery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "migrator")

    keeping.move()
    with keeping.target() as db:  # somebody else writes a password: a difference
        db.execute("update accounts set old_pwd = ? where old_pwd = ?", (CANARY + "!", CANARY))
    found = verify.verify(keeping.parts, verify.scope(keeping.parts))

    assert keeping.users()["1"] == keeping.users()["2"] == keeping.users()["3"] == "held"
    assert keeping.users()["4"] == "failed"
    assert keeping.users()["5"] == "live"
    assert found.difference_count == 1
    with keeping.parts.control.read() as db:
        told = report.html(numbers.collect(keeping.parts, db, plans.require(db)))
    said = [
        told,
        caplog.text,
        repr(found),
        json.dumps(review.listed(keeping.parts, reveal=True), default=str),
        *(json.dumps(support.show(keeping.parts, user), default=str) for user in "12345"),
        *_opened(keeping),
    ]
    for text in said:
        assert "canary" not in text
    kept = [
        path
        for path in keeping.folder.rglob("*")
        if path.is_file() and not path.name.startswith(("legacy.db", "target.db"))
    ]
    assert any(path.name == "control.db" for path in kept)
    for path in kept:
        assert path.name == "voice.py" or b"canary" not in path.read_bytes(), path.name


def _opened(bakery: Bakery) -> list[str]:
    """Everything sealed in the cases, as who has the key may read it."""
    with bakery.parts.control.read() as db:
        blobs = db.scalars(sa.select(tables.cases.c.value).where(tables.cases.c.value.is_not(None))).all()
        assert db.scalar(sa.select(sa.func.count()).select_from(tables.cases)) == 4
    return [bakery.parts.key.open(blob) for blob in blobs]


def test_what_was_moved_with_code_is_verified_with_that_code_whatever_the_folder_says_now(keeping: Bakery) -> None:
    keeping.move()
    (keeping.folder / "mappings" / "voice.py").write_text(CODE.replace("upper", "lower"))

    later = Bakery(keeping.folder)
    assert verify.verify(later.parts, verify.scope(later.parts)).difference_count == 0
    later.close()


def test_code_that_somebody_put_into_the_control_database_is_not_run(keeping: Bakery) -> None:
    keeping.move()
    set_ = keeping.parts.folder_set
    stranger = ProjectKey(b"s" * 32)
    evil = dict(set_.texts) | {"voice.py": "raise SystemExit('it ran')"}
    plain = dict(set_.texts) | {"voice.py": base64.b64encode(b"raise SystemExit").decode()}

    with pytest.raises(KeyWrong):
        sets.opened(sets.sealed(evil, stranger), set_.hash, "", keeping.parts.key)
    with pytest.raises(KeyWrong):
        sets.opened(plain, set_.hash, "", keeping.parts.key)
    with pytest.raises(KeyWrong):
        sets.opened(set_.texts, set_.hash, "", keeping.parts.key)
    with pytest.raises(Refused, match="was changed"):  # sealed here, but for another set
        sets.opened(sets.sealed(evil, keeping.parts.key), set_.hash, "", keeping.parts.key)


def test_a_keyed_hash_is_written_and_verified_with_the_projects_own_key(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path, customers=3)
    mapping = tmp_path / "mappings" / "accounts.yaml"
    mapping.write_text(
        ACCOUNTS.replace("name: {from: name, transform: [trim]}", "name: {from: name, transform: [{hash: sha256}]}")
    )

    bakery.move()

    written = {row[2] for row in bakery.rows()["accounts"]}
    assert written == {bakery.parts.key.digest("", f"Customer {n}") for n in (1, 2, 3)}
    assert verify.verify(bakery.parts, verify.scope(bakery.parts)).difference_count == 0
    other = dataclasses.replace(bakery.parts, key=ProjectKey(b"o" * 32))
    assert other.key.digest("", "Customer 1") not in written
    bakery.close()
