"""What triggers note, in every database: each change once or twice, never not at all; and the script that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from migrator.edges.databases.change_log import ChangeLog, change_log
from migrator.errors import Refused
from tests.edges.databases.places import Opened

TABLES = (
    """create table "buyer's" (id integer primary key, name varchar(40))""",
    'create table "order" (id integer primary key, buyer integer, total integer)',
    "create table sort (id integer primary key, name varchar(40))",
)
WATCHED = {"buyer's": ("id",), "order": ("buyer", "id"), "sort": ()}
OVERLAP = timedelta(minutes=10)


@pytest.fixture
def log(opened: Opened) -> Iterator[ChangeLog]:
    """The log of a small shop whose names need quotes, and nothing in it yet."""
    for table in TABLES:
        opened.run(table)
    found = change_log(opened.place.url, None, "legacy")
    yield found
    found.close()


def _noted(log: ChangeLog, after: str | None = None) -> set[tuple[str, str | None, str | None]]:
    return {(one.table, one.column, one.value) for one in log.read(after, OVERLAP).found}


def test_every_change_of_a_row_is_noted_by_what_leads_to_its_user(opened: Opened, log: ChangeLog) -> None:
    assert not log.installed()
    log.install(WATCHED)
    assert log.installed()
    opened.run("""insert into "buyer's" values (1, 'Ann')""")
    opened.run("""insert into "order" values (10, 1, 5)""")
    mark = log.read(None, OVERLAP).mark
    assert _noted(log) == {("buyer's", "id", "1"), ("order", "buyer", "1"), ("order", "id", "10")}

    opened.run("""update "order" set buyer = 2 where id = 10""")
    opened.run("""delete from "buyer's" where id = 1""")

    found = _noted(log, mark)
    assert found >= {("order", "buyer", "1"), ("order", "buyer", "2"), ("order", "id", "10"), ("buyer's", "id", "1")}


def test_a_change_that_may_concern_everybody_has_no_column(opened: Opened, log: ChangeLog) -> None:
    log.install(WATCHED)

    opened.run("insert into sort values (1, 'rye')")

    assert _noted(log) == {("sort", None, None)}


def test_what_was_put_in_is_taken_out_again(opened: Opened, log: ChangeLog) -> None:
    log.install(WATCHED)

    log.install(WATCHED, drop=True)

    assert not log.installed()
    opened.run("""insert into "buyer's" values (1, 'Ann')""")  # no trigger is left that misses its table


def test_the_script_is_what_is_installed_and_holds_nothing_of_the_rows(opened: Opened, log: ChangeLog) -> None:
    text = log.script(WATCHED)

    assert text.count("AFTER") >= 3 and "migrator_changes" in text
    assert "total" not in text and "name)" not in text
    assert "DROP TABLE" in log.script(WATCHED, drop=True)


@pytest.mark.parametrize("opened", ["postgresql", "mysql"], indirect=True)
def test_a_transaction_that_commits_late_is_not_missed(opened: Opened, log: ChangeLog) -> None:
    log.install(WATCHED)
    slow = _connected(opened)
    with slow.cursor() as cursor:
        cursor.execute(opened.quoted("""insert into "order" values (11, 7, 5)"""))
    opened.run("""insert into "order" values (12, 8, 5)""")
    first = log.read(None, OVERLAP)
    assert ("order", "buyer", "7") not in {(one.table, one.column, one.value) for one in first.found}

    slow.commit()
    slow.close()

    assert ("order", "buyer", "7") in _noted(log, first.mark)


def _connected(opened: Opened) -> psycopg.Connection[tuple[object, ...]] | pymysql.Connection[pymysql.cursors.Cursor]:
    url = sa.make_url(opened.place.url)
    if url.get_backend_name().startswith("postgres"):
        return psycopg.connect(opened.place.url)
    return pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=url.database,
        unix_socket=url.query.get("unix_socket"),
    )  # fmt: skip


@pytest.mark.parametrize("opened", ["postgresql"], indirect=True)
def test_an_emptied_table_may_concern_everybody(opened: Opened, log: ChangeLog) -> None:
    log.install(WATCHED)

    opened.run('truncate "order"')

    assert ("order", None, None) in _noted(log)


@pytest.mark.parametrize("opened", ["postgresql"], indirect=True)
def test_an_account_that_may_not_is_told_whom_to_ask(opened: Opened, log: ChangeLog) -> None:
    opened.place.run("do $$ begin create role only_reads login; exception when duplicate_object then null; end $$")
    theirs = change_log(
        sa.make_url(opened.place.url).set(username="only_reads").render_as_string(False), None, "legacy"
    )

    with pytest.raises(Refused, match="migrator changes script"):
        theirs.install(WATCHED)
    theirs.close()
