"""T5: whatever verbs come in whatever order, and whoever dies meanwhile: every status is legal, everybody is counted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from migrator.errors import MigratorError
from migrator.flows.homes import cutover, on_demand
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import users
from tests.flows.bakery import Bakery
from tests.flows.plug import Plug, Power, plugged

CUSTOMERS = 6
ALLOWED = {(before, after) for (before, _), after in states.USER.items()} | {
    (User.MOVING, User.MOVING),  # claimed again after a lease ran out
    (User.ROLLING_BACK, User.ROLLING_BACK),  # a rollback that was cut off is taken up again
}
_TEMPLATE: list[Path] = []


def _template() -> Path:
    """A bakery with an approved plan, made once."""
    if not _TEMPLATE:
        folder = Path(tempfile.mkdtemp(prefix="verbs"))
        bakery = Bakery(folder / "planned", customers=CUSTOMERS)
        bakery.plan(batch_users=3)
        bakery.close()
        _TEMPLATE.append(folder / "planned")
    return _TEMPLATE[0]


class Verbs(RuleBasedStateMachine):
    """An operator who presses everything, workers who die anywhere."""

    @initialize()
    def planned(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="verbs"))
        self.bakery = Bakery(_template()).copy(self.folder / "b")
        limits = replace(self.bakery.parts.limits, retry_after=timedelta(0), interruptions=1000, attempts=1000)
        self.bakery.parts = replace(self.bakery.parts, limits=limits)
        self.untouched = self.bakery.rows()
        self.before = self.bakery.users()
        self.move = users.move
        users.move = self._watched  # type: ignore[assignment]

    def _watched(
        self, db: sa.Connection, plan_id: int, keys: Iterable[str], old: Iterable[User], new: User, now: datetime,
        **more: Any,
    ) -> int:  # fmt: skip
        wanted, before = list(keys), tuple(old)
        found = {(one.status, new) for one in users.some(db, plan_id, wanted) if one.status in before}
        assert found <= ALLOWED, f"not in the state table: {found - ALLOWED}"
        return self.move(db, plan_id, wanted, before, new, now, **more)

    def _press(self, verb: Any) -> None:
        try:
            verb()
        except MigratorError:
            pass  # refused with a sentence: that is an answer

    @rule(verb=st.sampled_from(["start", "pause", "resume", "cancel", "retry"]))
    def order(self, verb: str) -> None:
        if verb == "cancel" and self.bakery.wave().status in (states.Wave.APPROVED, states.Wave.ROLLED_BACK):
            return  # nothing can be pressed afterwards
        self._press(lambda: getattr(waves, verb)(self.bakery.parts, "whole"))

    @rule(user=st.none() | st.integers(1, CUSTOMERS))
    def cut_over(self, user: int | None) -> None:
        parts = self.bakery.parts
        self._press(
            lambda: cutover.cut_over_wave(parts, "all") if user is None else cutover.cut_over_users(parts, [str(user)])
        )

    @rule(user=st.integers(1, CUSTOMERS), cut_over=st.booleans())
    def ask_for(self, user: int, cut_over: bool) -> None:
        self._press(lambda: on_demand.ask(self.bakery.parts, str(user), cut_over=cut_over))

    @rule()
    def hold(self) -> None:
        self._press(lambda: waves.hold(self.bakery.parts, "whole", "to see"))

    @rule()
    def gate_is_overridden(self) -> None:
        self._press(lambda: waves.override(self.bakery.parts, "whole", "to see"))

    @rule()
    def workers_work(self) -> None:
        self._press(self.bakery.work_once)

    @rule(effects=st.integers(0, 6))
    def a_worker_dies(self, effects: int) -> None:
        plug = Plug()
        plug.limit = effects
        dispatcher = self.bakery.dispatcher(plugged(self.bakery.parts, plug))
        try:
            self._press(lambda: self.bakery.work_once(dispatcher))
        except Power:
            self.bakery.lose_leases()

    @rule(user=st.none() | st.integers(1, CUSTOMERS))
    def roll_back(self, user: int | None) -> None:
        whom: dict[str, Any] = {"wave": "whole"} if user is None else {"user": str(user)}
        self._press(lambda: rollbacks.roll_back(self.bakery.parts, rollbacks.scope(self.bakery.parts, **whom)))

    @rule(effects=st.integers(0, 4))
    def an_operator_dies_in_a_rollback(self, effects: int) -> None:
        plug = Plug()
        plug.limit = effects
        parts = plugged(self.bakery.parts, plug)
        try:
            self._press(lambda: rollbacks.roll_back(parts, rollbacks.scope(parts, wave="whole")))
        except Power:
            self.bakery.lose_leases()

    @invariant()
    def everybody_is_counted(self) -> None:
        if not hasattr(self, "bakery"):
            return
        now = self.bakery.users()
        assert now.keys() == self.before.keys()
        ledger = {key: op for key, _, op in self.bakery.ledger()}
        accounts = {str(row[1]).split("@")[0][1:] for row in self.bakery.rows()["accounts"]}
        assert accounts == {key for key, op in ledger.items() if op == "move"}  # whole users, and the ledger knows them
        assert len(self.bakery.rows()["orders"]) == 3 * len(accounts)
        for key, status in now.items():
            if status in ("live", "moved"):
                assert ledger[str(key)] == "move"
            if status in ("rolled_back", "failed", "held", "excluded"):
                assert ledger.get(str(key)) != "move", f"{key} is {status} and in the target"

    def teardown(self) -> None:
        if not hasattr(self, "bakery"):
            return
        users.move = self.move
        self._press(lambda: rollbacks.roll_back(self.bakery.parts, rollbacks.scope(self.bakery.parts, wave="whole")))
        self.bakery.close()
        shutil.rmtree(self.folder, ignore_errors=True)


TestVerbs = Verbs.TestCase
TestVerbs.settings = settings(
    max_examples=int(os.environ.get("FAULTS_VERBS", "8")), stateful_step_count=15, deadline=None
)
