"""What cleaning rules took, where it is, and how a rule is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from migrator.errors import NotFound, Refused
from migrator.flows.moving.kept import opened, ref_of
from migrator.flows.parts import Parts
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.mapping.model import Cleaning
from migrator.rollout.states import User
from migrator.store import cleanings, journal, plans, users
from migrator.store import waves as wave_store

IN_TARGET = (User.MOVED, User.LIVE)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A rule that takes nothing any more, and the users who were moved without their rows and move again."""

    mapping: str
    rule: str
    users: tuple[str, ...]
    waves: tuple[str, ...]
    dry_run: bool


def listed(parts: Parts) -> list[dict[str, Any]]:
    """Every cleaning rule of the plan: what it does and why, how many rows it took, whether it was taken back."""
    with parts.control.read() as db:
        plan = plans.require(db)
        took = {(row["mapping"], row["rule"]): row["rows"] for row in cleanings.of_plan(db, plan.id)}
        back = cleanings.taken_back(db, plan.id)
    return [
        {
            "mapping": mapping.name,
            "rule": rule.name,
            "action": rule.action,
            "reason": rule.reason,
            "rows": took.get((mapping.name, rule.name), 0),
            "taken_back": (mapping.name, rule.name) in back,
        }
        for mapping in parts.stored_set(plan.set_hash).mappings.values()
        for rule in mapping.clean
    ]


def archived(parts: Parts, name: str) -> Iterator[pl.DataFrame]:
    """The archived source rows of one rule (`mapping.rule`), batch by batch, of users who are in the target."""
    with parts.control.read() as db:
        plan = plans.require(db)
        mapping, rule = _named(parts, plan, name)
        if rule.action != "archive":
            raise Refused(f"{name} does not archive ({rule.action}); its rows are in legacy as they were")
        wanted = set(cleanings.batches_of(db, plan.id, mapping, rule.name))
        snapshots = users.of_batches(db, plan.id, IN_TARGET)
    for (batch_id, fence), keys in snapshots.items():
        if batch_id in wanted:
            kept = parts.snapshots.archive.load(ref_of(parts, plan.id, batch_id, fence))
            rows = kept.frames.get(mapping)
            if rows is not None:
                yield rows.filter(pl.col("rule") == rule.name, pl.col("__user").is_in(keys)).drop("rule")


def take_back(parts: Parts, name: str, *, dry_run: bool = False) -> TakenBack:
    """
    Use a rule (`mapping.rule`) no more. Users who were moved without their rows go back and are planned again.

    Raises:
        NotFound: there is no such rule in the plan.
        Refused: it was taken back before.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        mapping, rule = _named(parts, plan, name)
        before = (mapping, rule.name) in cleanings.taken_back(db, plan.id)
    concerned = _concerned(parts, plan, mapping, rule)
    if before and not concerned:
        raise Refused(f"{name} was taken back already")
    with parts.control.read() as db:
        found = users.some(db, plan.id, concerned)
        names = {wave.id: wave.name for wave in wave_store.of_plan(db, plan.id)}
    theirs = tuple(dict.fromkeys(names[one.wave_id] for one in found if one.wave_id))
    done = TakenBack(mapping, rule.name, tuple(concerned), theirs, dry_run)
    if dry_run:
        return done
    with parts.control.write() as db:
        if not before:  # else it was cut off before those whom it concerns were put back
            cleanings.take_back(db, plan.id, mapping, rule.name, parts.actor, parts.now())
        journal.add(db, parts.now(), parts.actor, "take back", "clean", name, users=concerned)
    if concerned:
        rollbacks.roll_back(parts, rollbacks.scope(parts, some=concerned))
    for wave in theirs:
        waves.retry(parts, wave)
    return done


def _named(parts: Parts, plan: plans.Plan, name: str) -> tuple[str, Cleaning]:
    mapping, _, rule = name.partition(".")
    document = parts.stored_set(plan.set_hash).mappings.get(mapping)
    found = next((one for one in document.clean if one.name == rule), None) if document else None
    if found is None:
        raise NotFound(f'there is no cleaning rule "{name}"; `migrator clean list` shows all as MAPPING.RULE')
    return mapping, found


def _concerned(parts: Parts, plan: plans.Plan, mapping: str, rule: Cleaning) -> list[str]:
    """Users in the target of whose rows the rule took some."""
    with parts.control.read() as db:
        wanted = set(cleanings.batches_of(db, plan.id, mapping, rule.name))
        snapshots = users.of_batches(db, plan.id, IN_TARGET)
    found: set[str] = set()
    for (batch_id, fence), keys in snapshots.items():
        if batch_id in wanted:
            took = opened(parts, plan.id, batch_id, fence).cleaned
            mine = took.filter(pl.col("mapping") == mapping, pl.col("rule") == rule.name)["user"]
            found |= set(mine) & set(keys)
    return sorted(found)
