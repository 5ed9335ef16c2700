"""
Compare what was meant with what the target holds, by another connection, value by value; and look for drift.

*Difference*: the target is not what we wrote. *Drift*: legacy is not what we read. Each with the user's home.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from operator import itemgetter
from time import sleep
from typing import Any

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Reader
from migrator.errors import Fenced, NotFound, Transient, Unreachable
from migrator.flows import portions
from migrator.flows.checking import extras, sums
from migrator.flows.drafting import schema_changes
from migrator.flows.moving import heartbeat, reading, standing, writing
from migrator.flows.moving.kept import KeptBatch, TableRows, alike, opened, together
from migrator.flows.parts import Parts
from migrator.logs import where
from migrator.mapping import compare, nobody, secrecy
from migrator.mapping.groups import closed
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import effects, journal, leases, plans, retention, users, waves
from migrator.store.control import clock
from migrator.store.homes import LEGACY, TARGET

log = logging.getLogger("migrator.verify")
Keys = Sequence[str] | pl.Series  # of users; a series of many is a tenth of them as objects
IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)
TOLD = dict.fromkeys(("user", "mapping", "key", "field", "kind", "meant", "found"), pl.String())
TOGETHER = 16_000_000  # bytes of source rows of small snapshots that are compared together
SHOWN = 1000  # differences listed; all are counted
#: What may have become of a user since the move; see `Verified.by_class`.
CLASSES = ("legacy changed", "target changed", "both", "vanished", "extra")
LOOKS, PAUSE = 3, 0.3  # at users who are written anew while we look, and the seconds before each


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
    expired_users: int = 0  # who were not compared: their snapshots are gone
    differing: set[str] = field(default_factory=set)  # users of whom a row we wrote is another, or is not there
    with_extra: set[str] = field(default_factory=set)  # users with rows in the target that nobody of ours wrote
    drifted: dict[str, str] = field(default_factory=dict)  # user -> legacy changed | vanished
    late_writes: set[str] = field(default_factory=set)  # changed in legacy, and served by the target
    busy: set[str] = field(default_factory=set)  # users who were written anew while we looked, and are not compared

    def differ(self, found: pl.DataFrame) -> None:
        """Take in differences: user, mapping, key, field, kind, meant, found."""
        self.difference_count += found.height
        if found.height:
            is_extra = pl.col("kind") == compare.EXTRA
            self.with_extra |= set(found.filter(is_extra)["user"].drop_nulls())
            self.differing |= set(found.filter(~is_extra)["user"].drop_nulls())
        self.differences += found.head(max(0, SHOWN - len(self.differences))).iter_rows(named=True)

    def add(self, other: Verified) -> None:
        """Take in what was found of other users."""
        self.checked_users += other.checked_users
        self.checked_nobody += other.checked_nobody
        self.checked_rows += other.checked_rows
        self.difference_count += other.difference_count
        self.drift_count += other.drift_count
        self.differing |= other.differing
        self.with_extra |= other.with_extra
        self.drifted |= other.drifted
        self.late_writes |= other.late_writes
        self.busy |= other.busy
        for mine, theirs in ((self.differences, other.differences), (self.drift, other.drift)):
            mine += theirs[: max(0, SHOWN - len(mine))]
        for name, counted in other.per_mapping.items():
            self.count(name, **counted)
        for name, checked in other.sums.items():
            self.sums[name] = self.sums.get(name, 0) + checked

    def by_class(self) -> dict[str, str]:
        """Whoever is not what he was when he was moved, by what has changed."""
        found = dict.fromkeys(self.with_extra, "extra") | dict.fromkeys(self.differing, "target changed")
        for user, kind in self.drifted.items():
            found[user] = "both" if kind == "legacy changed" and user in self.differing else kind
        return found

    @property
    def classes(self) -> dict[str, int]:
        """How many users there are of each class; somebody with rows of nobody of ours beside another change counts for that."""
        return dict.fromkeys(CLASSES, 0) | Counter(self.by_class().values())

    def count(self, mapping: str, rows: int, differences: int) -> None:
        """Count rows of a mapping, and what differed in them."""
        counted = self.per_mapping.setdefault(mapping, {"rows": 0, "differences": 0})
        counted["rows"] += rows
        counted["differences"] += differences


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are compared: snapshots with the users each holds."""

    plan: plans.Plan
    snapshots: Mapping[portions.Snapshot, Keys]
    expired: int = 0  # users of whom nobody can tell any more what was meant: their snapshots are gone on purpose

    @property
    def users(self) -> int:
        """How many are in it."""
        return sum(len(keys) for keys in self.snapshots.values())

    def in_order(self) -> tuple[tuple[portions.Snapshot, Keys], ...]:
        """The snapshots as they came into being."""
        return tuple(sorted(self.snapshots.items(), key=itemgetter(0)))


