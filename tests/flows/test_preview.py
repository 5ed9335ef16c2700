"""Looking before the run: it writes nothing anywhere, and says exactly what the run then does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.errors import MappingInvalid, NotFound
from migrator.flows.drafting.preview import Preview, preview
from migrator.flows.drafting.sampling import Wanted
from migrator.flows.steering import waves
from migrator.store import tables
from tests.flows.bakery import ACCOUNTS, Bakery

EVERYBODY = Wanted(users=None)


@pytest.fixture
def bakery(tmp_path: Path) -> Iterator[Bakery]:
    made = Bakery(tmp_path / "bakery", customers=30)
    yield made
    made.close()


def spoil(bakery: Bakery) -> None:
    """Three customers nobody can move as they are, one whose row is there already just so, one whose row is not ours."""
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id in (3, 4)")
        db.execute("update customer set email = 'nobody' where id = 5")
    with bakery.target() as db:
        db.execute("insert into accounts values ('native', 'c6@bakery.example', 'Native', 'active')")


def told(found: Preview) -> dict[str, tuple[int, int, int]]:
    """Per mapping: rows that would be written, wait for a person, wait for another row."""
    return {
        name: (one["new"] + one["update"] + one["unchanged"], one["review"], one["blocked"])
        for name, one in found.mappings.items()
    }


def done(bakery: Bakery) -> dict[str, tuple[int, int, int]]:
    """The same as the books of the run have it."""
    books = tables.books.c
    query = sa.select(books.mapping, *(sa.func.sum(books[name]) for name in ("written", "review", "blocked")))
    with bakery.parts.control.read() as db:
        return {name: tuple(map(int, counts)) for name, *counts in db.execute(query.group_by(books.mapping))}


def prints(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.db"))}


def test_it_writes_nothing_to_any_of_the_three_databases(bakery: Bakery) -> None:
    spoil(bakery)
    bakery.plan()
    bakery.close()
    before = prints(bakery.folder)
    preview(bakery.parts, EVERYBODY)
    bakery.close()

    assert prints(bakery.folder) == before
    assert not (bakery.folder / "snapshots").exists() or not list((bakery.folder / "snapshots").rglob("*.*"))


def test_it_says_what_the_run_then_does(bakery: Bakery) -> None:
    spoil(bakery)
    bakery.plan()
    found = preview(bakery.parts, EVERYBODY)
    waves.start(bakery.parts, "whole")
    bakery.run()

    assert told(found) == done(bakery)
    statuses = list(bakery.users().values())
    assert (found.users["move"], found.users["held"]) == (statuses.count("live"), statuses.count("held"))


def test_it_says_the_same_before_there_is_a_plan(bakery: Bakery) -> None:
    spoil(bakery)
    before = preview(bakery.parts, EVERYBODY)
    bakery.plan()

    assert told(preview(bakery.parts, EVERYBODY)) == told(before)


def test_users_who_share_what_must_be_unique_are_held_as_the_plan_holds_them(bakery: Bakery) -> None:
    with bakery.legacy() as db:
        db.execute("update customer set email = 'c8@bakery.example' where id = 7")
    found = preview(bakery.parts, EVERYBODY)
    bakery.plan()

    assert found.users["held"] == 2
    assert [(cause["rule"], cause["users"], cause["value"]) for cause in found.causes] == [("unique", 2, "c…@…ample")]
    assert preview(bakery.parts, EVERYBODY).users["held_by_plan"] == 2


def test_causes_are_grouped_as_cases_are(bakery: Bakery) -> None:
    spoil(bakery)
    causes = preview(bakery.parts, EVERYBODY).causes

    assert [(one["mapping"], one["field"], one["rule"], one["value"], one["users"]) for one in causes] == [
        ("accounts", "status", "map", "9", 2),
        ("accounts", "email", "email", "n…", 1),
        ("accounts", "email", "on_conflict", "c…@…ample", 1),
    ]


def test_what_is_sensitive_is_shown_to_who_asks_for_it(bakery: Bakery) -> None:
    spoil(bakery)

    assert "nobody" in [one["value"] for one in preview(bakery.parts, EVERYBODY, reveal=True).causes]


def test_who_is_there_already_is_looked_at_only_when_asked_for(bakery: Bakery) -> None:
    bakery.move()

    assert preview(bakery.parts, EVERYBODY).users["looked_at"] == 0
    found = preview(bakery.parts, Wanted(keys=("3",)))
    assert found.mappings["accounts"]["unchanged"] == 1
    assert found.mappings["orders"]["unchanged"] == 3
    assert found.changed == []


def test_what_would_change_in_the_target_stands_side_by_side(bakery: Bakery) -> None:
    bakery.move()
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Other', status = 2 where id = 3")
    found = preview(bakery.parts, Wanted(keys=("3",)), reveal=True)

    assert found.mappings["accounts"]["update"] == 1
    assert {one["field"]: (one["samples"][0]["before"], one["samples"][0]["after"]) for one in found.changed} == {
        "name": ("Customer 3", "Other"),
        "status": ("active", "closed"),
    }


def test_a_smaller_sample_is_part_of_a_larger_one_and_always_the_same(bakery: Bakery) -> None:
    from migrator.flows.drafting import sampling

    few, more = (set(sampling.choose(bakery.parts, bakery.parts.folder_set, Wanted(n)).keys) for n in (5, 12))

    assert few < more
    assert set(sampling.choose(bakery.parts, bakery.parts.folder_set, Wanted(5)).keys) == few


def test_the_whole_is_estimated_from_the_sample(bakery: Bakery) -> None:
    found = preview(bakery.parts, Wanted(10))

    assert found.sample["users"] == 10
    assert found.estimate["rows"] == {"accounts": 30, "orders": 90}


def test_users_of_one_wave_or_tier(bakery: Bakery) -> None:
    bakery.plan(strategy="tiered", pilot_floor=4, pilot_share=1)
    with bakery.parts.control.read() as db:
        pilot = db.scalar(sa.select(tables.waves.c.users).where(tables.waves.c.name == "pilot"))
        tiers = dict(db.execute(sa.select(tables.users.c.tier, sa.func.count()).group_by(tables.users.c.tier)).all())
    tier = max(tiers, key=lambda name: tiers[name])

    assert preview(bakery.parts, Wanted(None, wave="pilot")).users["looked_at"] == pilot
    assert preview(bakery.parts, Wanted(None, tier=tier)).users["looked_at"] == tiers[tier]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(keys=("4711",)), "no user 4711"),
        (Wanted(tier="golden"), 'no user is in tier "golden"'),
        (Wanted(wave="pilot"), "there is no plan yet"),
    ],
)
def test_who_is_not_there_is_not_found(bakery: Bakery, wanted: Wanted, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        preview(bakery.parts, wanted)


def test_a_mapping_that_is_not_there_is_not_found(bakery: Bakery) -> None:
    with pytest.raises(NotFound, match='did you mean "accounts"'):
        preview(bakery.parts, EVERYBODY, mappings=["acounts"])


def test_mappings_that_do_not_fit_are_refused_with_all_mistakes(bakery: Bakery) -> None:
    text = ACCOUNTS.replace("from: name", "from: nmae").replace("from: status", "from: stauts")
    (bakery.folder / "mappings" / "accounts.yaml").write_text(text)
    with pytest.raises(MappingInvalid) as refused:
        preview(bakery.parts, EVERYBODY)

    assert "nmae" in str(refused.value) and "stauts" in str(refused.value)


MERGED = ACCOUNTS + "merge_duplicates: {match: [$email], keep: {oldest: id}}\n"


def test_users_who_merge_are_looked_at_together(bakery: Bakery) -> None:
    (bakery.folder / "mappings" / "accounts.yaml").write_text(MERGED)
    with bakery.legacy() as db:
        db.execute("update customer set email = 'c8@bakery.example' where id = 7")
    found = preview(bakery.parts, Wanted(keys=("8",)))

    assert found.users["looked_at"] == 2
    assert (found.mappings["accounts"]["new"], found.mappings["accounts"]["folded"]) == (1, 1)
    bakery.plan()
    everybody = preview(bakery.parts, EVERYBODY)
    waves.start(bakery.parts, "whole")
    bakery.run()
    assert told(everybody) == done(bakery)
