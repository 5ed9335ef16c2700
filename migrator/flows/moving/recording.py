"""What a batch did becomes known: users, cases, warnings, books, notices, journal; one transaction, under its fence."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.edges import processes
from migrator.edges.snapshots import Ref
from migrator.flows.moving import parting
from migrator.flows.moving.kept import KeptBatch
from migrator.flows.parts import Parts
from migrator.flows.plans import grouping
from migrator.flows.telling import notices
from migrator.mapping import cleaning
from migrator.rollout import plan as drafts
from migrator.rollout import states
from migrator.rollout.states import User
from migrator.store import batches, cases, cleanings, effects, journal, plans, users, waves
from migrator.store.control import clock

log = logging.getLogger("migrator.batches")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the users of a batch could not be written: a sentence, what it goes by, and the table where there is one."""

    said: str
    rule: str
    table: str = ""


def record(
    parts: Parts,
    batch: batches.Batch,
    wave: waves.Wave,
    plan: plans.Plan,
    kept: KeptBatch,
    taken: set[str],
    gone: frozenset[str],
) -> bool:
    """The batch is done; False when its lease was lost (whoever has it now finds all of it in the ledger)."""
    cut_over = plan.settings["cutover"] == "immediate"
    after, home = (User.LIVE, "target") if cut_over else (User.MOVED, "legacy")
    rows = sum(frame.height for frame in kept.rows.values())
    comers = parting.comers(parts, plan.id, batch.id)
    with parts.control.write() as db:
        now = clock(db)  # the soak before `settle` goes by it
        if not batches.finish(db, batch, rows, processes.memory()):
            log.info("batch %s: the lease was lost after the commit", batch.id)
            return False
        crash_point("record-batch-done")
        _hold(db, plan.id, kept, now)
        _leave(db, plan.id, gone, now)
        _regroup(db, plan.id, kept, gone)
        _arrive(db, plan.id, batch, kept, taken, after, now, home=home)
        crash_point("record-users-arrived")
        cases.lapse(db, plan.id, taken | gone)
        cases.open_all(db, cases_of(parts, plan.id, kept), now)
        effects.keep_books(db, batch.id, kept.books)
        parting.arrived(db, plan.id, batch.id, kept, comers)
        crash_point("record-books-kept")
        cleanings.keep(db, batch.id, cleaning.counts(kept.cleaned))
        effects.keep_warnings(db, batch.id, warnings_of(parts, kept))
        ref = Ref(str(plan.id), batch.id, kept.fence, kept.set_hash)
        effects.keep_snapshot(db, batch.id, kept.fence, parts.snapshots.name(ref), kept.set_hash, len(taken), now)
        journal.add(
            db, now, "worker", "move", "batch", batch.id, users=taken,
            wave=wave.name, moved=len(taken), held=len(kept.held), gone=len(gone), rows=rows,
        )  # fmt: skip
        _tell(db, parts, plan, wave, taken, kept.held, now)
        crash_point("record-notices-queued")
    crash_point("recorded")
    return True


def _arrive(
    db: sa.Connection,
    plan_id: int,
    batch: batches.Batch,
    kept: KeptBatch,
    taken: set[str],
    after: User,
    now: datetime,
    **values: Any,
) -> None:
    """Who was written is where the plan wants him. All of the batch who are still on their way need not be named."""
    values |= {"fence": kept.fence, "reason": None}
    by_generation = generations_of(kept, taken)
    if len(by_generation) == 1 and taken.issuperset(set(kept.users).difference(kept.held)):
        users.move_batch(db, batch.id, (User.MOVING,), after, now, generation=next(iter(by_generation)), **values)
        return
    for generation, keys in by_generation.items():
        users.move(db, plan_id, keys, (User.MOVING,), after, now, generation=generation, **values)


def _leave(db: sa.Connection, plan_id: int, gone: frozenset[str], now: datetime) -> None:
    """Whom legacy does not know any more stays out, alone."""
    if gone:
        why = "gone: no longer in legacy, or left out by `users.where`, when claimed"
        users.move(db, plan_id, gone, (User.MOVING,), User.EXCLUDED, now, home="legacy", reason=why, group_key=None)


def generations_of(kept: KeptBatch, keys: Collection[str]) -> dict[int, list[str]]:
    """Users by the generation of the ledger they are at; most share one."""
    if len(shared := {kept.generations[key] for key in keys}) == 1:
        return {shared.pop(): list(keys)}
    found: dict[int, list[str]] = {}
    for key in keys:
        found.setdefault(kept.generations[key], []).append(key)
    return found


