"""
Put users back: the target exactly as it was before they came, or not at all.

Three fingerprints decide: B, the before-images of the snapshot; A, the rows as we wrote them, in the snapshot; N, the
target now. N = A: restore B. N differs: the new system has written since, the user is refused and stays. Compared under
the row locks of the transaction that restores, which itself goes through fence and ledger: cut off, it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl

from migrator.edges.databases.base import Claim, Reader, Writer
from migrator.errors import DatabaseRefused, InDoubt, Mismatch, NotFound, Refused, Transient
from migrator.flows import batches as batch_flows
from migrator.flows import notices, portions, standing
from migrator.flows.kept import KeptBatch, TableRows, opened, ref_of
from migrator.flows.parts import Parts
from migrator.mapping import compare, conflicts, nobody, pairs
from migrator.mapping.groups import closed
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table
from migrator.rollout import plan as drafts
from migrator.rollout import states
from migrator.rollout.states import User, Wave
from migrator.store import batches, effects, journal, plans, users, waves

Look: TypeAlias = Callable[[str, pl.DataFrame], pl.DataFrame]
STILL_OF_IT = (User.MOVED, User.LIVE, User.SETTLED, User.HELD, User.FAILED, User.ROLLING_BACK)
CAN_GO_BACK = (User.MOVED, User.LIVE, User.ROLLING_BACK)


@dataclass
class RolledBack:
    """What a rollback did, or (dry run) would do."""

    restored: int = 0
    restored_nobody: int = 0  # rows of nobody that are their own owners
    refused: dict[str, str] = field(default_factory=dict)  # user -> why
    removed_rows: dict[str, int] = field(default_factory=dict)  # per table
    restored_rows: dict[str, int] = field(default_factory=dict)
    not_in_target: int = 0
    along: list[str] = field(default_factory=list)  # who merged with the user that was asked for, and goes back, too
    waves: list[str] = field(default_factory=list)
    dry_run: bool = False
    left: list[tuple[portions.Snapshot, tuple[users.Placed, ...]]] = field(default_factory=list)  # for a second look

    def add(self, other: RolledBack) -> None:
        """Take in what was done with other users."""
        self.restored += other.restored
        self.restored_nobody += other.restored_nobody
        self.refused |= other.refused
        self.left += other.left
        for mine, theirs in (
            (self.removed_rows, other.removed_rows),
            (self.restored_rows, other.restored_rows),
        ):
            for table, rows in theirs.items():
                mine[table] = mine.get(table, 0) + rows


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some snapshots of a scope with the users of each that go back, newest first.

    `hastily`: beside others. Who cannot go back is left for a second look, when everybody else has gone.
    """

    plan: plans.Plan
    snapshots: tuple[tuple[portions.Snapshot, tuple[users.Placed, ...]], ...]
    dry_run: bool
    hastily: bool

    @property
    def users(self) -> int:
        """How many are in it."""
        return sum(len(found) for _, found in self.snapshots)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a rollback is about: users by the snapshot that holds them."""

    plan: plans.Plan
    snapshots: dict[portions.Snapshot, list[users.Placed]]
    waves: tuple[waves.Wave, ...]
    not_in_target: int
    along: tuple[str, ...] = ()  # who merged with the user that was asked for

    @property
    def users(self) -> int:
        """How many can go back."""
        return sum(len(found) for found in self.snapshots.values())


def scope(parts: Parts, *, user: str | None = None, some: Sequence[str] = (), wave: str | None = None) -> Scope:
    """
    One user or some (with all who merged with them), one wave, or everybody; what a lost worker committed is recorded
    first.
    """
    _reconcile(parts, user, wave)
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None and users.get(db, plan.id, user) is None:
            raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
        whole, along = tuple[waves.Wave, ...](), tuple[str, ...]()
        if user is not None or some:
            chosen = users.with_groups(db, plan.id, [user] if user is not None else list(some))
            able = map(users.Placed.of, (one for one in chosen if one.status in CAN_GO_BACK))
            going, asked = [one for one in able if one is not None], len(chosen)
            along = tuple(one.user_key for one in chosen if one.user_key != user) if user is not None else ()
        else:
            whole = (waves.find(db, plan.id, wave),) if wave is not None else tuple(waves.of_plan(db, plan.id))
            within = whole[0].id if wave is not None else None
            going, asked = users.placed(db, plan.id, CAN_GO_BACK, within), users.count(db, plan.id, within)
    held: dict[portions.Snapshot, list[users.Placed]] = {}
    for one in going:
        held.setdefault((one.batch_id, one.fence), []).append(one)
    return Scope(plan, held, whole, asked - len(going), along)


def _reconcile(parts: Parts, user: str | None, wave: str | None) -> None:
    with parts.control.read() as db:
        plan = plans.require(db)
        if user is not None:
            one = users.get(db, plan.id, user)
            found = [one.wave_id] if one and one.wave_id else []
        elif wave is not None:
            found = [waves.find(db, plan.id, wave).id]
        else:
            found = [each.id for each in waves.of_plan(db, plan.id)]
    for wave_id in found:
        batch_flows.reconcile(parts, wave_id, parts.actor)


def roll_back(
    parts: Parts,
    scope_: Scope,
    *,
    dry_run: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda users: None,
) -> RolledBack:
    """
    Put back everybody in scope, snapshot by snapshot, newest first; where they do not depend on each other, several
    at once.

    Args:
        workers: How many processes restore; see `portions`.

    Raises:
        Refused: nobody in scope is in the target, or a batch of the wave is still running.
    """
    result = RolledBack(dry_run=dry_run, not_in_target=scope_.not_in_target, along=list(scope_.along))
    if not scope_.users and not _begun(scope_):
        raise Refused("nobody here is in the target: nothing to roll back")
    if not dry_run:
        _begin(parts, scope_)
    beside = _processes(parts, scope_, workers, dry_run=dry_run)
    cut = portions.cut(sorted(scope_.snapshots.items(), reverse=True), beside)
    jobs = [Part(scope_.plan, snapshots, dry_run, hastily=beside > 1 and not dry_run) for snapshots in cut]
    going = portions.share(
        parts, "rollback", jobs, lambda job: part(parts, job), users=scope_.users, workers=beside
    )  # fmt: skip
    with closing(going) as done:
        for place, one in done:
            result.add(one)
            progress(jobs[place].users - sum(len(whose) for _, whose in one.left))
    for snapshot, found in sorted(result.left, reverse=True):
        result.add(part(parts, Part(scope_.plan, ((snapshot, found),), dry_run, hastily=False)))
        progress(len(found))
    if not dry_run:
        _end(parts, scope_, result)
    return result


def part(parts: Parts, job: Part) -> RolledBack:
    """Put back the users of one part."""
    result = RolledBack(dry_run=job.dry_run)
    for snapshot, found in job.snapshots:
        try:
            _one(parts, job, snapshot, found, result)
        except (DatabaseRefused, Transient, Mismatch, InDoubt):
            if not job.hastily:
                raise
            result.left.append((snapshot, found))
    return result


def _processes(parts: Parts, scope_: Scope, workers: int | None, *, dry_run: bool) -> int:
    """
    How many may restore at once: one, where a batch may have written over another's rows, as then the order counts.

    Nor do several help where only one can write at a time.
    """
    wanted = portions.processes(parts, scope_.users, workers)
    if wanted == 1 or dry_run:
        return wanted
    if parts.target.dialect == "sqlite":
        return 1
    sets = {ref_of(parts, scope_.plan.id, *snapshot).set_hash for snapshot in scope_.snapshots}
    return 1 if any(conflicts.shared_tables(parts.stored_set(hash_)) for hash_ in sets) else wanted


def _begun(scope_: Scope) -> bool:
    return any(wave.status is Wave.ROLLING_BACK for wave in scope_.waves)


def _begin(parts: Parts, scope_: Scope) -> None:
    """Nothing may move while users go back; whole waves say so."""
    with parts.control.write() as db:
        touched = {one.wave_id for found in scope_.snapshots.values() for one in found}
        concerned = touched | {wave.id for wave in scope_.waves}  # one that moves its first users now, too
        for wave_id in sorted(one for one in concerned if one is not None):
            wave = waves.get(db, wave_id, stays=True)
            running = batches.leased(db, wave_id)
            if running or wave.status in (Wave.RUNNING, Wave.PAUSING, Wave.CANCELLING):
                raise Refused(
                    f"wave {wave.name} is {wave.status} with {running} batches under way; "
                    f"`migrator wave pause {wave.name}` first"
                )
        for wave in scope_.waves:
            now = waves.get(db, wave.id)
            # users who were refused before may be left in a wave that has been rolled back, or waits to start again
            if now.id in touched and "roll back" in states.events("wave", now.status):
                waves.move(db, now, states.step("wave", now.status, "roll back", now.name))
        keys = [one.user_key for found in scope_.snapshots.values() for one in found]
        users.move(db, scope_.plan.id, keys, CAN_GO_BACK, User.ROLLING_BACK, parts.now())
        ref = scope_.waves[0].name if len(scope_.waves) == 1 else f"plan {scope_.plan.id}"
        journal.add(db, parts.now(), parts.actor, "roll back", "wave", ref, users=keys, asked=len(keys))


def _end(parts: Parts, scope_: Scope, result: RolledBack) -> None:
    with parts.control.write() as db:
        for wave in scope_.waves:
            now = waves.get(db, wave.id)
            if now.status is Wave.ROLLING_BACK:
                waves.move(db, now, states.step("wave", now.status, "restored", now.name), ended_at=parts.now())
                result.waves.append(now.name)


def _one(
    parts: Parts, job: Part, snapshot: portions.Snapshot, found: Sequence[users.Placed], result: RolledBack
) -> None:
    """All users of one snapshot; where the database refuses them together, user by user."""
    kept = opened(parts, job.plan.id, *snapshot)
    set_ = parts.stored_set(kept.set_hash)
    keys = [one.user_key for one in found]
    if job.dry_run:
        with parts.target.reading() as reader:
            able, refused = _judge(parts, reader, reader.rows, set_, kept, keys)
        _tally(result, set_, able)
        result.refused |= refused
        _count(parts, set_, kept, able, result)
        return
    done, refused = _restore(parts, set_, kept, snapshot[0], keys, halving=not job.hastily)
    if job.hastily and refused:
        result.left.append((snapshot, tuple(one for one in found if one.user_key in refused)))
        refused = {}
    _record(parts, job.plan, snapshot[0], found, done, refused)
    _tally(result, set_, done)
    result.refused |= refused
    _count(parts, set_, kept, done, result)


def _tally(result: RolledBack, set_: MappingSet, keys: Sequence[str]) -> None:
    people, rows = nobody.apart(set_, keys)
    result.restored += len(people)
    result.restored_nobody += len(rows)


def _restore(
    parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str], *, halving: bool = True
) -> tuple[list[str], dict[str, str]]:
    """Who came with nothing but new rows goes straight; whoever cannot is looked at first."""
    done = _straight(parts, set_, kept, batch_id, keys) if _only_new(set_, kept) else []
    gone = set(done)
    left = [key for key in keys if key not in gone]
    if not left:
        return done, {}
    more, refused = _restore_looking(parts, set_, kept, batch_id, left, halving=halving)
    return done + more, refused


def _only_new(set_: MappingSet, kept: KeptBatch) -> bool:
    return not conflicts.shared_tables(set_) and not any(rows.height for rows in kept.before.values())


class _CloserLook(Exception):
    """Some users may not be able to go back; nothing was done."""

    def __init__(self, users: Collection[str]) -> None:
        super().__init__(users)
        self.users = users


def _straight(parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str]) -> list[str]:
    """Try it with all of them, then without those who need a closer look; who went back."""
    going = list(keys)
    for _ in range(2):
        try:
            if going:
                _take_out(parts, set_, kept, batch_id, going)
        except _CloserLook as found:
            staying = closed(found.users, kept.groups)
            going = [key for key in going if key not in staying]
        except (DatabaseRefused, Mismatch):
            return []
        else:
            return going
    return []


def _take_out(parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str]) -> None:
    """
    One target transaction that removes all rows of these users, and is undone unless they are just what we wrote.

    What the database gives back of a row it deletes is what stood there under its lock: N, in the same look.
    """
    with parts.control.write() as db:
        fence = batches.refence(db, batch_id)
    claim = Claim(batch_id, fence, "rollback", kept.set_hash)
    tables = parts.target_schema.tables
    mine = _mine(kept, keys)
    with parts.target.writing() as writer:
        writer.fence(claim)
        ledger = writer.ledger(keys).filter(pl.col("op") == "move")
        _require(keys, ledger["user_key"])
        taken = _rows_taken_out(writer, set_, tables, kept, mine)
        _require(keys, set(keys) - compare.changed_rows(_written(kept, set_, tables, mine), taken))
        _require(keys, writer.take(claim, ledger.select("user_key", pl.col("generation") + 1)))
        for name, rows in mine.items():
            table = tables[set_.mappings[name].target.table]
            if writer.rows(table.name, rows.select(table.key)).height:
                raise Mismatch(f"rows of {table.name} that were removed are there")


def _require(keys: Sequence[str], found: Iterable[str]) -> None:
    missing = set(keys).difference(found)
    if missing:
        raise _CloserLook(missing)


def _rows_taken_out(
    writer: Writer, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """Children first; what still points at a row when its own children are gone is somebody else's."""
    whose = TableRows(set_, tables, mine)
    left = _keys_of(whose)
    taken = {}
    for table in reversed(whose.order):
        hanging = _hanging(writer, whose, table, left)
        if hanging:
            raise _CloserLook(hanging)
        for name in whose.mappings_of(table):
            rows = writer.take_out(table, mine[name].select(tables[table].key))
            if rows.height != mine[name].height:
                raise Mismatch(f"rows of {table} that were to be removed are not there")
            written = [column for column in rows.columns if column in mine[name].columns]
            taken[name] = (_owned(rows.select(written), mine[name], tables[table]), tables[table])
        del left[table]
    return taken


