"""New rows in PostgreSQL: references are looked up together where that is as safe, and rows are found where they lie."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import psycopg
import pytest

from migrator.errors import DatabaseRefused
from tests.edges.databases.places import Opened, PostgresqlPlace

SHOP = """
create table people (id bigint primary key, boss bigint references people (id), name text);
create table orders (id bigint primary key, person bigint not null references people (id), note text);
"""
PEOPLE = pl.DataFrame({"id": [1, 2, 3], "boss": [None, 1, 2], "name": ["Ann", "Bo", 'C"\\,é']})
ORDERS = pl.DataFrame({"id": [10, 11, 12], "person": [1, 2, 2], "note": ["a", None, ""]})
LOCKED = "select count(*) from people where xmax::text <> '0'"  # a lookup of the server's leaves its lock in the row


@pytest.fixture
def opened(shared_url: str) -> Iterator[Opened]:
    opened = Opened(PostgresqlPlace(shared_url))
    yield opened
    opened.close()


def test_references_to_rows_of_the_same_transaction_are_not_asked_for_one_by_one(opened: Opened) -> None:
    opened.place.run(SHOP)

    with opened.target().writing() as writer:
        writer.add("people", PEOPLE)
        writer.add("orders", ORDERS)

    assert opened.place.ask("select id, boss, name from people order by id") == list(PEOPLE.iter_rows())
    assert opened.place.ask("select id, person, note from orders order by id") == list(ORDERS.iter_rows())
    assert opened.place.ask(LOCKED) == [(0,)]


@pytest.mark.parametrize("orders", [ORDERS, pl.DataFrame({"id": [10, 11, 12], "person": [1, 2, 4]})])
def test_a_reference_to_nothing_is_refused_by_the_name_of_its_constraint(opened: Opened, orders: pl.DataFrame) -> None:
    opened.place.run(SHOP)

    with pytest.raises(DatabaseRefused) as told, opened.target().writing() as writer:
        if orders is not ORDERS:
            writer.add("people", PEOPLE)
        writer.add("orders", orders)

    assert (told.value.kind, told.value.table, told.value.constraint) == (
        "foreign key", "orders", "orders_person_fkey",
    )  # fmt: skip
    assert opened.place.ask("select count(*) from orders") == [(0,)]


def test_a_table_may_point_at_its_own_rows_but_not_at_rows_that_it_has_not(opened: Opened) -> None:
    opened.place.run(SHOP)

    with pytest.raises(DatabaseRefused, match="foreign key"), opened.target().writing() as writer:
        writer.add("people", PEOPLE.with_columns(boss=pl.Series([None, 1, 9])))

    assert opened.place.ask("select count(*) from people") == [(0,)]


def test_rows_pointed_at_that_were_there_before_stay_until_we_end(opened: Opened) -> None:
    opened.place.run(SHOP)
    opened.place.run("insert into people values (1, null, 'Ann'), (2, 1, 'Bo')")

    with opened.target().writing() as writer:
        writer.add("orders", ORDERS)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            opened.place.run("set lock_timeout = '50ms'; delete from people where id = 2")
        opened.place.run("set lock_timeout = '50ms'; update people set name = 'Bob' where id = 2")  # its key stays

    assert opened.place.ask("select count(*) from orders") == [(3,)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_triggers_of_the_application_fire(opened: Opened, when: str) -> None:
    opened.place.run(SHOP)
    opened.place.run("create table seen (id bigint)")
    opened.place.run("""
        create function note() returns trigger language plpgsql as $$
        begin insert into seen values (new.id); return new; end $$
    """)
    opened.place.run(f"create trigger noting {when} insert on orders for each row execute function note()")

    with opened.target().writing() as writer:
        writer.add("people", PEOPLE)
        writer.add("orders", ORDERS)

    assert opened.place.ask("select id from seen order by id") == [(10,), (11,), (12,)]


def test_triggers_that_are_off_or_for_replicas_only_stay_silent(opened: Opened) -> None:
    opened.place.run(SHOP)
    opened.place.run("""
        create function refuse() returns trigger language plpgsql as $$ begin raise 'not here'; end $$;
        create trigger off before insert on orders for each row execute function refuse();
        create trigger far before insert on orders for each row execute function refuse();
        alter table orders disable trigger off;
        alter table orders enable replica trigger far;
    """)

    with opened.target().writing() as writer:
        writer.add("people", PEOPLE)
        writer.add("orders", ORDERS)

    assert opened.place.ask("select count(*) from orders") == [(3,)]


@pytest.mark.parametrize(
    ("constraint", "kind"),
    [
        ("unique (note) deferrable initially deferred", "unique"),
        ("foreign key (person) references people (id) deferrable initially deferred", "foreign key"),
        ("foreign key (person, other) references pairs (a, b) match full", "foreign key"),
        ("check (id < 12)", "check"),
        ("exclude using btree (note with =)", "exclusion"),
    ],
)
def test_what_else_a_table_demands_is_demanded(opened: Opened, constraint: str, kind: str) -> None:
    opened.place.run("create table people (id bigint primary key)")
    opened.place.run("create table pairs (a bigint, b bigint, primary key (a, b))")
    opened.place.run(
        f"create table orders (id bigint primary key, person bigint, other bigint, note text, {constraint})"
    )
    orders = pl.DataFrame({"id": [10, 11, 12], "person": [1, 1, 1], "note": ["a", "a", "b"]})

    with pytest.raises(DatabaseRefused, match=kind), opened.target().writing() as writer:
        writer.add("orders", orders)


def test_half_a_reference_of_two_columns_is_none_and_a_whole_one_is_held_against_both(opened: Opened) -> None:
    opened.place.run("""
        create table pairs (a bigint, b text, primary key (a, b));
        create table things (id bigint primary key, a bigint, b text, foreign key (a, b) references pairs (a, b));
    """)
    pairs = pl.DataFrame({"a": [1, 1], "b": ["x", "y"]})
    things = pl.DataFrame({"id": [1, 2, 3], "a": [1, None, 7], "b": ["y", "z", None]})

    with opened.target().writing() as writer:
        writer.add("pairs", pairs)
        writer.add("things", things)
    with pytest.raises(DatabaseRefused, match="foreign key"), opened.target().writing() as writer:
        writer.add("things", pl.DataFrame({"id": [4], "a": [1], "b": ["z"]}))

    assert opened.place.ask("select count(*) from things") == [(3,)]


def test_a_reference_that_a_default_fills_in_is_looked_up(opened: Opened) -> None:
    opened.place.run("create table people (id bigint primary key)")
    opened.place.run("create table orders (id bigint primary key, person bigint default 5 references people (id))")

    with pytest.raises(DatabaseRefused, match="foreign key"), opened.target().writing() as writer:
        writer.add("orders", pl.DataFrame({"id": [1]}))


def test_a_row_that_was_added_and_removed_again_is_not_taken_for_there(opened: Opened) -> None:
    opened.place.run(SHOP)

    with pytest.raises(DatabaseRefused, match="foreign key"), opened.target().writing() as writer:
        writer.add("people", PEOPLE)
        writer.remove("people", pl.DataFrame({"id": [3, 2]}))
        writer.add("orders", ORDERS)


def test_an_account_that_may_not_spare_lookups_adds_rows_all_the_same(opened: Opened) -> None:
    opened.place.run(SHOP)
    opened.place.run("drop role if exists guest")
    opened.place.run("create role guest login; grant usage on schema public to guest")
    opened.place.run("grant all on people, orders to guest")
    guest = opened.target(url=opened.place.url.replace("postgres@", "guest@"))
    try:
        with guest.writing() as writer:
            writer.add("people", PEOPLE)
            writer.add("orders", ORDERS)
        with pytest.raises(DatabaseRefused, match="foreign key"), guest.writing() as writer:
            writer.add("orders", pl.DataFrame({"id": [20], "person": [99]}))
        assert opened.place.ask(LOCKED) == [(2,)]  # bosses and buyers, by the server itself
    finally:
        guest.close()
        opened.place.run("drop owned by guest; drop role guest")


def test_the_session_is_as_it_was_when_rows_have_been_added(opened: Opened) -> None:
    opened.place.run(SHOP)
    opened.place.run("""
        create table seen (id bigint);
        create function note() returns trigger language plpgsql as $$
        begin insert into seen values (new.id); return new; end $$;
        create table plain (id bigint primary key);
        create trigger noting after insert on plain for each row execute function note();
    """)

    with opened.target().writing() as writer:
        writer.add("people", PEOPLE)
        writer.write("plain", pl.DataFrame({"id": [1]}), ["id"])

    assert opened.place.ask("select id from seen") == [(1,)]


@pytest.mark.parametrize("before", ["", "gaps", "others", "ours"])
def test_rows_that_were_added_are_read_back_all_and_only_they(opened: Opened, before: str) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    opened.place.run("insert into things select n, repeat('x', 100) from generate_series(1, 3000) n")
    rows = pl.DataFrame({"id": range(10_000, 12_000), "note": ["y" * 90] * 2000})
    if before == "gaps":  # room at the front: the rows lie in several places
        with psycopg.connect(opened.place.url, autocommit=True) as connection:
            connection.execute("delete from things where id % 3 = 0")
            connection.execute("vacuum things")
    target = opened.target()

    with target.writing() as writer:
        if before == "ours":
            writer.write("things", pl.DataFrame({"id": [9000], "note": ["merged"]}), ["id"])
        writer.add("things", rows[:1000])
        if before == "others":
            opened.place.run("insert into things select n, repeat('z', 100) from generate_series(20000, 21000) n")
        writer.add("things", rows[1000:])
        found = writer.rows("things", rows.select("id"))
        some = writer.rows("things", pl.DataFrame({"id": [10_001, 1, 77_777]}))

    assert found.sort("id").equals(rows)
    assert sorted(some["id"].to_list()) == [1, 10_001]


def test_what_a_trigger_made_of_added_rows_is_what_is_read_back(opened: Opened) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    opened.place.run("""
        create function shout() returns trigger language plpgsql as $$
        begin update things set note = upper(note) where id = new.id; return null; end $$;
        create trigger shouting after insert on things for each row execute function shout();
    """)

    with opened.target().writing() as writer:
        writer.add("things", pl.DataFrame({"id": [1, 2], "note": ["a", "b"]}))
        found = writer.rows("things", pl.DataFrame({"id": [1, 2]}))

    assert sorted(found.iter_rows()) == [(1, "A"), (2, "B")]
