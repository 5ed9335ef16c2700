"""The journal is one chain, whoever writes into it; it refuses to be changed, and what is said of a person can go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import exc

from migrator.errors import Refused
from migrator.store import chain, journal
from migrator.store.chain import Break, Entry, Head
from migrator.store.control import Control, _alembic
from migrator.store.tables import journal as table
from tests.flows.memory import KEY, NOW, a_control, a_control_on


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """A control database of its own, whose journal is empty."""
    if request.param == "sqlite":
        control = a_control(tmp_path)
    else:
        control = a_control_on(request.getfixturevalue("postgresql"))
    yield control
    control.close()


def write(control: Control, *events: str) -> None:
    """One transaction with an entry per event."""
    with control.write() as db:
        for event in events:
            journal.add(db, NOW, "ada", event, "wave", "pilot", users=["1", "2"], moved=2, share=0.25, why="ä\u2028'")


def walked(control: Control) -> list[Head | Break]:
    """What a check of the whole journal says."""
    with control.read() as db:
        return list(chain.check(KEY.sign, journal.entries(db), journal.head(db), emptied_by=journal.EMPTIED))


def test_entries_follow_one_another_and_the_head_names_the_last(fresh: Control) -> None:
    write(fresh, "start", "pause")
    write(fresh, "resume")

    found = walked(fresh)
    with fresh.read() as db:
        entries, head = list(journal.entries(db)), journal.head(db)

    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.prev for entry in entries] == ["", entries[0].hash, entries[1].hash]
    assert found == [entry.head for entry in entries]
    assert head == entries[-1].head


def test_what_was_undone_leaves_no_gap(fresh: Control) -> None:
    write(fresh, "start")
    with pytest.raises(ZeroDivisionError), fresh.write() as db:
        journal.add(db, NOW, "ada", "pause", "wave", "pilot")
        raise ZeroDivisionError
    write(fresh, "resume")

    assert [one.seq for one in walked(fresh) if isinstance(one, Head)] == [1, 2]


def test_several_who_write_at_once_write_one_chain(fresh: Control) -> None:
    def at_work() -> None:
        for turn in range(15):
            try:
                write(fresh, "move", "split")
                with fresh.write() as db:
                    journal.add(db, NOW, "ada", "pause", "wave", "pilot")
                    if turn % 3 == 0:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue

    threads = [threading.Thread(target=at_work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = walked(fresh)
    assert [one.seq for one in found if isinstance(one, Head)] == list(range(1, 4 * (15 * 2 + 10) + 1))


def test_the_head_is_not_held_while_a_batch_is_recorded(postgresql: object) -> None:
    control = Control(postgresql.url())  # type: ignore[attr-defined]
    control.sign = KEY.sign
    control.upgrade()

    with control.write() as slow:
        journal.add(slow, NOW, "worker", "move", "batch", 1)
        write(control, "pause")  # would wait for ever for the head, were it taken when the entry is added

    with control.read() as db:
        assert [entry.event for entry in journal.entries(db)] == ["pause", "move"]
    control.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update journal set actor = 'eve' where seq = 1",
        "update journal set detail = '{}', ref = '' where seq = 1",
        "update journal set detail = '{}', ref = '', digest = null, salt = null, actor = 'eve' where seq = 1",
        "delete from journal where seq = 2",
        "delete from journal",
    ],
)
def test_an_entry_can_be_neither_changed_nor_deleted(fresh: Control, statement: str) -> None:
    write(fresh, "start", "pause")

    with pytest.raises(exc.DBAPIError, match="append-only"), fresh.engine.begin() as db:
        db.exec_driver_sql(statement)

    assert [one.seq for one in walked(fresh) if isinstance(one, Head)] == [1, 2]


def test_an_entry_cannot_be_replaced_nor_all_be_emptied_at_once(fresh: Control) -> None:
    write(fresh, "start", "pause")
    replaced = "insert or replace into journal select * from journal where seq = 1"
    statement = replaced if fresh.dialect == "sqlite" else "truncate journal"

    with pytest.raises(exc.DBAPIError, match="append-only"), fresh.engine.begin() as db:
        db.exec_driver_sql(statement)


def test_it_is_known_whether_the_database_still_refuses(fresh: Control) -> None:
    with fresh.read() as db:
        before = journal.guarded(db)
    with fresh.engine.begin() as db:
        on = "" if fresh.dialect == "sqlite" else " on journal"
        db.exec_driver_sql(f"drop trigger journal_no_edit{on}")
    with fresh.read() as db:
        after = journal.guarded(db)

    assert (before, after) == (True, False)


def test_what_is_said_of_a_person_can_be_taken_out_and_the_chain_holds(fresh: Control) -> None:
    with fresh.write() as db:
        journal.add(db, NOW, "ada", "exclude", "user", "4711", reason="moved away")
        journal.add(db, NOW, "ada", "exclude", "user", "4712", reason="stays")
        journal.add(db, NOW, "ada", "roll back", "user", "4711", users=["4711"])

    with fresh.write() as db:
        count = journal.empty(db, NOW, "pat", "4711", why="asked for it")

    with fresh.read() as db:
        entries = list(journal.entries(db))
    assert count == 2
    assert not any(isinstance(one, Break) for one in walked(fresh))
    assert [entry.emptied for entry in entries] == [True, False, True, False]
    assert "4711" not in repr(entries)
    assert json.loads(entries[3].detail) == {"entries": [1, 3], "reason": "asked for it"}


def test_an_entry_that_somebody_emptied_quietly_is_found(fresh: Control) -> None:
    write(fresh, "start", "pause")
    with fresh.engine.begin() as db:
        db.execute(sa.update(table).where(table.c.seq == 1).values(ref="", detail={}, digest=None, salt=None))

    found = walked(fresh)

    assert found[-1] == Break(1, "edited", "entry 1 was emptied, and no entry says that it was to be")


def test_nothing_is_written_without_the_key_or_without_the_head(tmp_path: Path) -> None:
    control = a_control(tmp_path)
    control.sign = None
    with pytest.raises(Refused, match="without the project key"):
        write(control, "start")
    control.sign = KEY.sign
    with control.engine.begin() as db:
        db.exec_driver_sql("delete from journal_head")

    with pytest.raises(Refused, match=r"lost its head.*audit verify"):
        write(control, "start")
    assert walked(control) == [Break(0, "head wrong", "the row that names the last entry is missing")]
    control.close()


def test_an_address_in_a_reason_is_masked(fresh: Control) -> None:
    with fresh.write() as db:
        journal.add(
            db, NOW, "ada", "exclude", "user", "7", reason="Ann <ann@shop.example> asked", sent=[{"to": "b@c.de"}]
        )

    with fresh.read() as db:
        assert journal.latest(db, 1)[0]["detail"] == {"reason": "Ann <(address)> asked", "sent": [{"to": "(address)"}]}


def test_only_what_is_worth_it_is_told_to_the_witness_and_only_after_its_commit(fresh: Control) -> None:
    told: list[tuple[Head, str]] = []
    fresh.witness = lambda head, why: told.append((head, why))

    write(fresh, "start")
    write(fresh, "approve")
    with pytest.raises(ZeroDivisionError), fresh.write() as db:
        journal.add(db, NOW, "ada", "approve", "plan", 2)
        raise ZeroDivisionError

    with fresh.read() as db:
        assert told == [(journal.head(db), "approve wave pilot")]


def test_a_journal_from_before_the_chain_is_chained_by_the_upgrade(fresh: Control) -> None:
    _downgrade(fresh)
    with fresh.engine.begin() as db:
        for seq, detail in ((3, '{"moved": 2}'), (7, '{"why":"ä"}'), (8, "{}")):
            digest = "'d1'" if seq == 3 else "null"
            db.exec_driver_sql(
                "insert into journal (seq, at, actor, event, noun, ref, detail, digest) values "
                f"({seq}, '2030-01-01 10:00:00', 'ada', 'move', 'batch', '{seq}', '{detail}', {digest})"
            )

    with pytest.raises(Refused, match="3 entries that are to be chained, and the project key is missing"):
        fresh.upgrade()
    fresh.upgrade(KEY.sign)
    write(fresh, "start")

    with fresh.read() as db:
        entries = list(journal.entries(db))
    assert not any(isinstance(one, Break) for one in walked(fresh))
    assert [(entry.seq, entry.event, entry.ref) for entry in entries] == [
        (1, "move", "3"), (2, "move", "7"), (3, "move", "8"), (4, "chain", "3"), (5, "start", "pilot"),
    ]  # fmt: skip
    assert [json.loads(entry.detail) for entry in entries[:3]] == [{"moved": 2}, {"why": "ä"}, {}]
    assert entries[0].digest == "d1"
    assert entries[0].at.isoformat() == "2030-01-01T10:00:00+00:00"


def test_entries_are_found_by_what_is_asked_of_them(fresh: Control) -> None:
    with fresh.write() as db:
        journal.add(db, NOW, "ada", "start", "wave", "pilot")
        journal.add(db, NOW, "worker", "move", "batch", 1, wave="pilot", moved=3)
        journal.add(db, NOW, "worker", "move", "batch", 2, wave="core", moved=3)
        journal.add(db, NOW.replace(year=2031), "ada", "exclude", "user", "4711")

    def found(limit: int | None = None, **asked: object) -> list[int]:
        with fresh.read() as db:
            return [entry["seq"] for entry in journal.select(db, journal.Asked(**asked), limit=limit)]  # type: ignore[arg-type]

    assert found() == [1, 2, 3, 4]
    assert found(limit=2) == [3, 4]
    assert found(wave="pilot") == [1, 2]
    assert found(user="4711") == [4]
    assert found(actor="ada", event="start") == [1]
    assert found(since=NOW.replace(year=2031)) == [4]
    assert found(event="never", limit=1) == []


def test_a_length_stands_before_each_field_so_that_none_moves_into_the_next() -> None:
    one = chain.add(KEY.sign, Head(), Entry(0, NOW, "ab", "c", "wave", "pilot", "{}"))
    other = Entry(**{**{name: getattr(one, name) for name in one.__slots__}, "actor": "a", "event": "bc"})

    found = list(chain.check(KEY.sign, [other], other.head, emptied_by=journal.EMPTIED))

    assert [type(each) for each in found] == [Break]


def _downgrade(control: Control) -> None:
    """As it was before the journal was chained."""
    with control.write() as db:
        command.downgrade(_alembic(db, None), "0007")
