"""Nine pairs: a legacy database of each kind beside a target of each kind."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.edges.databases.places import MariadbPlace, Place, PostgresqlPlace, SqlitePlace
from tests.mariadb_server import MariadbServer
from tests.pairs.grounds import Ground
from tests.postgresql_server import PostgresqlServer

DIALECTS = ("sqlite", "postgresql", "mysql")


@pytest.fixture(scope="session")
def postgresql_urls(postgresql: PostgresqlServer) -> tuple[str, str]:
    """A legacy and a target database, emptied before each test."""
    return postgresql.url(), postgresql.url()


@pytest.fixture(scope="session")
def mysql_urls(mariadb: MariadbServer) -> tuple[str, str]:
    """A legacy and a target database, emptied before each test."""
    return mariadb.url(), mariadb.url()


@pytest.fixture(params=list(product(DIALECTS, DIALECTS)), ids="-to-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Ground, Ground]:
    """An empty legacy and an empty target database."""
    return _pair(request, tmp_path)


@pytest.fixture(params=list(zip(DIALECTS, DIALECTS[1:] + DIALECTS[:1], strict=True)), ids="-to-".join)
def crossed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Ground, Ground]:
    """The same where only the target counts: each kind once as target, and once as legacy."""
    return _pair(request, tmp_path)


def _pair(request: pytest.FixtureRequest, folder: Path) -> tuple[Ground, Ground]:
    legacy, target = request.param
    return (
        Ground(legacy, _place(request, legacy, 0, folder / "legacy")),
        Ground(target, _place(request, target, 1, folder / "target")),
    )


def _place(request: pytest.FixtureRequest, dialect: str, role: int, folder: Path) -> Place:
    if dialect == "sqlite":
        folder.mkdir()
        return SqlitePlace(folder)
    url = request.getfixturevalue(f"{dialect}_urls")[role]
    return PostgresqlPlace(url) if dialect == "postgresql" else MariadbPlace(url)
