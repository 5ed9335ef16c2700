"""The control database, of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migrator.store.control import Control
from migrator.store.tables import metadata
from tests.flows.memory import a_control, a_control_on

LASTS = ("journal", "journal_head")  # nothing can be taken out of them


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control database with all tables."""
    if request.param == "sqlite":
        control = a_control(tmp_path_factory.mktemp("control"))
    else:
        control = a_control_on(request.getfixturevalue("postgresql"))
    yield control
    control.close()


@pytest.fixture
def control(database: Control) -> Iterator[Control]:
    """An empty control database, empty again afterwards but for its journal: several connections may have written to it."""
    yield database
    with database.write() as db:
        for table in reversed(metadata.sorted_tables):
            if table.name not in LASTS:
                db.execute(table.delete())
