"""What a plan was approved against: the tables and columns in use, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from migrator.mapping import fingerprint
from migrator.mapping.schema import Column, Kind, Schema
from tests.mapping.engine import a_schema, a_set, a_table

MAPPING = """
mapping: accounts
source: {table: person, key: id, user: id, join: {meta: {table: meta, match: {person_id: id}}}}
target: {table: accounts, id: {keep: id}}
fields:
  name: nick
  city: {lookup: {table: cities, match: {name: meta.city}, take: id}}
ignore: {'x_*': gone}
"""
SET = a_set(MAPPING, people="set: shop\nusers: {table: person, key: id}\n")
LEGACY = a_schema(
    a_table("person", id="integer not null", nick=Column("nick", Kind.TEXT, length=40), x_a="text"),
    a_table("meta", id="integer not null", person_id="integer", city="text"),
    a_table("other", id="integer"),
)
TARGET = a_schema(
    a_table("accounts", id="integer not null", name="text", city="integer", note="text"),
    a_table("cities", id="integer not null", name="text", size="integer", code="text not null"),
    a_table("other", id="integer"),
)


def changed(schema: Schema, table: str, **columns: Column | None) -> Schema:
    """The schema with columns of one table replaced, added, or (None) taken out."""
    known = {**schema.tables[table].columns, **columns}
    kept = {name: column for name, column in known.items() if column is not None}
    return replace(schema, tables={**schema.tables, table: replace(schema.tables[table], columns=kept)})


def told(legacy: Schema = LEGACY, target: Schema = TARGET) -> list[str]:
    approved = json.loads(json.dumps(fingerprint.of(SET, LEGACY, TARGET)))  # as it comes out of the control database
    return [str(change) for change in fingerprint.changes(approved, legacy, target)]


def test_nothing_changed() -> None:
    assert told() == []


def text(name: str, **changes: object) -> Column:
    return Column(name, Kind.TEXT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        ("person", {"nick": text("nick", length=80)}, "legacy: person.nick was text(40), and is text(80)"),
        ("person", {"nick": Column("nick", Kind.INTEGER)}, "legacy: person.nick was text(40), and is integer 64"),
        ("person", {"nick": None}, "legacy: person.nick is gone; it was text(40)"),
        ("person", {"born": text("born")}, "legacy: person.born was added (text), and nobody has said what becomes of it"),
        ("person", {"x_b": text("x_b")}, "legacy: person.x_b was added (text), and nobody has said what becomes of it"),
        ("meta", {"city": None}, "legacy: meta.city is gone; it was text"),
    ],
)  # fmt: skip
def test_a_change_of_legacy_that_the_set_would_feel(table: str, columns: dict[str, Column | None], said: str) -> None:
    assert told(legacy=changed(LEGACY, table, **columns)) == [said]


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        ("accounts", {"name": text("name", nullable=False)}, "target: accounts.name was text, and is text not null"),
        ("accounts", {"name": text("name", generated=True)}, "target: accounts.name was text, and is text generated"),
        ("accounts", {"city": None}, "target: accounts.city is gone; it was integer 64"),
        ("accounts", {"zip": text("zip", nullable=False)}, "target: accounts.zip takes no null (text), and no mapping sets it"),
        ("cities", {"id": text("id", nullable=False)}, "target: cities.id was integer 64 not null, and is text not null"),
    ],
)  # fmt: skip
def test_a_change_of_the_target_that_the_set_would_feel(
    table: str, columns: dict[str, Column | None], said: str
) -> None:
    assert told(target=changed(TARGET, table, **columns)) == [said]


def test_a_table_that_is_gone_is_told_once() -> None:
    gone = replace(LEGACY, tables={name: table for name, table in LEGACY.tables.items() if name != "meta"})

    assert told(legacy=gone) == ["legacy: meta is gone"]


@pytest.mark.parametrize(
    ("legacy", "target"),
    [
        (changed(LEGACY, "other", more=text("more")), TARGET),
        (changed(LEGACY, "person", x_a=None), TARGET),  # left behind anyway
        (changed(LEGACY, "person", nick=text("nick", length=40, nullable=False)), TARGET),
        (LEGACY, changed(TARGET, "other", id=None)),
        (LEGACY, changed(TARGET, "accounts", note=None)),
        (LEGACY, changed(TARGET, "accounts", more=text("more"))),
        (LEGACY, changed(TARGET, "accounts", more=text("more", nullable=False, has_default=True))),
        (LEGACY, changed(TARGET, "cities", size=None)),
    ],
)
def test_what_the_set_does_not_use_may_change(legacy: Schema, target: Schema) -> None:
    assert told(legacy, target) == []
