"""What only MySQL and MariaDB do: collations, their own types, engines without transactions, keys that meet any key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import polars as pl
import pymysql
import pytest
import sqlalchemy as sa

from migrator.edges.databases import connect, mysql, mysql_cursor, mysql_keys
from migrator.edges.databases.base import Claim
from migrator.errors import DatabaseRefused, Fenced, InDoubt, Refused, SettingWrong, Transient, Unreachable
from migrator.mapping.query import Among, Query, Via
from migrator.mapping.schema import Column, Kind
from tests.edges.databases.places import MariadbPlace, Opened

THINGS = """create table things (
    id bigint unsigned auto_increment primary key, tiny tinyint(1), small smallint unsigned, middle mediumint, padded int(6) zerofill,
    born year, flag bit(1), mask bit(64), price decimal(20, 4) unsigned, ratio float, rate double(10, 2), kind enum('a', 'it''s'),
    tags set('x', 'y'), at datetime(3), moment timestamp(6) null, day date, span time(1), doc json, uid uuid, ip inet6,
    place point, raw binary(4), bytes varbinary(20), old varchar(20) character set latin1, loud varchar(20) as (upper(old)) stored,
    sized int check (sized in (1, 2)))"""
ROW = (
    "insert into things (id, tiny, small, middle, padded, born, flag, mask, price, ratio, rate, kind, tags, at, moment, day,"
    " span, doc, uid, ip, place, raw, bytes, old, sized) values (?, 2, 65535, -8388608, 42, 2011, true, 18446744073709551615,"
    " '1234567890123456.7890', 0.1, 0.5, 'it''s', 'x,y', '2011-12-10 08:00:00.5', '2011-12-10 08:00:00.000120', '0000-00-00',"
    " '-838:59:59', '{\"a\": 1.10}', '6f9619ff-8b86-d011-b42d-00c04fc964ff', '::1', point(1, 2), ?, ?, 'Zoë ', 1)"
)


@pytest.fixture
def opened(shared_mysql_url: str) -> Iterator[Opened]:
    opened = Opened(MariadbPlace(shared_mysql_url))
    yield opened
    opened.close()


def run(opened: Opened, *statements: str) -> None:
    """In its own words, which the suite's translation would spoil."""
    assert isinstance(opened.place, MariadbPlace)
    with opened.place.connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def test_its_own_types_have_their_kinds(opened: Opened) -> None:
    run(opened, THINGS)

    table = opened.legacy().schema().tables["things"]
    columns = table.columns

    assert {name: column.kind for name, column in columns.items()} == {
        "id": Kind.INTEGER, "tiny": Kind.INTEGER, "small": Kind.INTEGER, "middle": Kind.INTEGER, "padded": Kind.INTEGER,
        "born": Kind.INTEGER, "flag": Kind.BOOLEAN, "mask": Kind.INTEGER, "price": Kind.DECIMAL, "ratio": Kind.FLOAT,
        "rate": Kind.FLOAT, "kind": Kind.ENUM, "tags": Kind.OTHER, "at": Kind.DATETIME, "moment": Kind.TIMESTAMP,
        "day": Kind.DATE, "span": Kind.TIME, "doc": Kind.JSON, "uid": Kind.UUID, "ip": Kind.INET, "place": Kind.BINARY,
        "raw": Kind.BINARY, "bytes": Kind.BINARY, "old": Kind.TEXT, "loud": Kind.TEXT, "sized": Kind.INTEGER,
    }  # fmt: skip
    assert {name for name, column in columns.items() if column.unsigned} == {"id", "small", "padded", "born", "mask"}
    assert [columns[name].bits for name in ("id", "tiny", "small", "middle", "mask")] == [64, 8, 16, 24, 64]
    assert [columns[name].scale for name in ("price", "at", "moment", "span")] == [4, 3, None, 1]
    assert columns["kind"].values == ("a", "it's")
    assert (columns["old"].collation, columns["old"].length) == ("latin1_swedish_ci", 20)
    assert columns["loud"].generated
    assert [name for name, column in columns.items() if column.has_default] == ["id"]
    assert columns["sized"].allowed == ("1", "2")
    assert table.transactional


