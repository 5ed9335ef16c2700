"""T12: what somebody does to the target behind our back is found without exception, and what is equal is no alarm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.flows.checking import verify
from tests.faults.shop import Shop, checkpoint

EACH = 50
#: SQL that harms one user of `people` (:id) or his rows in `sales`; each changes something for every user it is done to.
CORRUPTIONS = {
    "the row is gone": "delete from people where id = :id",
    "a child is gone": "delete from sales where id = (select min(id) from sales where person_id = :id)",
    "a child more": "insert into sales select '{n:08x}-0000-4000-8000-000000000000', person_id, total, at from sales where person_id = :id limit 1",
    "a child of somebody else": "update sales set person_id = (select max(id) from people where id <> :id) where person_id = :id",
    "text": "update people set name = 'Somebody' where id = :id",
    "case": "update people set email = upper(email) where id = :id",
    "a blank behind": "update people set email = email || ' ' where id = :id",
    "a blank before": "update people set name = ' ' || name where id = :id",
    "null for a value": "update people set name = null where id = :id",
    "empty for a value": "update people set name = '' where id = :id",
    "a value for null, or null for a value": "update people set note = case when note is null then 'x' end where id = :id",
    "another form of Unicode": "update people set name = replace(name, 'ë', 'e' || char(776)) where id = :id",
    "cut off": "update people set name = substr(name, 1, length(name) - 1) where id = :id",
    "an integer beside": "update people set points = points + 1 where id = :id",
    "a cent": "update people set balance = balance + 0.01 where id = :id",
    "the sign": "update people set balance = -balance where id = :id",
    "the last bit of a float": "update people set ratio = ratio + 0.0000001 where id = :id",
    "the other truth": "update people set active = not active where id = :id",
    "a day": "update people set born = date(born, '+1 day') where id = :id",
    "a second": "update people set seen = datetime(seen, '+1 second') where id = :id",
    "a microsecond": "update people set at = replace(at, '00:00', '00:00.000001') where id = :id",
    "an hour, as of a time zone": "update sales set at = replace(at, ' 10:', ' 11:') where person_id = :id",
    "a number in a document": "update people set doc = json_set(doc, '$.size', 0) where id = :id",
    "text for a number in a document": "update people set doc = json_set(doc, '$.size', '1.50') where id = :id",
    "another reference": "update people set ref = replace(ref, '6ba7', '6ba8') where id = :id",
    "another address": "update people set ip = ip || '0' where id = :id",
}
#: SQL that changes how every row is written and no value.
EQUIVALENCES = {
    "a T in a time": "update people set seen = replace(seen, ' ', 'T')",
    "zeros behind a second": "update people set seen = seen || '.000000'",
    "an offset in words": "update people set at = '2026-01-' || substr(seen, 9, 2) || 'T09:30:00+00:00'",
    "another offset": "update people set at = '2026-01-' || substr(seen, 9, 2) || 'T15:00:00+05:30'",
    "an offset in short": "update people set at = '2026-01-' || substr(seen, 9, 2) || ' 09:30:00+00'",
    "Zulu": "update people set at = '2026-01-' || substr(seen, 9, 2) || 'T09:30:00Z'",
    "truth in words": "update people set active = case when active in (1, 'true') then 'true' else 'false' end",
    "truth in letters": "update people set active = case when active in (1, 'true') then 't' else 'f' end",
    "capital digits": "update people set ref = upper(ref)",
    "capital digits of a key's owner": "update people set ref = replace(ref, 'b4', 'B4')",
    "the net of an address": "update people set ip = ip || '/32'",
    "the order of a document": "update people set doc = json_object('size', json_extract(doc, '$.size'), 'city', json_extract(doc, '$.city'), 'lang', 'fr')",
    "blanks in a document": "update people set doc = replace(replace(doc, ':', ' : '), ',', ' , ')",
    "zeros in a document": "update people set doc = replace(doc, '.5', '.500')",
    "escapes in a document": "update people set doc = replace(doc, 'é', '\\u00e9')",
    "the order of rows": "create table other as select * from people order by random(); pragma foreign_keys = off; delete from people; insert into people select * from other; drop table other",
    "columns that nobody maps": "update people set visits = visits + 1",
    "rows of others": "insert into people (id, email) select replace(id, substr(id, 1, 4), 'zzzz'), 'other' from people",
}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Enough clients for everything, all live."""
    shop = Shop(tmp_path_factory.mktemp("shop") / "moved", EACH * len(CORRUPTIONS))
    shop.move(batch_users=500)
    assert set(shop.users().values()) == {"live"}
    for name in ("control", "target", "legacy"):
        checkpoint(shop.folder / f"{name}.db")
    yield shop
    shop.close()


def _found(shop: Shop) -> set[str]:
    found = verify.verify(shop.parts, verify.scope(shop.parts), drift=False, workers=1)
    assert found.checked_users == EACH * len(CORRUPTIONS)
    assert found.difference_count == len(found.differences) or found.difference_count > verify.SHOWN
    return {one["user"] for one in found.differences}


def test_every_corruption_is_found_at_every_user_and_at_nobody_else(
    moved: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SHOWN", 100_000)
    shop = moved.copy_to(tmp_path / "shop")
    with shop.target() as db:
        ids = dict(db.execute("select substr(email, 2, instr(email, '@') - 2), id from people"))
        planted: dict[str, list[str]] = {}
        for at, (name, sql) in enumerate(CORRUPTIONS.items()):
            planted[name] = [str(n) for n in range(at * EACH + 1, (at + 1) * EACH + 1)]
            for n in planted[name]:
                before = db.total_changes
                db.execute(sql.format(n=int(n)), {"id": ids[n]})
                assert db.total_changes > before, f"{name} did nothing to {n}"

    found = _found(shop)

    missed = {name: len(set(users) - found) for name, users in planted.items() if set(users) - found}
    assert missed == {}
    # whose rows were given to somebody else harms the receiver, too; nobody else is accused
    assert len(found - {user for users in planted.values() for user in users}) <= 1
    shop.close()


@pytest.mark.parametrize("name", EQUIVALENCES)
def test_what_is_only_written_otherwise_is_no_difference(moved: Shop, tmp_path: Path, name: str) -> None:
    shop = moved.copy_to(tmp_path / "shop")
    with shop.target() as db:
        before = db.total_changes
        db.executescript(EQUIVALENCES[name])
        assert db.total_changes - before >= 1000

    assert _found(shop) == set()
    shop.close()
