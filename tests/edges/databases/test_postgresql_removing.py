"""Rows taken out of PostgreSQL: who points at them is looked for together where that is as safe as the server's own way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import polars as pl
import psycopg
import pytest

from migrator.errors import DatabaseRefused
from tests.edges.databases.places import Opened, PostgresqlPlace

SHOP = """
create table people (id bigint primary key, boss bigint references people (id), name text);
create table orders (id bigint primary key, person bigint not null references people (id), note text);
insert into people values (1, null, 'Ann'), (2, 1, 'Bo'), (3, 2, 'Cy');
insert into orders values (10, 1, 'a'), (11, 2, null);
"""
ALL = pl.DataFrame({"id": [1, 2, 3]})


@pytest.fixture
def opened(shared_url: str) -> Iterator[Opened]:
    opened = Opened(PostgresqlPlace(shared_url))
    yield opened
    opened.close()


def _looked_up_by_the_server(opened: Opened) -> bool:
    with opened.target().writing() as writer:
        return not writer._pointers(writer.schema.tables["people"])  # type: ignore[attr-defined]


def test_rows_are_given_as_they_stood_there_and_are_gone(opened: Opened) -> None:
    opened.place.run(SHOP)

    with opened.target().writing() as writer:
        writer.take_out("orders", pl.DataFrame({"id": [10, 11]}))
        taken = writer.take_out("people", ALL)

    assert sorted(taken.rows()) == [(1, None, "Ann"), (2, 1, "Bo"), (3, 2, "Cy")]
    assert opened.place.ask("select count(*) from people") == [(0,)]
    assert not _looked_up_by_the_server(opened)


@pytest.mark.parametrize("keys", [[2, 3], [1]])
def test_what_somebody_points_at_is_refused_by_the_name_of_the_constraint(opened: Opened, keys: list[int]) -> None:
    opened.place.run(SHOP)
    opened.place.run("delete from orders where person = 1")

    with pytest.raises(DatabaseRefused) as told, opened.target().writing() as writer:
        writer.take_out("people", pl.DataFrame({"id": keys}))

    wanted = "orders_person_fkey" if 2 in keys else "people_boss_fkey"
    assert (told.value.kind, told.value.constraint) == ("foreign key", wanted)
    assert opened.place.ask("select count(*) from people") == [(3,)]


@pytest.mark.parametrize("follows", ["cascade", "set null", "restrict"])
def test_nothing_follows_a_removed_row_that_nobody_looked_at(opened: Opened, follows: str) -> None:
    opened.place.run(SHOP)
    opened.place.run(f"create table notes (person bigint references people (id) on delete {follows})")
    opened.place.run("insert into notes values (3)")

    with pytest.raises(DatabaseRefused, match="notes_person_fkey"), opened.target().writing() as writer:
        writer.take_out("people", pl.DataFrame({"id": [3]}))

    assert opened.place.ask("select person from notes") == [(3,)]


def test_who_adds_a_pointer_meanwhile_is_waited_for_and_seen(opened: Opened) -> None:
    opened.place.run(SHOP)
    with psycopg.connect(opened.place.url.replace("+psycopg", "")) as other:
        other.execute("insert into orders values (12, 3, 'just now')")
        found = list[BaseException]()

        def take_out() -> None:
            try:
                with opened.target().writing() as writer:
                    writer.take_out("people", pl.DataFrame({"id": [3]}))
            except DatabaseRefused as refused:
                found.append(refused)

        waiting = threading.Thread(target=take_out)
        waiting.start()
        while not opened.place.ask("select 1 from pg_locks where not granted"):
            time.sleep(0.02)
        other.commit()
        waiting.join(30)

    assert [str(one) for one in found] == [
        "the database refused the rows: foreign key orders_person_fkey of people (23503)"
    ]
    assert opened.place.ask("select person from orders where id = 12") == [(3,)]


def test_who_comes_with_a_pointer_afterwards_is_refused(opened: Opened) -> None:
    opened.place.run(SHOP)
    found = list[Any]()

    def point() -> None:
        try:
            opened.place.run("insert into orders values (12, 3, 'too late')")
        except psycopg.errors.ForeignKeyViolation as refused:
            found.append(refused)

    with opened.target().writing() as writer:
        writer.take_out("people", pl.DataFrame({"id": [3]}))
        waiting = threading.Thread(target=point)
        waiting.start()
        while not opened.place.ask("select 1 from pg_locks where not granted"):
            time.sleep(0.02)
    waiting.join(30)

    assert len(found) == 1
    assert opened.place.ask("select count(*) from orders") == [(2,)]


@pytest.mark.parametrize(
    "trouble",
    [
        (
            "create function note() returns trigger language plpgsql as $$ begin return old; end $$;"
            "create trigger noting before delete on people for each row execute function note()"
        ),
        "create table older () inherits (people)",
        "create table notes (person bigint references people (id) deferrable)",
        (
            "drop schema if exists elsewhere cascade; create schema elsewhere;"
            "create table elsewhere.notes (person bigint references people (id))"
        ),
    ],
    ids=["trigger", "heirs", "deferrable", "another schema"],
)
def test_where_more_hangs_on_a_table_the_server_looks_for_itself(opened: Opened, trouble: str) -> None:
    opened.place.run(SHOP)
    opened.place.run(trouble)

    assert _looked_up_by_the_server(opened)
    with opened.target().writing() as writer:
        assert writer.take_out("people", pl.DataFrame({"id": [3]})).height == 1


def test_an_account_that_may_not_spare_lookups_takes_rows_out_all_the_same(opened: Opened) -> None:
    opened.place.run(SHOP)
    opened.place.run("drop role if exists guest")
    opened.place.run(
        "create role guest login; grant usage on schema public to guest; grant all on people, orders to guest"
    )
    guest = opened.target(url=opened.place.url.replace("postgres@", "guest@"))
    try:
        with guest.writing() as writer:
            assert writer.take_out("people", pl.DataFrame({"id": [3]})).height == 1
        with pytest.raises(DatabaseRefused, match="orders_person_fkey"), guest.writing() as writer:
            writer.take_out("people", pl.DataFrame({"id": [2]}))
    finally:
        guest.close()
        opened.place.run("drop owned by guest; drop role guest")


def test_the_session_is_as_it_was_when_rows_have_been_taken_out(opened: Opened) -> None:
    opened.place.run(SHOP)

    with pytest.raises(DatabaseRefused, match="orders_person_fkey"), opened.target().writing() as writer:
        writer.take_out("people", pl.DataFrame({"id": [3]}))
        writer.remove("people", pl.DataFrame({"id": [2]}))

    assert opened.place.ask("select count(*) from people") == [(3,)]
