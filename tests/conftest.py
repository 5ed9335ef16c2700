"""Resources only: servers and databases. Data comes from builders."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.mariadb_server import MariadbServer
from tests.postgresql_server import NoServer, PostgresqlServer

# a slow machine is no bug, and what passed once passes again; look further with --hypothesis-profile=explore
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any machine", settings.get_profile("explore"), derandomize=True)
settings.load_profile("any machine")


class Aloud:
    """Says at once what failed and what took minutes: a run that somebody ends must still tell."""

    def __init__(self, config: pytest.Config) -> None:
        self.write = config.get_terminal_writer().line

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.write(f"\nFAILED {report.nodeid} ({report.when}, {report.duration:.0f} s)")
            self.write("\n".join(report.longreprtext.splitlines()[-20:]))
        elif report.duration > 120:
            self.write(f"\n{report.nodeid} took {report.duration:.0f} s")


@pytest.hookimpl(trylast=True)  # when there is a terminal to write to
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Aloud(config))


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Side by side, the tests of a file stay together, as they share what is costly; each real shop goes by itself,
    and so does each test of a file that says that they share nothing (`apart`).
    What is slow begins first, so that none of it is left to one alone at the end.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    if hasattr(config, "workerinput"):
        slow = {_group(item) for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: _group(item) not in slow)


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker("apart"):
        return item.nodeid
    variant = getattr(item, "callspec", None) if item.get_closest_marker("real_data") else None
    return f"{item.path.parent.name}/{item.path.stem} {variant.id if variant else ''}"


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """A command line names its project in the environment, for what it starts; the next test has another project."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MIGRATOR_")}
    yield
    for name in [name for name in os.environ if name.startswith("MIGRATOR_") and name not in before]:
        del os.environ[name]
    os.environ.update(before)


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