def _keys_of(whose: TableRows) -> dict[str, pl.DataFrame]:
    return {
        table: pl.concat([whose.rows[name].select(whose.tables[table].key) for name in whose.mappings_of(table)])
        for table in whose.order
    }


def _hanging(reader: Reader, whose: TableRows, table: str, ours: Mapping[str, pl.DataFrame]) -> set[str]:
    """Users at whose rows of a table rows point that are not *ours*."""
    found = reader.referencing(table, ours[table], ours)
    if not found.height:
        return set()
    pointed_at = pairs.key_text(found, whose.tables[table]).implode()
    users = set[str]()
    for name in whose.mappings_of(table):
        rows = whose.rows[name]
        users |= set(rows.filter(pairs.key_text(rows, whose.tables[table]).is_in(pointed_at))["__user"])
    return users


def _restore_looking(
    parts: Parts, set_: MappingSet, kept: KeptBatch, batch_id: int, keys: Sequence[str], *, halving: bool
) -> tuple[list[str], dict[str, str]]:
    """One target transaction; halved where the database refuses, down to the user (or those who merged) it is about."""
    with parts.control.write() as db:
        fence = batches.refence(db, batch_id)
    claim = Claim(batch_id, fence, "rollback", kept.set_hash)
    try:
        with parts.target.writing() as writer:
            writer.fence(claim)
            return _restore_in(parts, writer, set_, kept, claim, keys)
    except DatabaseRefused as refused:
        if not halving:
            raise
        halves = drafts.halves(keys, kept.groups)
        if len(halves) == 1:
            return [], dict.fromkeys(keys, f"{refused}; something in the target depends on these rows")
        done = [_restore_looking(parts, set_, kept, batch_id, half, halving=True) for half in halves]
        return [key for back, _ in done for key in back], {key: why for _, whys in done for key, why in whys.items()}


