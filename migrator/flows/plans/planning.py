"""Make a plan: who moves in which wave, who is held before it starts, what is left behind and why. Approve it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.errors import MappingInvalid, NotAllowed, NotPermitted, Overtaken, Refused
from migrator.flows import phrases, sets
from migrator.flows.drafting import linting, schema_changes
from migrator.flows.moving import batches, tombstones
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.flows.plans import grouping, identities, nobody, roster, sharing, tiering
from migrator.mapping import conflicts, document, fingerprint, lint, problems
from migrator.mapping.identity import Identity
from migrator.mapping.lookalikes import Grouped
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.rollout import pilot, states, units
from migrator.rollout import plan as drafts
from migrator.rollout.gate import Limits
from migrator.rollout.stages import Stage
from migrator.store import batches as wave_batches
from migrator.store import cases, journal, measures, people, plans, records, tiers, users, waves

AT_WORK = (
    states.Wave.RUNNING,
    states.Wave.PAUSING,
    states.Wave.CHECKING,
    states.Wave.CANCELLING,
    states.Wave.ROLLING_BACK,
)
MOVED = (states.User.MOVING, states.User.MOVED, states.User.LIVE, states.User.ROLLING_BACK, states.User.SETTLED)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """`[plan]`, `[gates]` and `[batches]` as far as a plan freezes them."""

    strategy: str = "tiered"
    order: tuple[str, ...] = ("core", "normal", "edge")
    pilot_share: int = 5
    pilot_floor: int = 59
    gray: tuple[int, ...] = (5, 25, 50)
    soak_seconds: int = 86400
    cutover: str = "manual"
    on_stop: str = "pause"
    salt: str | None = None
    max_failed: float = 0.02
    max_held: float = 0.05
    alpha: float = 0.05
    stop_alpha: float = 0.01
    snapshot_check: str = "off"
    batch_users: int = 1000

    def limits(self) -> Limits:
        """Those of the gates."""
        return Limits(max_failed=self.max_failed, alpha=self.alpha, max_held=self.max_held, stop_alpha=self.stop_alpha)

    @classmethod
    def of(cls, plan: plans.Plan) -> PlanOptions:
        """As a plan stored them."""
        stored: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plan.settings.items()
        }
        return cls(**stored)


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan to be, for a person: numbers only. `nobody` counts rows of nobody that move, each its own owner."""

    plan: int | None
    set: str
    as_of: str
    users: int
    excluded: int
    held: int
    tiers: dict[str, int]
    unowned: dict[str, Any]
    nobody: int
    waves: list[dict[str, Any]]
    remarks: list[str]
    identity: dict[str, dict[str, int]]  # per source: records, and how many are whose by which rule
    merging: dict[str, int]  # `users` who become `accounts`, fewer than they are; `doubtful`: who look like one


def checked_set(parts: Parts, *, data: bool = False) -> MappingSet:
    """
    The folder's mapping set, free of errors against both live schemas.

    Args:
        data: Look at the data as well: what is left behind as empty must be so.

    Raises:
        MappingInvalid: with all mistakes.
    """
    set_ = parts.folder_set
    schemas = (parts.legacy_schema, parts.target_schema)
    with linting.live(parts.legacy, parts.target, data=data, schemas=schemas) as known:
        told = lint.lint(set_, *schemas, warnings=False, facts=known.facts, target_facts=known.target_facts)
    # rows of nobody are counted when a plan is made, those of unknown users among them
    found = [problem for problem in problems.errors(told) if problem.code != "E211"]
    if found:
        raise MappingInvalid(problems.render(found, set_.texts), len(found))
    return set_


