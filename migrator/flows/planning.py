"""Make a plan: who moves in which wave, who is held before it starts, what is left behind and why. Approve it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.errors import MappingInvalid, NotAllowed, Overtaken, Refused
from migrator.flows import batches, sharing, tiering
from migrator.flows.parts import Parts
from migrator.mapping import document, lint, problems, shapes
from migrator.mapping.model import MappingSet
from migrator.rollout import pilot, states
from migrator.rollout import plan as drafts
from migrator.rollout.gate import Limits
from migrator.store import batches as wave_batches
from migrator.store import cases, journal, plans, tiers, users, waves

BY_SET = "excluded by `users.where` in set.yaml"
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
    """A plan to be, for a person: numbers only."""

    plan: int | None
    set: str
    as_of: str
    users: int
    excluded: int
    held: int
    tiers: dict[str, int]
    unowned: dict[str, Any]
    waves: list[dict[str, Any]]
    remarks: list[str]


def checked_set(parts: Parts) -> MappingSet:
    """The folder's mapping set, free of errors against both live schemas; MappingInvalid with all of them otherwise."""
    set_ = parts.folder_set
    found = problems.errors(lint.lint(set_, parts.legacy_schema, parts.target_schema))
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
    set_ = checked_set(parts)
    _ready_for_plan(parts)
    before, stays = _before(parts)
    everybody = _everybody(parts, set_).with_columns(pl.col("excluded") | pl.col("key").is_in(list(stays)))
    unowned = _unowned(parts, set_)
    assigned = _assigned(parts, set_, tier_options, everybody)
    with parts.control.read() as db:
        run = tiers.last_run(db)
        number = (plans.current(db) or _NONE).id + 1
    assert run is not None
    salt = options.salt or f"{set_.set.name}-{number}"
    movers = assigned.select(pl.col("key").alias("user"), "tier")
    sized = pilot.Pilot(floor=options.pilot_floor, percent=options.pilot_share)
    planned = drafts.waves(movers, options.order, options.gray, salt, options.strategy, sized)
    named = document.parse(set_.texts, parts.folder)  # cases name files as seen from the project
    shared = sharing.find(parts, named, f"{run.as_of:%Y-%m-%dT%H:%M:%SZ}", movers["user"].to_list(), decided_in=before)
    held = {user for group in shared for user in group.users}
    draft = Draft(
        plan=None,
        set=set_.set.name,
        as_of=f"{run.as_of:%Y-%m-%dT%H:%M:%SZ}",
        users=everybody.height,
        excluded=int(everybody["excluded"].sum()),
        held=len(held),
        tiers=dict(movers.group_by("tier").len().sort("tier").iter_rows()),
        unowned=unowned,
        waves=[_shown(wave, held) for wave in planned],
        remarks=_remarks(planned, options),
    )
    if dry_run:
        return draft
    plan_id = _store(parts, set_, options, salt, draft, everybody, assigned, planned, shared, stays)
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
        plans.move(db, plan.id, "draft", "approved", approved_at=now, approved_by=parts.actor)
        waves.approve_all(db, plan.id)
        journal.add(db, now, parts.actor, "approve", "plan", plan.id, hash=plan.hash)
        return plans.get(db, plan.id)


def revise(parts: Parts, *, dry_run: bool = False) -> plans.Plan:
    """
    Take the mappings as they stand in the folder now for everybody who is not moved yet; approve again afterwards.

    Waves, tiers and the cut-off stay. Who was moved is verified and rolled back by the mappings that moved him. A wave
    that was stopped may be resumed: what stopped it is taken to be mended.

    Raises:
        MappingInvalid: the mappings do not fit the databases.
        Refused: nothing changed, or a wave is at work.
    """
    set_ = checked_set(parts)
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        if plan.set_hash == set_.hash:
            raise Refused(f"the mappings are those of plan {plan.id}; nothing to revise")
        busy = [wave for wave in waves.of_plan(db, plan.id) if wave.status in AT_WORK]
        if busy:
            raise Refused(f"wave {busy[0].name} is {busy[0].status}; `migrator wave pause {busy[0].name}` first")
        hash_ = hashlib.sha256(f"{plan.hash}\x1f{set_.hash}".encode()).hexdigest()
        if dry_run:
            return replace(plan, set_hash=set_.hash, hash=hash_)
        plans.keep_set(db, set_.hash, set_.texts, now)
        plans.move(
            db, plan.id, plan.status, "draft", set_hash=set_.hash, hash=hash_, approved_at=None, approved_by=None
        )
        for wave in waves.of_plan(db, plan.id):
            if wave.verdict == "stop":
                waves.note(db, wave.id, verdict="hold")
        journal.add(db, now, parts.actor, "revise", "plan", plan.id, before=plan.set_hash, after=set_.hash)
        return plans.get(db, plan.id)


