"""Users who are one: found over everybody before anybody moves. They travel together; who may be one waits for a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.errors import Refused
from migrator.flows.moving import reading
from migrator.flows.parts import Parts
from migrator.flows.plans import identities, sharing
from migrator.mapping import groups, lookalikes, merging, secrecy
from migrator.mapping.lookalikes import Facts, Grouped, Likeness
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.rollout.states import Case as Status
from migrator.rollout.states import User
from migrator.store import cases, plans, users
from migrator.store.cases import Case

CHUNK = 50_000  # users read at once
RULE = "merge_duplicates"
MERGE, APART = "merge", "apart"  # what a person may decide, as it is stored
TO_MOVE = (User.PLANNED, User.HELD, User.FAILED, User.ROLLED_BACK)


def find(
    parts: Parts,
    set_: MappingSet,
    as_of: str,
    user_keys: Sequence[str],
    *,
    decided_in: int | None = None,
    records: pl.DataFrame | None = None,
) -> Grouped:
    """
    Compare `match` of every mapping that merges users, over all users.

    Args:
        user_keys: In the order in which ties are decided.
        decided_in: The plan whose decisions about users hold for them here, too.
        records: Their records, where there are several sources.

    Cost: one read and one mapping of the mappings that merge; nothing where none does.
    """
    mergers = merging.merging(set_)
    if not mergers or not user_keys:
        return Grouped()
    overrides = reading.overrides(parts, decided_in, user_keys) if decided_in is not None else ()
    context = Context("0", as_of, overrides, reading.references(parts, set_), keyed=parts.key.digest, records=records)
    found = [(mapping, _facts(parts, set_, mapping, user_keys, context)) for mapping in mergers]
    alike = [likeness for mapping, facts in found for likeness in lookalikes.likenesses(mapping, facts)]
    ranks = lookalikes.ranks_of(found, {user for likeness in alike for user in likeness.users})
    said = _decisions(parts, decided_in) if decided_in is not None else []
    return lookalikes.grouped(ranks, alike, *(_by(said, action) for action in (MERGE, APART)))


def refuse_others(parts: Parts, set_: MappingSet) -> None:
    """
    A revised plan keeps its waves, and so those who travel together: *set_* must not merge others than before.

    Users who are held may be merged or not, as people decide; that moves nobody from one wave to another.

    Raises:
        Refused: it would.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
        found = users.of_plan(db, plan.id, TO_MOVE)
    before = parts.stored_set(plan.set_hash)
    if merging.merging(before) == merging.merging(set_):
        return
    keys = sorted((one.user_key for one in found if one.kind == users.USER), key=lambda key: (len(key), key))
    records = _records(parts, set_, plan, keys)
    as_of = plan.cut_off
    was, now = (find(parts, one, as_of, keys, decided_in=plan.id, records=records) for one in (before, set_))
    free = {one.user_key for one in found if one.status is not User.HELD}
    same = {frozenset(unit) for unit in was.units} == {frozenset(unit) for unit in now.units}
    if not same or any(was.leaders.get(user) != now.leaders.get(user) for user in free):
        raise Refused(
            "with these mappings other users would merge, and waves were made for those who merge now; "
            "`migrator rollback all`, then `migrator plan create`"
        )


def check(parts: Parts, found: Sequence[Case], action: str, only: Sequence[str]) -> None:
    """
    Refuse what decides nothing about users who look like one, or cannot be done.

    Raises:
        Refused: the cases are of another kind, users would still be in doubt, or could not move apart.
    """
    alike = [one for one in found if _is_likeness(one)]
    if action in (MERGE, APART) and len(alike) < len(found):
        raise Refused(f"`--{action}` says whether users are one person; that is not asked in all of these cases")
    if alike and action not in (MERGE, APART, "exclude-user", "fixed-in-source", "fixed-in-mapping"):
        raise Refused(
            f"case {alike[0].id} asks whether {len(alike[0].users)} users are one person: say --merge, --apart, "
            "--exclude-user --user KEY, or correct legacy and say --fixed-in-source"
        )
    for case_ in alike if action in (APART, "exclude-user") else ():
        _check_left(parts, case_, action, only)


def _is_likeness(case_: Case) -> bool:
    return case_.rule == RULE and len(case_.users) > 1  # rows of one user may look alike, too


def _check_left(parts: Parts, case_: Case, action: str, only: Sequence[str]) -> None:
    with parts.control.read() as db:
        plan = plans.require(db)
        out = {one.user_key for one in users.some(db, plan.id, case_.users) if one.status is User.EXCLUDED}
        if action != APART:
            out |= {one.user_key for one in users.with_groups(db, plan.id, only or case_.users)}
    left = [key for key in case_.users if key not in out]
    if len(left) < 2:
        return
    if action != APART:
        raise Refused(f"{', '.join(left)} would still look like one: say --merge or --apart, and exclude the other one")
    set_, as_of = parts.stored_set(plan.set_hash), plan.cut_off
    shared = sharing.find(parts, set_, as_of, left, decided_in=plan.id, records=_records(parts, set_, plan, left))
    if shared:
        one = shared[0]
        raise Refused(
            f"users {', '.join(one.users)} share {', '.join(one.columns)}, which must be unique in "
            f"{one.mapping.target.table}: they cannot both move apart. Say --merge, leave one out with "
            "--exclude-user --user KEY, or correct legacy and say --fixed-in-source"
        )


