"""A worker warms up before its first message: it writes nothing, and what fails then is told by a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.errors import Unreachable
from migrator.flows.moving import warming
from tests.flows.bakery import Bakery


def test_warming_up_asks_what_a_batch_asks_and_writes_nothing(planned: Bakery, tmp_path: Path) -> None:
    users, rows, ledger = planned.users(), planned.rows(), planned.ledger()
    kept = sorted(path.name for path in planned.folder.rglob("*") if path.is_file())

    warming.warm_up(lambda: planned.parts)

    assert (planned.users(), planned.rows(), planned.ledger()) == (users, rows, ledger)
    assert sorted(path.name for path in planned.folder.rglob("*") if path.is_file()) == kept


def test_what_cannot_be_reached_yet_keeps_no_worker_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    def connected() -> None:
        raise Unreachable("the control database is away")

    with caplog.at_level("INFO", "migrator.batches"):
        warming.warm_up(connected)  # type: ignore[arg-type]

    assert "not warmed up" in caplog.text
