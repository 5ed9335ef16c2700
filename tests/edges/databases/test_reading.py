"""What every database must be able to read, held by one suite."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest

from migrator.edges.databases import connect
from migrator.errors import Refused, Unreachable
from migrator.mapping.query import Among, Query, Via
from migrator.mapping.query import Test as Condition
from migrator.mapping.schema import Kind
from tests.edges.databases.places import Opened

ODD = 'Odd "name" %(x)s, 100%'
EVERY_KIND = """
create table things (
    id integer primary key, big bigint, price numeric(14, 4), ratio double precision, ok boolean, name varchar(20),
    code char(4), day date, clock time, at timestamp, moment timestamptz, doc json, uid uuid, raw bytea)
"""


def select(opened: Opened, *columns: str, table: str = "things", **options: object) -> pl.DataFrame:
    with opened.legacy().reading() as reader:
        return reader.select(Query(table, columns, order=("id",), **options))  # type: ignore[arg-type]


def test_each_kind_of_value_comes_in_the_frame_type_of_its_kind(opened: Opened) -> None:
    opened.place.run(EVERY_KIND)
    opened.place.run(
        "insert into things values (1, 9223372036854775807, 1234567890.1234, 0.1, true, 'Zoë', 'DE', '2011-12-10',"
        " '23:59:59', '2011-12-10 08:00:00.5', '2011-12-10 08:00:00+00', '{\"a\":1.10}',"
        " '6f9619ff-8b86-d011-b42d-00c04fc964ff', ?)",
        (b"\x00\xff",),
    )

    row = select(
        opened,
        *["id", "big", "price", "ratio", "ok", "name", "code", "day", "clock", "at", "moment", "doc", "uid", "raw"],
    )

    assert row.schema == pl.Schema(
        {
            "id": pl.Int64, "big": pl.Int64, "price": pl.Decimal(38, 18), "ratio": pl.Decimal(38, 18),
            "ok": pl.Boolean, "name": pl.String, "code": pl.String, "day": pl.String, "clock": pl.String,
            "at": pl.String, "moment": pl.String, "doc": pl.String, "uid": pl.String, "raw": pl.Binary,
        }
    )  # fmt: skip
    assert row.row(0) == (
        1, 9223372036854775807, Decimal("1234567890.1234"), Decimal("0.1"), True, "Zoë", "DE", "2011-12-10",
        "23:59:59", "2011-12-10 08:00:00.5", "2011-12-10 08:00:00+00", '{"a":1.10}',
        "6f9619ff-8b86-d011-b42d-00c04fc964ff", b"\x00\xff",
    )  # fmt: skip


def test_the_schema_tells_kinds_sizes_keys_and_defaults(opened: Opened) -> None:
    opened.place.run(
        "create table owners (id integer primary key, email text not null, site text, unique (site, email))"
    )
    opened.place.run(
        "create table pets (owner integer not null, no integer,"
        " price numeric(14, 4) default 0, name varchar(20) not null, loud text generated always as (upper(name)) stored,"
        " primary key (owner, no), foreign key (owner) references owners (id) deferrable initially deferred)"
    )
    opened.place.run("create index by_name on pets (name)")
    opened.place.run("create table migrator_ledger (user_key text)")

    schema = opened.legacy().schema()

    owners, pets = schema.tables["owners"], schema.tables["pets"]
    assert set(schema.tables) == {"owners", "pets"}
    assert (owners.key, owners.uniques, pets.key) == (("id",), (("site", "email"),), ("owner", "no"))
    assert pets.indexes == (("owner", "no"), ("name",))
    [key] = pets.foreign_keys
    assert (key.columns, key.table, key.references, key.deferrable) == (
        ("owner",),
        "owners",
        ("id",),
        schema.dialect != "mysql",
    )
    assert (pets.columns["price"].precision, pets.columns["price"].scale) == (14, 4)
    assert (pets.columns["name"].length, pets.columns["name"].nullable) == (20, False)
    assert pets.columns["price"].has_default
    assert not pets.columns["name"].has_default
    assert pets.columns["loud"].generated
    assert not pets.columns["loud"].has_default


def test_a_foreign_key_of_several_columns_keeps_them_in_order(opened: Opened) -> None:
    opened.place.run("create table owners (site integer, no integer, primary key (no, site))")
    opened.place.run(
        "create table pets (id integer primary key, s integer, n integer, foreign key (n, s) references owners (no, site))"
    )

    tables = opened.legacy().schema().tables

    assert tables["owners"].key == ("no", "site")
    assert [(key.columns, key.references) for key in tables["pets"].foreign_keys] == [(("n", "s"), ("no", "site"))]


def test_an_empty_database_has_no_tables(opened: Opened) -> None:
    assert opened.legacy().schema().tables == {}


def test_names_that_need_quoting_are_quoted(opened: Opened) -> None:
    quoted = ODD.replace('"', '""')
    opened.place.run(f'create table "{quoted}" ("{quoted}" integer primary key, "select" text)')
    opened.place.run(f"insert into \"{quoted}\" values (1, 'here')")

    with opened.target().writing() as writer:
        found = writer.select(Query(ODD, (ODD, "select"), among=Among(ODD, pl.Series(["1"]))))
        writer.write(ODD, pl.DataFrame({ODD: [1, 2], "select": ["there", "new"]}), [ODD])
        written = writer.rows(ODD, pl.DataFrame({ODD: [1, 2]})).sort(ODD)
        removed = writer.remove(ODD, pl.DataFrame({ODD: [1]}))

    assert found.rows() == [(1, "here")]
    assert written.rows() == [(1, "there"), (2, "new")]
    assert removed == 1


def test_null_and_empty_text_are_told_apart_even_in_a_single_column(opened: Opened) -> None:
    opened.place.run("create table things (id integer, name text)")
    opened.place.run(
        "insert into things values (?, ?)", (1, None), (2, ""), (3, " "), (4, "\\."), (5, '"'), (6, "a\r\nb\r")
    )

    with opened.legacy().reading() as reader:
        names = reader.select(Query("things", ("name",)))["name"].to_list()

    assert sorted(names, key=str) == sorted([None, "", " ", "\\.", '"', "a\r\nb\r"], key=str)


def test_a_table_without_rows_keeps_its_types(opened: Opened) -> None:
    opened.place.run(EVERY_KIND)

    rows = select(opened, "id", "price", "ok", "name", "raw")

    assert rows.is_empty()
    assert rows.dtypes == [pl.Int64, pl.Decimal(38, 18), pl.Boolean, pl.String, pl.Binary]


CONDITIONS: list[tuple[str, str, object, list[int]]] = [
    ("n", "eq", 5, [2]),
    ("n", "eq", None, [1]),
    ("n", "ne", 5, [1, 3]),
    ("n", "ne", None, [2, 3]),
    ("n", "in", (5, None), [1, 2]),
    ("n", "in", (), []),
    ("n", "not_in", (5,), [1, 3]),
    ("n", "not_in", (5, None), [3]),
    ("n", "null", None, [1]),
    ("n", "not_null", None, [2, 3]),
    ("n", "gt", 5, [3]),
    ("n", "gte", 5, [2, 3]),
    ("n", "lt", Decimal("5.5"), [2]),
    ("n", "lte", 7, [2, 3]),
    ("n", "lt", 10**30, [2, 3]),
    ("price", "gt", Decimal("1.49"), [2, 3]),
    ("price", "eq", Decimal("1.50"), [2]),
    ("ok", "eq", True, [2]),
    ("ok", "eq", 0, [3]),
    ("at", "gte", "2011-12-10", [3]),
]


def test_tests_are_exact_and_null_is_only_met_by_those_that_say_so(opened: Opened) -> None:
    opened.place.run("create table things (id integer, n integer, price numeric(9, 2), ok boolean, at timestamp)")
    opened.place.run(
        "insert into things values (?, ?, ?, ?, ?)",
        (1, None, None, None, None), (2, 5, "1.50", True, "2011-12-09 23:59:59"), (3, 7, "2.00", False, "2011-12-10 00:00:00"),
    )  # fmt: skip

    with opened.legacy().reading() as reader:
        for column, op, value, ids in CONDITIONS:
            query = Query("things", ("id",), tests=(Condition(column, op, value),), order=("id",))
            assert reader.select(query)["id"].to_list() == ids, (column, op, value)
            assert reader.count(query) == len(ids), (column, op, value)


@pytest.mark.parametrize(
    ("declared", "stored", "asked", "found"),
    [
        ("integer", [12, 13], ["12", "013", " 13", "13.0", "abc", "1e1", "", "99999999999999999999", "-12"], [12]),
        ("text", ["12", "012", "a'b\"c%\\", "Ä", ""], ["012", "a'b\"c%\\", "ä", "", "12 "], ["", "012", "a'b\"c%\\"]),
        ("numeric(9, 2)", ["1.50", "2.00"], ["1.5", "2", "x"], [Decimal("1.5"), Decimal(2)]),
        ("uuid", ["6f9619ff-8b86-d011-b42d-00c04fc964ff"], ["no uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff"], ["6f9619ff-8b86-d011-b42d-00c04fc964ff"]),
        ("date", ["2011-12-10"], ["2011-12-10", "2011-02-31", "soon"], ["2011-12-10"]),
    ],
)  # fmt: skip
def test_a_text_key_matches_only_the_value_whose_text_it_is(
    opened: Opened, declared: str, stored: list[object], asked: list[str], found: list[object]
) -> None:
    opened.place.run(f"create table things (id {declared})")
    opened.place.run("insert into things values (?)", *((value,) for value in stored))
    among = Query("things", ("id",), among=Among("id", pl.Series(asked)), order=("id",))

    with opened.legacy().reading() as reader:
        by_query = reader.select(among)["id"].to_list()
        by_key = reader.rows("things", pl.DataFrame({"id": asked}))["id"].to_list()

    assert by_query == found
    assert sorted(by_key) == sorted(found)  # type: ignore[type-var]


def test_any_number_of_keys_may_be_asked_for(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    opened.place.run("insert into things values (?)", *((number,) for number in range(100)))
    wanted = pl.Series(range(50, 50_000)).cast(pl.String)

    with opened.legacy().reading() as reader:
        by_text = reader.count(Query("things", (), among=Among("id", wanted)))
        by_number = reader.count(Query("things", (), among=Among("id", wanted.cast(pl.Int64))))
        of_none = reader.count(Query("things", (), among=Among("id", pl.Series([], dtype=pl.String))))

    assert (by_text, by_number, of_none) == (50, 50, 0)


def test_rows_are_found_by_keys_of_several_columns_with_any_characters(opened: Opened) -> None:
    opened.place.run("create table things (a integer, b text, c text, primary key (a, b))")
    opened.place.run(
        "insert into things values (?, ?, ?)", (1, "x\x1fy,'\"\\{}", "one"), (1, "", "two"), (2, "NULL", "three")
    )
    keys = pl.DataFrame({"b": ["x\x1fy,'\"\\{}", "", "", None, "NULL"], "a": ["1", "1", "1", "1", "3"]})

    with opened.legacy().reading() as reader:
        rows = reader.rows("things", keys)

    assert sorted(rows["c"]) == ["one", "two"]
    assert rows.columns == ["a", "b", "c"]


def test_a_query_reads_through_one_other_table(opened: Opened) -> None:
    opened.place.run("create table orders (id integer primary key, customer integer)")
    opened.place.run("create table items (id integer primary key, order_id integer, sku text)")
    opened.place.run("insert into orders values (?, ?)", (1, 7), (2, 8), (3, None))
    opened.place.run(
        "insert into items values (?, ?, ?)", (1, 1, "a"), (2, 1, "b"), (3, 2, "a"), (4, 3, "a"), (5, 9, "a")
    )
    via = Via("orders", (("id", "order_id"),), (("customer", "user"),))

    with opened.legacy().reading() as reader:
        mine = reader.select(Query("items", ("sku",), via=via, among=Among("user", pl.Series(["7"])), order=("sku",)))
        every = reader.count(Query("items", (), via=via))
        users = reader.select(Query("items", (), via=via, distinct=True, order=("user",)))

    assert mine.to_dicts() == [{"sku": "a", "user": 7}, {"sku": "b", "user": 7}]
    assert every == 4
    assert users["user"].to_list() == [None, 7, 8]


@pytest.mark.parametrize("users", [range(1, 401), range(1, 401, 7), [3], [*range(1, 300), 90_000], [90_001]])
@pytest.mark.parametrize("far", [False, True], ids=["together", "far apart"])
def test_rows_behind_a_join_are_found_wherever_they_lie(opened: Opened, users: Sequence[int], far: bool) -> None:
    opened.place.run("create table orders (id bigint primary key, person bigint, note varchar(9))")
    opened.place.run("create table parts (id bigint primary key, orders bigint, sku varchar(9))")
    opened.place.run("create index by_person on orders (person)")
    opened.place.run("create index by_order on parts (orders)")
    people = [*range(1, 401), 90_000]
    orders = [(10 * person + place, person, "x") for person in people for place in range(2)]
    orders += [(7_000_000, 5, "far"), (-4, 6, "far")] if far else []
    lines = [(number, order, f"S{order}") for number, (order, _, _) in enumerate(orders * 2)]
    opened.place.run("insert into orders values (?, ?, ?)", *orders)
    opened.place.run("insert into parts values (?, ?, ?)", *lines)
    via = Via("orders", (("id", "orders"),), (("person", "orders.person"),))
    among = Among("orders.person", pl.Series([str(user) for user in users]))

    rows = select(opened, "id", table="parts", via=via, among=among)
    own = select(opened, "id", table="orders", among=Among("person", among.values))

    owners = {order: person for order, person, _ in orders}
    assert sorted(rows["id"]) == [number for number, order, _ in lines if owners[order] in users]
    assert sorted(own["id"]) == sorted(order for order, person, _ in orders if person in users)


def test_distinct_rows_are_counted_once_and_text_is_ordered_by_code_point(opened: Opened) -> None:
    opened.place.run("create table things (id integer, name text)")
    opened.place.run("insert into things values (?, ?)", (1, "b"), (1, "b"), (2, "B"), (3, "ä"), (4, "a"), (5, None))
    query = Query("things", ("name",), distinct=True, order=("name",))

    with opened.legacy().reading() as reader:
        names, counted = reader.select(query)["name"].to_list(), reader.count(query)

    assert names == [None, "B", "a", "b", "ä"]
    assert counted == 5


def test_rows_are_tallied_per_value_to_the_last_character_and_through_another_table(opened: Opened) -> None:
    opened.place.run("create table orders (id integer primary key, customer integer)")
    opened.place.run("create table items (id integer primary key, order_id integer, sku varchar(9))")
    opened.place.run("insert into orders values (?, ?)", (1, 7), (2, 8), (3, None))
    opened.place.run(
        "insert into items values (?, ?, ?)", (1, 1, "a"), (2, 1, "A"), (3, 2, "a"), (4, 3, "ä"), (5, 9, None)
    )
    via = Via("orders", (("id", "order_id"),), (("customer", "user"),))

    with opened.legacy().reading() as reader:
        skus = reader.tally(Query("items", ("sku",)), "sku")
        users = reader.tally(Query("items", (), via=via), "user")
        mine = reader.tally(Query("items", (), via=via, among=Among("user", pl.Series(["8"]))), "user")

    assert dict(skus.rows()) == {"a": 2, "A": 1, "ä": 1, None: 1}
    assert dict(users.rows()) == {7: 2, 8: 1, None: 1}
    assert (users.schema["user"], mine.rows()) == (pl.Int64, [(8, 1)])


def test_no_more_rows_are_read_than_were_asked_for(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key, kind integer)")
    opened.place.run("insert into things values (1, 7), (2, 7), (3, 8), (4, 9)")

    with opened.legacy().reading() as reader:
        kinds = reader.select(Query("things", ("kind",), distinct=True, order=("kind",), limit=2))

    assert kinds["kind"].to_list() == [7, 8]
    assert select(opened, "id", limit=2)["id"].to_list() == [1, 2]
    assert select(opened, "id", limit=9).height == 4


def test_sums_are_exact_where_binary_floats_would_not_be(opened: Opened) -> None:
    opened.place.run("create table things (id integer, customer integer, total numeric(14, 4), ratio double precision)")
    opened.place.run("insert into things values (?, ?, ?, ?)", *((n, 7, "0.1", 0.1) for n in range(1000)))
    opened.place.run(
        "insert into things values (?, ?, ?, ?)",
        (1, None, "1", None),
        (2, 8, None, None),
        (3, 9, "5", 0.12345678901234566),
    )

    with opened.legacy().reading() as reader:
        totals = reader.totals(Query("things", ()), "customer", ["total", "ratio"]).sort("customer", nulls_last=True)

    assert totals.schema["total"] == pl.Decimal(38, 18)
    assert totals.rows() == [
        ("7", 1000, 100, 100),
        ("8", 1, 0, 0),
        ("9", 1, 5, Decimal("0.12345678901234566")),
        (None, 1, 1, 0),
    ]


def test_a_number_that_no_frame_holds_makes_its_column_canonical_text(opened: Opened) -> None:
    opened.place.run("create table things (id integer, ratio double precision)")
    opened.place.run("insert into things values (?, ?)", (1, 1.5), (2, 1e25), (3, 1.25e-20), (4, None), (5, -0.0))

    ratios = select(opened, "ratio")["ratio"].to_list()

    assert ratios == ["1.5", "10000000000000000000000000", "0.0000000000000000000125", None, "0"]


def test_a_reader_sees_one_moment(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    opened.place.run("insert into things values (1)")
    database = opened.target()  # a WAL file lets others write meanwhile
    database.schema()

    with database.reading() as reader:
        opened.place.run("insert into things values (2)")
        during = reader.count(Query("things", ()))
    with database.reading() as reader:
        after = reader.count(Query("things", ()))

    assert (during, after) == (1, 2)


def test_a_legacy_database_is_never_written(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    database = opened.legacy()

    with pytest.raises(Refused, match="only read"), database.writing() as writer:
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
    with pytest.raises(Refused, match="only read"):
        database.prepare()
    assert opened.place.ask("select count(*) from things") == [(0,)]


def test_a_table_or_column_that_is_gone_is_named(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")

    with opened.legacy().reading() as reader:
        with pytest.raises(Refused, match="no table nothing"):
            reader.select(Query("nothing", ("id",)))
        with pytest.raises(Refused, match=r"no column things\.name"):
            reader.select(Query("things", ("name",)))


def test_who_points_at_rows_is_found_unless_it_goes_with_them(opened: Opened) -> None:
    opened.place.run(
        "create table accounts (id integer primary key, email text unique, boss integer references accounts (id))"
    )
    opened.place.run("create table orders (id integer primary key, account integer references accounts (id))")
    opened.place.run("create table mails (no integer primary key, email text references accounts (email))")
    opened.place.run("insert into accounts values (?, ?, ?)", (1, "a", None), (2, "b", 1), (3, "c", None))
    opened.place.run("insert into orders values (?, ?)", (10, 1), (11, 2), (12, 3))
    opened.place.run("insert into mails values (?, ?)", (1, "b"), (2, None))
    keys = pl.DataFrame({"id": [1, 2]})

    with opened.target().reading() as reader:
        everybody = reader.referencing("accounts", keys, {})
        strangers = reader.referencing("accounts", keys, {"accounts": keys, "orders": pl.DataFrame({"id": [10]})})
        nobody = reader.referencing("orders", pl.DataFrame({"id": [10]}), {})

    assert sorted(everybody.rows()) == [("accounts", "1"), ("mails", "2"), ("orders", "1"), ("orders", "2")]
    assert sorted(strangers.rows()) == [("mails", "2"), ("orders", "2")]
    assert nobody.is_empty()


def test_kinds_that_a_schema_knows_are_those_of_the_declared_types(opened: Opened) -> None:
    opened.place.run(EVERY_KIND)

    columns = opened.legacy().schema().tables["things"].columns

    assert [column.kind for column in columns.values()] == [
        Kind.INTEGER, Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN, Kind.TEXT, Kind.TEXT, Kind.DATE, Kind.TIME,
        Kind.DATETIME, Kind.TIMESTAMP, Kind.JSON, Kind.UUID, Kind.BINARY,
    ]  # fmt: skip


def test_ping_names_the_server(opened: Opened) -> None:
    assert opened.legacy().ping().split()[0] in ("SQLite", "PostgreSQL", "MariaDB")


@pytest.mark.parametrize("role", ["legacy", "target"])
@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/nowhere.sqlite",
        "postgresql://me:s3cret@/db?host={folder}/nowhere",
        "postgresql://me:s3cret@127.0.0.1:1/db",
    ],
)
def test_a_database_that_cannot_be_reached_is_said_to_be_without_its_password(
    tmp_path_factory: pytest.TempPathFactory, url: str, role: str
) -> None:
    folder = tmp_path_factory.mktemp("n")

    with pytest.raises(Unreachable) as told:
        connect(url.format(folder=folder), None, role).ping()  # type: ignore[arg-type]

    assert "s3cret" not in str(told.value)
    assert list(folder.iterdir()) == []


def test_the_mark_changes_with_a_commit_and_not_with_a_look(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    legacy = opened.legacy()

    def look() -> tuple[str, str]:
        before = legacy.mark()
        select(opened, "id")
        return before, legacy.mark()

    # a server's mark is that of the whole server, which tidies up after others for a while
    quiet = next((after for before, after in (look() for _ in range(200)) if before == after), None)
    opened.place.run("insert into things values (1)")

    assert quiet is not None
    assert legacy.mark() != quiet


def test_a_view_is_read_like_a_table_and_known_as_one_that_holds_nothing_of_its_own(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key, name varchar(20))")
    opened.place.run("create view named as select id, name from things where name is not null")
    opened.place.run("insert into things values (?, ?)", (1, "a"), (2, None), (3, "c"))

    schema = opened.legacy().schema()
    rows = select(opened, "id", "name", table="named")

    assert (schema.tables["named"].view, schema.tables["things"].view) == (True, False)
    assert list(schema.stored.tables) == ["things"]
    assert (schema.tables["named"].columns["id"].kind, schema.tables["named"].key) == (Kind.INTEGER, ())
    assert rows.rows() == [(1, "a"), (3, "c")]