def _restore_in(
    parts: Parts, writer: Writer, set_: MappingSet, kept: KeptBatch, claim: Claim, keys: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    ledger = {row["user_key"]: row for row in writer.ledger(keys).iter_rows(named=True)}
    already = [key for key in keys if key in ledger and ledger[key]["op"] == "rollback"]
    able, refused = _judge(parts, writer, writer.lock, set_, kept, [key for key in keys if key not in already])
    taken = writer.take(
        claim,
        pl.DataFrame(
            {
                "user_key": able,
                "generation": [int(ledger[key]["generation"]) + 1 for key in able],
            },
            schema={"user_key": pl.String, "generation": pl.Int64},
        ),
    )
    able = [key for key in able if key in taken]
    _put_back(parts, writer, set_, kept, able)
    return already + able, refused


def _judge(
    parts: Parts, reader: Reader, look: Look, set_: MappingSet, kept: KeptBatch, keys: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Who may go back (N = A), and why the others may not; *look* reads rows, under a lock where we mean it."""
    tables = parts.target_schema.tables
    ledger = {row["user_key"]: row for row in reader.ledger(keys).iter_rows(named=True)}
    mine = _mine(kept, keys)
    changed = compare.changed_rows(_written(kept, set_, tables, mine), _now(look, set_, tables, kept, mine))
    able, refused = [], {}
    for key in keys:
        written = ledger.get(key)
        if written is None or written["op"] != "move":
            refused[key] = "the ledger in the target does not say that we wrote this user"
        elif key in changed:
            refused[key] = "rows were changed in the target since the move"
        else:
            able.append(key)
    able, refused = _together(kept, able, refused)
    return _together(kept, able, refused | _depended_on(reader, set_, tables, kept, able))


def _together(kept: KeptBatch, able: Sequence[str], refused: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Who merged goes back together or not at all."""
    cause = {kept.groups[key]: key for key in sorted(refused, reverse=True) if key in kept.groups}
    stay = {
        key: f"merged with user {cause[kept.groups[key]]}, who cannot go back; they go together or not at all"
        for key in sorted(closed(refused, kept.groups).intersection(able) - set(refused))
    }
    why = {**refused, **stay}
    return [key for key in able if key not in why], why


def _mine(kept: KeptBatch, keys: Sequence[str]) -> dict[str, pl.DataFrame]:
    return {name: frame.filter(pl.col("__user").is_in(keys)) for name, frame in kept.rows.items()}


def _written(
    kept: KeptBatch, set_: MappingSet, tables: Mapping[str, Table], mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """What we wrote, without what was left to the target."""
    return {
        name: (standing.blanked(rows, kept.left.get(name)), tables[set_.mappings[name].target.table])
        for name, rows in mine.items()
    }


def _now(
    look: Look, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, mine: Mapping[str, pl.DataFrame]
) -> dict[str, tuple[pl.DataFrame, Table]]:
    """What stands under the same keys now, in the columns we wrote."""
    found = {}
    for name, rows in mine.items():
        table = tables[set_.mappings[name].target.table]
        there = look(table.name, rows.select(table.key))
        written = [column for column in there.columns if column in rows.columns]
        found[name] = (standing.blanked(_owned(there.select(written), rows, table), kept.left.get(name)), table)
    return found


def _owned(rows: pl.DataFrame, keys: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Rows of the target with the user they belong to."""
    key = list(table.key)
    owners = compare.canonical(keys.select("__user", "__key", *key), table)
    canonical = compare.canonical(rows, table)
    return canonical.join(owners, on=key, how="inner", nulls_equal=True)


def _depended_on(
    reader: Reader, set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, keys: Sequence[str]
) -> dict[str, str]:
    """Users whose rows other rows point at by now: rows that are not ours and would be left hanging."""
    whose = TableRows(set_, tables, _new_rows(set_, tables, kept, keys))
    ours = _keys_of(whose)
    refused: dict[str, str] = {}
    for table in whose.order:
        why = f"rows written in the target since then point at the user's rows in {table}"
        refused |= dict.fromkeys(sorted(_hanging(reader, whose, table, ours)), why)
    return refused


def _new_rows(
    set_: MappingSet, tables: Mapping[str, Table], kept: KeptBatch, keys: Sequence[str]
) -> dict[str, pl.DataFrame]:
    """The users' rows that go; those that were there before stay, and nothing that points at them is left hanging."""
    found = {}
    for name, mine in _mine(kept, keys).items():
        table = tables[set_.mappings[name].target.table]
        gone = pairs.key_text(_split(kept, table, mine)[0], table)
        found[name] = mine.filter(pairs.key_text(mine, table).is_in(gone.implode()))
    return found


def _put_back(parts: Parts, writer: Writer, set_: MappingSet, kept: KeptBatch, keys: Sequence[str]) -> None:
    """Children first: rows that were not there go, of rows that were there what we wrote is put back; then look again."""
    if not keys:
        return
    tables = parts.target_schema.tables
    whose = TableRows(set_, tables, _mine(kept, keys))
    shared = conflicts.shared_tables(set_)
    for table_name in reversed(whose.order):
        for name in whose.mappings_of(table_name):
            fresh, _ = _split(kept, tables[table_name], whose.rows[name])
            if fresh.height and writer.remove(table_name, fresh) != fresh.height:
                raise Mismatch(f"rows of {table_name} that were to be removed are not there")
    for table_name in whose.order:
        table = tables[table_name]
        for name in whose.mappings_of(table_name):
            _restore_values(writer, kept, name, whose.rows[name], table)
            if table_name in shared:
                writer.disown(table_name, pairs.key_text(whose.rows[name], table).to_list())


def _restore_values(writer: Writer, kept: KeptBatch, name: str, mine: pl.DataFrame, table: Table) -> None:
    """What we wrote over gets its before-image; what the new system wrote since beside it stays."""
    there = mine.filter(pairs.key_text(mine, table).is_in(pairs.key_text(kept.before[table.name], table).implode()))
    now = writer.rows(table.name, mine.select(table.key))
    if now.height != there.height:
        raise Mismatch(f"rows of {table.name} that were to be removed are there, or others are not")
    if not there.height:
        return
    ours = [column for column in kept.rows[name].columns[2:] if column not in table.key]
    for columns, part in standing.as_before(there, ours, kept.left.get(name), kept.before[table.name], now, table):
        writer.write(table.name, part, table.key)
        back = compare.canonical(writer.rows(table.name, part.select(table.key)), table).select(columns)
        if not back.sort(table.key).equals(compare.canonical(part, table).select(columns).sort(table.key)):
            raise Mismatch(f"rows of {table.name} do not read back as they were before the move")


def _split(kept: KeptBatch, table: Table, keys: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(keys of rows that were not there before, before-images of those that were)."""
    key = list(table.key)
    wanted = compare.canonical(keys.select(key), table)
    before = kept.before[table.name]
    images = before.with_row_index("__at")
    known = compare.canonical(before.select(key), table).with_row_index("__at")
    fresh = wanted.join(known, on=key, how="anti")
    mine = known.join(wanted, on=key, how="semi")
    return fresh, images.join(mine.select("__at"), on="__at", how="semi").drop("__at")


def _count(parts: Parts, set_: MappingSet, kept: KeptBatch, keys: Sequence[str], result: RolledBack) -> None:
    tables = parts.target_schema.tables
    for name, mine in _mine(kept, keys).items():
        table = tables[set_.mappings[name].target.table]
        fresh, before = _split(kept, table, mine)
        result.removed_rows[table.name] = result.removed_rows.get(table.name, 0) + fresh.height
        result.restored_rows[table.name] = result.restored_rows.get(table.name, 0) + before.height


def _record(
    parts: Parts,
    plan: plans.Plan,
    batch_id: int,
    found: Sequence[users.Placed],
    done: Sequence[str],
    refused: Mapping[str, str],
) -> None:
    with parts.control.write() as db:
        now = parts.now()
        notices.take_back(db, parts, plan.id, None, done, now)
        users.move(
            db, plan.id, done, (User.ROLLING_BACK,), User.ROLLED_BACK, now,
            home="legacy", reason="rolled back", fence=None,
        )  # fmt: skip
        for one in found:
            if one.user_key in refused:
                home = one.home
                back = User.LIVE if home == "target" else User.MOVED
                users.move(db, plan.id, [one.user_key], (User.ROLLING_BACK,), back, now, reason=refused[one.user_key])
        if not users.of_batch(db, batch_id, STILL_OF_IT):
            effects.drop(db, batch_id)  # whoever moves again is counted again
        journal.add(
            db, now, parts.actor, "restore", "batch", batch_id, users=done, restored=len(done), refused=len(refused)
        )


def as_json(result: RolledBack) -> dict[str, Any]:
    """For programs."""
    return {
        "dry_run": result.dry_run,
        "restored": result.restored,
        "restored_nobody": result.restored_nobody,
        "refused": result.refused,
        "removed_rows": result.removed_rows,
        "restored_rows": result.restored_rows,
        "not_in_target": result.not_in_target,
        "along": result.along,
        "waves": result.waves,
    }
