from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.databases.places import MariadbPlace, Opened, Place, PostgresqlPlace, SqlitePlace
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer


@pytest.fixture(scope="session")
def shared_url(postgresql: PostgresqlServer) -> str:
    """One PostgreSQL database for all tests of this folder, emptied before each."""
    return postgresql.url()


@pytest.fixture(scope="session")
def shared_mysql_url(mariadb: MariadbServer) -> str:
    """One MariaDB database for all tests of this folder, emptied before each."""
    return mariadb.url()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """An empty database of each kind: fill `opened.place`, open it as legacy() or target()."""
    opened = Opened(_place(request, tmp_path))
    yield opened
    opened.close()


def _place(request: pytest.FixtureRequest, folder: Path) -> Place:
    if request.param == "sqlite":
        return SqlitePlace(folder)
    if request.param == "postgresql":
        return PostgresqlPlace(request.getfixturevalue("shared_url"))
    return MariadbPlace(request.getfixturevalue("shared_mysql_url"))
