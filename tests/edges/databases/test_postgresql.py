"""What only PostgreSQL does: schemas, its own types, locks between sessions, a server that goes away."""

from __future__ import annotations

import time
from collections.abc import Iterator

import polars as pl
import psycopg
import pytest

from migrator.edges.databases import connect, postgresql
from migrator.edges.databases.base import Claim
from migrator.errors import DatabaseRefused, Fenced, InDoubt, Refused, SettingWrong, Transient, Unreachable
from migrator.mapping.query import Among, Query
from migrator.mapping.query import Test as Condition
from migrator.mapping.schema import Kind
from tests.edges.databases.places import Opened, PostgresqlPlace

SHOP = """
drop schema if exists "My Shop" cascade; create schema "My Shop"; set search_path = "My Shop", public;
create type mood as enum ('good', 'it''s bad');
create domain percent as numeric(5, 2) check (value <= 100);
create table people (
    id bigint generated always as identity primary key, feeling mood not null default 'good', share percent, ip inet,
    doc jsonb, tags text[], small smallint, code char(4), span interval, price real,
    loud text generated always as (upper(code)) stored);
create table public.people (id integer primary key);
create table public.elsewhere (id integer primary key);
create table pets (id serial primary key, owner bigint references people (id), other int references public.elsewhere (id));
create unique index on pets (owner) where other is null;
"""


@pytest.fixture
def opened(shared_url: str) -> Iterator[Opened]:
    opened = Opened(PostgresqlPlace(shared_url))
    yield opened
    opened.close()


def test_its_own_types_have_their_kinds(opened: Opened) -> None:
    opened.place.run(SHOP)

    tables = opened.target("My Shop").schema().tables

    people, pets = tables["people"], tables["pets"]
    assert {name: column.kind for name, column in people.columns.items()} == {
        "id": Kind.INTEGER, "feeling": Kind.ENUM, "share": Kind.DECIMAL, "ip": Kind.INET, "doc": Kind.JSON, "tags": Kind.OTHER,
        "small": Kind.INTEGER, "code": Kind.TEXT, "span": Kind.OTHER, "price": Kind.FLOAT, "loud": Kind.TEXT,
    }  # fmt: skip
    assert people.columns["feeling"].values == ("good", "it's bad")
    assert (people.columns["id"].has_default, people.columns["id"].bits, people.columns["small"].bits) == (True, 64, 16)
    assert people.columns["loud"].generated
    assert pets.columns["id"].has_default
    assert sorted(key.table for key in pets.foreign_keys) == ["people", "public.elsewhere"]
    assert pets.uniques == ()


def test_the_parts_of_a_partitioned_table_are_no_tables_of_their_own(opened: Opened) -> None:
    opened.place.run("""
        create table sales (id int, at date, primary key (id, at)) partition by range (at);
        create table sales_2023 partition of sales for values from ('2023-01-01') to ('2024-01-01');
        create table sales_later partition of sales default;
        insert into sales values (1, '2023-05-05'), (2, '2024-05-05');
    """)

    assert set(opened.legacy().schema().tables) == {"sales"}
    with opened.legacy().reading() as reader:
        assert reader.look("sales")["id"].rows == 2


def test_lint_looks_at_numbers_of_any_size(opened: Opened) -> None:
    opened.place.run("""
        create table sizes (id int primary key, ratio double precision, total numeric);
        insert into sizes values (1, 1e300, 1e200), (2, '-Infinity', 1e-30), (3, 'NaN', 'NaN');
    """)

    with opened.legacy().reading() as reader:
        seen = reader.look("sizes")

    assert (seen["ratio"].filled, seen["ratio"].digits) == (3, 0)
    assert (seen["total"].filled, seen["total"].digits) == (3, 18)


def test_only_the_named_schema_is_read_and_written(opened: Opened) -> None:
    opened.place.run(SHOP)
    database = opened.target("My Shop")
    database.prepare()
    claim = Claim(1, 1, "move", "h")
    people = pl.DataFrame(
        {"id": [7, 8], "feeling": ["it's bad", "good"], "doc": ['{"b":1,"a":null}', None], "code": ["DE", "AT"]}
    )

    with database.writing() as writer:
        writer.fence(claim)
        writer.take(claim, pl.DataFrame({"user_key": ["7"], "generation": [1]}))
        writer.write("people", people, ["id"])
        by_enum = writer.select(Query("people", ("id",), among=Among("feeling", pl.Series(["it's bad", "so so"]))))
        found = writer.rows("people", pl.DataFrame({"id": ["7"], "code": ["DE"]}))

    assert by_enum["id"].to_list() == [7]
    assert found.select("id", "feeling", "doc", "code", "loud").row(0) == (
        7,
        "it's bad",
        '{"a": null, "b": 1}',
        "DE",
        "DE",
    )
    assert opened.place.ask('select count(*) from "My Shop".migrator_ledger') == [(1,)]
    assert opened.place.ask("select count(*) from public.people") == [(0,)]


