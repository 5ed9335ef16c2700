"""What every database must be able to write, held by one suite."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest

from migrator.edges.databases.base import Claim
from migrator.errors import DatabaseRefused, Fenced, Mismatch
from tests.edges.databases.places import Opened

MOVE = Claim(batch=1, fence=1, op="move", set_hash="h")


def users(*keys: str, generation: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"user_key": list(keys), "generation": generation})


def test_every_kind_of_value_arrives_as_it_was_meant(opened: Opened) -> None:
    opened.place.run(
        "create table things (id integer primary key, big bigint, price numeric(14, 4), ratio double precision, ok boolean,"
        " name text, day date, at timestamp, moment timestamptz, doc json, raw bytea)"
    )
    rows = pl.DataFrame(
        {
            "id": [1, 2],
            "big": [-(2**63), None],
            "price": pl.Series([Decimal("1234567890.1234"), None], dtype=pl.Decimal(38, 18)),
            "ratio": [0.1, None],
            "ok": [False, None],
            "name": ['it\'s "quoted",\\N\r\n\t\\. Ωmega 🐘', None],
            "day": [dt.date(1066, 10, 14), None],
            "at": [dt.datetime(2011, 12, 10, 8, 0, 0, 120), None],  # noqa: DTZ001
            "moment": [dt.datetime(2011, 12, 10, 8, tzinfo=dt.UTC), None],
            "doc": ['{"a": 1.10}', None],
            "raw": [b"\x00\xff", None],
        },
        schema_overrides={"moment": pl.Datetime("us", "UTC")},
    )

    with opened.target().writing() as writer:
        writer.write("things", rows, ["id"])
    with opened.target().reading() as reader:
        found = reader.rows("things", rows.select("id")).sort("id")

    zone = "+00:00" if opened.target().dialect == "sqlite" else "+00"
    assert found.row(0) == (
        1, -(2**63), Decimal("1234567890.1234"), Decimal("0.1"), False, "it's \"quoted\",\\N\r\n\t\\. Ωmega 🐘", "1066-10-14",
        "2011-12-10 08:00:00.00012", f"2011-12-10 08:00:00{zone}", '{"a": 1.10}', b"\x00\xff",
    )  # fmt: skip
    assert found.row(1) == (2, *[None] * 10)


def test_a_merge_updates_what_is_there_and_leaves_other_columns_alone(opened: Opened) -> None:
    opened.place.run("create table things (a integer, b text, c text, d text default 'new', primary key (a, b))")
    opened.place.run("insert into things values (1, 'x', 'old', 'kept')")

    with opened.target().writing() as writer:
        writer.write("things", pl.DataFrame({"c": ["now", None], "b": ["x", "y"], "a": [1, 1]}), ["a", "b"])

    assert sorted(opened.place.ask("select * from things"), key=str) == [(1, "x", "now", "kept"), (1, "y", None, "new")]


def test_a_table_of_nothing_but_its_key_can_be_merged_twice(opened: Opened) -> None:
    opened.place.run("create table likes (a integer, b integer, primary key (a, b))")
    rows = pl.DataFrame({"a": [1, 1], "b": [1, 2]})

    for _ in range(2):
        with opened.target().writing() as writer:
            writer.write("likes", rows, ["a", "b"])

    assert opened.place.ask("select count(*) from likes") == [(2,)]


def test_without_a_key_rows_are_inserted(opened: Opened) -> None:
    opened.place.run("create table entries (name text)")

    with opened.target().writing() as writer:
        writer.write("entries", pl.DataFrame({"name": ["a", None, "\\.", "a", ""]}), [])
        writer.write("entries", pl.DataFrame(schema={"name": pl.String}), [])

    assert sorted(opened.place.ask("select coalesce(name, 'null') from entries")) == [
        ("",),
        ("\\.",),
        ("a",),
        ("a",),
        ("null",),
    ]


def test_children_may_come_before_their_parents_in_one_write_and_go_in_one_removal(opened: Opened) -> None:
    opened.place.run("create table nodes (id integer primary key, parent integer references nodes (id))")
    rows = pl.DataFrame({"id": [1, 2, 3], "parent": [3, 1, None]})

    with opened.target().writing() as writer:
        writer.write("nodes", rows, ["id"])
    with opened.target().writing() as writer:
        removed = writer.remove("nodes", pl.DataFrame({"id": [3, 1, 2, 9]}))

    assert removed == 3


def test_rows_in_a_circle_come_and_go(opened: Opened) -> None:
    opened.place.run(
        "create table nodes (id integer primary key, next integer, foreign key (next) references nodes (id))"
    )
    circle = pl.DataFrame({"id": [1, 2, 3, 4, 5], "next": [2, 3, 1, 1, 5]})

    with opened.target().writing() as writer:
        writer.write("nodes", circle, ["id"])
        written = writer.rows("nodes", circle.select("id")).sort("id")
        removed = writer.remove("nodes", circle.select("id"))

    assert written.equals(circle)
    assert removed == 5


def test_the_first_and_the_last_of_each_kind_come_back(opened: Opened) -> None:
    opened.place.run(
        "create table things (id integer primary key, small smallint, whole integer, big bigint, price numeric(38, 18),"
        " ratio double precision, day date, at timestamp, raw bytea)"
    )
    ends = pl.DataFrame(
        {
            "id": [1, 2],
            "small": [-(2**15), 2**15 - 1],
            "whole": [-(2**31), 2**31 - 1],
            "big": [-(2**63), 2**63 - 1],
            "price": [Decimal("-0.000000000000000001"), Decimal("9.5")],
            "ratio": [-1e-5, 123456789012345.0],
            "day": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
            "at": [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)],  # noqa: DTZ001
            "raw": [b"", bytes(range(256))],
        },
        schema_overrides={"price": pl.Decimal(38, 18)},
    )

    with opened.target().writing() as writer:
        writer.write("things", ends, ["id"])
        found = writer.rows("things", ends.select("id")).sort("id")

    assert found.select("id", "small", "whole", "big", "price", "raw").equals(
        ends.select("id", "small", "whole", "big", "price", "raw")
    )
    assert [float(number) for number in found["ratio"]] == ends["ratio"].to_list()
    assert found["day"].to_list() == ["0001-01-01", "9999-12-31"]
    assert found["at"].to_list() == ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"]


def test_an_error_in_the_block_takes_everything_back(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    database = opened.target()
    database.prepare()

    with pytest.raises(ZeroDivisionError), database.writing() as writer:
        writer.fence(MOVE)
        writer.take(MOVE, users("u"))
        writer.write("things", pl.DataFrame({"id": [1]}), ["id"])
        raise ZeroDivisionError

    with database.reading() as reader:
        assert reader.ledger(["u"]).is_empty()
    assert opened.place.ask("select count(*) from things") == [(0,)]


def test_removal_by_several_columns_takes_only_whole_keys(opened: Opened) -> None:
    opened.place.run("create table things (a integer, b text, primary key (a, b))")
    opened.place.run("insert into things values (?, ?)", (1, "x"), (1, "y"), (2, "x"), (2, "y"))

    with opened.target().writing() as writer:
        removed = writer.remove("things", pl.DataFrame({"b": ["x", "y"], "a": ["1", "2"]}))
        nothing = writer.remove("things", pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}))

    assert (removed, nothing) == (2, 0)
    assert sorted(opened.place.ask("select * from things")) == [(1, "y"), (2, "x")]


@pytest.mark.parametrize(
    ("rows", "kind", "constraint"),
    [
        ({"id": [2], "email": ["secret@x.org"], "n": [1], "owner": [1]}, "unique", "email"),
        ({"id": [2], "email": [None], "n": [1], "owner": [1]}, "not null", "email"),
        ({"id": [2], "email": ["secret2"], "n": [-7], "owner": [1]}, "check", "n"),
        ({"id": [2], "email": ["secret2"], "n": [1], "owner": [77]}, "foreign key", ""),
    ],
)
def test_a_refusal_names_the_constraint_and_never_the_value(
    opened: Opened, rows: dict[str, list[object]], kind: str, constraint: str
) -> None:
    opened.place.run("create table owners (id integer primary key)")
    opened.place.run(
        "create table things (id integer primary key, email text not null unique, n integer check (n > 0),"
        " owner integer references owners (id))"
    )
    opened.place.run("insert into owners values (1)")
    opened.place.run("insert into things values (1, 'secret@x.org', 1, 1)")

    with pytest.raises(DatabaseRefused) as told, opened.target().writing() as writer:
        writer.write("things", pl.DataFrame(rows, schema_overrides={"email": pl.String}), ["id"])

    assert (told.value.kind, told.value.table) == (kind, "things")
    assert constraint in told.value.constraint
    assert told.value.code
    assert all(secret not in str(told.value) for secret in ("secret", "-7", "77"))
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


@pytest.mark.parametrize("opened", ["sqlite", "postgresql"], indirect=True)
def test_a_constraint_that_speaks_at_commit_is_a_refusal_as_well(opened: Opened) -> None:
    opened.place.run("create table owners (id integer primary key)")
    opened.place.run(
        "create table pets (id integer primary key, owner integer,"
        " foreign key (owner) references owners (id) deferrable initially deferred)"
    )

    with pytest.raises(DatabaseRefused, match="foreign key"), opened.target().writing() as writer:
        writer.write("pets", pl.DataFrame({"id": [1], "owner": [1]}), ["id"])
    with opened.target().writing() as writer:
        writer.write("pets", pl.DataFrame({"id": [1], "owner": [1]}), ["id"])
        writer.write("owners", pl.DataFrame({"id": [1]}), ["id"])

    assert opened.place.ask("select owner from pets") == [(1,)]


@pytest.mark.parametrize("opened", ["sqlite", "postgresql"], indirect=True)
def test_rows_that_a_trigger_swallows_are_missed(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key)")
    if opened.target().dialect == "sqlite":
        opened.place.run("create trigger eat before insert on things when new.id = 2 begin select raise(ignore); end")
    else:
        opened.place.run(
            "create function eat() returns trigger language plpgsql as $$begin if new.id = 2 then return null; end if;"
            " return new; end$$; create trigger eat before insert on things for each row execute function eat()"
        )

    with (
        pytest.raises(Mismatch, match="2 rows were given to things, 1 were written"),
        opened.target().writing() as writer,
    ):
        writer.write("things", pl.DataFrame({"id": [1, 2]}), ["id"])


# ---- ledger and fence --------------------------------------------------------------------------------------------


def test_ledger_and_fence_are_made_once_and_stay_out_of_the_schema(opened: Opened) -> None:
    database = opened.target()

    before = database.prepared()
    database.prepare()
    database.prepare()

    assert (before, database.prepared()) == (False, True)
    assert database.schema().tables == {}
    assert "migrator_ledger" in database.prepare_sql()


def test_the_sql_that_is_handed_out_does_what_prepare_does(opened: Opened) -> None:
    database = opened.target()

    opened.place.run(database.prepare_sql())

    assert database.prepared()


def test_an_older_fence_is_refused_and_the_same_one_is_not(opened: Opened) -> None:
    database = opened.target()
    database.prepare()

    for fence in (1, 2, 2):
        with database.writing() as writer:
            writer.fence(Claim(7, fence, "move", "h"))
    with pytest.raises(Fenced), database.writing() as writer:
        writer.fence(Claim(7, 1, "move", "h"))
    with database.writing() as writer:
        writer.fence(Claim(8, 1, "move", "h"))  # another batch has its own


def test_a_user_is_taken_only_by_a_newer_generation(opened: Opened) -> None:
    database = opened.target()
    database.prepare()
    odd = 'it\'s\t"%s" \\ Ω'

    with database.writing() as writer:
        first = writer.take(MOVE, users("1", odd, ""))
        again = writer.take(MOVE, users("1", odd))
    with database.writing() as writer:
        undone = writer.take(Claim(2, 1, "rollback", "h2"), users("1", "new", generation=2))
    with database.writing() as writer:
        zombie = writer.take(Claim(1, 9, "move", "h"), users("1", "new", generation=1))

    assert (first, again, undone, zombie) == ({"1", odd, ""}, set(), {"1", "new"}, set())
    with database.reading() as reader:
        ledger = reader.ledger(["1", odd, "nobody"]).sort("user_key")
    assert ledger.rows() == [
        ("1", 2, "rollback", 2, 1, "h2"),
        (odd, 1, "move", 1, 1, "h"),
    ]


def test_locked_rows_are_those_that_were_asked_for(opened: Opened) -> None:
    opened.place.run("create table things (id integer primary key, name text)")
    opened.place.run("insert into things values (?, ?)", (1, "a"), (2, "b"))

    with opened.target().writing() as writer:
        assert writer.lock("things", pl.DataFrame({"id": ["2", "3"]})).rows() == [(2, "b")]


def test_whoever_was_erased_is_known_by_a_tombstone_and_named_nowhere(opened: Opened) -> None:
    target = opened.target()
    target.prepare()
    with target.writing() as writer:
        assert not writer.has_tombstones()
        writer.take(MOVE, users("a", "A"))
        writer.own("t", pl.DataFrame({"key": ["1", "2"], "user_key": ["a", "A"]}))

    with target.writing() as writer:
        writer.bury(["print-a"])
        writer.bury(["print-a", "print-b"])
        writer.forget(["a"])

    with target.reading() as reader:
        assert reader.has_tombstones()
        assert reader.erased(["print-a", "print-b", "print-c"]) == {"print-a", "print-b"}
        assert reader.ledger(["a", "A"])["user_key"].to_list() == ["A"]
        assert reader.owners("t", ["1", "2"])["user_key"].to_list() == ["A"]


def test_a_copy_takes_what_the_table_takes_and_the_table_stays_as_it_is(opened: Opened) -> None:
    opened.place.run("create table parents (id integer primary key, name text not null)")
    opened.place.run(
        "create table things (id integer primary key, parent integer references parents (id), price numeric(14, 4),"
        " at timestamp, ok boolean not null, d text default 'new')"
    )
    opened.place.run("insert into parents values (1, 'there')")
    rows = pl.DataFrame(
        {
            "id": [1, 2],
            "parent": [1, 99],  # what it points at is not copied
            "price": pl.Series([Decimal("1234567890.1234"), None], dtype=pl.Decimal(38, 18)),
            "at": [dt.datetime(2011, 12, 10, 8, 0, 0, 120), None],  # noqa: DTZ001
            "ok": [True, False],
        }
    )
    opened.target().prepare()

    for _ in range(2):  # nothing of the first is left for the second
        with opened.target().scratch(["things"]) as writer:
            assert writer.rows("things", rows.select("id")).height == 0
            writer.write("things", rows, ["id"])
            writer.own("things", pl.DataFrame({"key": ["1"], "user_key": ["a"]}))
            found = writer.rows("things", rows.select("id")).sort("id")
            with pytest.raises(DatabaseRefused):
                writer.write("things", rows.with_columns(ok=pl.lit(None, pl.Boolean)), ["id"])

    assert found["price"].to_list() == [Decimal("1234567890.1234"), None]
    assert (found["parent"].to_list(), found["d"].to_list()) == ([1, 99], ["new", "new"])
    with opened.target().reading() as reader:
        assert reader.rows("things", rows.select("id")).height == 0
        assert reader.rows("parents", pl.DataFrame({"id": [1]})).height == 1
        assert reader.owners("things", ["1"]).height == 0