@dataclass(frozen=True, slots=True)
class Part:
    """Some snapshots of a scope, with the users of each that are in it."""

    plan_id: int
    snapshots: tuple[tuple[portions.Snapshot, Keys], ...]
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
            whole = scope_of(plan, filter(None, map(users.Placed.of, together)))
        else:
            wave_id = waves.find(db, plan.id, wave).id if wave else None
            whole = Scope(plan, users.held(db, plan.id, IN_TARGET, wave_id))
        gone = retention.expired(db, plan.id)
    there = Scope(plan, {snapshot: keys for snapshot, keys in whole.snapshots.items() if snapshot not in gone})
    return replace(there, expired=whole.users - there.users)


def scope_of(plan: plans.Plan, chosen: Iterable[portions.Held]) -> Scope:
    """Just these users."""
    return Scope(plan, portions.keys_by_snapshot(chosen))


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
    result = Verified(expired_users=scope_.expired)
    beside = portions.processes(parts, scope_.users, workers)
    cut = portions.cut(scope_.in_order(), beside)
    jobs = [Part(scope_.plan.id, snapshots, drift) for snapshots in cut]
    found: dict[int, Verified] = {}
    with portions.expected(parts, min(beside, len(jobs))):
        if drift:
            result.schema_changes = [str(change) for change in schema_changes.found(parts, scope_.plan)]
        going = portions.share(parts, "verify", jobs, lambda job: part(parts, job), users=scope_.users, workers=beside)
        with closing(going) as done:
            for place, one in done:
                found[place] = one
                progress(jobs[place].users)
    for place in sorted(found):
        result.add(found[place])
    for _ in range(LOOKS):
        if result.busy:
            sleep(PAUSE)  # whoever writes them says so right after his commit
            now = _where_now(parts, scope_.plan, result.busy)
            result.busy = set()
            result.add(part(parts, Part(now.plan.id, now.in_order(), drift)))
    return result


def _where_now(parts: Parts, plan: plans.Plan, keys: Iterable[str]) -> Scope:
    """The snapshots that hold these users by now; who is not in the target any more is left out."""
    with parts.control.read() as db:
        found = [one for one in users.some(db, plan.id, keys) if one.status in IN_TARGET]
    return scope_of(plan, filter(None, map(users.Placed.of, found)))


def part(parts: Parts, job: Part) -> Verified:
    """Compare the users of one part."""
    result = Verified()
    for kept, set_ in opened_together(parts, job):
        result.add(_compared(parts, set_, kept, drift=job.drift))
    _say_homes(parts, job.plan_id, result)
    return result


def _say_homes(parts: Parts, plan_id: int, result: Verified) -> None:
    """Where those are at home of whom something is told."""
    changed = {user for user, kind in result.drifted.items() if kind == "legacy changed"}
    told = [*result.differences, *result.drift]
    concerned = changed | {one["user"] for one in told if one["user"] is not None}
    if not concerned:
        return
    with parts.control.read() as db:
        homes = {one.user_key: one.home for one in users.some(db, plan_id, concerned)}
    result.late_writes = {user for user in changed if homes.get(user) == TARGET}
    for one in told:
        one["home"] = homes.get(one["user"], LEGACY)


