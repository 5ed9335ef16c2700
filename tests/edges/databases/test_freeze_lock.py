"""Rows of users who are frozen cannot be written in legacy, whoever tries, and for no moment longer than was said."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from migrator.edges.databases import freeze_lock
from migrator.edges.databases.freeze_lock import FreezeLock
from migrator.edges.databases.lock_scripts import REFUSAL
from migrator.mapping.trodden import Trail
from tests.edges.databases.places import Opened

TABLES = (
    """create table "buyer's" (id integer primary key, name varchar(40))""",
    'create table "order" (id integer primary key, buyer integer, total integer)',
    "create table line (id integer primary key, order_id integer, what varchar(20))",
    "create table sort (id integer primary key, name varchar(40))",
)
TRAILS = {
    "buyer's": (Trail("id", "users"),),
    "order": (Trail("buyer", "users"),),
    "line": (Trail("order_id", "users", (("order", "id", "buyer"),)),),
    "sort": (),
}
LONG = timedelta(minutes=5)
REFUSED = "read-only for a moment"


@pytest.fixture
def lock(opened: Opened) -> Iterator[FreezeLock]:
    """That of a small shop whose names need quotes, with two buyers and what they bought; nobody is frozen."""
    for table in TABLES:
        opened.run(table)
    for number in (1, 2):
        opened.run(f"""insert into "buyer's" values ({number}, 'Ann')""")
        opened.run(f"""insert into "order" values ({number}0, {number}, 5)""")
        opened.run(f"insert into line values ({number}00, {number}0, 'rye')")
    found = FreezeLock(opened.place.url, None, "legacy")
    found.install(TRAILS)
    yield found
    found.close()


WRITES = [
    """update "buyer's" set name = 'Bea' where id = 1""",
    """delete from "order" where id = 10""",
    """insert into "order" values (11, 1, 7)""",
    """update "order" set buyer = 1 where id = 20""",
    """update "order" set buyer = 2 where id = 10""",
    "update line set what = 'roll' where id = 100",
    "insert into line values (101, 10, 'bun')",
    "update line set order_id = 20 where id = 100",
]


def test_no_row_of_a_frozen_user_is_written_and_every_row_of_others(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", LONG)

    for write in WRITES:
        with pytest.raises(Exception, match=REFUSED) as refused:
            opened.run(write)
        assert "Ann" not in str(refused.value)

    for write in (
        """update "buyer's" set name = 'Bea' where id = 2""",
        """insert into "order" values (21, 2, 7)""",
        "update line set what = 'roll' where id = 200",
        "insert into sort values (1, 'rye')",
    ):
        opened.run(write)


def test_after_the_freeze_everything_is_written_again(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1"), ("users", "2")], "cutover 1", LONG)

    lock.unlock([("users", "1")], "cutover 1")

    opened.run(WRITES[0])
    with pytest.raises(Exception, match=REFUSED):
        opened.run("""update "buyer's" set name = 'Bea' where id = 2""")


def test_a_freeze_that_nobody_ends_ends_by_itself_by_the_clock_of_the_database(
    opened: Opened, lock: FreezeLock
) -> None:
    lock.lock([("users", "1")], "cutover 1", timedelta(seconds=1.5))
    with pytest.raises(Exception, match=REFUSED):
        opened.run(WRITES[0])

    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            opened.run(WRITES[0])
            break
        except (psycopg.Error, pymysql.Error, sqlite3.Error) as still:
            assert REFUSED in str(still)
            time.sleep(0.1)
    else:
        raise AssertionError("it never ended")

    lock.lock([("users", "2")], "cutover 1", LONG)
    assert [str(key) for (key,) in _asked(opened, "select user_key from migrator_frozen")] == ["2"], (
        "who was over is gone"
    )


def _asked(opened: Opened, sql: str) -> list[tuple[str, ...]]:
    return [
        tuple(value.decode() if isinstance(value, bytes) else value for value in row) for row in opened.place.ask(sql)
    ]


def test_who_is_frozen_again_is_frozen_until_the_later_end(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", timedelta(seconds=0.2))
    lock.lock([("users", "1")], "cutover 1", LONG)
    time.sleep(0.3)

    with pytest.raises(Exception, match=REFUSED):
        opened.run(WRITES[0])


def test_who_was_locked_by_somebody_else_meanwhile_stays_locked(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", LONG)
    lock.lock([("users", "1")], "cutover 2", LONG)

    lock.unlock([("users", "1")], "cutover 1")

    with pytest.raises(Exception, match=REFUSED):
        opened.run(WRITES[0])


def test_keys_of_other_people_are_other_people(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("staff", "1")], "cutover 1", LONG)

    for write in WRITES:
        opened.run(write)


def test_many_are_frozen_at_once_and_keys_are_what_they_are(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", str(number)) for number in range(2, 1000)] + [("users", "a%'\\ü")], "cutover 1", LONG)

    opened.run(WRITES[0])
    with pytest.raises(Exception, match=REFUSED):
        opened.run("""insert into "buyer's" values (999, 'Cid')""")


def test_one_transaction_may_be_let_through_and_nobody_beside_it(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", LONG)
    engine = lock._place.engine

    with engine.begin() as db, freeze_lock.lifted(db, lock._place.schema, [("users", "1")]):
        db.exec_driver_sql(opened.quoted(WRITES[0]))
        db.exec_driver_sql("update line set what = 'carried' where id = 100")

    assert opened.place.ask("select what from line where id = 100") == [("carried",)]
    with pytest.raises(Exception, match=REFUSED):
        opened.run(WRITES[0])


def test_it_may_be_put_in_twice_and_is_taken_out_whole(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", LONG)

    lock.install(TRAILS)
    with pytest.raises(Exception, match=REFUSED):
        opened.run(WRITES[0])
    lock.install(TRAILS, drop=True)

    assert not lock.installed()
    for write in WRITES:
        opened.run(write)


def test_the_script_is_what_is_installed_and_holds_nothing_of_the_rows(opened: Opened, lock: FreezeLock) -> None:
    text = lock.script(TRAILS)

    assert text.count("BEFORE") >= 3 and "migrator_frozen" in text and REFUSAL in text
    assert "total" not in text
    assert "DROP TABLE" in lock.script(TRAILS, drop=True)


@pytest.mark.parametrize("opened", ["postgresql"], indirect=True)
def test_a_table_cannot_be_emptied_while_somebody_is_frozen(opened: Opened, lock: FreezeLock) -> None:
    lock.lock([("users", "1")], "cutover 1", LONG)

    with pytest.raises(psycopg.Error, match=REFUSED):
        opened.run('truncate "order"')


@pytest.mark.parametrize("opened", ["postgresql"], indirect=True)
def test_an_account_that_only_reads_needs_rights_on_that_one_table_alone(opened: Opened, lock: FreezeLock) -> None:
    opened.place.run("do $$ begin create role only_locks login; exception when duplicate_object then null; end $$")
    opened.place.run("alter role only_locks set default_transaction_read_only = on")
    opened.place.run("grant usage on schema public to only_locks")
    opened.place.run("grant select, insert, delete on migrator_frozen to only_locks")
    url = sa.make_url(opened.place.url).set(username="only_locks").render_as_string(False)
    theirs = FreezeLock(url, None, "legacy")

    theirs.lock([("users", "1")], "cutover 1", LONG)
    theirs.close()

    with pytest.raises(psycopg.Error, match=REFUSED):
        opened.run(WRITES[0])