def test_every_value_is_read_whole_and_goes_back_exactly(opened: Opened) -> None:
    run(opened, THINGS)
    opened.place.run(ROW, (2**63 + 1, b"\x00\xff", b"\x00\x00"))
    run(
        opened,
        "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
        "insert into things (id, at, day) values (0, '0000-00-00 00:00:00', '2011-02-31')",
    )
    database = opened.target()
    known = database.schema().tables["things"]
    settable = [name for name, column in known.columns.items() if not column.generated]

    with database.writing() as writer:
        rows = writer.select(Query("things", tuple(known.columns), order=("id",)))
        removed = writer.remove("things", rows.select("id"))
        writer.write("things", rows.select(settable), ["id"])
        again = writer.select(Query("things", tuple(known.columns), order=("id",)))

    assert removed == 2
    assert again.equals(rows, null_equal=True)
    found = {name: rows[name].cast(pl.String)[1] for name in rows.columns if rows[name].dtype != pl.Binary}
    assert found == {
        "id": "9223372036854775809", "tiny": "2", "small": "65535", "middle": "-8388608", "padded": "42", "born": "2011",
        "flag": "true", "mask": "18446744073709551615", "price": "1234567890123456.789000000000000000",
        "ratio": "0.100000000000000000", "rate": "0.500000000000000000", "kind": "it's", "tags": "x,y",
        "at": "2011-12-10 08:00:00.5", "moment": "2011-12-10 08:00:00.00012+00", "day": "0000-00-00", "span": "-838:59:59",
        "doc": '{"a": 1.10}', "uid": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "ip": "::1", "old": "Zoë ", "loud": "ZOË ",
        "sized": "1",
    }  # fmt: skip
    assert (rows["raw"][1], rows["bytes"][1]) == (b"\x00\xff\x00\x00", b"\x00\x00")
    assert (rows["id"][0], rows["at"][0], rows["day"][0]) == ("0", "0000-00-00 00:00:00", "2011-02-31")


def test_rows_are_read_piece_by_piece_to_the_last(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_cursor, "ROWS_AT_ONCE", 2)
    run(opened, "create table things (id int primary key)", "insert into things values (1), (2), (3), (4), (5)")

    with opened.legacy().reading() as reader:
        for count in range(6):
            assert reader.rows("things", pl.DataFrame({"id": range(1, count + 1)})).height == count


def test_an_error_in_the_middle_of_the_rows_is_told_and_the_connection_goes_on(opened: Opened) -> None:
    run(
        opened,
        "create table things (id int primary key)",
        "insert into things select seq from seq_1_to_3000",
        "create view late as select id, if(id < 2999, 1, (select id from things)) as bad from things",
    )
    database = opened.legacy()

    with pytest.raises(Refused, match=r"refused a statement: \w+ \(1242\)"), database.reading() as reader:
        reader.select(Query("late", ("id", "bad")))

    with database.reading() as reader:
        assert reader.count(Query("late", ())) == 3000
        assert reader.select(Query("things", ("id",), order=("id",)))["id"].to_list() == list(range(1, 3001))


def test_a_stream_that_breaks_off_is_unreachable_and_its_connection_is_not_used_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(opened, "create table things (id int primary key)", "insert into things values (1), (2)")
    database = opened.legacy()
    database.schema()

    with monkeypatch.context() as broken, pytest.raises(Unreachable, match="was lost"), database.reading() as reader:
        broken.setattr(mysql_cursor, "ROWS_AT_ONCE", 1)
        broken.setattr(mysql_cursor.Packets, "values", _cut_off)
        reader.select(Query("things", ("id",)))

    with database.reading() as reader:
        assert reader.select(Query("things", ("id",)))["id"].to_list() == [1, 2]


def _cut_off(*_: object) -> list[bytes | None]:
    raise ConnectionResetError