def _compared(parts: Parts, set_: MappingSet, kept: KeptBatch, *, drift: bool) -> Verified:
    """One snapshot, without those of its users who were written anew since somebody said that it holds them."""
    busy: set[str] = set()
    left = kept
    while True:
        found = Verified()
        if left.users:
            _compare(parts, set_, left, found)
            if drift:
                _drift(parts, set_, left, found)
        more = _written_anew(parts, left, found.by_class())
        if not more:
            break
        busy |= closed(more, kept.groups).intersection(kept.users)
        left = kept.only([user for user in kept.users if user not in busy])
    people, rows = nobody.apart(set_, left.users)
    found.checked_users, found.checked_nobody, found.busy = len(people), len(rows), busy
    return found


def _written_anew(parts: Parts, kept: KeptBatch, keys: Collection[str]) -> set[str]:
    """Those of whom the ledger knows a newer generation than this snapshot, or who left the target meanwhile."""
    if not keys:
        return set()
    wanted = sorted(keys)
    with parts.target.reading() as reader:
        ledger = reader.ledger(wanted)
    known = dict(ledger.select("user_key", "generation").iter_rows())
    newer = {key for key, number in known.items() if key in kept.generations and number > kept.generations[key]}
    with parts.control.read() as db:
        there = {one.user_key: one.status in IN_TARGET for one in users.some(db, int(kept.plan_id), wanted)}
    return newer | {key for key in wanted if key in kept.users and not there.get(key, False)}


def busy_sentence(count: int) -> str:
    """Why users were not compared."""
    return f"{count} users were written anew meanwhile and were not compared; `migrator verify` again compares them"


def check_wave(parts: Parts, wave_id: int, owner: str) -> None:
    """Verify a wave for its gate and store the result; somebody else may be at it already, or it is checked no more."""
    with parts.control.write() as db:
        wave = waves.get(db, wave_id)
        if wave.status is not states.Wave.CHECKING:
            return
        if not leases.acquire(db, f"check:{wave_id}", owner, parts.limits.lease):
            return
    try:
        with heartbeat.holding(parts, f"check:{wave_id}", owner) as pulse:
            whole = scope(parts, wave=wave.name)
            crash_point("check-begun")
            found = verify(
                parts, whole, drift=False, workers=_beside_batches(parts, whole), progress=lambda _: pulse.progress()
            )
            pulse.progress()
        crash_point("check-compared")
        if found.busy:
            raise Transient(busy_sentence(len(found.busy)))
        with parts.control.write() as db:
            now = waves.get(db, wave_id, stays=True)
            # what moved since we began was not looked at: that is for the check after it
            if now.status is states.Wave.CHECKING and now.checking_at == wave.checking_at:
                store(parts, db, wave.plan_id, found, wave_id)
            crash_point("check-written")
        crash_point("check-stored")
    except (Unreachable, Transient, Fenced) as passing:
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
    return max(1, min(slots, portions.processes(parts, scope_.users, None)))


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
        at=clock(db),
    )


def opened_together(parts: Parts, job: Part) -> Iterator[tuple[KeptBatch, MappingSet]]:
    """The snapshots of a part with just its users, small ones together."""
    waiting: list[KeptBatch] = []
    size = 0
    set_: MappingSet | None = None
    for (batch_id, fence), keys in job.snapshots:
        kept = opened(parts, job.plan_id, batch_id, fence).only(list(keys))
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
    gone, changed = drifted(parts, set_, kept)
    for key in kept.users:
        if key in gone or key in changed:
            result.drift_count += 1
            result.drifted[key] = "vanished" if key in gone else "legacy changed"
            if len(result.drift) < SHOWN:
                result.drift.append({"user": key, "kind": "vanished" if key in gone else "legacy changed"})


def drifted(parts: Parts, set_: MappingSet, kept: KeptBatch) -> tuple[frozenset[str], frozenset[str]]:
    """Read the source rows of a snapshot's users again: who is gone, and who has others than the snapshot holds."""
    now = reading.read(parts, set_, kept.users, Context(kept.plan_id, kept.as_of))
    if not now.gone and _same_rows(now.sources, kept.sources):
        return frozenset(), frozenset()
    return now.gone, compare.changed_users(kept.sources, now.sources)


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