def create(parts: Parts, options: PlanOptions, tier_options: tiering.TierOptions, *, dry_run: bool = False) -> Draft:
    """
    Divide the users of legacy into waves and store the draft.

    Nobody is left out: every row of `users:` is planned, held (a case says why) or excluded (with a reason).

    Raises:
        MappingInvalid: the mappings do not fit the databases.
        Refused: rows of nobody without a stated reason; a plan that has moved users; no ledger in the target.
    """
    set_ = checked_set(parts, data=True)
    _ready_for_plan(parts)
    before, stays = _before(parts)
    found = identities.find(parts, set_)
    erased = tombstones.among(parts, found.users["key"])
    everybody = found.users.with_columns(pl.col("excluded") | pl.col("key").is_in([*stays, *erased]))
    nobody.refuse_like_users(set_, everybody["key"])
    assigned = _assigned(parts, set_, tier_options, everybody)
    with parts.control.read() as db:
        run, current = tiers.last_run(db), plans.current(db)
    number = (current or _NONE).id + 1
    assert run is not None
    as_of = f"{run.as_of:%Y-%m-%dT%H:%M:%SZ}"
    salt = options.salt or f"{set_.set.name}-{number}"
    named = document.parse(set_.texts, parts.folder)  # cases name files as seen from the project
    in_doubt = found.in_doubt
    sure = [key for key in assigned["key"].to_list() if key not in in_doubt]
    grouped = grouping.find(parts, named, as_of, sure, decided_in=before, records=found.records)
    assigned = units.one_tier(assigned.with_columns(unit=grouping.units(grouped, assigned["key"])), options.order)
    movers = assigned.select(pl.col("key").alias("user"), "tier", "unit")
    sized = pilot.Pilot(floor=options.pilot_floor, percent=options.pilot_share)
    unowned = nobody.count(parts, set_, Context(plan_id="0", as_of=as_of, records=found.records), found.users)
    planned = drafts.waves(movers, options.order, options.gray, salt, options.strategy, sized)
    planned = drafts.rows_of_nobody([owner for owner in unowned.owners if owner not in stays], salt, planned)
    out = frozenset(everybody.filter("excluded")["key"])
    shared = sharing.find(
        parts, named, as_of, sure, decided_in=before, records=found.records, together=grouped.together
    )
    held = _Held(named, found, out, shared, grouped)
    draft = Draft(
        plan=None,
        set=set_.set.name,
        as_of=as_of,
        users=everybody.height,
        excluded=int(everybody["excluded"].sum()) - len(erased),
        held=len(held.reasons),
        tiers=dict(movers.group_by("tier").len().sort("tier").iter_rows()),
        unowned=unowned.per_mapping,
        nobody=len(unowned.owners),
        waves=[_shown(wave, held.reasons) for wave in planned],
        remarks=[*_replaced(current), *_remarks(planned, options)],
        identity=found.figures(),
        merging=grouped.figures(),
    )
    if dry_run:
        return draft
    plan_id = _store(parts, set_, options, salt, draft, everybody, assigned, planned, held, stays, unowned.owners)
    return replace(draft, plan=plan_id)


def approve(parts: Parts) -> plans.Plan:
    """Freeze the current plan: its waves may be started from now on."""
    set_ = checked_set(parts)
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        if plan.status != "draft":
            raise NotAllowed("plan", str(plan.id), plan.status, "approve", ())
        if plan.set_hash != set_.hash:
            raise Refused(
                f"the mappings changed since plan {plan.id} was created; run `migrator plan create` again "
                "(or, once users have moved, `migrator plan revise`), then approve"
            )
        schemas = fingerprint.of(set_, parts.legacy_schema, parts.target_schema)
        allowed = _of_another(db, parts, plan)
        plans.move(db, plan.id, "draft", "approved", approved_at=now, approved_by=parts.actor, schemas=schemas)
        waves.approve_all(db, plan.id)
        journal.add(db, now, parts.actor, "approve", "plan", plan.id, hash=plan.hash, **allowed)
        return plans.get(db, plan.id)


def _of_another(db: sa.Connection, parts: Parts, plan: plans.Plan) -> dict[str, Any]:
    """Refuse the approval of whoever made or revised the plan, once there are operators; what the journal says of it."""
    if not people.exist(db):
        return dict(approvals.ONE_PERSON)
    made_by = {one["actor"] for one in journal.of(db, "plan", [plan.id]) if one["event"] in ("plan", "revise")}
    if parts.actor in made_by:
        raise NotPermitted(f"{parts.actor} made plan {plan.id}; another operator with the role approver approves it")
    return {"made_by": sorted(made_by)}


