"""Which users a look before the run is about, and under which plan: read only, the same choice every time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from migrator.errors import NotFound
from migrator.flows.moving import reading
from migrator.flows.parts import Parts
from migrator.flows.plans import grouping, identities
from migrator.mapping import activity
from migrator.mapping import nobody as rows_of_nobody
from migrator.mapping.identity import Identity
from migrator.mapping.lookalikes import Grouped
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.rollout import buckets
from migrator.rollout import tiers as rules_of
from migrator.rollout.states import User
from migrator.store import plans, tiers, users, waves

SALT = "preview"
DEFAULT = 200  # users
Told = Callable[[int, int], None]  # users done, of how many
IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a person asked for: some users by key, those of a tier or a wave, or just so many."""

    users: int | None = DEFAULT
    keys: tuple[str, ...] = ()
    tier: str | None = None
    wave: str | None = None


@dataclass(frozen=True)
class People:
    """Who there is under a mapping set: who may move, and who is one with whom."""

    found: Identity
    movers: list[str]
    excluded: frozenset[str]
    grouped: Grouped = field(default_factory=Grouped)

    def with_mates(self, keys: Collection[str]) -> list[str]:
        """These users, and all who travel with one of them."""
        together = self.grouped.together
        first = {together[key] for key in keys if key in together}
        return sorted({*keys, *(key for key, leader in together.items() if leader in first)})


@dataclass(frozen=True)
class Sample:
    """
    Users to look at, in key order, out of `population`; `asked` are those chosen, before all who travel with them.

    `status` is that of the plan where it knows them all; else `people` says who they are. `groups` says who merges with
    whom. `excluded` were asked for by key and stay behind.
    """

    keys: tuple[str, ...]
    asked: tuple[str, ...]
    population: int
    as_of: str
    plan: plans.Plan | None
    people: People
    status: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()

    @property
    def planned(self) -> bool:
        """Whether a plan says who of them is held, and who merges with whom."""
        return self.plan is not None and all(key in self.status for key in self.keys)


def choose(parts: Parts, set_: MappingSet, wanted: Wanted) -> Sample:
    """
    Choose users by their place on a ring of hashes: a larger sample holds a smaller one.

    Raises:
        NotFound: a user, tier, wave or plan that was asked for is not there.
    """
    everybody, at = people(parts, set_), as_of(parts, set_)
    plan, known = _planned(parts)
    if wanted.keys:
        _require_known(rows_of_nobody.apart(set_, wanted.keys)[0], everybody)
        kept = sorted({key for key in wanted.keys if key not in everybody.excluded})
        stays = tuple(sorted({key for key in wanted.keys if key in everybody.excluded}))
        return _sample(parts, set_, Sample((), tuple(kept), len(kept), at, plan, everybody, excluded=stays), known)
    pool = _pool(parts, wanted, everybody.movers, plan, known)
    if wanted.wave is None:  # who is there already needs no look, unless he is asked for
        pool = [key for key in pool if key not in known or known[key].status not in IN_TARGET]
    kept = pool if wanted.users is None else buckets.ranked(SALT, SALT, pool)[: wanted.users]
    return _sample(parts, set_, Sample((), tuple(sorted(kept)), len(pool), at, plan, everybody), known)


def people(parts: Parts, set_: MappingSet) -> People:
    """Who there is in legacy; who merges with whom is not looked for yet."""
    found = identities.find(parts, set_)
    excluded = frozenset(found.users.filter("excluded")["key"].to_list())
    return People(found, [key for key in found.users["key"].to_list() if key not in excluded], excluded)


def grouped(parts: Parts, set_: MappingSet, who: People, at: str) -> People:
    """The same with who merges with whom, over everybody; nothing is read where nobody merges."""
    sure = [key for key in who.movers if key not in who.found.in_doubt]
    return replace(who, grouped=grouping.find(parts, set_, at, sure, records=who.found.records))


