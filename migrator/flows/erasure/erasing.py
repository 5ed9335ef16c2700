"""
Forget a user: in the target, in every snapshot, in our own memory. He never comes back; what is left is a keyed hash.

Each step may be cut off and is done again by the same command: tombstone and status, the target (one transaction),
snapshot by snapshot, our memory. Users who merged are one person and go together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.crashpoints import crash_point
from migrator.edges.databases.base import Claim, Reader, Writer
from migrator.edges.snapshots import Found, Kept, Ref, Snapshots
from migrator.errors import Mismatch, NotFound, Overtaken, Refused, SnapshotDamaged, Transient
from migrator.flows.erasure import forgetting, legacy_erasing
from migrator.flows.moving import tombstones
from migrator.flows.moving.kept import KeptBatch, TableRows, opened
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.mapping.model import MappingSet
from migrator.rollout import states
from migrator.rollout.rights import Act
from migrator.rollout.states import User
from migrator.store import effects, erasures, journal, plans, retention, users
from migrator.store.erasures import Erasure

Progress = Callable[[int, int], None]  # how many snapshots were looked through, of how many
LEGACY = ("leave", "delete")
TRIES = 3
NOT_WRITTEN = (User.PLANNED, User.HELD, User.EXCLUDED, User.FAILED, User.ROLLED_BACK)
ERASABLE = tuple(User(now) for now, event in states.USER if event == "erase")
OUTSIDE = (
    "backups and replicas of the databases and of the snapshot store hold the user until they are rotated",
    "messages that were sent are with their receivers, and with the file sender in its folder",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is to be forgotten, under `name`; `begun` where that was asked for before."""

    name: str
    plan: plans.Plan
    prints: dict[str, str]  # key -> keyed hash
    statuses: dict[str, str]
    begun: Erasure | None = None

    @property
    def keys(self) -> list[str]:
        """All of them, in order."""
        return sorted(self.prints)