def revise(parts: Parts, *, dry_run: bool = False) -> plans.Plan:
    """
    Take the mappings as they stand in the folder now for everybody who is not moved yet; approve again afterwards.

    Waves, tiers and the cut-off stay. Who was moved is verified and rolled back by the mappings that moved him. A wave
    that was stopped may be resumed: what stopped it is taken to be mended.

    Raises:
        MappingInvalid: the mappings do not fit the databases.
        Refused: nothing changed, a wave is at work, or other users would merge or be known otherwise.
    """
    set_ = checked_set(parts, data=True)
    grouping.refuse_others(parts, set_)
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        before = parts.stored_set(plan.set_hash)
        identities.require_same(before, set_)
        _refuse_writing_over(db, plan, before, set_)
        if plan.set_hash == set_.hash and not schema_changes.found(parts, plan):
            raise Refused(f"the mappings and both schemas are those of plan {plan.id}; nothing to revise")
        busy = [wave for wave in waves.of_plan(db, plan.id) if wave.status in AT_WORK]
        if busy:
            raise Refused(f"wave {busy[0].name} is {busy[0].status}; `migrator wave pause {busy[0].name}` first")
        hash_ = hashlib.sha256(f"{plan.hash}\x1f{set_.hash}".encode()).hexdigest()
        if dry_run:
            return replace(plan, set_hash=set_.hash, hash=hash_)
        plans.keep_set(db, set_.hash, sets.sealed(set_.texts, parts.key), now)
        plans.move(
            db, plan.id, plan.status, "draft", set_hash=set_.hash, hash=hash_, approved_at=None, approved_by=None
        )
        for wave in waves.of_plan(db, plan.id):
            if wave.verdict == "stop":
                waves.note(db, wave.id, verdict="hold")
        journal.add(db, now, parts.actor, "revise", "plan", plan.id, before=plan.set_hash, after=set_.hash)
        return plans.get(db, plan.id)


def _refuse_writing_over(db: sa.Connection, plan: plans.Plan, before: MappingSet, now: MappingSet) -> None:
    """Whose a row of the target is, is only known where rows may be written over from the beginning."""
    new = set(conflicts.shared_tables(now)) - set(conflicts.shared_tables(before))
    moved = any(status in MOVED for _, _, status, _ in users.counts(db, plan.id))
    if new and moved:
        raise Refused(
            f"rows of {', '.join(sorted(new))} were written while on_conflict did not write over others; whose they are "
            "is not known. Take everybody back with `migrator rollback all` first, or use skip or review"
        )


def show(parts: Parts) -> dict[str, Any]:
    """The current plan with its waves."""
    with parts.control.read() as db:
        plan = plans.require(db)
        found = waves.of_plan(db, plan.id)
    about = {name: value for name, value in asdict(plan).items() if name != "schemas"}
    return {"plan": about, "waves": [asdict(wave) for wave in found]}