def test_values_are_printed_alike_whatever_the_server_prefers(opened: Opened) -> None:
    opened.place.run(
        "create table things (at timestamptz, raw bytea, ratio real, span interval, tags text[], code char(4))"
    )
    opened.place.run(
        "insert into things values ('2011-12-10 00:00+02', '\\x00ff', 0.1, '1 day 2 hours', '{a,null,\"b c\"}', 'x ')"
    )
    opened.place.run(
        "do $$begin execute format('alter database %I set timezone = ''Asia/Shanghai''', current_database());"
        "execute format('alter database %I set datestyle = ''German''', current_database());"
        "execute format('alter database %I set bytea_output = ''escape''', current_database()); end$$"
    )
    try:
        with opened.target().reading() as reader:
            [row] = reader.select(Query("things", ("at", "raw", "ratio", "span", "tags", "code"))).rows()
    finally:
        opened.place.run("do $$begin execute format('alter database %I reset all', current_database()); end$$")

    assert [str(value) for value in row] == [
        "2011-12-09 22:00:00+00", str(b"\x00\xff"), "0.100000000000000000", "1 day 02:00:00", '{a,NULL,"b c"}', "x",
    ]  # fmt: skip


def test_a_number_literal_meets_columns_of_any_number_type(opened: Opened) -> None:
    opened.place.run("create table things (a smallint, b numeric, c real, d date)")
    opened.place.run("insert into things values (1, 1.5, 1.5, '2011-12-10')")
    tests = (
        Condition("a", "lt", 10**12),
        Condition("b", "gt", 1),
        Condition("c", "eq", 1.5),
        Condition("d", "lte", "2011-12-10"),
    )

    with opened.target().reading() as reader:
        assert reader.count(Query("things", (), tests=tests)) == 1


@pytest.mark.parametrize(
    ("value", "kind"), [("a\x00b", "a character that the database does not hold"), ("longer than ten", "length")]
)
def test_text_that_it_cannot_hold_is_refused_without_being_told(opened: Opened, value: str, kind: str) -> None:
    opened.place.run("create table things (name varchar(10))")

    with pytest.raises(DatabaseRefused) as told, opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"name": [value]}), [])

    assert (told.value.kind, told.value.table) == (kind, "things")
    assert value not in str(told.value)


def test_one_key_twice_in_one_write_is_refused(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")

    with pytest.raises(DatabaseRefused, match="one row twice"), opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1, 1]}), ["id"])


def test_a_lock_is_not_waited_for_longer_than_a_lease_lives(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql.SESSION, "lock_timeout", "50ms")
    database = opened.target()
    database.prepare()
    claim = Claim(1, 1, "move", "h")

    with database.writing() as first:
        first.fence(claim)
        with pytest.raises(Transient, match="55P03"), database.writing() as second:
            second.fence(Claim(1, 2, "move", "h"))


def test_a_zombie_that_wakes_after_its_successor_has_committed_is_fenced(opened: Opened) -> None:
    database = opened.target()
    database.prepare()

    with pytest.raises(Fenced), database.writing() as zombie:
        zombie.ledger(["u"])  # its transaction is open and has read
        with database.writing() as successor:
            successor.fence(Claim(1, 2, "move", "h"))
        zombie.fence(Claim(1, 1, "move", "h"))


def test_locked_rows_wait_for_the_end_of_the_transaction(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key, name text)")
    opened.place.run("insert into things values (1, 'a')")

    with opened.target().writing() as writer:
        writer.lock("things", pl.DataFrame({"id": [1]}))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            opened.place.run("set lock_timeout = '50ms'; update things set name = 'b'")


def test_a_connection_that_is_lost_is_unreachable_and_in_doubt_only_at_commit(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    database = opened.target()
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'migrator'"

    with pytest.raises(Unreachable), database.writing() as writer:
        opened.place.ask(end)
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
    with pytest.raises(InDoubt), database.writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
        opened.place.ask(end)
    with database.writing() as writer:  # the pool has noticed
        writer.write("things", pl.DataFrame({"id": [2]}), ["id"])

    assert opened.place.ask("select id from things") == [(2,)]


def test_who_writes_may_not_rest_long_and_who_reads_may(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.place.run("create table things (id integer primary key)")
    monkeypatch.setitem(postgresql.WRITING, "idle_in_transaction_session_timeout", "100ms")
    database, row = opened.target(), pl.DataFrame({"id": [1]})

    with pytest.raises(Transient, match="idle for too long"), database.writing() as writer:
        time.sleep(0.5)
        writer.write("things", row, ["id"])
    with database.reading() as reader:
        time.sleep(0.5)
        assert reader.rows("things", row).height == 0


def test_a_right_that_is_missing_is_said_and_not_taken_for_bad_data(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    opened.place.run("drop role if exists guest")
    opened.place.run("create role guest login; grant usage on schema public to guest")
    guest = opened.target(url=opened.place.url.replace("postgres@", "guest@"))
    try:
        with pytest.raises(Refused, match="permission denied for table things"), guest.writing() as writer:
            writer.remove("things", pl.DataFrame({"id": [1]}))
    finally:
        opened.place.run("drop owned by guest; drop role guest")


def test_without_its_driver_the_setting_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "psycopg", None)

    with pytest.raises(SettingWrong, match=r"migrator\[postgresql\]"):
        connect("postgresql://localhost/x", None, "legacy")


def test_a_database_that_does_not_exist_is_unreachable(opened: Opened) -> None:
    url = opened.place.url.replace("/test_", "/missing_")

    with pytest.raises(Unreachable, match="missing_"):
        connect(url, None, "legacy").ping()
