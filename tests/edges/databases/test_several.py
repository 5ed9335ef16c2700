"""Several legacy databases, read as one: every table under the name of its database, every read one snapshot of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest

from migrator.edges.databases import connect
from migrator.edges.databases.several import SeveralDatabases
from migrator.errors import Refused, Unreachable
from migrator.mapping.query import Among, Query, Via
from tests.postgresql_server import PostgresqlServer

SHOP = """
create table customer (id integer primary key, name text);
create table purchase (id integer primary key, customer_id integer references customer (id));
insert into customer values (1, 'Ann'), (2, 'Bob');
insert into purchase values (10, 1), (11, 2), (12, 2);
"""


@pytest.fixture
def several(postgresql: PostgresqlServer, tmp_path: Path) -> Iterator[SeveralDatabases]:
    """A shop in PostgreSQL and a list in SQLite."""
    url = postgresql.url()
    with psycopg.connect(url) as db:
        db.execute(SHOP.encode())
    write(tmp_path, "create table reader (no integer primary key, mail text)", "insert into reader values (7, 'ann@x')")
    named = {"shop": connect(url, None, "legacy"), "list": connect(f"sqlite:///{tmp_path / 'list.db'}", None, "legacy")}
    yield (databases := SeveralDatabases(named))
    databases.close()


def write(folder: Path, *statements: str) -> None:
    db = sqlite3.connect(folder / "list.db")
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_every_table_has_the_name_of_its_database_before_it(several: SeveralDatabases) -> None:
    tables = several.schema().tables

    assert set(tables) == {"shop.customer", "shop.purchase", "list.reader"}
    assert {table.name for table in tables.values()} == set(tables)
    assert [key.table for key in tables["shop.purchase"].foreign_keys] == ["shop.customer"]


def test_a_query_goes_to_the_database_of_its_table(several: SeveralDatabases) -> None:
    with several.reading() as reader:
        people = reader.select(Query("shop.customer", ("name",), among=Among("id", pl.Series(["2"]))))
        readers = reader.select(Query("list.reader", ("no", "mail")))
        count = reader.count(Query("shop.purchase", ()))

    assert people.rows() == [("Bob",)]
    assert readers.rows() == [(7, "ann@x")]
    assert count == 3


def test_tables_of_one_database_are_joined_in_it_and_those_of_two_are_not(several: SeveralDatabases) -> None:
    own = Via("shop.customer", (("id", "customer_id"),), (("name", "whose"),))
    other = Via("list.reader", (("no", "customer_id"),), (("mail", "whose"),))
    with several.reading() as reader:
        found = reader.select(Query("shop.purchase", ("id",), via=own))
        with pytest.raises(Refused, match="in different databases"):
            reader.select(Query("shop.purchase", ("id",), via=other))

    assert sorted(found.rows()) == [(10, "Ann"), (11, "Bob"), (12, "Bob")]


def test_a_table_of_no_database_is_refused(several: SeveralDatabases) -> None:
    with several.reading() as reader, pytest.raises(Refused, match=r"no legacy database \[legacy\.crm\]"):
        reader.select(Query("crm.contact", ("id",)))


def test_what_is_committed_in_any_of_them_changes_the_mark(several: SeveralDatabases, tmp_path: Path) -> None:
    before = several.mark()
    same = several.mark()
    write(tmp_path, "insert into reader values (8, 'bob@x')")

    assert before == same
    assert several.mark() != before


def test_what_is_committed_while_one_reads_is_not_read(several: SeveralDatabases, tmp_path: Path) -> None:
    write(tmp_path, "pragma journal_mode = wal")
    with several.reading() as reader:
        before = reader.count(Query("list.reader", ()))
        write(tmp_path, "insert into reader values (9, 'cid@x')")
        after = reader.count(Query("list.reader", ()))

    assert before == after == 1


def test_all_of_them_answer_or_the_one_that_does_not_is_named(several: SeveralDatabases, tmp_path: Path) -> None:
    said = several.ping()
    (tmp_path / "list.db").rename(tmp_path / "elsewhere.db")
    gone = SeveralDatabases({"list": connect(f"sqlite:///{tmp_path / 'list.db'}", None, "legacy")})

    assert "shop: PostgreSQL" in said
    assert "list: SQLite" in said
    with pytest.raises(Unreachable, match=r"list\.db"):
        gone.ping()