@dataclass(frozen=True)
class _Held:
    """
    Who does not move before a person has decided: who shares what must be unique, who looks like another, whose records
    may be somebody else's; and who merges with one of them.
    """

    set_: MappingSet  # with its files named as cases name them
    found: Identity
    out: frozenset[str]
    shared: list[sharing.Group]
    grouped: Grouped

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Every user who is held, and why."""
        sharing_ = {user: group.sentence for group in self.shared for user in group.users}
        alone = identities.held(self.found, self.out) | grouping.reasons(self.grouped) | sharing_
        return alone | grouping.along(alone, self.grouped.leaders)

    def cases(self, parts: Parts, plan_id: int) -> list[dict[str, Any]]:
        """What a person has to decide."""
        shared = [sharing.case(parts, plan_id, group) for group in self.shared]
        alike = [grouping.case(parts, self.set_, plan_id, likeness) for likeness in self.grouped.doubtful]
        return shared + alike + identities.opened(parts, plan_id, self.set_, self.found, self.out)


@dataclass(frozen=True, slots=True)
class _NoPlan:
    id: int = 0


_NONE = _NoPlan()


def _ready_for_plan(parts: Parts) -> None:
    if not parts.target.prepared():
        raise Refused("the target has no ledger yet, or lacks another table of ours; run `migrator store upgrade`")
    with parts.control.read() as db:
        plan = plans.current(db)
        found = waves.of_plan(db, plan.id) if plan else []
    if plan is None:
        _refuse_a_strange_ledger(parts)
        return
    for wave in found:  # who was written by a worker that died is in the target, whatever we know of it
        batches.reconcile(parts, wave.id, parts.actor)
    with parts.control.read() as db:
        found_in = {kind: measures.user_counts(db, plan.id, kind) for kind in (users.USER, users.ROWS)}
    moved, rows = (sum(counts[status] for status in MOVED) for counts in found_in.values())
    busy = [wave for wave in found if wave.status in AT_WORK]
    if busy:
        raise Refused(
            f"wave {busy[0].name} of plan {plan.id} is {busy[0].status}; "
            f"pause it with `migrator wave pause {busy[0].name}`, or let it end, before a new plan"
        )
    if moved or rows:
        raise Refused(
            f"plan {plan.id} has moved {phrases.said(moved, rows)}; finish it with `migrator run`, "
            "or take it back with `migrator rollback all`, before a new plan"
        )


def _refuse_a_strange_ledger(parts: Parts) -> None:
    """Where nothing is known of users who are there, planning them again would end with each in the way of himself."""
    with parts.target.reading() as reader:
        moved = reader.moved()
    if moved:
        raise Refused(
            f"the ledger in the target says that {moved} users were moved, and this control database knows of no plan: it "
            "is not the one that moved them. Restore that one ([control] url); only if they are another project's, and "
            "done with, empty migrator_ledger in the target"
        )


def _before(parts: Parts) -> tuple[int | None, dict[str, str]]:
    """The plan so far, and whom people left out of it: they stay out, with the reason given then."""
    with parts.control.read() as db:
        plan = plans.current(db)
        found = users.of_plan(db, plan.id, (states.User.EXCLUDED,)) if plan else []
    stays = {one.user_key: one.reason or "" for one in found}
    return plan.id if plan else None, {
        key: reason for key, reason in stays.items() if reason != roster.BY_SET and not reason.startswith("gone:")
    }


def _assigned(parts: Parts, set_: MappingSet, options: tiering.TierOptions, everybody: pl.DataFrame) -> pl.DataFrame:
    """All users who are to move, with tier and numbers; assigned now where that was not done for just these."""
    movers = everybody.filter(~pl.col("excluded"))
    stored = _stored_tiers(parts, set_, options)
    if stored is None or not _are_of(stored, movers):
        tiering.assign(parts, options)
        stored = _stored_tiers(parts, set_, options)
    assert stored is not None
    return movers.join(stored, on="key", how="inner", maintain_order="left")


def _are_of(stored: pl.DataFrame, movers: pl.DataFrame) -> bool:
    """Whether tiers are those of just these users."""
    return stored.height == movers.height and not movers.join(stored, on="key", how="anti").height


def _stored_tiers(parts: Parts, set_: MappingSet, options: tiering.TierOptions) -> pl.DataFrame | None:
    with parts.control.read() as db:
        run = tiers.last_run(db)
        same = run is not None and run.set_hash == set_.hash
        if run is None or not same or {**options.as_json(), "limits": run.thresholds["limits"]} != run.thresholds:
            return None
        return tiers.every(db).rename({"user_key": "key"})


def _shown(wave: drafts.WaveDraft, held: Collection[str]) -> dict[str, Any]:
    return {
        "ordinal": wave.ordinal,
        "name": wave.name,
        "tier": wave.tier,
        "stage": wave.stage.value,
        "share": wave.share,
        "users": len(wave.users),
        "units": wave.stage.units,
        "held": sum(user in held for user in wave.users),
    }


def _replaced(plan: plans.Plan | None) -> list[str]:
    """Somebody may count on a plan that was approved."""
    if plan is None or plan.status != "approved":
        return []
    return [
        f"plan {plan.id} was approved and has nobody in the target: this one takes its place, and is to be approved anew"
    ]


def _remarks(planned: list[drafts.WaveDraft], options: PlanOptions) -> list[str]:
    size = sum(len(wave.users) for wave in planned if wave.stage == Stage.PILOT)
    said = [pilot.check(size, options.limits()).sentence] if options.strategy != "whole" else []
    if options.order and options.order[0] == "core" and options.strategy != "whole":
        said.append("core users move first: closest watch, highest stake; `[plan] order` turns that round")
    return said


def _store(
    parts: Parts,
    set_: MappingSet,
    options: PlanOptions,
    salt: str,
    draft: Draft,
    everybody: pl.DataFrame,
    assigned: pl.DataFrame,
    planned: list[drafts.WaveDraft],
    held: _Held,
    stays: dict[str, str],
    owners: list[str],
) -> int:
    counts = {
        name: getattr(draft, name)
        for name in ("users", "excluded", "tiers", "unowned", "nobody", "identity", "merging")
    }
    with parts.control.write() as db:
        now = parts.now()
        before = plans.current(db)
        if before is not None:
            _supersede(db, before)
        plans.keep_set(db, set_.hash, sets.sealed(set_.texts, parts.key), now)
        run = tiers.last_run(db)
        assert run is not None
        settings = {**asdict(options), "salt": salt}
        plan_id = plans.add(
            db,
            hash="",
            set_hash=set_.hash,
            as_of=run.as_of,
            salt=salt,
            settings=settings,
            counts=counts,
            created_at=now,
        )
        wave_of = _store_waves(db, plan_id, planned)
        people = roster.of_people(
            parts, now, everybody, assigned, wave_of,
            held=held.reasons, leaders=held.grouped.leaders, stays=stays,
        )  # fmt: skip
        with users.filling(db):
            users.add(db, plan_id, people)
            users.add(db, plan_id, [roster.of_nobody(now, owners, wave_of, stays)])
        if held.found.records is not None:
            records.add(db, plan_id, held.found.records.drop("excluded"))
        tombstones.place(db, parts, plan_id, everybody["key"], now)
        if before is not None:
            cases.carry(db, before.id, plan_id, now)
        cases.open_all(db, held.cases(parts, plan_id), now)
        plans.finish(db, plan_id, _hash(set_.hash, settings, planned, held.grouped), counts)
        journal.add(db, now, parts.actor, "plan", "plan", plan_id, users=wave_of["key"].sort(), waves=len(planned))
    return plan_id


def _supersede(db: sa.Connection, plan: plans.Plan) -> None:
    """A plan gives way to the next one: none of its waves may move anybody, or stand in the way of others."""
    held = [waves.hold(db, wave.id) for wave in waves.of_plan(db, plan.id)]  # nobody is claimed in them any more
    counted = [measures.user_counts(db, plan.id, kind) for kind in (users.USER, users.ROWS)]
    if any(found[status] for found in counted for status in MOVED):
        raise Overtaken(f"users of plan {plan.id} were moved meanwhile; look at `migrator status`")
    plans.move(db, plan.id, plan.status, "superseded")
    for wave in held:
        if wave.status in AT_WORK:
            raise Overtaken(f"wave {wave.name} of plan {plan.id} was started meanwhile; look at `migrator status`")
        if "cancel" in states.events("wave", wave.status):
            waves.move(db, wave, states.Wave.CANCELLED)
            wave_batches.drop_ready(db, wave.id, "the plan was replaced")


def _store_waves(db: sa.Connection, plan_id: int, planned: list[drafts.WaveDraft]) -> pl.DataFrame:
    """Store the waves; who is in which."""
    stored = [
        waves.add(
            db,
            plan_id=plan_id,
            ordinal=wave.ordinal,
            name=wave.name,
            tier=wave.tier,
            stage=wave.stage.value,
            share=wave.share or 0,
            status=states.Wave.DRAFT.value,
            users=len(wave.users),
        )
        for wave in planned
    ]
    return roster.by_wave(planned, stored)


def _hash(set_hash: str, settings: dict[str, Any], planned: list[drafts.WaveDraft], grouped: Grouped) -> str:
    """What approval freezes: mappings, settings, who is in which wave, and who merges with whom."""
    digest = hashlib.sha256(json.dumps([set_hash, settings], sort_keys=True).encode())
    for wave in planned:
        digest.update(f"\x1e{wave.name}\x1e".encode() + "\x1f".join(wave.users).encode("utf-8", "surrogatepass"))
    for group in grouped.groups:
        digest.update(b"\x1d" + "\x1f".join(group).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