def show(parts: Parts) -> dict[str, Any]:
    """The current plan with its waves."""
    with parts.control.read() as db:
        plan = plans.require(db)
        found = waves.of_plan(db, plan.id)
    return {"plan": asdict(plan), "waves": [asdict(wave) for wave in found]}


@dataclass(frozen=True, slots=True)
class _NoPlan:
    id: int = 0


_NONE = _NoPlan()


def _ready_for_plan(parts: Parts) -> None:
    if not parts.target.prepared():
        raise Refused("the target has no ledger yet; run `migrator store upgrade`")
    with parts.control.read() as db:
        plan = plans.current(db)
        if plan is None:
            return
        found = waves.of_plan(db, plan.id)
    for wave in found:  # who was written by a worker that died is in the target, whatever we know of it
        batches.reconcile(parts, wave.id, parts.actor)
    with parts.control.read() as db:
        moved = sum(count for _, _, status, count in users.counts(db, plan.id) if status in MOVED)
    busy = [wave for wave in found if wave.status in AT_WORK]
    if busy:
        raise Refused(
            f"wave {busy[0].name} of plan {plan.id} is {busy[0].status}; "
            f"pause it with `migrator wave pause {busy[0].name}`, or let it end, before a new plan"
        )
    if moved:
        raise Refused(
            f"plan {plan.id} has moved {moved} users; finish it with `migrator run`, "
            "or take it back with `migrator rollback all`, before a new plan"
        )


def _before(parts: Parts) -> tuple[int | None, dict[str, str]]:
    """The plan so far, and whom people left out of it: they stay out, with the reason given then."""
    with parts.control.read() as db:
        plan = plans.current(db)
        found = users.of_plan(db, plan.id, (states.User.EXCLUDED,)) if plan else []
    stays = {one.user_key: one.reason or "" for one in found}
    return plan.id if plan else None, {
        key: reason for key, reason in stays.items() if reason != BY_SET and not reason.startswith("gone:")
    }


def _everybody(parts: Parts, set_: MappingSet) -> pl.DataFrame:
    with parts.legacy.reading() as reader:
        everybody = shapes.users(set_, parts.legacy_schema, reader.select)
    if not everybody.height:
        raise Refused(f"legacy has no users: {set_.set.users.table} is empty")
    doubled = everybody.filter(pl.col("key").is_duplicated() | pl.col("key").is_null() | (pl.col("key") == ""))
    if doubled.height:
        raise Refused(
            f"{doubled.height} rows of {set_.set.users.table} have no {set_.set.users.key} of their own "
            "(null, empty or twice); a user key must name one user"
        )
    return everybody


def _unowned(parts: Parts, set_: MappingSet) -> dict[str, Any]:
    """Rows of nobody per mapping, each with the stated reason; all that have none are refused together (E211)."""
    counted: dict[str, Any] = {}
    refused = []
    with parts.legacy.reading() as reader:
        for name, mapping in set_.mappings.items():
            found = shapes.unowned(mapping, set_, parts.legacy_schema, reader.select)
            total = found.null + found.unknown
            reason = mapping.source.without_user.leave if mapping.source.without_user else None
            if total and reason is None:
                place = mapping.source.place
                keys = ", ".join(found.sample)
                refused.append(
                    f"{place.file}:{place.line}:{place.column}  error E211 rows-of-nobody\n"
                    f"  {total} rows of {mapping.source.table} belong to no user "
                    f"({found.null} without one, {found.unknown} with one that does not exist), e.g. keys {keys}\n"
                    f"  help: say why they stay: without_user: {{leave: ???}}"
                )
            counted[name] = {
                "rows": total,
                "null": found.null,
                "unknown": found.unknown,
                "of_excluded": found.excluded,
                "reason": reason,
                "table": mapping.source.table,
            }
    if refused:
        raise MappingInvalid("\n".join(refused), len(refused))
    return counted


def _assigned(parts: Parts, set_: MappingSet, options: tiering.TierOptions, everybody: pl.DataFrame) -> pl.DataFrame:
    """All users who are to move, with tier and numbers; assigned now where that was not done for just these."""
    movers = everybody.filter(~pl.col("excluded"))
    stored = _stored_tiers(parts, set_, options)
    if stored is None or set(stored["key"]) != set(movers["key"]):
        tiering.assign(parts, options)
        stored = _stored_tiers(parts, set_, options)
    assert stored is not None
    return movers.join(stored, on="key", how="inner")


def _stored_tiers(parts: Parts, set_: MappingSet, options: tiering.TierOptions) -> pl.DataFrame | None:
    with parts.control.read() as db:
        run = tiers.last_run(db)
        same = run is not None and run.set_hash == set_.hash
        if run is None or not same or {**options.as_json(), "limits": run.thresholds["limits"]} != run.thresholds:
            return None
        rows = tiers.every(db)
    schema = {"user_key": pl.String, "tier": pl.String, "code": pl.String, "r": pl.Int64, "f": pl.Int64, "m": pl.String}
    return pl.DataFrame(rows, schema=schema).rename({"user_key": "key"})


