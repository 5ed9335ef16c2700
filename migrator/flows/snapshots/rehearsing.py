"""
Try out whether snapshots would take users back: some are opened and restored in empty copies of the target's tables.

What was there before goes in, then what was written, all as in a move; then it is taken back as in a rollback, and what is
left must be what was there before, value by value.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from migrator.edges.databases.base import Writer
from migrator.edges.snapshots import Ref
from migrator.errors import MigratorError, Mismatch, Unreachable
from migrator.flows.moving import standing
from migrator.flows.moving.kept import KeptBatch, TableRows
from migrator.flows.parts import Parts
from migrator.flows.snapshots import keeping
from migrator.flows.snapshots.keeping import Standing
from migrator.flows.snapshots.rehearsed import EVENT, NOUN
from migrator.flows.undoing import restoring
from migrator.mapping import compare
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table
from migrator.store import journal, plans, retention

LEAST = 20  # users
NAMED = 20  # users of a broken snapshot that are listed


@dataclass(frozen=True, slots=True)
class Broken:
    """A snapshot that would take nobody back, and whom it is about."""

    wave: str
    batch: int
    fence: int
    why: str
    count: int
    users: tuple[str, ...]


@dataclass
class Checked:
    """What a check has seen."""

    seed: int
    share: float
    snapshots: int = 0
    users: int = 0
    rows: int = 0
    recorded: int = 0
    orphans: int = 0
    broken: list[Broken] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every snapshot is there, those looked at do what they are for, and nothing lies there that should not."""
        return not self.broken and not self.orphans


def check(
    parts: Parts,
    *,
    share: float,
    seed: int | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Checked:
    """
    Look whether all that is recorded is there, and try out a share of it, drawn by *seed*: at least LEAST users' worth.

    Raises:
        Unreachable: target or snapshots are away.
    """
    seed = random.randrange(2**31) if seed is None else seed
    found = keeping.shelved(parts, timedelta(0))
    there = [one for one in found.recorded if one.size is not None and one.snapshot.expired_at is None]
    result = Checked(seed, share, recorded=len(there) + len(found.missing), orphans=len(found.orphans))
    result.broken += [_broken(parts, one, "is not there") for one in found.missing]
    drawn = _drawn(there, share, seed)
    for done, one in enumerate(drawn, start=1):
        result.snapshots += 1
        result.users += one.snapshot.users
        try:
            result.rows += _rehearse(parts, one)
        except Unreachable:
            raise
        except (MigratorError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
            said = str(error) if isinstance(error, MigratorError) else f"cannot be understood ({type(error).__name__})"
            result.broken.append(_broken(parts, one, said))
        progress(done, len(drawn))
    with parts.control.write() as db:
        plan = plans.require(db)
        journal.add(
            db, parts.now(), parts.actor, EVENT, NOUN, plan.id, good=result.good, share=share, seed=seed,
            snapshots=result.snapshots, tried_users=result.users, broken=len(result.broken), orphans=result.orphans,
        )  # fmt: skip
    return result


def _drawn(there: Sequence[Standing], share: float, seed: int) -> list[Standing]:
    """Snapshots at random until they hold the share of users."""
    wanted = max(LEAST, math.ceil(share * sum(one.snapshot.users for one in there)))
    order = sorted(there, key=lambda one: (one.snapshot.batch_id, one.snapshot.fence))
    random.Random(seed).shuffle(order)
    drawn, users = list[Standing](), 0
    for one in order:
        if users >= wanted:
            break
        drawn.append(one)
        users += one.snapshot.users
    return drawn


def _broken(parts: Parts, one: Standing, why: str) -> Broken:
    about = one.snapshot
    with parts.control.read() as db:
        users = retention.users_of(db, about.batch_id, about.fence)
    return Broken(about.wave, about.batch_id, about.fence, why, len(users), tuple(users[:NAMED]))


def _rehearse(parts: Parts, one: Standing) -> int:
    """Move and take back what one snapshot holds; how many rows."""
    about = one.snapshot
    loaded = parts.snapshots.load(Ref(str(about.plan_id), about.batch_id, about.fence, about.set_hash))
    kept = KeptBatch.of(loaded.manifest, loaded.frames)
    with parts.control.read() as db:
        missing = set(retention.users_of(db, about.batch_id, about.fence)) - set(kept.users)
    if missing:
        raise Mismatch(f"{len(missing)} users whose snapshot it is are not in it")
    set_ = parts.stored_set(kept.set_hash)
    tables: dict[str, Table] = parts.target_schema.tables
    whose = TableRows(set_, tables, kept.rows)
    _same_as_meant(parts, set_, kept, tables)
    with parts.target.scratch(sorted({*whose.order, *kept.before})) as writer:
        _put(writer, kept, tables)
        _move(writer, kept, whose)
        restoring.put_back(parts, writer, set_, kept, [key for key in kept.users if key not in kept.held])
        _require_before(writer, kept, whose)
    return sum(rows.height for rows in kept.rows.values()) + sum(rows.height for rows in kept.before.values())


def _same_as_meant(parts: Parts, set_: MappingSet, kept: KeptBatch, tables: dict[str, Table]) -> None:
    """The source rows in it still give the rows in it."""
    for name, meant in kept.meant(parts, set_).items():
        table = tables[set_.mappings[name].target.table]
        written = kept.rows[name].drop("__user", "__key")
        found = compare.differences(meant.drop("__user", "__key"), written, table, table.key)
        if found.height:
            raise Mismatch(f"{found.height} values of {table.name} are not what its source rows give")


def _put(writer: Writer, kept: KeptBatch, tables: dict[str, Table]) -> None:
    for name, before in kept.before.items():
        table = tables[name]
        settable = [column for column in before.columns if not table.columns[column].generated]
        writer.write(name, before.select(settable), table.key)
        _require_same(writer, table, before)


def _move(writer: Writer, kept: KeptBatch, whose: TableRows) -> None:
    for name in whose.order:
        table = whose.tables[name]
        for mapping in whose.mappings_of(name):
            rows, left = kept.rows[mapping], kept.left.get(mapping)
            for part in standing.parts(rows, left, kept.before[name], table):
                writer.write(name, part, table.key)
            if not rows.height:
                continue
            there = writer.rows(name, rows.select(table.key))
            found = compare.differences(rows.drop("__user", "__key"), there, table, table.key)
            if found.height and left is None:
                raise Mismatch(f"{found.height} values of {name} do not read back as they were kept")


def _require_before(writer: Writer, kept: KeptBatch, whose: TableRows) -> None:
    for name in whose.order:
        table = whose.tables[name]
        keys = pl.concat([kept.rows[one].select(table.key) for one in whose.mappings_of(name)]).unique()
        if writer.rows(name, keys).height != _under(kept.before[name], keys, table):
            raise Mismatch(f"rows of {name} are left that were not there before")
        _require_same(writer, table, kept.before[name])


def _under(before: pl.DataFrame, keys: pl.DataFrame, table: Table) -> int:
    known = compare.canonical(before.select(table.key), table)
    return known.join(compare.canonical(keys, table), on=list(table.key), how="semi").height


def _require_same(writer: Writer, table: Table, before: pl.DataFrame) -> None:
    if not before.height:
        return
    settable = [column for column in before.columns if not table.columns[column].generated]
    there = writer.rows(table.name, before.select(table.key))
    if compare.differences(before.select(settable), there, table, table.key).height or there.height != before.height:
        raise Mismatch(f"rows of {table.name} do not read back as they were before the move")
