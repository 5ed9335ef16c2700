"""
What the new system has changed, before its users go back after the cutover: carried back to legacy, or given up.

Users are frozen (their home is `moving`) until they are back: the target is looked at, what it says is kept in a sealed
file, legacy is written by the reverse of the mappings, in its own transaction, and then the users are put back, where the
target still says what was carried. Legacy's table of ours says whose changes it has; what was carried is kept in the file
that it names. So whoever does it again carries only what has changed since, and nothing twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrator.crashpoints import crash_point
from migrator.errors import DatabaseRefused, Mismatch, OverBudget
from migrator.flows.homes import thawing
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.flows.undoing import since
from migrator.flows.undoing.backing import Backing
from migrator.flows.undoing.belonging import Belongings
from migrator.flows.undoing.carried_files import Files
from migrator.flows.undoing.judging import NOT_OURS, together
from migrator.flows.undoing.policies import FORCE, Told, given_up
from migrator.flows.undoing.returning import go_back
from migrator.flows.undoing.since import Since
from migrator.mapping import pairs
from migrator.mapping.groups import closed
from migrator.rollout import plan as drafts
from migrator.store import carries, journal, plans
from migrator.store.control import clock

log = logging.getLogger("migrator.rollback")
LATE = (
    "could not be put back within {0:g} s; the target serves as before. Fewer at once ([cutover] users), or more time "
    "([cutover] budget)"
)


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Under which carry, and who of the users is frozen by it: those whom the target serves."""

    carry: int
    keys: tuple[str, ...]