def _shown(wave: drafts.WaveDraft, held: set[str]) -> dict[str, Any]:
    return {
        "ordinal": wave.ordinal,
        "name": wave.name,
        "tier": wave.tier,
        "stage": wave.stage.value,
        "share": wave.share,
        "users": len(wave.users),
        "held": sum(user in held for user in wave.users),
    }


def _remarks(planned: list[drafts.WaveDraft], options: PlanOptions) -> list[str]:
    size = sum(len(wave.users) for wave in planned if wave.stage == drafts.Stage.PILOT)
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
    shared: list[sharing.Group],
    stays: dict[str, str],
) -> int:
    counts = {"users": draft.users, "excluded": draft.excluded, "tiers": draft.tiers, "unowned": draft.unowned}
    with parts.control.write() as db:
        now = parts.now()
        before = plans.current(db)
        if before is not None:
            _supersede(db, before)
        plans.keep_set(db, set_.hash, set_.texts, now)
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
        held = {user: group for group in shared for user in group.users}
        rows = _user_rows(parts, plan_id, now, everybody, assigned, wave_of, held, stays)
        users.add(db, rows)
        if before is not None:
            cases.carry(db, before.id, plan_id, now)
        cases.open_all(db, [sharing.case(parts, plan_id, group) for group in shared], now)
        plans.finish(db, plan_id, _hash(set_.hash, settings, planned), counts)
        journal.add(db, now, parts.actor, "plan", "plan", plan_id, users=wave_of, waves=len(planned))
    return plan_id


def _supersede(db: sa.Connection, plan: plans.Plan) -> None:
    """A plan gives way to the next one: none of its waves may move anybody, or stand in the way of others."""
    plans.move(db, plan.id, plan.status, "superseded")
    for wave in waves.of_plan(db, plan.id):
        if wave.status in AT_WORK:
            raise Overtaken(f"wave {wave.name} of plan {plan.id} was started meanwhile; look at `migrator status`")
        if "cancel" in states.events("wave", wave.status):
            waves.move(db, wave, states.Wave.CANCELLED)
            wave_batches.drop_ready(db, wave.id, "the plan was replaced")


def _store_waves(db: sa.Connection, plan_id: int, planned: list[drafts.WaveDraft]) -> dict[str, int]:
    wave_of: dict[str, int] = {}
    for wave in planned:
        wave_id = waves.add(
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
        wave_of |= dict.fromkeys(wave.users, wave_id)
    return wave_of


def _user_rows(
    parts: Parts,
    plan_id: int,
    now: Any,
    everybody: pl.DataFrame,
    assigned: pl.DataFrame,
    wave_of: dict[str, int],
    held: dict[str, sharing.Group],
    stays: dict[str, str],
) -> list[dict[str, Any]]:
    numbers = {row["key"]: row for row in assigned.select("key", "tier", "code", "r", "f", "m").iter_rows(named=True)}
    unknown = {"tier": "none", "code": "000", "r": None, "f": 0, "m": "0"}
    rows = []
    for person in everybody.iter_rows(named=True):
        key = person["key"]
        mine = numbers.get(key, unknown)
        status = states.User.EXCLUDED if person["excluded"] else states.User.PLANNED
        reason = stays.get(key, BY_SET) if person["excluded"] else None
        if key in held:
            status, reason = states.User.HELD, held[key].sentence
        contact = {"email": person["email"], "name": person["name"]}
        rows.append(
            {
                "plan_id": plan_id,
                "user_key": key,
                **{name: mine[name] for name in ("tier", "code", "r", "f", "m")},
                "wave_id": wave_of.get(key),
                "status": status.value,
                "home": "legacy",
                "reason": reason,
                "locale": person["locale"],
                "email_print": email_print(parts, person["email"]),
                "contact": parts.key.seal(json.dumps(contact, ensure_ascii=False)),
                "changed_at": now,
            }
        )
    return rows


def email_print(parts: Parts, email: str | None) -> str | None:
    """The keyed hash under which a user is found by e-mail."""
    return parts.key.fingerprint(f"email:{email.strip().lower()}") if email and email.strip() else None


def _hash(set_hash: str, settings: dict[str, Any], planned: list[drafts.WaveDraft]) -> str:
    """What approval freezes: mappings, settings, and who is in which wave."""
    digest = hashlib.sha256(json.dumps([set_hash, settings], sort_keys=True).encode())
    for wave in planned:
        digest.update(f"\x1e{wave.name}\x1e".encode() + "\x1f".join(wave.users).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
