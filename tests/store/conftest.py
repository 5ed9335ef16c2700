"""The control database, of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migrator.store.control import Control
from migrator.store.tables import metadata
from tests.flows.memory import a_control


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control database with all tables."""
    if request.param == "sqlite":
        control = a_control(tmp_path_factory.mktemp("control"))
    else:
        control = Control(request.getfixturevalue("postgresql").url())
        control.upgrade()
    yield control
    control.close()


@pytest.fixture
def control(database: Control) -> Iterator[Control]:
    """An empty control database, empty again afterwards: several connections may have written to it."""
    yield database
    with database.write() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
