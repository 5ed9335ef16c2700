"""Every sealed value is met once, in parts, in either kind of database, and written back beside its own row."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from migrator.store import sealed
from migrator.store.control import Control
from migrator.store.tables import metadata
from tests.store.test_revisions import LEDGER, row

PEOPLE = 7


@pytest.fixture
def peopled(control: Control) -> Control:
    """Two rows in every table, and some more users."""
    users = metadata.tables["users"]
    with control.write() as db:
        for table in metadata.sorted_tables:
            if table.name not in LEDGER:
                for number in (1, 2):
                    db.execute(sa.insert(table).values(**row(table, number)))
        for number in range(3, PEOPLE + 1):
            db.execute(sa.insert(users).values(**row(users, 1) | {"user_key": str(number)}))
    return control


def test_all_values_are_met_once_however_many_at_a_time(peopled: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "AT_ONCE", 2)
    with peopled.read() as db:
        for column in sealed.COLUMNS:
            met: list[sealed.Key] = []
            while found := sealed.after(db, column, met[-1] if met else None):
                met += [key for key, _ in found]
            assert len(met) == len(set(met)) == (PEOPLE if column.table == "users" else 2), column
        assert sealed.count(db) == PEOPLE + 2 * (len(sealed.COLUMNS) - 1)


def test_what_is_written_stands_in_its_own_row_and_nowhere_else(peopled: Control) -> None:
    for column in sealed.COLUMNS:
        with peopled.write() as db:
            (first, _), *_ = sealed.after(db, column, None)
            sealed.put(db, column, {first: b"fresh"}, {first: "print"})
            now = dict(sealed.after(db, column, None))

        assert [key for key, blob in now.items() if blob == b"fresh"] == [first]
    users = metadata.tables["users"]
    with peopled.read() as db:
        prints = list(db.scalars(sa.select(users.c.email_print).where(users.c.contact == b"fresh")))
    assert prints == ["print"]
