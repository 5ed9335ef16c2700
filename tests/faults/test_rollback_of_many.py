"""T13: ten thousand users go back, 5 % of whom the new system has written to since."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrator.flows.undoing import rollbacks
from tests.edges.databases.places import SqlitePlace
from tests.flows.library import Library

READERS = int(os.environ.get("FAULTS_ROLLBACK_USERS", "2000"))
STANDING = READERS // 5  # of whom a row was there before


def _rows(path: Path) -> dict[str, set[tuple[object, ...]]]:
    with sqlite3.connect(path) as db:
        found = {tab: set(db.execute(f"select * from {tab}")) for tab in ("members", "loans")}
    db.close()
    return found


@pytest.mark.slow
def test_who_was_not_written_to_is_restored_to_the_last_bit_and_who_was_is_left_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    place = SqlitePlace(folder)
    rule = ", on_conflict: {match: [email], action: update}"
    library = Library(folder, place, readers=READERS, members=rule)
    library.there(*((f"r{n}@x.org", f"Old {n}", None, n) for n in range(1, STANDING + 1)))
    before = _rows(place.file)
    library.move(batch_users=500, max_held=1.0)
    changed = {str(n) for n in range(7, READERS + 1, 20)}
    with closing(sqlite3.connect(place.file)) as db, db:
        for n in sorted(changed, key=int):
            if int(n) % 3:
                db.execute("update members set name = 'Written since' where email = ?", (f"r{n}@x.org",))
            else:
                since = "update loans set title = 'Written since' where member_id = (select id from members where email = ?)"
                db.execute(since, (f"r{n}@x.org",))
    written = _rows(place.file)

    done = rollbacks.roll_back(library.parts, rollbacks.scope(library.parts, wave="whole"), workers=1)

    assert done.restored == READERS - len(changed)
    assert set(done.refused) == changed
    emails = {f"r{n}@x.org" for n in changed}
    ids = {row[0] for row in written["members"] if row[1] in emails}
    after = _rows(place.file)
    kept = {row for row in written["members"] if row[1] in emails}
    assert after["members"] == {row for row in before["members"] if row[1] not in emails} | kept
    assert after["loans"] == {row for row in written["loans"] if row[1] in ids}
    assert sum("Written since" in row for rows in after.values() for row in rows) >= len(changed)
    print(f"\nT13: {READERS} users, {done.restored} restored, {len(done.refused)} reported, 0 written over")
    library.close()
