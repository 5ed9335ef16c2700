"""
Compare what was meant with what the target holds, by another connection, value by value; and look for drift.

*Difference*: the target is not what we wrote. *Drift*: legacy is not what we read. Each with the user's home.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.errors import NotFound, Transient, Unreachable
from migrator.flows import extras, portions, reading, schema_changes, standing, sums, writing
from migrator.flows.kept import KeptBatch, TableRows, alike, opened, together
from migrator.flows.parts import Parts
from migrator.logs import where
from migrator.mapping import compare, nobody, secrecy
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import effects, journal, leases, plans, users, waves

log = logging.getLogger("migrator.verify")
IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)
TOLD = dict.fromkeys(("user", "mapping", "key", "field", "kind", "meant", "found"), pl.String())
TOGETHER = 16_000_000  # bytes of source rows of small snapshots that are compared together
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

    def differ(self, found: pl.DataFrame) -> None:
        """Take in differences: user, mapping, key, field, kind, meant, found."""
        self.difference_count += found.height
        self.differences += found.head(max(0, SHOWN - len(self.differences))).iter_rows(named=True)

    def add(self, other: Verified, homes: Mapping[str, str]) -> None:
        """Take in what was found of other users, and say where each of them is at home."""
        self.checked_users += other.checked_users
        self.checked_nobody += other.checked_nobody
        self.checked_rows += other.checked_rows
        self.difference_count += other.difference_count
        self.drift_count += other.drift_count
        for mine, theirs in ((self.differences, other.differences), (self.drift, other.drift)):
            news = theirs[: max(0, SHOWN - len(mine))]
            mine += [{**one, "home": homes.get(one["user"], "legacy")} for one in news]
        for name, counted in other.per_mapping.items():
            self.count(name, **counted)
        for name, checked in other.sums.items():
            self.sums[name] = self.sums.get(name, 0) + checked

    def count(self, mapping: str, rows: int, differences: int) -> None:
        """Count rows of a mapping, and what differed in them."""
        counted = self.per_mapping.setdefault(mapping, {"rows": 0, "differences": 0})
        counted["rows"] += rows
        counted["differences"] += differences


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are compared: snapshots with the users each holds, and every user's home."""

    plan: plans.Plan
    snapshots: dict[portions.Snapshot, list[str]]
    homes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """Some snapshots of a scope, with the users of each that are in it."""

    plan_id: int
    snapshots: tuple[tuple[portions.Snapshot, tuple[str, ...]], ...]
    drift: bool

    @property
    def users(self) -> int:
        """How many are in it."""
        return sum(len(keys) for _, keys in self.snapshots)