@dataclass(frozen=True, slots=True)
class Second:
    """A second look at `members` of a plan, after people decided: who of them is one user now."""

    members: frozenset[str] = frozenset()
    grouped: Grouped = field(default_factory=Grouped)

    def leaders(self, before: Mapping[str, str]) -> dict[str, str]:
        """Who merges with whom, of these members as it is now, of all others as it was *before*."""
        others = {user: leader for user, leader in before.items() if user not in self.members}
        return others | self.grouped.leaders


def look_again(parts: Parts) -> Second:
    """Compare the users of decided likenesses once more, with all who merge with them; nothing is changed."""
    with parts.control.read() as db:
        plan = plans.require(db)
        decided = [one for one in cases.select(db, plan.id, statuses=(Status.RESOLVED,)) if _is_likeness(one)]
        asked = {user for one in decided for user in one.users}
        found = [one for one in users.with_groups(db, plan.id, asked) if one.status in (User.HELD, User.FAILED)]
    if not found:
        return Second()
    keys = sorted((one.user_key for one in found), key=lambda key: (len(key), key))
    set_, as_of = parts.stored_set(plan.set_hash), plan.cut_off
    records = _records(parts, set_, plan, keys)
    return Second(frozenset(keys), find(parts, set_, as_of, keys, decided_in=plan.id, records=records))


def regroup(db: sa.Connection, parts: Parts, plan: plans.Plan, second: Second, now: datetime) -> None:
    """Write down who is one user after the second look; who is still in doubt gets a case again."""
    leaders = second.grouped.leaders
    for leader in sorted({leaders.get(user, "") for user in second.members}):
        keys = [user for user in sorted(second.members) if leaders.get(user, "") == leader]
        users.assign(db, plan.id, keys, group_key=leader or None)
    set_ = parts.stored_set(plan.set_hash)
    cases.open_all(db, [case(parts, set_, plan.id, likeness) for likeness in second.grouped.doubtful], now)


def case(parts: Parts, set_: MappingSet, plan_id: int, likeness: Likeness) -> dict[str, Any]:
    """The review case that names all who look like one."""
    mapping = set_.mappings[likeness.mapping]
    assert mapping.merge is not None  # likenesses are those of mappings that merge
    names = [name.removeprefix("$") for name in mapping.merge.match]
    fields, differing = ", ".join(names), ", ".join(likeness.differing)
    secret, covered = (of | on for of, on in zip(secrecy.fields(mapping), secrecy.columns(mapping), strict=True))
    print_ = parts.key.fingerprint(likeness.value)
    return {
        "plan_id": plan_id,
        "mapping": likeness.mapping,
        "source_key": min(likeness.users),
        "item_key": "",
        "field": fields,
        "rule": RULE,
        "cause": parts.key.fingerprint(f"{likeness.mapping}\x1f{fields}\x1f{RULE}\x1f{print_}")[:8],
        "value": None if secret & set(names) else parts.key.seal(likeness.value),
        "sensitive": bool(covered & set(names)),
        "note": f"{len(likeness.users)} users agree in {fields} and differ in {differing}: one person, or several?",
        "file": mapping.merge.place.file,
        "line": mapping.merge.place.line,
        "position": mapping.merge.place.column,
        "holds": True,
        "users": likeness.users,
    }


def reasons(grouped: Grouped) -> dict[str, str]:
    """Why each user whose likeness is not decided is held, without any value."""
    said = {}
    for user, likeness in grouped.unsure.items():
        others = ", ".join(one for one in likeness.users if one != user)
        if user in likeness.users:
            said[user] = f"may be the same person as {others}; a person decides"
        else:
            said[user] = f"merges with one who may be the same person as somebody else ({others}); a person decides"
    return said


def along(held: Collection[str], leaders: Mapping[str, str], word: str = "held") -> dict[str, str]:
    """Who merges with one who is held (or what else *word* says), and is not so himself: with the reason."""
    cause = {leaders[user]: user for user in sorted(held, reverse=True) if user in leaders}
    return {
        user: f"merges with user {cause[leaders[user]]}, who is {word}: they move together or not at all"
        for user in sorted(groups.closed(held, leaders) - set(held))
    }


def units(grouped: Grouped, user_keys: pl.Series) -> pl.Series:
    """The first of those with whom each user travels; null for who travels alone."""
    known = grouped.together
    return pl.Series("unit", [known.get(key) for key in user_keys.to_list()], dtype=pl.String)


def _facts(parts: Parts, set_: MappingSet, mapping: Document, user_keys: Sequence[str], context: Context) -> Facts:
    alone = replace(set_, mappings={mapping.name: mapping})
    table = parts.target_schema.tables[mapping.target.table]
    lots = []
    for start in range(0, len(user_keys), CHUNK):
        read = reading.read(parts, alone, user_keys[start : start + CHUNK], context)
        lots.append(lookalikes.facts(set_, mapping, read.sources[mapping.name], context, table))
    return lookalikes.together(lots)


def _records(parts: Parts, set_: MappingSet, plan: plans.Plan, keys: Sequence[str]) -> pl.DataFrame | None:
    return identities.of(parts, plan.id, keys) if set_.set.also else None


def _decisions(parts: Parts, plan_id: int) -> list[Case]:
    with parts.control.read() as db:
        return [one for one in cases.decided(db, plan_id, RULE) if one.action in (MERGE, APART)]


def _by(said: Sequence[Case], action: str) -> Collection[tuple[str, frozenset[str]]]:
    return [(one.mapping, frozenset(one.users)) for one in said if one.action == action]