def test_what_stands_in_a_statement_is_never_taken_for_a_part_of_it(opened: Opened) -> None:
    run(
        opened,
        "create table `a``b%s` (id int primary key, `100%` longtext, `n` int unsigned, f double, d decimal(9, 2))",
    )
    texts = [
        "'; drop table x; --",
        "\\",
        "\\'",
        '"',
        "%s %% %(a)s",
        "\0\n\r\x1a\t",
        "🐘 Ωß",
        "",
        None,
        "NULL",
        "x" * 70_000,
    ]
    rows = pl.DataFrame(
        {
            "id": range(-1, len(texts) - 1),
            "100%": texts,
            "n": ["4294967295", "0", *["7"] * (len(texts) - 2)],
            "f": [12500000000.5, -0.1, None, *[1.5] * (len(texts) - 3)],
            "d": pl.Series([None, "-0.10", *["12.00"] * (len(texts) - 2)]).cast(pl.Decimal(38, 18)),
        }
    )
    database = opened.target()

    with database.writing() as writer:
        writer.write("a`b%s", rows, ["id"])
        writer.write("a`b%s", rows, ["id"])
        back = writer.rows("a`b%s", rows.select("id")).sort("id")

    assert back["100%"].to_list() == texts
    assert back["n"].to_list()[:2] == [4294967295, 0]
    assert back["f"].cast(pl.Float64).to_list()[:3] == [12500000000.5, -0.1, None]
    assert back["d"].cast(pl.String).to_list()[:2] == [None, "-0.100000000000000000"]


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "utf8mb3", "latin2"])
def test_text_is_matched_to_the_last_character_whatever_its_collation(opened: Opened, charset: str) -> None:
    run(
        opened,
        f"create table things (k varchar(20) character set {charset}, id int, primary key (k, id))",
        "insert into things values ('Anna', 1), ('anna', 2), ('anna ', 3), ('änna', 4)",
    )
    asked = pl.Series(["anna", "ANNA", "Änna", "änna", "anna  ", "🐘", "Ω"])

    with opened.legacy().reading() as reader:
        among = reader.select(Query("things", ("k",), among=Among("k", asked)))["k"].to_list()
        rows = reader.rows("things", pl.DataFrame({"k": asked, "id": [2, 1, 4, 4, 3, 1, 1]}))["k"].to_list()
        distinct = reader.select(Query("things", ("k",), distinct=True, order=("k",)))["k"].to_list()
        totals = reader.totals(Query("things", ()), "k", ["id"]).sort("id")

    assert sorted(among) == sorted(rows) == ["anna", "änna"]
    assert distinct == ["Anna", "anna", "anna ", "änna"]
    assert totals["k"].to_list() == ["Anna", "anna", "anna ", "änna"]


def test_a_join_by_text_is_as_exact_and_a_number_is_no_text_that_begins_with_it(opened: Opened) -> None:
    run(
        opened,
        "create table people (name varchar(20) collate utf8mb4_unicode_ci, no int)",
        "create table notes (owner varchar(20), about varchar(20))",
        "insert into people values ('anna', 12), ('Anna', 13)",
        "insert into notes values ('anna', '12'), ('ANNA', '12x'), ('anna ', '13')",
    )

    with opened.legacy().reading() as reader:
        by_name = reader.select(Query("notes", ("about",), via=Via("people", (("name", "owner"),), (("no", "no"),))))
        by_no = reader.select(Query("notes", ("about",), via=Via("people", (("no", "about"),), (("no", "no"),))))

    assert by_name.rows() == [("12", 12)]
    assert sorted(by_no.rows()) == [("12", 12), ("13", 13)]


def test_keys_of_text_are_found_by_their_index(opened: Opened) -> None:
    run(opened, "create table things (k varchar(20) primary key, n int)")
    run(opened, "insert into things select concat('key ', seq), seq from seq_1_to_5000")
    things = sa.table("things", sa.column("k"), sa.column("n"))
    declared = Column("k", Kind.TEXT, collation="utf8mb4_general_ci")
    held = mysql_keys.among(things.c.k, declared, pl.Series([f"key {n}" for n in range(50)]))
    engine = sa.create_engine(sa.make_url(opened.place.url).set(drivername="mysql+pymysql"), paramstyle="format")

    with engine.connect() as connection:
        asked = sa.select(things.c.n).where(held).compile(dialect=engine.dialect).construct_expanded_state()
        [plan] = connection.exec_driver_sql(f"explain {asked.statement}", tuple(asked.positional_parameters)).mappings()
    engine.dispose()

    assert (plan["type"], plan["key"], int(plan["rows"])) == ("range", "PRIMARY", 50)


def test_another_row_with_the_same_unique_value_refuses_ours_and_is_not_overwritten(opened: Opened) -> None:
    run(opened, "create table things (id int primary key, email varchar(50) unique, name varchar(20))")
    run(opened, "insert into things values (1, 'secret@x.org', 'theirs')")

    with pytest.raises(DatabaseRefused, match="unique email of things") as told, opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"id": [2], "email": ["SECRET@x.org"], "name": ["ours"]}), ["id"])

    assert "secret" not in str(told.value).lower()
    assert opened.place.ask("select * from things") == [(1, "secret@x.org", "theirs")]


