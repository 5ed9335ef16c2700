"""The control database goes to any older revision and back, one by one, and whoever is in it stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from migrator.store import chain, control, journal
from migrator.store.control import Control
from migrator.store.tables import Utc, metadata
from tests.flows.memory import KEY

REVISIONS = sorted(path.name[:4] for path in (Path(control.__file__).parent / "revisions" / "versions").glob("[0-9]*"))
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: What a value must be for its row to mean something; other columns get something of their type.
MEANING: dict[tuple[str, str], Any] = {
    ("plans", "status"): "approved",
    ("waves", "status"): "running",
    ("batches", "status"): "ready",
    ("users", "status"): "planned",
    ("users", "home"): "legacy",
    ("users", "kind"): "user",
}
LEDGER = {"journal", "journal_head"}
ROWS = 2


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """A control database of either kind with two rows in every table, and a journal."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'control.db'}" if sqlite else request.getfixturevalue("postgresql").url()
    found = Control(url)
    found.sign = KEY.sign
    found.upgrade()
    with found.write() as db:
        for table in metadata.sorted_tables:
            if table.name not in LEDGER:
                for number in range(1, ROWS + 1):
                    db.execute(sa.insert(table).values(**row(table, number)))
        journal.add(db, MOMENT, "somebody", "approve", "plan", 1, users=["a", "b"], reason="it is time")
    with found.write() as db:
        journal.add(db, MOMENT, "somebody", "start", "wave", "pilot")
    yield found
    found.close()


def row(table: sa.Table, number: int) -> dict[str, Any]:
    """Something in every column; the rows of all tables with one number belong together."""
    return {column.name: MEANING.get((table.name, column.name), value(column, number)) for column in table.columns}


def value(column: sa.Column[Any], number: int) -> Any:
    kind = column.type
    if isinstance(kind, Utc):
        return MOMENT
    if column.foreign_keys and isinstance(next(iter(column.foreign_keys)).column.type, sa.String | sa.Text):
        return str(number)
    for known, made in (
        (sa.Boolean, True), (sa.JSON, {"number": number}), (sa.Float, 0.5), (sa.LargeBinary, b"sealed"),
        (sa.Integer, number), (sa.String, str(number)),
    ):  # fmt: skip
        if isinstance(kind, known):
            return made
    raise AssertionError(f"what is a {kind!r}?")


def go(database: Control, revision: str) -> None:
    """Down or up."""
    at = database.revision()
    up = at is None or (revision != "base" and revision > at)
    with database.revising() as db:
        (command.upgrade if up else command.downgrade)(control._alembic(db, KEY.sign), revision)


def shape(database: Control) -> dict[str, Any]:
    """Tables, columns, keys and indexes as the database has them."""
    looked = sa.inspect(database.engine)
    columns, indexes = looked.get_multi_columns(), looked.get_multi_indexes()
    keys, foreign = looked.get_multi_pk_constraint(), looked.get_multi_foreign_keys()
    return {
        str(name): (
            sorted((one["name"], str(one["type"]), one["nullable"]) for one in columns[None, name]),
            sorted((str(one["name"]), tuple(one["column_names"])) for one in indexes[None, name]),
            tuple(keys[None, name]["constrained_columns"]),
            sorted((tuple(one["constrained_columns"]), one["referred_table"]) for one in foreign[None, name]),
        )
        for _, name in sorted(columns)
    }


def counts(database: Control) -> dict[str, int]:
    """Rows of each table that is there."""
    found = {}
    with database.read() as db:
        for name in sa.inspect(db).get_table_names():
            found[name] = int(db.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) or 0)
    return found


def users(database: Control) -> list[tuple[Any, ...]]:
    asked = sa.table("users", *map(sa.column, ("plan_id", "user_key", "status", "home", "wave_id", "contact")))
    with database.read() as db:
        return sorted(tuple(one) for one in db.execute(sa.select(asked)))


def test_down_one_by_one_and_up_again_every_shape_is_met_twice_and_nobody_is_lost(filled: Control) -> None:
    people, before = users(filled), counts(filled)
    shapes = {REVISIONS[-1]: shape(filled)}
    for revision in reversed(REVISIONS[:-1]):
        go(filled, revision)
        shapes[revision] = shape(filled)
        assert users(filled) == people
        assert {name: count for name, count in counts(filled).items() if count != before.get(name)} == {}

    for revision in REVISIONS[1:]:
        go(filled, revision)
        assert shape(filled) == shapes[revision], f"at {revision} on the way up"
        assert users(filled) == people

    oldest = {"plans", "waves", "batches", "users", "cases", "notices", "snapshots", "books"}
    assert {name: counts(filled)[name] for name in oldest} == {name: before[name] for name in oldest}


def test_a_journal_that_went_down_and_up_is_whole(filled: Control) -> None:
    go(filled, "0007")
    go(filled, REVISIONS[-1])

    with filled.read() as db:
        found = list(chain.check(KEY.sign, journal.entries(db), journal.head(db), emptied_by=journal.EMPTIED))
        assert found and not [one for one in found if isinstance(one, chain.Break)]
        assert [one["event"] for one in journal.of(db, "plan", ["1"])] == ["approve"]


def test_to_nothing_and_back_it_is_as_new(filled: Control) -> None:
    before = shape(filled)

    go(filled, "base")
    assert set(shape(filled)) <= {"alembic_version"}
    go(filled, REVISIONS[-1])

    assert shape(filled) == before
    assert set(counts(filled).values()) <= {0, 1}