def _hold(db: sa.Connection, plan_id: int, kept: KeptBatch, now: datetime) -> None:
    """Who has a case of his own is held by it; who merges with one who has waits for that one."""
    if not kept.held:
        return
    review = kept.findings.filter(pl.col("outcome") == "review")["user"].unique()
    along = grouping.along(set(kept.held) & set(review), kept.groups)
    said: dict[str, list[str]] = {}
    for key in kept.held:
        said.setdefault(along.get(key, "a review case holds the user"), []).append(key)
    for reason, keys in said.items():
        users.move(db, plan_id, keys, (User.MOVING,), User.HELD, now, home="legacy", reason=reason)


def _regroup(db: sa.Connection, plan_id: int, kept: KeptBatch, gone: frozenset[str]) -> None:
    """Where one of those who merge is gone, the snapshot says who is still one user with whom."""
    if not gone:
        return
    before = users.groups(db, plan_id, kept.users)
    for leader in sorted({kept.groups.get(user) or "" for user in before}):
        keys = [user for user in before if (kept.groups.get(user) or "") == leader and before[user] != leader]
        users.assign(db, plan_id, keys, group_key=leader or None)


def _tell(
    db: sa.Connection,
    parts: Parts,
    plan: plans.Plan,
    wave: waves.Wave,
    moved: Iterable[str],
    held: Iterable[str],
    now: Any,
) -> None:
    """Queue `done` for those who are served by the target now, `delayed` for those who wait."""
    if parts.telling.sender is None:
        return
    if plan.settings["cutover"] == "immediate":
        notices.queue(db, parts, plan.id, wave, "done", users.some(db, plan.id, moved), now)
    notices.queue(db, parts, plan.id, wave, "delayed", users.some(db, plan.id, held), now)


def close_empty(parts: Parts, batch: batches.Batch) -> None:
    """All users of the batch went elsewhere while it waited."""
    with parts.control.write() as db:
        batches.finish(db, batch, 0)


def plan_again(db: sa.Connection, parts: Parts, plan_id: int, keys: Iterable[str]) -> None:
    """Users of a batch that was given back wait for the next attempt."""
    users.move(db, plan_id, keys, (User.MOVING,), User.PLANNED, parts.now(), home="legacy")


def narrow(
    parts: Parts,
    batch: batches.Batch,
    wave: waves.Wave,
    plan: plans.Plan,
    keys: Sequence[str],
    why: Refusal,
    *,
    attempts: int = 0,
    interruptions: int = 0,
) -> Sequence[int]:
    """
    Split a refused batch in two; one user alone is failed, with a case. The ids of the halves.

    Users who merge are never parted: they are failed together.

    Args:
        attempts, interruptions: what the halves have used up already, so that the user is found soon.
    """
    log.warning("batch %s of %s users: %s", batch.id, len(keys), why.said)
    with parts.control.read() as db:
        together = users.groups(db, plan.id, keys)
    if len(drafts.halves(keys, together)) <= 1:
        refused = [_refusal_case(parts, plan.id, keys, why)] if keys else []
        _fail(parts, batch, wave, plan, keys, refused, why.said)
        return ()
    with parts.control.write() as db:
        if not batches.close_split(db, batch):
            return ()
        crash_point("split-closed")
        plan_again(db, parts, plan.id, keys)
        found = [
            batches.add(
                db, wave.id, batch.ordinal, part, plan.id,
                ramp=batch.ramp, attempts=attempts, interruptions=interruptions,
            )
            for part in drafts.halves(keys, together)
        ]  # fmt: skip
        journal.add(db, parts.now(), "worker", "split", "batch", batch.id, cause=why.said, parts=found)
        crash_point("split-added")
    crash_point("split-done")
    return found


def fail_users(parts: Parts, batch: batches.Batch, wave: waves.Wave, plan: plans.Plan, findings: pl.DataFrame) -> int:
    """
    Users whose rows did not read back as meant are failed; the others of the batch are tried again without them.

    Returns: how many it was about; with none, nothing was done.
    """
    log.error("batch %s: %s values read back differ from what was meant", batch.id, findings.height)
    about = findings.drop_nulls("user").unique("user", keep="first", maintain_order=True)
    failed = about["user"].to_list()
    found = [_difference_case(parts, plan.id, row) for row in about.iter_rows(named=True)]
    if not failed:
        return 0
    with parts.control.write() as db:
        now = parts.now()
        error = "what was read back differs from what was meant"
        if not batches.give_back(db, batch, error, timedelta(0)):
            return len(failed)
        users.move(db, plan.id, failed, (User.MOVING,), User.FAILED, now, home="legacy", reason=error)
        concerned = [one.user_key for one in users.with_groups(db, plan.id, failed)]
        for key, reason in grouping.along(failed, users.groups(db, plan.id, concerned), "failed").items():
            users.move(db, plan.id, [key], (User.MOVING,), User.FAILED, now, home="legacy", reason=reason)
        plan_again(db, parts, plan.id, users.of_batch(db, batch.id, (User.MOVING,)))
        cases.open_all(db, found, now)
        journal.add(db, now, "worker", "fail", "batch", batch.id, users=failed, cause=error)
        crash_point("users-failed")
    return len(failed)


