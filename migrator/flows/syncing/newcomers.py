"""
Users who registered in legacy since the plan was made, or are gone from it: they are found, and the plan takes them in.

What was signed stays as it is; who came is written down as an amendment. Everybody is accounted for at any time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.errors import Refused
from migrator.flows.moving import recording, tombstones
from migrator.flows.parts import Parts
from migrator.flows.plans import grouping, identities, roster, tiering
from migrator.mapping import document
from migrator.mapping.identity import Identity
from migrator.mapping.model import MappingSet
from migrator.rollout.stages import Stage
from migrator.rollout.states import User, Wave
from migrator.store import cases, journal, plans, records, tiers, users, waves

GONE = "gone: no longer in legacy, or left out by `users.where`"
MERGES = "would merge with a user of the plan; who merges with whom was decided when it was made"
LATE = "late"


@dataclass
class Arrived:
    """Who came and who went. `waves`: how many were put into which."""

    users: int = 0
    excluded: int = 0  # of them, by `users.where`
    held: int = 0  # of them, until a person has decided
    waves: dict[str, int] = field(default_factory=dict)
    gone: int = 0  # planned users who are no longer in legacy


@dataclass(frozen=True)
class _Found:
    """What legacy has now, beside what the plan knows."""

    everybody: Identity
    new: pl.DataFrame
    gone: list[str]


def take_in(parts: Parts, plan: plans.Plan, *, dry_run: bool = False) -> Arrived:
    """
    Give everybody of legacy whom the plan does not know a row, a tier and a wave; leave out who is planned and gone.

    Cost:
        One read of the users' table and of the plan's keys; with newcomers one read of all signs of life.
    """
    set_ = document.parse(parts.stored_set(plan.set_hash).texts, parts.folder)
    found = _find(parts, plan, set_)
    result = Arrived(users=found.new.height, excluded=int(found.new["excluded"].sum()), gone=len(found.gone))
    if dry_run or not (found.new.height or found.gone):
        return result
    with parts.control.read() as db:
        run = tiers.last_run(db)
    if run is None:
        raise Refused("no tiers are assigned any more; run `migrator tier assign`")
    movers = found.new.filter(~pl.col("excluded"))
    assigned = tiering.place(parts, set_, run, movers["key"], found.everybody.records)
    held = _held(parts, plan, set_, found, movers["key"].to_list())
    result.held = len(held)
    with parts.control.write() as db:
        now, plan = parts.now(), plans.hold(db, plan.id)  # as it is by now: to plan takes a while, to follow takes days
        if plan.status == "superseded" or users.known(db, plan.id, found.new["key"].to_list()):
            return Arrived()  # somebody else has taken them in meanwhile
        placed = _placed(db, plan, assigned)
        people = roster.of_people(parts, now, found.new, assigned, placed, held=held, leaders={}, stays={})
        users.add(db, plan.id, people)
        tiers.add(db, assigned.rename({"key": "user_key"}))
        _keep_records(db, plan.id, found)
        cases.open_all(db, _cases(parts, plan.id, set_, found, held), now)
        result.waves = _grow(db, placed)
        users.move(db, plan.id, found.gone, (User.PLANNED,), User.EXCLUDED, now, reason=GONE, group_key=None)
        plans.recount(db, plan.id, _counted(plan.counts, assigned, result))
        crash_point("newcomers-written")
        journal.add(
            db, now, parts.actor, "amend", "plan", plan.id, users=[*found.new["key"], *found.gone],
            added=result.users, excluded=result.excluded, held=result.held, waves=result.waves, gone=result.gone,
        )  # fmt: skip
    return result


def _find(parts: Parts, plan: plans.Plan, set_: MappingSet) -> _Found:
    everybody = identities.find(parts, set_)
    with parts.control.read() as db:
        known = users.statuses(db, plan.id)
    keys = everybody.users["key"]
    new = everybody.users.filter(~keys.is_in(pl.Series(list(known), dtype=pl.String).implode()))
    erased = tombstones.among(parts, new["key"])  # they have a row of another name
    new = new.filter(~new["key"].is_in(pl.Series(list(erased), dtype=pl.String).implode()))
    wanted = set(keys.filter(~everybody.users["excluded"]))
    gone = sorted(key for key, status in known.items() if status == User.PLANNED.value and key not in wanted)
    return _Found(everybody, new, gone)


def _held(parts: Parts, plan: plans.Plan, set_: MappingSet, found: _Found, movers: list[str]) -> dict[str, str]:
    """Newcomers who wait for a person: it is not sure who they are, or they are one with somebody who is planned."""
    doubtful = identities.held(_doubts(found), frozenset())
    held = {key: reason for key, reason in doubtful.items() if key in set(movers)}
    if not movers:
        return held
    sure = [key for key in found.everybody.users.filter(~pl.col("excluded"))["key"] if key not in held]
    as_of = plan.cut_off
    grouped = grouping.find(parts, set_, as_of, sure, decided_in=plan.id, records=found.everybody.records)
    return held | {key: MERGES for key in movers if key in grouped.leaders and key not in held}


def _doubts(found: _Found) -> Identity:
    new = found.new["key"].implode()
    return replace(found.everybody, doubts=found.everybody.doubts.filter(pl.col("user_key").is_in(new)))


def _cases(parts: Parts, plan_id: int, set_: MappingSet, found: _Found, held: dict[str, str]) -> list[dict[str, Any]]:
    merging = [key for key, reason in held.items() if reason == MERGES]
    alike = [recording.failure_case(parts, plan_id, [key], set_.set.name, "", "merge", MERGES) for key in merging]
    return alike + identities.opened(parts, plan_id, set_, _doubts(found), frozenset())


def _placed(db: sa.Connection, plan: plans.Plan, assigned: pl.DataFrame) -> pl.DataFrame:
    """`key` and `wave_id` of each: the last wave of his tier that was not begun, else a late one made for them."""
    parts = [pl.DataFrame(schema={"key": pl.String, "wave_id": pl.Int64})]
    for (tier,), mine in assigned.group_by("tier", maintain_order=True):
        wave_id = _wave_for(db, plan, str(tier))
        parts.append(mine.select("key", pl.lit(wave_id, dtype=pl.Int64).alias("wave_id")))
    return pl.concat(parts)


def _wave_for(db: sa.Connection, plan: plans.Plan, tier: str) -> int:
    known = waves.of_plan(db, plan.id)
    whole = plan.settings["strategy"] == "whole"
    mine = [
        wave
        for wave in known
        if wave.status in (Wave.DRAFT, Wave.APPROVED)
        and wave.stage not in (Stage.NOBODY.value, Stage.PILOT.value)
        and wave.tier in (None, tier)
    ]
    for wave in reversed(mine):  # who starts it meanwhile waits, and cuts the newcomers, too
        if waves.hold(db, wave.id).status in (Wave.DRAFT, Wave.APPROVED):
            return wave.id
    start = LATE if whole else f"{tier}-{LATE}"
    taken = sum(wave.name == start or wave.name.startswith(f"{start}-") for wave in known)
    return waves.add(
        db,
        plan_id=plan.id,
        ordinal=max((wave.ordinal for wave in known), default=0) + 1,
        name=start if not taken else f"{start}-{taken + 1}",
        tier=None if whole else tier,
        stage=Stage.FULL.value,
        share=100,
        status=(Wave.APPROVED if plan.status == "approved" else Wave.DRAFT).value,
        users=0,
    )


def _keep_records(db: sa.Connection, plan_id: int, found: _Found) -> None:
    if found.everybody.records is not None:
        new = found.new["key"].implode()
        records.add(db, plan_id, found.everybody.records.filter(pl.col("user_key").is_in(new)).drop("excluded"))


def _grow(db: sa.Connection, placed: pl.DataFrame) -> dict[str, int]:
    found = {}
    for wave_id, count in Counter(placed["wave_id"].to_list()).items():
        wave = waves.get(db, wave_id)
        waves.note(db, wave_id, users=wave.users + count)
        found[wave.name] = count
    return found


def _counted(counts: dict[str, Any], assigned: pl.DataFrame, arrived: Arrived) -> dict[str, Any]:
    sizes = Counter(counts.get("tiers", {})) + Counter(assigned["tier"].to_list())
    return {
        **counts,
        "users": counts.get("users", 0) + arrived.users,
        "excluded": counts.get("excluded", 0) + arrived.excluded,
        "tiers": dict(sorted(sizes.items())),
    }