def as_of(parts: Parts, set_: MappingSet) -> str:
    """The cut-off as mappings see it: that of the plan, else of the last tiers, else what the data say."""
    with parts.control.read() as db:
        plan, run = plans.current(db), tiers.last_run(db)
    at = plan.as_of if plan else run.as_of if run else None
    if at is None:
        with parts.legacy.reading() as reader:
            latest = activity.days(set_, parts.legacy_schema, reader.select).latest
        at = rules_of.as_of(latest or parts.now())
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def context(parts: Parts, set_: MappingSet, sample: Sample, keys: Sequence[str]) -> Context:
    """What mapping may know of these users: also what people decided about them."""
    return Context(
        plan_id=str(sample.plan.id if sample.plan else 0),
        as_of=sample.as_of,
        overrides=reading.overrides(parts, sample.plan.id, keys) if sample.plan else (),
        references=reading.references(parts, set_),
        keyed=parts.key.digest,
        records=None if sample.planned else records_of(sample.people, keys),
        groups=sample.groups,
    )


def records_of(who: People, keys: Sequence[str]) -> pl.DataFrame | None:
    """The records of some users; None where there is one source."""
    records = who.found.records
    if records is None:
        return None
    return records.filter(pl.col("user_key").is_in(list(keys))).select("source", "record_key", "user_key")


def chunks(keys: Sequence[str], size: int, groups: Mapping[str, str] | None = None) -> list[list[str]]:
    """Cut into parts as large as a batch; users who merge stay together."""
    leaders = groups or {}
    found: list[list[str]] = []
    for key in sorted(keys, key=lambda one: (leaders.get(one, one), one)):
        alone = key not in leaders or not found or leaders.get(found[-1][-1]) != leaders[key]
        if not found or (alone and len(found[-1]) >= size):
            found.append([])
        found[-1].append(key)
    return found


def nobody(done: int, total: int) -> None:
    """Tell nobody how far it is."""


def _sample(parts: Parts, set_: MappingSet, sample: Sample, known: Mapping[str, users.User]) -> Sample:
    """Add who travels with those chosen: as the plan says where it knows them, else as it would say."""
    if sample.plan is not None and all(key in known for key in sample.asked):
        leaders = {known[key].group_key for key in sample.asked} - {None}
        mates = {key for key, one in known.items() if one.group_key in leaders} if leaders else set()
        keys = sorted({*sample.asked, *mates})
        groups = {key: leader for key in keys if (leader := known[key].group_key) is not None}
        return replace(sample, keys=tuple(keys), groups=groups, status={key: known[key].status.value for key in keys})
    who = grouped(parts, set_, sample.people, sample.as_of)
    keys = who.with_mates(sample.asked)
    leaders_of = who.grouped.leaders
    groups = {key: leaders_of[key] for key in keys if key in leaders_of}
    return replace(sample, keys=tuple(keys), groups=groups, people=who)


def _planned(parts: Parts) -> tuple[plans.Plan | None, dict[str, users.User]]:
    with parts.control.read() as db:
        plan = plans.current(db)
        found = users.of_plan(db, plan.id, tuple(User)) if plan else []
    return plan, {one.user_key: one for one in found}


def _require_known(keys: Sequence[str], everybody: People) -> None:
    there: set[Any] = {*everybody.movers, *everybody.excluded}
    strangers = [key for key in keys if key not in there]
    if strangers:
        raise NotFound(f"legacy has no user {', '.join(strangers)}; a user is named by the key of set.yaml")


def _pool(
    parts: Parts, wanted: Wanted, movers: list[str], plan: plans.Plan | None, known: Mapping[str, users.User]
) -> list[str]:
    if wanted.wave is not None:
        with parts.control.read() as db:
            wave = waves.find(db, plans.require(db).id, wanted.wave)
        there = set(movers)
        inside = [key for key, one in known.items() if one.wave_id == wave.id]
        return [key for key in inside if key in there or known[key].kind == users.ROWS]
    if wanted.tier is None:
        return movers
    tier_of = {key: one.tier for key, one in known.items()} or _assigned(parts)
    if wanted.tier not in tier_of.values():
        there_are = ", ".join(sorted(set(tier_of.values()))) or "none: run `migrator tier assign`"
        raise NotFound(f'no user is in tier "{wanted.tier}"; there are {there_are}')
    return [key for key in movers if tier_of.get(key) == wanted.tier]


def _assigned(parts: Parts) -> dict[str, str]:
    with parts.control.read() as db:
        return dict(tiers.every(db).select("user_key", "tier").iter_rows())
