"""What only SQLite does: loose types, text that is no UTF-8, one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from migrator.edges.databases import connect
from migrator.edges.databases.sqlite_schema import kind_of
from migrator.errors import DatabaseRefused, Refused, SettingWrong
from migrator.mapping.query import Among, Query
from migrator.mapping.query import Test as Condition
from migrator.mapping.schema import Kind
from tests.edges.databases.places import Opened, SqlitePlace


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(SqlitePlace(tmp_path))
    yield opened
    opened.close()


def column_of(sqlite: Opened, declared: str, *values: object) -> pl.Series:
    sqlite.place.run(f"create table things (v {declared})")
    sqlite.place.run("insert into things values (?)", *((value,) for value in values))
    with sqlite.legacy().reading() as reader:
        return reader.select(Query("things", ("v",)))["v"]


@pytest.mark.parametrize(
    ("declared", "stored", "read"),
    [
        ("integer", [1, "x", 1.5, None], ["1", "x", "1.5", None]),
        ("integer", [1, 2**70 * 1.0], ["1", "1180591620717411300000"]),
        ("numeric(14, 4)", [1, 0.1, None], [Decimal(1), Decimal("0.1"), None]),
        ("numeric(14, 4)", [1.10, "n/a"], ["1.1", "n/a"]),
        ("numeric(14, 4)", [1, " 12 x"], ["1", " 12 x"]),
        ("real", [1e-3, 123456789012.25], [Decimal("0.001"), Decimal("123456789012.25")]),
        ("real", [float("inf")], ["Infinity"]),
        ("boolean", [0, 1, None], [False, True, None]),
        ("boolean", [0, 2], ["0", "2"]),
        ("boolean", [1, "yes"], ["1", "yes"]),
        ("timestamp", ["0000-00-00 00:00:00", "2011-12-10", "", 1323504000, None], ["0000-00-00 00:00:00", "2011-12-10", "", "1323504000", None]),
        ("text", ["a\x00b", b"raw", 5], ["a\x00b", "raw", "5"]),
        ("blob", [b"\xff", b""], [b"\xff", b""]),
        ("blob", [b"\xff", "text"], ["ÿ", "text"]),
        ("json", ['{"a": 1}', 5], ['{"a": 1}', "5"]),
        ("", ["a", 1, 2.50], ["a", "1", "2.5"]),
    ],
)  # fmt: skip
def test_a_column_with_a_value_that_does_not_fit_comes_as_canonical_text(
    sqlite: Opened, declared: str, stored: list[object], read: list[object]
) -> None:
    assert column_of(sqlite, declared, *stored).to_list() == read


def test_text_that_is_not_utf8_loses_no_byte(sqlite: Opened) -> None:
    sqlite.place.run("create table things (id integer, v text)")
    sqlite.place.run("insert into things values (1, cast(x'5ae9' as text)), (2, 'Zoë')")

    with sqlite.legacy().reading() as reader:
        mangled = reader.select(Query("things", ("v",), order=("id",)))["v"].to_list()

    assert mangled == ["Zé", "Zoë"]


def test_text_in_a_number_column_is_found_by_its_text_and_is_greater_than_no_number(sqlite: Opened) -> None:
    sqlite.place.run("create table things (id integer, n numeric)")
    sqlite.place.run("insert into things values (?, ?)", (7, 1), ("abc", "many"), ("a'b\x00c", 3))

    with sqlite.legacy().reading() as reader:
        found = reader.select(Query("things", ("id",), among=Among("id", pl.Series(["abc", "a'b\x00c", "07", " 7"]))))
        many = reader.count(Query("things", (), tests=(Condition("n", "gt", 0),)))

    assert sorted(found["id"]) == ["a'b\x00c", "abc"]
    assert many == 2


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("INT UNSIGNED", Kind.INTEGER), ("tinyint(1)", Kind.INTEGER), ("BIGINT(20)", Kind.INTEGER), ("VARCHAR(32)", Kind.TEXT),
        ("DOUBLE PRECISION", Kind.FLOAT), ("DECIMAL(10,2)", Kind.DECIMAL), ("TIMESTAMP", Kind.DATETIME), ("datetime(6)", Kind.DATETIME),
        ("timestamp with time zone", Kind.TIMESTAMP), ("MEDIUMTEXT", Kind.TEXT), ("longblob", Kind.BINARY), ("enum('a','b')", Kind.TEXT),
        ("POINT", Kind.OTHER), ("interval", Kind.OTHER), ("", Kind.OTHER), ("whatever", Kind.OTHER),
    ],
)  # fmt: skip
def test_declared_types_count(declared: str, kind: Kind) -> None:
    assert kind_of(declared) is kind


def test_names_in_foreign_keys_are_given_as_the_tables_spell_them(sqlite: Opened) -> None:
    sqlite.place.run("create table Accounts (Id integer primary key)")
    sqlite.place.run(
        "create table orders (no text primary key, account int references ACCOUNTS, gone int references nowhere (id))"
    )

    tables = sqlite.legacy().schema().tables

    [key] = tables["orders"].foreign_keys
    assert (key.table, key.references) == ("Accounts", ("Id",))
    assert tables["Accounts"].columns["Id"].has_default
    assert not tables["orders"].columns["no"].has_default


def test_a_partial_or_computed_index_is_no_key(sqlite: Opened) -> None:
    sqlite.place.run("create table things (a text, b text)")
    sqlite.place.run(
        "create unique index one on things (a) where b is null; create unique index two on things (lower(b))"
    )

    table = sqlite.legacy().schema().tables["things"]

    assert table.uniques == ()
    assert table.indexes == (("a",),)


def test_a_decimal_is_stored_as_a_number_and_a_boolean_as_one(sqlite: Opened) -> None:
    sqlite.place.run("create table things (total numeric(14, 4), ok boolean)")
    rows = pl.DataFrame(
        {"total": [Decimal("12.3400"), Decimal(3)], "ok": [True, False]}, schema_overrides={"total": pl.Decimal(38, 18)}
    )

    with sqlite.target().writing() as writer:
        writer.write("things", rows, [])

    assert sqlite.place.ask("select total, typeof(total), ok, typeof(ok) from things") == [
        (12.34, "real", 1, "integer"), (3, "integer", 0, "integer"),
    ]  # fmt: skip


def test_a_target_keeps_its_journal_beside_its_readers(sqlite: Opened) -> None:
    sqlite.target().prepare()

    assert sqlite.place.ask("pragma journal_mode") == [("wal",)]


def test_opening_a_legacy_file_does_not_change_it(sqlite: Opened, tmp_path: Path) -> None:
    sqlite.place.run("create table things (id integer)")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    database = sqlite.legacy()
    with database.reading() as reader:
        reader.rows("things", pl.DataFrame({"id": [1]}))
    database.close()

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_connection_is_clean_when_it_is_used_again(sqlite: Opened) -> None:
    sqlite.place.run("create table owners (id integer primary key)")
    sqlite.place.run(
        "create table pets (owner integer, foreign key (owner) references owners (id) deferrable initially deferred)"
    )
    database = sqlite.target()

    for _ in range(3):
        with pytest.raises(DatabaseRefused), database.writing() as writer:
            writer.write("pets", pl.DataFrame({"owner": [1]}), [])
        with database.writing() as writer:
            writer.remove("pets", pl.DataFrame({"owner": [1]}))

    assert sqlite.place.ask("select count(*) from pets") == [(0,)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are not the rows you are looking for" * 100)

    with pytest.raises(Refused, match="not an intact SQLite database"):
        connect(f"sqlite:///{file}", None, "legacy").schema()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense", "oracle://x", ""])
def test_a_url_that_cannot_be_used_is_wrong_input(url: str) -> None:
    with pytest.raises(SettingWrong, match=r"\[target\] url"):
        connect(url, None, "target")


def test_rows_in_generated_columns_are_read_and_not_written(sqlite: Opened) -> None:
    sqlite.place.run("create table things (id integer primary key, twice integer generated always as (id * 2) virtual)")

    with sqlite.target().writing() as writer:
        writer.write("things", pl.DataFrame({"id": [4]}), ["id"])
        assert writer.rows("things", pl.DataFrame({"id": [4]})).rows() == [(4, 8)]


def test_a_without_rowid_table_is_merged_and_emptied(sqlite: Opened) -> None:
    sqlite.place.run("create table things (a text, b integer, primary key (a, b)) without rowid")

    with sqlite.target().writing() as writer:
        writer.write("things", pl.DataFrame({"a": ["x", "x"], "b": [1, 2]}), ["a", "b"])
        assert writer.remove("things", pl.DataFrame({"a": ["x"], "b": [2]})) == 1

    assert sqlite.place.ask("select * from things") == [("x", 1)]


def test_the_library_is_new_enough_for_what_is_asked_of_it() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35)  # RETURNING


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (range(1, 40), [2, 3, 5]),
        (range(1, 40), list(range(5, 30))),
        (range(1, 40), [*range(5, 15), *range(16, 39), 99]),
        ([1, 2, 3, 50], [10, 11, 12, 13]),
        ([1, 11, 50], list(range(5, 30))),
        (range(-20, 20), [*range(-20, 0), *range(1, 20)]),
        ([-(2**63), -1, 0, 2**63 - 1], [-(2**63), 0, 2**63 - 1]),
        ([], [1, 2]),
    ],
)
def test_rows_are_found_by_their_number_however_close_the_numbers_lie(
    sqlite: Opened, there: list[int], asked: list[int]
) -> None:
    sqlite.place.run("create table things (id integer primary key, v integer)")
    sqlite.place.run("insert into things values (?, ?)", (0, "loose"), *((number, 7) for number in there if number))
    wanted = pl.DataFrame({"id": pl.Series(asked, dtype=pl.Int64)})

    with sqlite.legacy().reading() as reader:
        found = reader.rows("things", wanted)

    known = sorted({0, *there} & set(asked))
    assert sorted(found["id"].to_list()) == known
    assert found["v"].dtype == (pl.String if 0 in asked and 0 in known else pl.Int64)


def test_more_rows_than_one_statement_takes_are_written_and_read_whole(sqlite: Opened) -> None:
    sqlite.place.run("create table things (id text primary key, a text, b numeric, c timestamptz)")
    rows = pl.DataFrame({"id": range(2_345)}).select(
        pl.col("id").cast(pl.String),
        a=pl.when(pl.col("id") % 7 > 0).then(pl.format("text {}", "id")),
        b=pl.col("id").cast(pl.Decimal(38, 18)) / 4,
        c=pl.from_epoch("id").cast(pl.Datetime("us", "UTC")),
    )

    with sqlite.target().writing() as writer:
        writer.write("things", rows, ["id"])
        writer.write("things", rows, ["id"])
        back = writer.rows("things", rows.select("id"))

    stored = sqlite.place.ask("select count(*), count(a), sum(b), min(c), max(c) from things")
    assert stored == [(2_345, 2_010, 687_085.0, "1970-01-01 00:00:00+00:00", "1970-01-01 00:39:04+00:00")]
    assert back.sort(pl.col("id").cast(pl.Int64))["a"].equals(rows["a"])


def test_a_wide_table_takes_fewer_rows_by_one_statement(sqlite: Opened) -> None:
    names = [f"v{number}" for number in range(1_500)]
    sqlite.place.run(f"create table things (id integer primary key, {', '.join(names)})")
    rows = pl.DataFrame({"id": range(200), **{name: [name] * 200 for name in names}})

    with sqlite.target().writing() as writer:
        writer.write("things", rows, ["id"])
        assert writer.rows("things", rows.select("id")).sort("id").equals(rows)


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("integer", [1, 2, 3, 4, 5]),
        ("integer", [1, 2, None, "x", 5]),
        ("integer", [None, None, 7]),
        ("numeric(14, 4)", [1, 0.1, "n/a", 2.50, "003"]),
        ("numeric(14, 4)", [1, 0.1, 2**60, 2.5, None]),
        ("boolean", [0, 1, 2, None, 1]),
        ("text", ["a", None, 5, b"raw", "é"]),
        ("blob", [b"a", "b", None]),
    ],
)
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_column_reads_alike_however_many_rows_are_read_at_once(
    sqlite: Opened, monkeypatch: pytest.MonkeyPatch, declared: str, stored: list[object], at_once: int
) -> None:
    whole = column_of(sqlite, declared, *stored)
    monkeypatch.setattr("migrator.edges.databases.sqlite_fetching._TUPLES_AT_ONCE", 1)
    monkeypatch.setattr("migrator.edges.databases.sqlite_fetching._ROWS_AT_ONCE", at_once)
    monkeypatch.setattr("migrator.edges.databases.sqlite_packed.ROWS_AT_MOST", 0)

    with sqlite.legacy().reading() as reader:
        lots = reader.select(Query("things", ("v",)))["v"]

    assert lots.dtype == whole.dtype
    assert lots.to_list() == whole.to_list()


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("integer", [1, None, -(2**63), 2**63 - 1]),
        ("integer", [1, 2.5, "x", None, 2**53 + 1]),
        ("text", ["", "null", "[1,2]", '{"a": 1}', '"', "\\", "\n\t\x01\x7f\u2028", "a\0b", "😀", None]),
        ("text", ["a", None, 5, b"raw", "é"]),
        ("any", [1, "1", 1.5, None]),
        ("numeric(14, 4)", [1, 0.1, -0.0, -2.5, 99999.9999, 123.45, None]),
        ("numeric(14, 4)", [0.1, 0.30000000000000004]),
        ("numeric(14, 4)", [0.1, 1 / 3, 1e300, -1e300]),
        ("numeric(14, 4)", [0.5, 2**53 + 1]),
        ("numeric(14, 4)", [10.0**11, 2.0**60, 12345678901.1234]),
        ("numeric(14, 4)", [0.5, "n/a", ""]),
        ("numeric(14, 4)", [float("inf"), 1]),
        ("numeric", [0.00001, 0.1]),
        ("numeric(10)", [3, 3.14, 3.141592653589793]),
        ("numeric(20, 10)", [0.1234567891, 3]),
        ("boolean", [0, 1, None]),
        ("boolean", [0, 1, 1.0, 0.5]),
        ("datetime", ["2024-01-01 00:00:00", 2460310.5, 1704067200]),
    ],
)
def test_a_column_reads_alike_packed_or_row_by_row(
    sqlite: Opened, monkeypatch: pytest.MonkeyPatch, declared: str, stored: list[object]
) -> None:
    packed = column_of(sqlite, declared, *stored)
    monkeypatch.setattr("migrator.edges.databases.sqlite_packed.ROWS_AT_MOST", -1)

    with sqlite.legacy().reading() as reader:
        by_rows = reader.select(Query("things", ("v",)))["v"]

    assert packed.dtype == by_rows.dtype
    assert packed.to_list() == by_rows.to_list()


def test_json_that_a_view_or_a_generated_column_makes_stays_text(sqlite: Opened) -> None:
    sqlite.place.run("create table things (id integer primary key, v text, made text as (json_array(v)))")
    sqlite.place.run("insert into things (id, v) values (1, 'a')")
    sqlite.place.run("create view seen as select id, json_object('v', v) as said, json('null') as empty from things")

    with sqlite.legacy().reading() as reader:
        assert reader.select(Query("things", ("made",)))["made"].to_list() == ['["a"]']
        assert reader.select(Query("seen", ("said", "empty"))).rows() == [('{"v":"a"}', "null")]


def test_what_is_asked_for_is_found_whatever_is_in_it(sqlite: Opened) -> None:
    keys = ["1", "01", "null", "", '"', "\\", "a\nb", "a\0b", "a", "é", "😀", "[]"]
    sqlite.place.run("create table things (id integer primary key, v text)")
    sqlite.place.run("insert into things (v) values (?)", *((key,) for key in keys))

    with sqlite.legacy().reading() as reader:
        for key in keys:
            for asked in ([key], [key, "other"], [key, "other\0"]):
                among = Among("v", pl.Series(asked, dtype=pl.String))
                assert reader.select(Query("things", ("v",), among=among))["v"].to_list() == [key]
