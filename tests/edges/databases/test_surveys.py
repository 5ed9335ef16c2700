"""What lint asks of the data is answered alike by every database."""

from __future__ import annotations

import pytest

from migrator.edges.databases import surveys
from migrator.mapping.facts import Listed, Seen
from tests.edges.databases.places import Opened

THINGS = """
create table things (
    id integer primary key, kind varchar(20), price numeric(10, 4), blank varchar(10), same varchar(10), big bigint,
    status varchar(10) check (status in ('new', 'it''s done')))
"""
ROWS = [
    (1, "tea", "2.50", None, "x", 7, "new"),
    (2, "tea", "10.1250", None, "x", -9_000_000_000, "new"),
    (3, "Größe", "3", None, "x", None, "it's done"),
    (4, None, None, None, "x", 0, None),
]


def filled(opened: Opened) -> None:
    opened.place.run(THINGS)
    opened.place.run("insert into things values (?, ?, ?, ?, ?, ?, ?)", *ROWS)


def test_a_look_says_how_much_how_long_and_how_large(opened: Opened) -> None:
    filled(opened)

    with opened.legacy().reading() as reader:
        seen = reader.look("things")

    assert seen["kind"] == Seen(4, whole=True, filled=3, longest=5)
    assert seen["price"] == Seen(4, whole=True, filled=3, least="2.5", greatest="10.125", digits=4)
    assert seen["blank"] == Seen(4, whole=True, filled=0)
    assert seen["same"] == Seen(4, whole=True, filled=4, constant=True, same="x", longest=1)
    assert seen["big"] == Seen(4, whole=True, filled=3, least="-9000000000", greatest="7")


def test_few_values_are_listed_and_many_are_not(opened: Opened) -> None:
    filled(opened)
    opened.place.run("create table many (id integer primary key)")
    opened.place.run("insert into many values (?)", *((number,) for number in range(60)))

    with opened.legacy().reading() as reader:
        assert reader.values("things", "kind") == Listed({"tea": 2, "Größe": 1})
        assert reader.values("things", "big") == Listed({"-9000000000": 1, "0": 1, "7": 1})
        assert reader.values("things", "blank") == Listed({})
        assert reader.values("many", "id") == Listed({}, more=True)


def test_it_knows_whether_values_come_twice(opened: Opened) -> None:
    filled(opened)

    with opened.legacy().reading() as reader:
        assert reader.repeated("things", ("kind",))
        assert not reader.repeated("things", ("kind", "price"))
        assert not reader.repeated("things", ("big",))


def test_of_a_large_table_both_ends_are_looked_at(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.place.run("create table log (id integer primary key, size integer)")
    opened.place.run("insert into log values (?, ?)", *((number, number) for number in range(100)))
    monkeypatch.setattr(surveys, "MOST_ROWS", 10)

    with opened.legacy().reading() as reader:
        size = reader.look("log")["size"]
        listed = reader.values("log", "size")

    assert size == Seen(10, whole=False, filled=10, least="0", greatest="99")
    assert sorted(map(int, listed.counts)) == [0, 1, 2, 3, 4, 95, 96, 97, 98, 99]


def test_the_values_of_a_check_are_part_of_the_schema(opened: Opened) -> None:
    filled(opened)

    assert opened.legacy().schema().tables["things"].columns["status"].allowed == ("new", "it's done")