def test_one_key_twice_in_one_write_is_refused(opened: Opened) -> None:
    run(opened, "create table things (id int primary key)")

    with pytest.raises(DatabaseRefused, match="one row twice"), opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1, 1]}), ["id"])


@pytest.mark.parametrize(
    ("declared", "value", "kind"),
    [
        ("varchar(5)", "too long", "length"),
        ("tinyint", 1000, "number out of range"),
        ("enum('a')", "secret", "a value that the column does not hold"),
        ("datetime", "2011-13-45 00:00:00", "date or time"),
        ("varchar(20) character set latin1", "Ω secret", "text that is not of the type"),
        ("int not null", None, "not null"),
    ],
)
def test_nothing_is_cut_off_or_bent_to_fit(opened: Opened, declared: str, value: object, kind: str) -> None:
    run(opened, f"create table things (v {declared})")

    with pytest.raises(DatabaseRefused) as told, opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"v": [value]}), [])

    assert (told.value.kind, told.value.constraint, told.value.table) == (kind, "v", "things")
    assert value is None or str(value) not in str(told.value)


@pytest.mark.parametrize("null", ["null", "not null"])
def test_rows_that_point_at_each_other_come_and_go_in_any_order(opened: Opened, null: str) -> None:
    run(
        opened,
        f"create table nodes (id int primary key, parent int {null}, name varchar(9),"
        " foreign key (parent) references nodes (id))",
        "insert into nodes values (5, 5, 'root')",
    )
    nodes = pl.DataFrame({"id": [1, 2, 3, 4], "parent": [5, 1, 1, 2], "name": ["a", "b", "c", "d"]}).sort("parent")

    with opened.target().writing() as writer:
        writer.write("nodes", nodes.reverse(), ["id"])
        writer.write("nodes", nodes.with_columns(name=pl.lit("x")), ["id"])
        assert writer.rows("nodes", nodes.select("id")).sort("id").rows() == [
            (1, 5, "x"), (2, 1, "x"), (3, 1, "x"), (4, 2, "x")
        ]  # fmt: skip
        assert writer.remove("nodes", nodes.select("id")) == 4


def test_a_table_without_transactions_is_never_written(opened: Opened) -> None:
    run(opened, "create table things (id int primary key) engine=MyISAM")
    target = opened.target()

    with pytest.raises(Refused, match=r"things .* ENGINE=InnoDB"), target.writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
    assert not target.schema().tables["things"].transactional
    assert [one.said for one in target.concerns()] == ["no transactions in things: they are never written"]
    assert "as of one moment" in opened.legacy().concerns()[0].said


def test_more_than_one_statement_takes_is_written_in_several(opened: Opened) -> None:
    run(opened, "create table things (id int primary key, v mediumtext)")
    rows = pl.DataFrame({"id": range(2500), "v": ["x" * (1_500_000 if n == 7 else 9) for n in range(2500)]})

    with opened.target().writing() as writer:
        writer.write("things", rows, ["id"])

    assert opened.place.ask("select count(*), sum(length(v)) from things") == [(2500, 2499 * 9 + 1_500_000)]


def test_a_trigger_that_changes_what_was_written_is_seen_when_it_is_read_back(opened: Opened) -> None:
    run(opened, "create table things (id int primary key, name varchar(20))")
    run(opened, "create trigger loud before insert on things for each row set new.name = upper(new.name)")

    with opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1], "name": ["quiet"]}), ["id"])
        assert writer.rows("things", pl.DataFrame({"id": [1]})).rows() == [(1, "QUIET")]


# ---- ledger and numbers ------------------------------------------------------------------------------------------


def test_users_whose_keys_only_a_collation_takes_for_one_are_three(opened: Opened) -> None:
    database = opened.target()
    database.prepare()
    keys = ["a", "A", "a ", "ä", "🐘" * 384]

    with database.writing() as writer:
        users = pl.DataFrame({"user_key": keys, "generation": [1] * 5})
        taken = writer.take(Claim(1, 1, "move", "h"), users)

    assert taken == set(keys)
    with database.reading() as reader:
        assert reader.ledger(["A", "Ä"])["user_key"].to_list() == ["A"]


def test_a_user_key_that_is_too_long_is_refused_and_not_cut(opened: Opened) -> None:
    database = opened.target()
    database.prepare()
    user = pl.DataFrame({"user_key": ["x" * 2000], "generation": [1]})

    with pytest.raises(DatabaseRefused, match="length user_key"), database.writing() as writer:
        writer.take(Claim(1, 1, "move", "h"), user)


