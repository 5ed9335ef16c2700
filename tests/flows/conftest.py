"""Bakeries to copy, and a watch over every change of a user's status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from migrator.flows.steering import waves
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import tables, tallies, users
from migrator.store.control import Control
from tests.edges.databases.places import PostgresqlPlace, SqlitePlace
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


@pytest.fixture(autouse=True)
def users_are_counted_as_they_change(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a flow did, or was cut off in: what is told of how many users are what is what one would count."""
    opened: set[sa.URL] = set()
    begin = Control.__init__

    def noted(control: Control, url: str) -> None:
        begin(control, url)
        opened.add(control.url)

    monkeypatch.setattr(Control, "__init__", noted)
    yield
    for url in opened:
        if url.get_backend_name() == "sqlite" and Path(url.database or "").is_file():
            engine = sa.create_engine(url)
            with engine.connect() as db:
                if sa.inspect(db).has_table(tables.tallies.name):
                    _same_counts(db)
            engine.dispose()


def _same_counts(db: sa.Connection) -> None:
    columns = [tables.users.c[name] for name in tallies.Group._fields]
    counted = db.execute(sa.select(*columns, sa.func.count()).group_by(*columns)).all()
    told = [tallies.of_plan(db, plan_id) for plan_id in db.scalars(sa.select(tables.plans.c.id)).all()]
    assert {tuple(row[:-1]): row[-1] for row in counted} == {group: n for of in told for group, n in of.items()}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | PostgresqlPlace:
    """An empty target of each kind."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresqlPlace(request.getfixturevalue("postgresql").url())


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