def scope(parts: Parts, *, user: str | None = None, wave: str | None = None) -> Scope:
    """One user, one wave, or everybody who is in the target."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None:
            found = users.get(db, plan.id, user)
            if found is None:
                raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
            # one account is checked as a whole: users who merged are compared together
            together = [one for one in users.with_groups(db, plan.id, [user]) if one.status in IN_TARGET]
            chosen = [one for one in map(users.Placed.of, together) if one is not None]
        else:
            chosen = users.placed(db, plan.id, IN_TARGET, waves.find(db, plan.id, wave).id if wave else None)
    held: dict[portions.Snapshot, list[str]] = {}
    for one in chosen:
        held.setdefault((one.batch_id, one.fence), []).append(one.user_key)
    return Scope(plan, held, {one.user_key: one.home for one in chosen})


def verify(
    parts: Parts,
    scope_: Scope,
    *,
    drift: bool = True,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda users: None,
) -> Verified:
    """
    Compare every value of every user in scope; nothing is changed.

    Args:
        drift: Also read legacy again and compare with what was read then, and both schemas with what was approved.
        workers: How many processes compare; see `portions`.
        progress: Told how many users were done after each part.
    """
    result = Verified()
    if drift:
        result.schema_changes = [str(change) for change in schema_changes.found(parts, scope_.plan)]
    users = len(scope_.homes)
    cut = portions.cut(sorted(scope_.snapshots.items()), portions.processes(parts, users, workers))
    jobs = [Part(scope_.plan.id, snapshots, drift) for snapshots in cut]
    found: dict[int, Verified] = {}
    with closing(
        portions.share(parts, "verify", jobs, lambda job: part(parts, job), users=users, workers=workers)
    ) as on:
        for place, one in on:
            found[place] = one
            progress(jobs[place].users)
    for place in sorted(found):
        result.add(found[place], scope_.homes)
    return result


def part(parts: Parts, job: Part) -> Verified:
    """Compare the users of one part; where they are at home is for whoever asked."""
    result = Verified()
    for kept, set_ in _opened(parts, job):
        _compare(parts, set_, kept, result)
        if job.drift:
            _drift(parts, set_, kept, result)
        people, rows = nobody.apart(set_, kept.users)
        result.checked_users += len(people)
        result.checked_nobody += len(rows)
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
        whole = scope(parts, wave=wave.name)
        found = verify(parts, whole, drift=False, workers=_beside_batches(parts, whole), progress=still_ours)
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


def _beside_batches(parts: Parts, scope_: Scope) -> int:
    """How many processes check a wave: no more than batches may run beside each other."""
    with parts.control.read() as db:
        slots = sum(int(one["slots"]) for one in leases.alive(db))
    return max(1, min(slots, portions.processes(parts, len(scope_.homes), None)))


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


def _opened(parts: Parts, job: Part) -> Iterator[tuple[KeptBatch, MappingSet]]:
    """The snapshots of a part with just its users, small ones together."""
    waiting: list[KeptBatch] = []
    size = 0
    set_: MappingSet | None = None
    for (batch_id, fence), keys in job.snapshots:
        kept = opened(parts, job.plan_id, batch_id, fence).only(keys)
        its_set = parts.stored_set(kept.set_hash)
        its_size = sum(int(rows.frame.estimated_size()) for rows in kept.sources.values())
        fits = set_ is its_set and size + its_size <= TOGETHER and bool(waiting) and alike(waiting[0], kept, its_set)
        if waiting and set_ is not None and not fits:
            yield together(waiting), set_
            waiting, size = [], 0
        waiting.append(kept)
        size += its_size
        set_ = its_set
    if waiting and set_ is not None:
        yield together(waiting), set_


def _compare(parts: Parts, set_: MappingSet, kept: KeptBatch, result: Verified) -> None:
    """Values, missing rows, extra rows and declared sums of the users of a snapshot."""
    tables = parts.target_schema.tables
    meant = kept.meant(parts, set_)
    wrong: set[tuple[str, str]] = set()  # a row that differs makes its sum differ: told once
    with parts.target.reading() as reader:
        whose = TableRows(set_, tables, meant)
        right = {
            name
            for name, there in extras.owned(reader, set_, tables, meant, kept)
            if not _unlike(whose, name, there).height
        }
        for name, found in _differences(reader, whose, kept.left, right):
            wrong |= {(name, user) for user in found["user"].to_list()}
            result.checked_rows += meant[name].height
            result.count(name, meant[name].height, found.height)
            result.differ(found)
        clean = {set_.mappings[name].target.table for name in right}
        for found in extras.find(reader, set_, tables, meant, kept, clean):
            wrong |= set(found.select("mapping", "user").iter_rows())
            result.differ(found)
        for name, checked, found in sums.find(reader, set_, tables, meant, kept, kept.users):
            result.sums[name] = result.sums.get(name, 0) + checked
            news = [(row["mapping"], row["user"]) not in wrong for row in found.iter_rows(named=True)]
            result.differ(found.filter(pl.Series(news, dtype=pl.Boolean)))


def _differences(
    reader: Reader, whose: TableRows, left: Mapping[str, pl.DataFrame], right: Collection[str]
) -> Iterator[tuple[str, pl.DataFrame]]:
    for table in whose.order:
        for name in whose.mappings_of(table):
            if name in right:
                yield name, pl.DataFrame(schema=TOLD)
                continue
            meant = whose.rows[name]
            found = _unlike(whose, name, reader.rows(table, meant.select(whose.tables[table].key)))
            if found.height:
                told = standing.compared(writing.owned(found, meant, whose.tables[table], name), left.get(name))
                yield name, _covered(told, whose.set_.mappings[name])
            else:
                yield name, pl.DataFrame(schema=TOLD)


def _unlike(whose: TableRows, name: str, written: pl.DataFrame) -> pl.DataFrame:
    table = whose.tables[whose.set_.mappings[name].target.table]
    return compare.differences(whose.rows[name].drop("__user", "__key"), written, table, table.key)


def _covered(found: pl.DataFrame, document: Document) -> pl.DataFrame:
    """Differences without the values of passwords: that one differs is all that is told."""
    secret = pl.col("field").is_in(list(secrecy.fields(document)[0]))
    return found.with_columns(pl.when(~secret.fill_null(False)).then(pl.col("meant", "found")).name.keep())


def _drift(parts: Parts, set_: MappingSet, kept: KeptBatch, result: Verified) -> None:
    """Users whose legacy rows are not what was read: once their home is the target, legacy is only history."""
    keys = kept.users
    now = reading.read(parts, set_, keys, Context(kept.plan_id, kept.as_of))
    if not now.gone and _same_rows(now.sources, kept.sources):
        return
    changed = compare.changed_users(kept.sources, now.sources)
    for key in keys:
        gone = key in now.gone
        if gone or key in changed:
            result.drift_count += 1
            if len(result.drift) < SHOWN:
                result.drift.append({"user": key, "kind": "vanished" if gone else "legacy changed"})


def _same_rows(now: Mapping[str, SourceRows], then: Mapping[str, SourceRows]) -> bool:
    """Whether rows are to the last value what they were, the usual case: no hash says more."""
    if now.keys() != then.keys():
        return False
    for name, rows in now.items():
        one, other = rows.frame, then[name].frame
        if one.schema != other.schema or one.height != other.height:
            return False
        if not one.equals(other) and not _in_order(one).equals(_in_order(other)):
            return False
    return True


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("__user", "__key") if "__key" in rows.columns else rows