@dataclass
class Outlook:
    """What would go."""

    target: dict[str, int] = field(default_factory=dict)  # rows per table
    snapshots: int = 0
    archived: int = 0
    control: dict[str, int] = field(default_factory=dict)  # rows per table
    remains: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What was written of the users, by one snapshot."""

    set_: MappingSet
    rows: dict[str, pl.DataFrame]


def subject(parts: Parts, user: str) -> Subject:
    """
    Find a user and all who merged with him.

    Raises:
        NotFound: nobody knows him.
        NotAllowed, Refused: a batch or a rollback has him.
    """
    print_ = tombstones.prints(parts, [user])[user]
    with parts.control.read() as db:
        plan = plans.require(db)
        begun = erasures.of(db, print_)
        if begun is not None:
            who = json.loads(parts.key.open(begun.who)) if begun.who else [user]
            return Subject(print_, plan, tombstones.prints(parts, who), dict.fromkeys(who, "erased"), begun)
        found = users.with_groups(db, plan.id, [user])
        held = retention.holds(db)
    if user not in {one.user_key for one in found}:
        raise NotFound(f'there is no user "{user}" in plan {plan.id}; `migrator user find` looks by e-mail')
    for one in found:
        if one.kind != users.USER:
            raise Refused(f"{user} stands for rows of nobody, and is no user")
        states.step("user", one.status, "erase", one.user_key)
        if one.wave_id in held:
            raise Refused(
                f"the snapshots of the user's wave are held ({held[one.wave_id]}), and would be changed; "
                "who holds them ends that with `migrator snapshot release`"
            )
    prints = tombstones.prints(parts, [one.user_key for one in found])
    _refuse_unrecorded(parts, found)
    return Subject(print_, plan, prints, {one.user_key: one.status.value for one in found})


def look(parts: Parts, who: Subject, progress: Progress = lambda done, all_: None) -> Outlook:
    """
    Say what would go; nothing is changed.

    Raises:
        Refused: rows that the new system has written point at the user's.
    """
    result = Outlook()
    with parts.target.reading() as reader:
        found, result.remains = _written(parts, who, reader)
        for one in found:
            whose = TableRows(one.set_, parts.target_schema.tables, one.rows)
            _refuse_hanging(reader, whose)
            for table, keys in _keys(whose).items():
                result.target[table] = result.target.get(table, 0) + reader.rows(table, keys).height
    for _, holds, archived in _looked_through(parts, who, result.remains, progress):
        result.snapshots += holds
        result.archived += archived is not None
    with parts.control.read() as db:
        result.control = erasures.rows_of(db, who.keys)
    return result


def erase(
    parts: Parts, who: Subject, *, legacy: str = "leave", progress: Progress = lambda done, all_: None
) -> dict[str, Any]:
    """
    Do it, or end what was begun; the certificate: what was removed where and when, without personal data.

    Args:
        legacy: `leave`; or `delete`: the certificate says that statements were written for it (`legacy_erasing`).
    """
    if who.begun is not None and who.begun.done_at is not None:
        return _scrubbed(parts, who.begun)
    if who.begun is None:
        with parts.target.reading() as reader:
            for one in _written(parts, who, reader)[0]:
                _refuse_hanging(reader, TableRows(one.set_, parts.target_schema.tables, one.rows))
        _begin(parts, who, legacy)
    with parts.control.read() as db:
        begun = erasures.of(db, who.name)
    assert begun is not None
    done = dict(begun.done)
    if "target" not in done:
        removed, remains = _from_target(parts, who)
        done |= {"target": removed, "remains": remains}
        with parts.control.write() as db:
            erasures.note(db, begun.id, done)
        crash_point("erase-target-noted")
    done["snapshots"], done["archived"], unreadable = _from_snapshots(parts, who, progress)
    done["remains"] = [*done["remains"], *unreadable, *legacy_erasing.forget_carried(parts, who.keys)]
    with parts.control.write() as db:
        now = parts.now()
        done["control"] = erasures.forget(db, who.prints)
        done["journal"] = sum(journal.empty(db, now, parts.actor, key, why="erased") for key in who.keys)
        erasures.finish(db, begun.id, done, now)
        counts = {"rows": sum(done["target"].values()), "snapshots": done["snapshots"], "people": len(who.keys)}
        journal.add(
            db, now, parts.actor, "erase", "user", erasures.ALIAS + who.name, **counts, remains=len(done["remains"])
        )
        ended = erasures.of(db, who.name)
        crash_point("erase-end-written")
    crash_point("erase-ended")
    assert ended is not None
    return _scrubbed(parts, ended)


def statements(parts: Parts, who: Subject) -> list[str]:
    """What would have to be run in legacy to remove the user there; empty once nobody knows any more who it was."""
    if who.begun is not None and who.begun.done_at is not None:
        return []
    return legacy_erasing.statements(parts, who.plan, who.keys)


def _begin(parts: Parts, who: Subject, legacy: str) -> None:
    """From here on he is erased: no batch takes him, whatever happens to us."""
    with approvals.asking(parts), parts.control.write() as db:
        allowed = approvals.use(db, parts, Act.ERASE, "user", erasures.ALIAS + who.name, legacy=legacy)
        now = parts.now()
        sealed = parts.key.seal(json.dumps(who.keys))
        erasures.add(db, who.prints.values(), {"legacy": legacy, "name": who.name}, sealed, parts.actor, now)
        if users.move(db, who.plan.id, who.keys, ERASABLE, User.ERASED, now, home="legacy") != len(who.keys):
            raise Overtaken("somebody else has the user by now; look again with `migrator user show`")
        journal.add(db, now, parts.actor, "begin erase", "user", erasures.ALIAS + who.name, **allowed)
        crash_point("erase-begin-written")
    crash_point("erase-begun")


def _refuse_unrecorded(parts: Parts, found: Sequence[users.User]) -> None:
    """Whom a worker wrote and did not record is not known to be in the target."""
    waiting = [one.user_key for one in found if one.status in NOT_WRITTEN]
    with parts.target.reading() as reader:
        ledger = reader.ledger(waiting) if waiting else None
    if ledger is not None and ledger.filter(pl.col("op") != "rollback").height:
        raise Refused("the user is being moved, and the worker has not said so yet; try again in a minute")


# ---- the target


def _written(parts: Parts, who: Subject, reader: Reader) -> tuple[list[_Rows], list[str]]:
    """What was written of him, as the snapshots say that the ledger names; and what cannot be told."""
    found, remains = list[_Rows](), list[str]()
    ledger = reader.ledger(who.keys).filter(pl.col("op") != "rollback")
    for batch, fence in sorted(set(ledger.select("batch", "fence").iter_rows())):
        try:
            kept = opened(parts, who.plan.id, int(batch), int(fence))
        except (NotFound, SnapshotDamaged) as missing:
            remains.append(f"rows in the target: {missing}. Remove them with the application's own means")
            continue
        mine = {name: rows.filter(pl.col("__user").is_in(who.keys)) for name, rows in kept.rows.items()}
        found.append(_Rows(parts.stored_set(kept.set_hash), {name: rows for name, rows in mine.items() if rows.height}))
    return found, remains


def _keys(whose: TableRows) -> dict[str, pl.DataFrame]:
    """Per table, parents first, the keys of the rows."""
    return {
        table: pl.concat(
            [whose.rows[name].select(whose.tables[table].key) for name in whose.mappings_of(table)]
        ).unique()
        for table in whose.order
    }


def _refuse_hanging(reader: Reader, whose: TableRows) -> None:
    """Rows that are not ours to remove point at his."""
    ours = _keys(whose)
    for table, keys in ours.items():
        pointing = reader.referencing(table, keys, ours)
        if pointing.height:
            tables = ", ".join(sorted(set(pointing["table"])))
            raise Refused(
                f"rows of {tables} that were written since the move point at the user's rows of {table}; "
                "have the application erase those first, then do it again"
            )


def _from_target(parts: Parts, who: Subject) -> tuple[dict[str, int], list[str]]:
    """Take his rows out, children first, and put up the tombstone, in one transaction; rows removed per table."""
    for tried in range(TRIES):
        with parts.target.reading() as reader:
            found, remains = _written(parts, who, reader)
        try:
            with parts.target.writing() as writer:
                removed = _take_out(parts, writer, who, found)
            crash_point("erase-committed")
            return removed, remains
        except Transient:
            if tried + 1 == TRIES:
                raise
    raise AssertionError


def _take_out(parts: Parts, writer: Writer, who: Subject, found: Sequence[_Rows]) -> dict[str, int]:
    known = dict(writer.ledger(who.keys).select("user_key", "generation").iter_rows())
    theirs = pl.DataFrame(
        {"user_key": who.keys, "generation": [int(known.get(key, 0)) + 1 for key in who.keys]},
        schema={"user_key": pl.String, "generation": pl.Int64},
    )
    # a slow worker that still has him waits here, and finds the tombstone; or we wait for it, and look again
    if len(writer.take(Claim(0, 0, "erase", ""), theirs)) < len(who.keys):
        raise Transient("the user was written at this moment; it is looked at again")
    crash_point("erase-users-taken")
    removed: dict[str, int] = {}
    for one in found:
        whose = TableRows(one.set_, parts.target_schema.tables, one.rows)
        _refuse_hanging(writer, whose)
        keys = _keys(whose)
        for table in reversed(whose.order):
            removed[table] = removed.get(table, 0) + writer.remove(table, keys[table])
            if writer.rows(table, keys[table]).height:
                raise Mismatch(f"rows of {table} that were removed are there")
            crash_point("erase-rows-removed")
        for name, rows in one.rows.items():
            writer.drop_numbers(name, rows["__key"].to_list())
    writer.bury(sorted(who.prints.values()))
    writer.forget(who.keys)
    crash_point("erase-before-commit")
    return removed


# ---- snapshots


def _from_snapshots(parts: Parts, who: Subject, progress: Progress) -> tuple[int, int, list[str]]:
    """Write every snapshot that holds him again without him, under a new data key."""
    unreadable: list[str] = []
    rewritten = archived = 0
    for ref, holds, archives in _looked_through(parts, who, unreadable, progress):
        if holds:
            loaded = parts.snapshots.load(ref)
            kept = KeptBatch.of(loaded.manifest, loaded.frames)
            set_ = parts.stored_set(kept.set_hash)
            left = forgetting.without(kept, who.keys, set_, parts.target_schema.tables)
            parts.snapshots.keep(ref, left.manifest(), left.frames())
            rewritten += 1
        if archives is not None:
            archives.rewrite(ref, set(who.keys))
            archived += 1
        crash_point("erase-snapshot-rewritten")
    return rewritten, archived, unreadable


def _looked_through(
    parts: Parts, who: Subject, unreadable: list[str], progress: Progress
) -> Iterator[tuple[Ref, bool, Snapshots | None]]:
    """Every snapshot there is, and whether it holds him; or the shelf beside them on which something else does."""
    with parts.control.read() as db:
        hashes = plans.set_hashes(db)
    beside = (parts.snapshots.archive, parts.snapshots.carried)
    shelves = [(parts.snapshots, False), *((shelf, True) for shelf in beside)]
    there = [(shelf, archive, found) for shelf, archive in shelves for found in shelf.there()]
    for number, (shelf, archive, found) in enumerate(there, start=1):
        ref, kept = _opened(parts, shelf, found, hashes)
        progress(number, len(there))
        if kept is None:
            if shelf.is_there(ref):
                unreadable.append(f"the snapshot {shelf.where(ref)} does not open, so nobody can tell whom it holds")
            continue
        if archive and forgetting.archives_one_of(kept.frames, who.keys):
            yield ref, False, shelf
        elif not archive and forgetting.names_one_of(KeptBatch.of(kept.manifest, kept.frames), who.keys):
            yield ref, True, None


def _opened(parts: Parts, shelf: Snapshots, found: Found, hashes: Sequence[str]) -> tuple[Ref, Kept | None]:
    """Of attempts that nobody recorded it is not known with which mappings they were made."""
    with parts.control.read() as db:
        known = effects.snapshot(db, found.batch, found.fence)
    tried = list(dict.fromkeys([*([known["set_hash"]] if known else []), *hashes]))
    for hash_ in tried:
        try:
            return found.ref(hash_), shelf.load(found.ref(hash_))
        except SnapshotDamaged:
            continue
    return found.ref(tried[0] if tried else ""), None


# ---- our own memory


def _scrubbed(parts: Parts, ended: Erasure) -> dict[str, Any]:
    """What was deleted is overwritten, too; then the certificate."""
    done = ended.done
    if not done.get("scrubbed"):
        done = {**done, "scrubbed": parts.control.scrub()}
        crash_point("erase-scrubbed")
        with parts.control.write() as db:
            erasures.note(db, ended.id, done)
    return certificate(ended, done)


def certificate(ended: Erasure, done: Mapping[str, Any]) -> dict[str, Any]:
    """What was done, for the person who asked to be forgotten; it names nobody."""
    remains = list(done.get("remains", ()))
    if not done.get("scrubbed"):
        remains.append(
            "freed pages of the control database: somebody was at work there; the same command again overwrites them"
        )
    legacy = ended.options.get("legacy", "leave")
    return {
        "subject": ended.options.get("name"),
        "asked_by": ended.asked_by,
        "asked_at": ended.asked_at,
        "done_at": ended.done_at,
        "target": {"rows": done.get("target", {}), "tombstone": True},
        "legacy": {
            "policy": legacy,
            "said": "left as it is" if legacy == "leave" else "statements were written; our account only reads there",
        },
        "snapshots": {"rewritten": done.get("snapshots", 0), "archived": done.get("archived", 0)},
        "control": {"rows": done.get("control", {}), "journal_entries_emptied": done.get("journal", 0)},
        "remains": remains,
        "outside": list(OUTSIDE),
    }