@pytest.mark.parametrize(
    "more",
    [
        "name varchar(9) not null",
        "owner int not null, foreign key (owner) references owners (id)",
        "code varchar(9) not null unique",
    ],
)
def test_numbers_are_drawn_from_a_table_whatever_it_asks_of_its_rows(opened: Opened, more: str) -> None:
    run(
        opened,
        "create table owners (id int primary key)",
        f"create table things (id int auto_increment primary key, {more})",
    )
    database = opened.target()
    database.prepare()

    with database.writing() as writer:
        writer.take_numbers("things", "id", "m", ["a", "b"], ["m"])

    [(next_,)] = opened.place.ask("select auto_increment from information_schema.tables where table_name = 'things'")
    assert next_ == 3
    assert opened.place.ask("select count(*) from things") == [(0,)]


def test_numbers_that_are_used_up_are_said_to_be(opened: Opened) -> None:
    run(opened, "create table things (id tinyint auto_increment primary key)", "insert into things values (126)")
    database = opened.target()
    database.prepare()

    with (
        pytest.raises(Refused, match=r"numbers of things\.id \(tinyint\(4\)\) are used up"),
        database.writing() as writer,
    ):
        writer.take_numbers("things", "id", "m", ["a", "b"], ["m"])


# ---- sessions ----------------------------------------------------------------------------------------------------


def test_a_lock_is_not_waited_for_longer_than_a_lease_lives(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mysql.SESSION, "innodb_lock_wait_timeout", 1)
    database = opened.target()
    database.prepare()

    with database.writing() as first:
        first.fence(Claim(1, 1, "move", "h"))
        with pytest.raises(Transient, match="1205"), database.writing() as second:
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
    run(opened, "create table things (id int primary key, name varchar(9))", "insert into things values (1, 'a')")

    with opened.target().writing() as writer:
        writer.lock("things", pl.DataFrame({"id": [1]}))
        with pytest.raises(pymysql.OperationalError, match="1205"):
            run(opened, "set innodb_lock_wait_timeout = 0", "update things set name = 'b'")


def test_who_writes_may_not_rest_long_and_who_reads_may(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    run(opened, "create table things (id int primary key)")
    monkeypatch.setitem(mysql.WRITING, "idle_transaction_timeout", 1)
    database, row = opened.target(), pl.DataFrame({"id": [1]})

    with pytest.raises(Unreachable), database.writing() as writer:
        writer.lock("things", row)
        time.sleep(2)
        writer.write("things", row, ["id"])
    with database.reading() as reader:
        assert reader.rows("things", row).height == 0
        time.sleep(2)
        assert reader.rows("things", row).height == 0


def test_a_connection_that_is_lost_is_unreachable_and_in_doubt_only_at_commit(opened: Opened) -> None:
    run(opened, "create table things (id int primary key)")
    database = opened.target()
    database.schema()

    def end() -> None:
        asked = "select id from information_schema.processlist where id <> connection_id() and user = 'root'"
        for (id_,) in opened.place.ask(asked):
            run(opened, f"kill {id_}")

    with pytest.raises(Unreachable), database.writing() as writer:
        end()
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
    with pytest.raises(InDoubt), database.writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
        end()
    with database.writing() as writer:  # the pool has noticed
        writer.write("things", pl.DataFrame({"id": [2]}), ["id"])

    assert opened.place.ask("select id from things") == [(2,)]


def test_a_right_that_is_missing_is_said_before_and_when_it_is_needed(opened: Opened) -> None:
    run(opened, "create table things (id int primary key)", "create user if not exists guest@localhost")
    run(opened, f"grant select on {sa.make_url(opened.place.url).database}.* to guest@localhost")
    guest = opened.target(url=opened.place.url.replace("root@", "guest@"))
    try:
        with pytest.raises(Refused, match="DELETE command denied to user 'guest'"), guest.writing() as writer:
            writer.remove("things", pl.DataFrame({"id": [1]}))
        assert "guest@localhost has no INSERT, UPDATE, DELETE" in guest.concerns()[0].said
    finally:
        run(opened, "drop user guest@localhost")


def test_what_the_server_prefers_changes_nothing(opened: Opened) -> None:
    run(opened, "create table things (id int primary key, at timestamp null, name char(5))")
    run(opened, "insert into things values (1, '2011-12-10 08:00:00', 'a')")
    run(opened, "set global sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH', global time_zone = '+05:00'")
    try:
        with opened.target().writing() as writer:
            [row] = writer.rows("things", pl.DataFrame({"id": [1]})).rows()
            with pytest.raises(DatabaseRefused, match="length"):
                writer.write("things", pl.DataFrame({"id": [2], "name": ["too long"]}), ["id"])
    finally:
        run(opened, "set global sql_mode = default, global time_zone = default")

    assert row == (1, "2011-12-10 08:00:00+00", "a")


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_each_way_to_write_its_url_is_understood(opened: Opened, scheme: str) -> None:
    database = opened.target(url=opened.place.url.replace("mysql", scheme, 1))

    assert database.ping().startswith("MariaDB 1")
    assert database.dialect == "mysql"


def test_a_url_without_a_database_is_wrong_input_and_a_missing_one_unreachable(opened: Opened) -> None:
    with pytest.raises(SettingWrong, match=r"\[legacy\] url must name a database"):
        connect("mysql://root@localhost", None, "legacy")
    with pytest.raises(Unreachable, match="nowhere"):
        opened.target(schema="nowhere").ping()


def test_without_its_driver_the_setting_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "pymysql", None)

    with pytest.raises(SettingWrong, match=r"migrator\[mysql\]"):
        connect("mysql://localhost/x", None, "legacy")


