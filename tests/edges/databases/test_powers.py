"""What is said of connections that others can listen to, and of clocks that are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from migrator.edges import hosts
from migrator.edges.databases import mysql_powers, postgresql_powers, powers
from migrator.edges.databases.base import Concern
from tests.edges.databases.places import MariadbPlace, Opened

FAR = "elsewhere.example"


@contextmanager
def connected(opened: Opened) -> Iterator[sa.Connection]:
    url = sa.make_url(opened.place.url)
    if isinstance(opened.place, MariadbPlace):
        place = opened.place
        engine = sa.create_engine("mysql+pymysql://", creator=lambda: place.connect())
    else:
        engine = sa.create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def looked(connection: sa.Connection, url: str) -> list[Concern]:
    if connection.dialect.name == "postgresql":
        return postgresql_powers.of(connection, "public", "target", sa.make_url(url))
    return mysql_powers.of(connection, "target", sa.make_url(url))


def words(found: list[Concern], word: str) -> list[Concern]:
    return [one for one in found if word in one.said]


@pytest.mark.parametrize("opened", ["postgresql", "mysql"], indirect=True)
def test_what_goes_to_another_machine_in_the_clear_is_told_with_the_remedy(opened: Opened) -> None:
    kind = sa.make_url(opened.place.url).get_backend_name()
    with connected(opened) as connection:
        far, near = (looked(connection, f"{kind}://who@{host}/shop") for host in (FAR, "localhost"))

    (told,) = words(far, "can be read on the way")
    assert told.result == "warn" and ("sslmode" in told.remedy or "ssl_ca" in told.remedy)
    assert words(near, "can be read on the way") == []


@pytest.mark.parametrize("opened", ["postgresql", "mysql"], indirect=True)
def test_a_server_whose_clock_is_right_is_not_told(opened: Opened) -> None:
    with connected(opened) as connection:
        assert words(looked(connection, opened.place.url), "clock") == []


@pytest.mark.parametrize("opened", ["mysql"], indirect=True)
def test_a_mysql_whose_clock_is_wrong_is_told(opened: Opened) -> None:
    with connected(opened) as connection:
        connection.exec_driver_sql("set timestamp = unix_timestamp() - 90")
        (told,) = words(looked(connection, opened.place.url), "clock")

    assert told.result == "warn" and ("90 s" in told.said or "91 s" in told.said or "89 s" in told.said)
    assert "NTP" in told.remedy


@pytest.mark.parametrize("opened", ["postgresql"], indirect=True)
def test_a_postgresql_whose_clock_is_wrong_is_told(opened: Opened) -> None:
    opened.place.run(
        "create function clock_timestamp() returns timestamptz language sql as"
        " $$select pg_catalog.clock_timestamp() + interval '1 hour'$$"
    )
    with connected(opened) as connection:
        connection.exec_driver_sql("set search_path = public, pg_catalog")
        (told,) = words(looked(connection, opened.place.url), "clock")

    assert told.result == "warn" and "s apart" in told.said


@pytest.mark.parametrize(
    ("apart", "told"), [(0, False), (4, False), (-4, False), (7, True), (-7, True), (86_400, True)]
)
def test_a_few_seconds_are_nothing(apart: int, told: bool) -> None:
    theirs = datetime.now(UTC) + timedelta(seconds=apart)

    assert bool(list(powers.apart(theirs))) is told
    assert bool(list(powers.apart(theirs.replace(tzinfo=None)))) is told, "without a zone it is UTC"


@pytest.mark.parametrize(
    ("url", "leaves"),
    [
        ("postgresql://who@db.example/shop", True),
        ("postgresql://who@10.0.0.7:5433/shop", True),
        ("postgresql://who@localhost/shop", False),
        ("postgresql://who@127.0.0.2/shop", False),
        ("postgresql://who@[::1]/shop", False),
        ("postgresql://who@[2001:db8::1]/shop", True),
        ("postgresql://who@/shop?host=/run/postgresql", False),
        ("postgresql://who@/shop?host=/run/postgresql&host=db2.example:5432", True),
        ("postgresql://who@/shop?host=db1.example,db2.example", True),
        ("postgresql:///shop", False),
        ("mysql://who@db.example/shop", True),
        ("mysql://who@localhost/shop?unix_socket=/run/mysqld.sock", False),
        ("sqlite:////srv/shop.db", False),
    ],
)
def test_only_what_leaves_this_machine_needs_cover(url: str, leaves: bool) -> None:
    assert hosts.leaves_this_machine(sa.make_url(url)) is leaves