def abort(parts: Parts, batch: batches.Batch, wave: waves.Wave, plan: plans.Plan, said: str) -> None:
    """A rule says `on_error: abort`: nothing of the batch is written, and its wave is held."""
    finding = {"check": "abort", "outcome": "hold", "measured": None, "limit": None, "sentence": said}
    with parts.control.write() as db:
        now, running = parts.now(), waves.get(db, wave.id)
        if not batches.give_back(db, batch, said, timedelta(0)):
            return
        plan_again(db, parts, plan.id, users.of_batch(db, batch.id, (User.MOVING,)))
        if "hold" in states.events("wave", running.status):
            after = states.step("wave", running.status, "hold", running.name)
            waves.move(db, running, after, verdict="hold", findings=[finding])
        journal.add(db, now, "worker", "abort", "batch", batch.id, wave=wave.name, cause=said)
        crash_point("aborted")


def _fail(
    parts: Parts,
    batch: batches.Batch,
    wave: waves.Wave,
    plan: plans.Plan,
    keys: Sequence[str],
    found: list[dict[str, Any]],
    said: str,
) -> None:
    with parts.control.write() as db:
        now = parts.now()
        if not batches.fail(db, batch, said):
            return
        users.move(db, plan.id, keys, (User.MOVING,), User.FAILED, now, home="legacy", reason=said)
        cases.open_all(db, found, now)
        journal.add(db, now, "worker", "fail", "batch", batch.id, users=keys, wave=wave.name, cause=said)
        crash_point("batch-failed")


def cause(parts: Parts, mapping: str, field: str, rule: str, value: str | None) -> str:
    """What groups cases: mapping, field, rule and value, so that one decision serves all who share them."""
    print_ = "" if value is None else parts.key.fingerprint(value)
    return parts.key.fingerprint(f"{mapping}\x1f{field}\x1f{rule}\x1f{print_}")[:8]


def cases_of(parts: Parts, plan_id: int, kept: KeptBatch) -> list[dict[str, Any]]:
    """One case per finding that a person must decide; blocked rows wait for the case of their parent."""
    if kept.findings.is_empty():
        return []
    found = kept.findings.filter(pl.col("outcome") == "review")
    held = set(kept.held)
    return [
        {
            "plan_id": plan_id,
            "mapping": row["mapping"],
            "source_key": row["key"] or "",
            "item_key": row["item_key"] or "",
            "field": row["field"] or "",
            "rule": row["rule"],
            "cause": cause(parts, row["mapping"], row["field"] or "", row["rule"], row["value"]),
            "value": None if row["value"] is None else parts.key.seal(row["value"]),
            "sensitive": bool(row["sensitive"]),
            "note": row["note"],
            "file": row["file"],
            "line": row["line"],
            "position": row["column"],
            "holds": row["user"] in held,
            "users": [row["user"]],
        }
        for row in found.unique(["mapping", "key", "item_key", "field", "rule"], maintain_order=True).iter_rows(
            named=True
        )
    ]


def _refusal_case(parts: Parts, plan_id: int, keys: Sequence[str], why: Refusal) -> dict[str, Any]:
    return failure_case(parts, plan_id, keys, why.table, why.rule, "database", why.said)


def _difference_case(parts: Parts, plan_id: int, row: dict[str, Any]) -> dict[str, Any]:
    said = f"{row['field'] or 'the row'} of source row {row['key']} read back {row['kind']}: something in the target changed it"
    return failure_case(parts, plan_id, [row["user"]], row["mapping"], row["field"] or "", "read back", said)


def failure_case(
    parts: Parts, plan_id: int, keys: Sequence[str], mapping: str, field: str, rule: str, note: str
) -> dict[str, Any]:
    """Make a case of something that holds these users and is about no value of theirs."""
    return {
        "plan_id": plan_id,
        "mapping": mapping,
        "source_key": keys[0],
        "item_key": "",
        "field": field,
        "rule": rule,
        "cause": cause(parts, mapping, field, rule, note),
        "value": None,
        "sensitive": False,
        "note": note,
        "file": None,
        "line": None,
        "position": None,
        "holds": True,
        "users": keys,
    }


def warnings_of(parts: Parts, kept: KeptBatch) -> list[dict[str, Any]]:
    """Warnings counted by cause, each with one sealed example of before and after."""
    if kept.findings.is_empty():
        return []
    found = kept.findings.filter(pl.col("outcome") == "warning")
    counted = found.group_by("mapping", "field", "rule", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("value", "after", "sensitive").first()
    )
    return [
        {
            "mapping": row["mapping"],
            "field": row["field"] or "",
            "rule": row["rule"],
            "count": row["count"],
            "sample": None if row["sensitive"] else parts.key.seal(f"{row['value']} -> {row['after']}"),
        }
        for row in counted.iter_rows(named=True)
    ]
