"""
Compare what was meant with what the target holds, by another connection, value by value; and look for drift.

*Difference*: the target is not what we wrote. *Drift*: legacy is not what we read. Each with the user's home.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.errors import NotFound, Transient, Unreachable
from migrator.flows import extras, reading, schema_changes, standing, sums, writing
from migrator.flows.kept import KeptBatch, TableRows, alike, opened, together
from migrator.flows.parts import Parts
from migrator.logs import where
from migrator.mapping import compare, nobody, secrecy
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import effects, journal, leases, plans, users, waves

log = logging.getLogger("migrator.verify")
IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)
AT_ONCE = 1000  # users compared together
SHOWN = 1000  # differences listed; all are counted
LONG = 3  # leases of a batch that the check of a wave holds on for, between two snapshots


@dataclass
class Verified:
    """What a verification found; `differences` and `drift` are listed up to a limit and counted in full."""

    checked_users: int = 0
    checked_nobody: int = 0  # rows of nobody that are their own owners
    checked_rows: int = 0
    difference_count: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    drift_count: int = 0
    drift: list[dict[str, Any]] = field(default_factory=list)
    per_mapping: dict[str, dict[str, int]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    schema_changes: list[str] = field(default_factory=list)  # a database is not what the plan was approved against

    def differ(self, found: pl.DataFrame, homes: Mapping[str, str]) -> None:
        """Take in differences: user, mapping, key, field, kind, meant, found."""
        self.difference_count += found.height
        for row in found.head(max(0, SHOWN - len(self.differences))).iter_rows(named=True):
            self.differences.append({**row, "home": homes.get(row["user"], "legacy")})


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are compared: snapshots with the users each holds, and every user's home."""

    plan: plans.Plan
    snapshots: dict[tuple[int, int], list[str]]
    homes: dict[str, str]