@dataclass
class Carrying:
    """The way back of users of one batch whose rows are not what we wrote."""

    parts: Parts
    plan: plans.Plan
    batch_id: int
    kept: KeptBatch
    policy: str
    dry_run: bool = False
    belongings: Belongings = field(init=False)
    backing: Backing = field(init=False)

    def __post_init__(self) -> None:
        self.set = self.parts.stored_set(self.kept.set_hash)
        self.files = Files(self.parts, self.plan.id, self.batch_id, self.kept.set_hash)
        self.belongings = Belongings(self.parts, self.plan.id, self.batch_id, self.kept, self.set)
        self.backing = Backing(self.parts, self.kept, self.set, self.policy, self.files)

    def go(self, keys: Sequence[str]) -> Told:
        """Take back all who can be, some at a time; where a database refuses them together, user by user."""
        told = Told()
        waiting = _parts(keys, self.kept.groups, self.parts.cutting.users)
        while waiting:
            part = waiting.pop(0)
            try:
                told.add(self._looked(part) if self.dry_run else self._frozen(part))
            except (OverBudget, DatabaseRefused, Mismatch) as failed:
                halves = drafts.halves(part, self.kept.groups)
                if len(halves) > 1:
                    waiting[:0] = halves
                else:
                    told.refused |= dict.fromkeys(part, str(failed))
        return told

    # ---- one part ----------------------------------------------------------------------------------------------

    def _looked(self, keys: Sequence[str]) -> Told:
        """What would come of it."""
        told = Told()
        seen, generations = self._seen(keys, told)
        if self.policy == FORCE:
            told.given_up = given_up(seen.only(generations.keys() - told.refused.keys()), self.set)
        else:
            self.backing.look(seen, generations, told)
        told.done, told.refused = together(self.kept, [key for key in keys if key not in told.refused], told.refused)
        self._count(seen, told)
        return told

    def _frozen(self, keys: Sequence[str]) -> Told:
        """Freeze, do it, and whatever happens let nobody stay frozen."""
        frozen = self._freeze(keys)
        try:
            told = self._done(frozen, keys)
        except BaseException:
            with self.parts.control.write() as db:
                carries.thaw(db, self.plan.id, frozen.keys, frozen.carry)
            thawing.forget(self.parts, self.plan, frozen.keys)
            raise
        with self.parts.control.write() as db:
            now = self.parts.now()
            carries.end(db, frozen.carry, told.as_json(), now)
            journal.add(
                db, now, self.parts.actor, "give up" if self.policy == FORCE else "carry back", "batch", self.batch_id,
                users=told.done, carry=frozen.carry, policy=self.policy, **told.as_json(),
            )  # fmt: skip
        return told

    def _freeze(self, keys: Sequence[str]) -> _Frozen:
        """Read-only from now on, and until nobody can act on an older answer of the Router."""
        with self.parts.control.write() as db:
            carry = carries.begin(
                db, self.plan.id, self.batch_id, self.kept.set_hash, self.policy, self.parts.actor, len(keys),
                self.parts.now(),
            )  # fmt: skip
            held = carries.freeze(db, carry, self.plan.id, keys, self.parts.cutting.budget)
            frozen_at = clock(db)
            crash_point("carry-freeze-written")
        thawing.forget(self.parts, self.plan, held)
        crash_point("carry-frozen")
        if held:
            with self.parts.control.read() as db:
                pause = (frozen_at + self.parts.cutting.drain - clock(db)).total_seconds()
            time.sleep(max(0.0, pause))
        crash_point("carry-drained")
        return _Frozen(carry, tuple(held))

    def _done(self, frozen: _Frozen, keys: Sequence[str]) -> Told:
        told = Told()
        seen, generations = self._seen(keys, told)

        def still_frozen() -> None:
            with self.parts.control.read() as db:
                if frozen.keys and not carries.holds(db, frozen.carry, frozen.keys):
                    raise OverBudget(LATE.format(self.parts.cutting.budget.total_seconds()))

        if self.policy == FORCE:
            self._give_up(frozen.carry, seen, told)
        else:
            self.backing.carry(frozen.carry, seen, generations, told, still_frozen)
        going, told.refused = together(self.kept, [key for key in keys if key not in told.refused], told.refused)
        if not going:
            return told
        told.done, stayed = go_back(
            self.parts, self.set, self.kept, self.batch_id, seen, going, self.belongings.others, still_frozen
        )
        told.refused |= stayed
        self._count(seen, told)
        return told

    def _seen(self, keys: Sequence[str], told: Told) -> tuple[Since, dict[str, int]]:
        """What is there of these users now; and of those who are in the target, the generation in which they came."""
        with self.parts.target.reading() as reader:
            ledger = {row["user_key"]: row for row in reader.ledger(keys).iter_rows(named=True)}
            there = {
                key: int(ledger[key]["generation"]) for key in keys if key in ledger and ledger[key]["op"] == "move"
            }
            tables = self.parts.target_schema.tables
            seen = since.look(reader.rows, self.set, tables, self.kept, list(there), self.belongings.others)
        told.refused |= {key: NOT_OURS for key in keys if key not in there and _never(ledger.get(key))}
        told.refused |= dict(seen.lost)
        if self.policy != FORCE:
            told.refused |= {
                user: f"{tables_}: rows that nobody maps point at the user's rows"
                for user, tables_ in seen.with_strangers().items()
                if user not in told.refused
            }
        for user in sorted(closed(told.refused, self.kept.groups) - told.refused.keys()):
            if user in there:
                told.refused[user] = "merged with a user who cannot go back; they go together or not at all"
        crash_point("carry-looked")
        return seen, {key: number for key, number in there.items() if key not in told.refused}

    def _give_up(self, carry: int, seen: Since, told: Told) -> None:
        """Nothing goes back; what is lost is kept, so that it can be looked at."""
        mine = seen.only({user for rows in seen.whole.values() for user in rows["__user"]} - told.refused.keys())
        self.files.keep(carry, self.policy, mine, whole=True)
        told.given_up = given_up(mine, self.set)

    def _count(self, seen: Since, told: Told) -> None:
        """The rows of the target that go, with those that came since, and those that are as they were."""
        for name, rows in seen.only(told.done).whole.items():
            table = seen.tables[name]
            before = self.kept.before.get(name)
            was = pairs.key_text(before, table).implode() if before is not None and before.height else None
            old = 0 if was is None else int(pairs.key_text(rows, table).is_in(was).sum())
            told.removed[name] = told.removed.get(name, 0) + rows.height - old
            told.restored[name] = told.restored.get(name, 0) + old


def _never(entry: dict[str, object] | None) -> bool:
    """Whether somebody is not there for another reason than that he has gone back already."""
    return entry is None or entry["op"] != "rollback"


def _parts(keys: Sequence[str], groups: dict[str, str], size: int) -> list[list[str]]:
    """Some at a time; who is one account stays together."""
    found: list[list[str]] = []
    for key in sorted(keys, key=lambda one: (groups.get(one, one), one)):
        together_ = bool(found) and key in groups and groups.get(found[-1][-1]) == groups[key]
        if not found or (len(found[-1]) >= size and not together_):
            found.append([])
        found[-1].append(key)
    return found
