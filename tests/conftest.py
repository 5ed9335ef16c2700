"""Resources only: servers and databases. Data comes from builders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.mariadb_server import MariadbServer
from tests.postgresql_server import NoServer, PostgresqlServer

# a slow machine is no bug, and what passed once passes again; look further with --hypothesis-profile=explore
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any machine", settings.get_profile("explore"), derandomize=True)
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the tests of a file stay together, as they share what is costly; each real shop goes by itself."""
    for item in items:
        variant = getattr(item, "callspec", None) if item.get_closest_marker("real_data") else None
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {variant.id if variant else ''}"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server; `postgresql.url()` is a new empty database on it."""
    try:
        server = PostgresqlServer().__enter__()
    except NoServer as reason:
        pytest.skip(str(reason))
    yield server
    server.__exit__()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """A MariaDB server; `mariadb.url()` is a new empty database on it."""
    try:
        server = MariadbServer().__enter__()
    except NoServer as reason:
        pytest.skip(str(reason))
    yield server
    server.__exit__()