def scope(parts: Parts, *, user: str | None = None, wave: str | None = None) -> Scope:
    """One user, one wave, or everybody who is in the target."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None:
            found = users.get(db, plan.id, user)
            if found is None:
                raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
            # one account is checked as a whole: users who merged are compared together
            chosen = [one for one in users.with_groups(db, plan.id, [user]) if one.status in IN_TARGET]
        elif wave is not None:
            chosen = users.of_wave(db, waves.find(db, plan.id, wave).id, IN_TARGET)
        else:
            chosen = users.of_plan(db, plan.id, IN_TARGET)
    held: dict[tuple[int, int], list[str]] = {}
    for one in chosen:
        if one.batch_id is not None and one.fence is not None:
            held.setdefault((one.batch_id, one.fence), []).append(one.user_key)
    return Scope(plan, held, {one.user_key: one.home for one in chosen})


def verify(
    parts: Parts, scope_: Scope, *, drift: bool = True, progress: Callable[[int], None] = lambda users: None
) -> Verified:
    """
    Compare every value of every user in scope; nothing is changed.

    Args:
        drift: Also read legacy again and compare with what was read then, and both schemas with what was approved.
        progress: Told how many users were done after each snapshot.
    """
    result = Verified()
    if drift:
        result.schema_changes = [str(change) for change in schema_changes.found(parts, scope_.plan)]
    for kept, set_ in _opened(parts, scope_):
        _compare(parts, set_, kept, scope_.homes, result)
        if drift:
            _drift(parts, set_, kept, scope_.homes, result)
        people, rows = nobody.apart(set_, kept.users)
        result.checked_users += len(people)
        result.checked_nobody += len(rows)
        progress(len(kept.users))
    return result


def check_wave(parts: Parts, wave_id: int, owner: str) -> None:
    """Verify a wave for its gate and store the result; somebody else may be at it already, or it is checked no more."""
    with parts.control.write() as db:
        wave = waves.get(db, wave_id)
        if wave.status is not states.Wave.CHECKING:
            return
        if not leases.acquire(db, f"check:{wave_id}", owner, parts.limits.lease * LONG):
            return

    def still_ours(_users: int) -> None:
        with parts.control.write() as db:
            if not leases.acquire(db, f"check:{wave_id}", owner, parts.limits.lease * LONG):
                raise Transient("somebody else verifies it by now")

    try:
        found = verify(parts, scope(parts, wave=wave.name), drift=False, progress=still_ours)
        with parts.control.write() as db:
            now = waves.get(db, wave_id, stays=True)
            # what moved since we began was not looked at: that is for the check after it
            if now.status is states.Wave.CHECKING and now.checking_at == wave.checking_at:
                store(parts, db, wave.plan_id, found, wave_id)
    except (Unreachable, Transient) as passing:
        log.warning("wave %s is verified again later: %s", wave.name, passing)
    except Exception as failed:  # noqa: BLE001 (a gate that cannot measure holds, it does not wait for ever)
        log.error("wave %s: %s", wave.name, where(failed))  # noqa: TRY400 (a message may hold user data)
        _hold_unmeasured(parts, wave_id, where(failed))
    finally:
        with parts.control.write() as db:
            leases.release(db, f"check:{wave_id}", owner)


def _hold_unmeasured(parts: Parts, wave_id: int, cause: str) -> None:
    said = f"the wave could not be verified ({cause}); see the log of the worker"
    finding = {"check": "measurement", "outcome": "hold", "measured": None, "limit": None, "sentence": said}
    with parts.control.write() as db:
        wave = waves.get(db, wave_id, stays=True)
        if wave.status is not states.Wave.CHECKING:
            return
        after = states.step("wave", wave.status, "hold", wave.name)
        waves.move(db, wave, after, verdict="hold", findings=[finding])
        journal.add(db, parts.now(), "gate", "hold", "wave", wave.name, findings=[finding])


def store(parts: Parts, db: Any, plan_id: int, found: Verified, wave_id: int | None) -> None:
    """Keep the numbers of a verification."""
    effects.keep_verification(
        db,
        plan_id=plan_id,
        wave_id=wave_id,
        checked_users=found.checked_users or found.checked_nobody,
        differences=found.difference_count,
        drift=found.drift_count,
        summary={"mappings": found.per_mapping, "sums": found.sums, "rows": found.checked_rows},
        at=parts.now(),
    )


def _opened(parts: Parts, scope_: Scope) -> Iterator[tuple[KeptBatch, MappingSet]]:
    """The snapshots in scope with just the users in scope, small ones together."""
    waiting: list[KeptBatch] = []
    set_: MappingSet | None = None
    for (batch_id, fence), keys in sorted(scope_.snapshots.items()):
        kept = opened(parts, scope_.plan.id, batch_id, fence).only(keys)
        its_set = parts.stored_set(kept.set_hash)
        users = sum(len(one.users) for one in waiting) + len(keys)
        fits = set_ is its_set and users <= AT_ONCE and bool(waiting) and alike(waiting[0], kept, its_set)
        if waiting and set_ is not None and not fits:
            yield together(waiting), set_
            waiting = []
        waiting.append(kept)
        set_ = its_set
    if waiting and set_ is not None:
        yield together(waiting), set_


def _compare(parts: Parts, set_: MappingSet, kept: KeptBatch, homes: Mapping[str, str], result: Verified) -> None:
    """Values, missing rows, extra rows and declared sums of the users of a snapshot."""
    tables = parts.target_schema.tables
    meant = kept.meant(parts, set_)
    wrong: set[tuple[str, str]] = set()  # a row that differs makes its sum differ: told once
    with parts.target.reading() as reader:
        for name, found in _differences(reader, TableRows(set_, tables, meant), kept.left):
            wrong |= {(name, user) for user in found["user"].to_list()}
            result.checked_rows += meant[name].height
            counted = result.per_mapping.setdefault(name, {"rows": 0, "differences": 0})
            counted["rows"] += meant[name].height
            counted["differences"] += found.height
            result.differ(found, homes)
        for found in extras.find(reader, set_, tables, meant, kept):
            wrong |= set(found.select("mapping", "user").iter_rows())
            result.differ(found, homes)
        for name, checked, found in sums.find(reader, set_, tables, meant, kept, kept.users):
            result.sums[name] = result.sums.get(name, 0) + checked
            news = [(row["mapping"], row["user"]) not in wrong for row in found.iter_rows(named=True)]
            result.differ(found.filter(pl.Series(news, dtype=pl.Boolean)), homes)


def _differences(
    reader: Reader, whose: TableRows, left: Mapping[str, pl.DataFrame]
) -> Iterator[tuple[str, pl.DataFrame]]:
    for table in whose.order:
        for name in whose.mappings_of(table):
            meant = whose.rows[name]
            key = list(whose.tables[table].key)
            written = reader.rows(table, meant.select(key))
            found = compare.differences(meant.drop("__user", "__key"), written, whose.tables[table], key)
            found = standing.compared(writing.owned(found, meant, whose.tables[table], name), left.get(name))
            yield name, _covered(found, whose.set_.mappings[name])


def _covered(found: pl.DataFrame, document: Document) -> pl.DataFrame:
    """Differences without the values of passwords: that one differs is all that is told."""
    secret = pl.col("field").is_in(list(secrecy.fields(document)[0]))
    return found.with_columns(pl.when(~secret.fill_null(False)).then(pl.col("meant", "found")).name.keep())


def _drift(parts: Parts, set_: MappingSet, kept: KeptBatch, homes: Mapping[str, str], result: Verified) -> None:
    """Users whose legacy rows are not what was read, with their home: once it is the target, legacy is only history."""
    keys = kept.users
    now = reading.read(parts, set_, keys, Context(kept.plan_id, kept.as_of))
    hashes = dict(compare.source_hashes(now.sources).iter_rows())
    for key in keys:
        gone = key in now.gone
        if gone or hashes.get(key, "") != kept.read_hashes.get(key, ""):
            result.drift_count += 1
            if len(result.drift) < SHOWN:
                result.drift.append({"user": key, "kind": "vanished" if gone else "legacy changed", "home": homes[key]})
