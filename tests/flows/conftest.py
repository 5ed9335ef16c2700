"""Bakeries to copy, and a watch over every change of a user's status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.flows import waves
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import users
from tests.flows.bakery import Bakery

ALLOWED = {(before, after) for (before, _), after in states.USER.items()} | {
    (User.MOVING, User.MOVING),  # claimed again after a lease ran out
    (User.ROLLING_BACK, User.ROLLING_BACK),  # a rollback that was cut off is taken up again
}


@pytest.fixture(autouse=True)
def every_change_of_a_user_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows change users in bulk; that each change is one of the state table's is looked at here, for all of them."""
    move = users.move

    def watched(
        db: sa.Connection, plan_id: int, keys: Iterable[str], old: Iterable[User], new: User, now: datetime, **more: Any
    ) -> int:
        wanted, before = list(keys), tuple(old)
        found = {(one.status, new) for one in users.some(db, plan_id, wanted) if one.status in before}
        assert found <= ALLOWED, f"not in the state table: {found - ALLOWED}"
        return move(db, plan_id, wanted, before, new, now, **more)

    monkeypatch.setattr(users, "move", watched)


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """Twelve customers in one approved wave, `whole`; to be copied."""
    bakery = Bakery(tmp_path_factory.mktemp("bakery") / "planned", customers=12)
    bakery.plan(batch_users=8)
    yield bakery
    bakery.close()


@pytest.fixture(scope="session")
def started(planned: Bakery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """The same with its wave running: two batches, of eight and of four users; to be copied."""
    bakery = planned.copy(tmp_path_factory.mktemp("bakery") / "started")
    waves.start(bakery.parts, "whole")
    yield bakery
    bakery.close()


@pytest.fixture(scope="session")
def moved(started: Bakery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """The same with everybody live and the wave passed; to be copied."""
    bakery = started.copy(tmp_path_factory.mktemp("bakery") / "moved")
    bakery.run()
    yield bakery
    bakery.close()
