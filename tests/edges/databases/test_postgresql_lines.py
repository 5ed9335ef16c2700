"""What was added is held against what the server prints of it, at a glance; what cannot be told so is never said to stand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.edges.databases.frames import EXACT
from tests.edges.databases.places import Opened, PostgresqlPlace

SQL = """
create type mood as enum ('glad', 'so so');
create table things (
    id bigint primary key, note text, short varchar(12), price numeric(12, 2), weight numeric, many smallint, is_new boolean,
    born date, seen timestamp, at timestamptz, code uuid, mood mood, padded char(4)
);
"""
PLAIN: dict[str, tuple[Any, ...]] = {
    "note": ("a, \"b\" 'c'; é€😀\t", "", None, "N", "null", " a ", "%s %(x)s"),
    "short": ("x", None),
    "price": (Decimal("12.30"), Decimal("-0.01"), Decimal(7), None),
    "weight": (Decimal("0.000000000000000001"), Decimal(1200), Decimal("12.5")),
    "many": (-3, 0, None),
    "is_new": (True, False, None),
    "born": (date(1, 1, 1), date(9999, 12, 31)),
    "seen": tuple(
        datetime.fromisoformat(one)
        for one in ("2024-02-29T12:00:00.000120", "0001-01-01", "9999-12-31T23:59:59.999999")
    ),
    "at": (datetime(2024, 2, 29, 12, 0, 10, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
    "code": ("0f8fad5b-d9cb-469f-a165-70867728950e", None),
    "mood": ("glad", "so so"),
    "padded": ("abcd", "ab"),
}
TYPES = {"price": EXACT, "weight": EXACT}


@pytest.fixture
def opened(shared_url: str) -> Iterator[Opened]:
    opened = Opened(PostgresqlPlace(shared_url))
    yield opened
    opened.close()


def things(name: str, values: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame({"id": range(1, len(values) + 1), name: pl.Series(values, dtype=TYPES.get(name))})


@pytest.mark.parametrize("name", PLAIN)
def test_rows_stand_where_the_server_prints_them_as_they_were_given(opened: Opened, name: str) -> None:
    opened.place.run(SQL)
    rows = things(name, PLAIN[name])

    with opened.target().writing() as writer:
        writer.add("things", rows)
        stands = writer.stands("things")

    assert stands
    found = opened.place.ask(f"select {name} from things order by id")
    expected = [str(value) if name == "code" and value else value for value in PLAIN[name]]
    assert [str(value) if name == "code" and value else value for (value,) in found] == [
        f"{value:4}" if name == "padded" else value for value in expected
    ]


@pytest.mark.parametrize("note", ["\\", "\\N", "a\nb", "a\rb", "a\x1fb", "\\.", "\x1e", "\n"])
def test_what_means_something_to_the_server_arrives_all_the_same(opened: Opened, note: str) -> None:
    opened.place.run(SQL)

    with opened.target().writing() as writer:
        writer.add("things", pl.DataFrame({"id": [1, 2], "note": [note, None]}))

    assert opened.place.ask("select note from things order by id") == [(note,), (None,)]


@pytest.mark.parametrize(
    ("column", "value"), [("real", 0.1), ("jsonb", '{"b":1,"a":2}'), ("bytea", b"\x00a"), ("interval", "1 day")]
)
def test_kinds_that_the_server_prints_in_its_own_way_are_never_said_to_stand(
    opened: Opened, column: str, value: object
) -> None:
    opened.place.run(f"create table things (id bigint primary key, thing {column})")

    with opened.target().writing() as writer:
        writer.add("things", pl.DataFrame({"id": [1], "thing": [value]}))
        assert not writer.stands("things")
        assert writer.rows("things", pl.DataFrame({"id": [1]})).height == 1


@pytest.mark.parametrize(
    ("when", "does"),
    [
        ("before", "new.note := upper(new.note); return new;"),
        ("before", "if new.id = 2 then new.note := null; end if; return new;"),
        ("after", "update things set note = 'b' || note where id = new.id; return null;"),
        ("after", "delete from things where id = new.id + 1; return null;"),
        ("after", "if new.id = 2 then insert into things (id, note) values (9, 'x'); end if; return null;"),
    ],
)
def test_rows_that_a_trigger_changed_do_not_stand_as_they_were_given(opened: Opened, when: str, does: str) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    opened.place.run(
        f"create function meddle() returns trigger language plpgsql as $$ begin {does} end $$;"
        f"create trigger meddling {when} insert on things for each row execute function meddle();"
    )

    with opened.target().writing() as writer:
        writer.add("things", pl.DataFrame({"id": [3, 2], "note": ["", "b"]}))
        assert not writer.stands("things")


def test_a_number_that_the_column_rounds_does_not_stand(opened: Opened) -> None:
    opened.place.run("create table things (id bigint primary key, price numeric(12, 2), at timestamp(0))")
    row = {
        "id": [1],
        "price": pl.Series([Decimal("0.125")], dtype=EXACT),
        "at": [datetime.fromisoformat("2024-01-01T00:00:00.6")],
    }

    for names in (["id", "price"], ["id", "at"]):
        with opened.target().writing() as writer:
            writer.add("things", pl.DataFrame(row).select(names))
            assert not writer.stands("things")
            writer.remove("things", pl.DataFrame({"id": [1]}))


def test_a_table_that_more_was_done_to_is_not_said_to_stand(opened: Opened) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    one, other = pl.DataFrame({"id": [1], "note": ["a"]}), pl.DataFrame({"id": [2], "note": ["b"]})

    with opened.target().writing() as writer:
        assert not writer.stands("things")
        writer.add("things", one)
        assert writer.stands("things")
        writer.add("things", other)
        assert not writer.stands("things")
    with opened.target().writing() as writer:
        writer.add("things", other.with_columns(id=3))
        writer.write("things", one, ["id"])
        assert not writer.stands("things")


def test_rows_stand_also_where_the_server_found_room_for_them_out_of_order(opened: Opened) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    longer = pl.DataFrame({"id": range(500), "note": ["x" * (n * 37 % 900) for n in range(500)]})

    with opened.target().writing() as writer:
        writer.add("things", longer)
        assert writer.stands("things")


TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_any_text_arrives_as_it_was_given_whether_it_is_said_to_stand_or_not(opened: Opened) -> None:
    opened.place.run("create table things (id bigint primary key, note text)")
    target = opened.target()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(TEXTS, min_size=1))
    def arrive(notes: list[str | None]) -> None:
        opened.place.run("truncate things")
        with target.writing() as writer:
            writer.add("things", pl.DataFrame({"id": range(len(notes)), "note": pl.Series(notes, dtype=pl.String)}))
            writer.stands("things")
        assert opened.place.ask("select note from things order by id") == [(note,) for note in notes]

    arrive()
