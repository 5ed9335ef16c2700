from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edges.databases.places import Opened, PostgresqlPlace, SqlitePlace
from tests.postgresql_server import PostgresqlServer


@pytest.fixture(scope="session")
def shared_url(postgresql: PostgresqlServer) -> str:
    """One PostgreSQL database for all tests of this folder, emptied before each."""
    return postgresql.url()


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """An empty database of each kind: fill `opened.place`, open it as legacy() or target()."""
    place = (
        SqlitePlace(tmp_path) if request.param == "sqlite" else PostgresqlPlace(request.getfixturevalue("shared_url"))
    )
    opened = Opened(place)
    yield opened
    opened.close()