@pytest.mark.parametrize(
    ("declared", "stored"),
    [
        ("int", [1, None, -5]),
        ("int(6) unsigned zerofill", [1, None, 123456]),
        ("bigint unsigned", [2**64 - 1, 1]),
        ("tinyint(1)", [0, 1, None]),
        ("decimal(14, 4)", ["0.1000", "-2.5", None]),
        ("double", [0.1, 1e23, None]),
        ("float", [0.1, 16777216.0]),
        ("bit(3)", [5, None]),
        ("varchar(40)", ["", "null", None, '"', '","1', "a,b\n1", "\\", "\\n", "\r\n", "a\0b", "é😀", "a "]),
        ("varchar(40) character set latin1", ["é", "€", None, ""]),
        ("char(5)", ["a", "", None]),
        ("varbinary(20)", [b"", b'\0\xff"', None]),
        ("longtext", ["x" * 100_000, "", None]),
        ("json", ['{"a": "\\"é\\n"}', None]),
        ("enum('a', 'b,c')", ["a", "b,c", None]),
        ("set('a', 'b')", ["a,b", "", None]),
        ("date", ["0000-00-00", "2024-02-29", None]),
        ("time(3)", ["-12:00:00.120", "838:59:59"]),
        ("datetime(6)", ["2024-01-01 00:00:00.100000", "0000-00-00 00:00:00", None]),
        ("timestamp(2) null", ["2024-01-01 00:00:00.10", None]),
    ],
)
def test_a_column_reads_alike_printed_as_one_text_or_row_by_row(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, declared: str, stored: list[object]
) -> None:
    run(opened, f"create table things (id int primary key, v {declared})")
    opened.place.run("insert into things values (?, ?)", *enumerate(stored))
    query = Query("things", ("id", "v"), among=Among("id", pl.Series(range(len(stored)))))

    with opened.legacy().reading() as reader:
        printed = reader.select(query).sort("id")["v"]
        monkeypatch.setattr("migrator.edges.databases.mysql_printing.can_print", lambda *_: False)
        by_rows = reader.select(query).sort("id")["v"]

    assert printed.dtype == by_rows.dtype
    assert printed.to_list() == by_rows.to_list()
    assert printed.null_count() == stored.count(None)


@pytest.mark.parametrize("longest", [4, 16, 30, 31, 32, 33, 1000])
def test_a_text_that_the_server_cuts_off_is_read_row_by_row(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    opened.place.run("create table things (id int primary key, v text)")
    opened.place.run("insert into things values (?, ?)", (1, ',1\n1,"'), (2, "b"), (3, '1,"1\n1",1'))
    monkeypatch.setitem(mysql.SESSION, "group_concat_max_len", longest)

    with opened.legacy().reading() as reader:
        among = Among("id", pl.Series([1, 2, 3, 4]))
        found = reader.select(Query("things", ("id", "v"), among=among)).sort("id")
        none = reader.select(Query("things", ("id", "v"), among=Among("id", pl.Series([7]))))

    assert found.rows() == [(1, ',1\n1,"'), (2, "b"), (3, '1,"1\n1",1')]
    assert none.rows() == []
    assert none.schema == found.schema
