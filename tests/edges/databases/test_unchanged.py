"""Whether rows that were read are still what they were: never said when they are not."""

from __future__ import annotations

import pytest

from migrator.edges.databases.base import Asked
from migrator.mapping.query import Query, Via
from tests.edges.databases.places import Opened

THINGS = Query("things", ("id", "name"))
WITH_OWNERS = Query("things", ("id",), via=Via("owners", (("id", "owner"),), (("site", "owners.site"),)))


@pytest.fixture
def filled(opened: Opened) -> Opened:
    opened.place.run("create table owners (id integer primary key, site varchar(20))")
    opened.place.run("create table things (id integer primary key, owner integer, name varchar(20))")
    opened.place.run("create table others (id integer primary key)")
    opened.place.run("insert into owners values (1, 'here')")
    opened.place.run("insert into things values (?, ?, ?)", (1, 1, "a"), (2, 1, "b"))
    return opened


def asked(opened: Opened, *queries: Query) -> tuple[list[Asked], str]:
    legacy = opened.legacy()
    mark = legacy.mark()
    with legacy.reading() as reader:
        return [(query, reader.select(query).height) for query in queries], mark


def unchanged(opened: Opened, seen: list[Asked], mark: str) -> bool:
    with opened.legacy().reading() as reader:
        return reader.unchanged(seen, mark)


@pytest.mark.parametrize(
    "change",
    [
        "update things set name = 'c' where id = 2",
        "update things set name = name where id = 2",
        "delete from things where id = 1",
        "insert into things values (3, 1, 'c')",
        "update owners set site = 'there'",
    ],
)
def test_a_change_of_rows_that_were_read_is_never_missed(filled: Opened, change: str) -> None:
    seen, mark = asked(filled, THINGS, WITH_OWNERS)

    filled.place.run(change)

    assert not unchanged(filled, seen, mark)


def test_what_others_write_elsewhere_changes_nothing_where_the_database_knows_who_wrote_a_row(filled: Opened) -> None:
    seen, mark = asked(filled, THINGS, WITH_OWNERS)

    filled.place.run("insert into others values (1)")

    assert unchanged(filled, seen, mark) is (filled.legacy().dialect == "postgresql")


def test_of_a_view_nobody_can_tell(filled: Opened) -> None:
    filled.place.run("create view seen as select id, name from things")
    seen, mark = asked(filled, Query("seen", ("id", "name")))

    assert not unchanged(filled, seen, mark)


def test_a_row_that_was_taken_away_and_put_back_counts_as_changed(filled: Opened) -> None:
    seen, mark = asked(filled, THINGS)

    filled.place.run("delete from things where id = 2")
    filled.place.run("insert into things values (2, 1, 'b')")

    assert not unchanged(filled, seen, mark)
