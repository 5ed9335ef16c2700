"""Who is who over all legacy sources: found when a plan is made; what is doubtful becomes a case, and a person decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator.errors import Refused
from migrator.flows.parts import Parts
from migrator.mapping import identity, shapes, silos
from migrator.mapping.identity import Identity
from migrator.mapping.lint.ground import place_of
from migrator.mapping.model import MappingSet, Users
from migrator.rollout import states
from migrator.store import cases, plans, records, users
from migrator.store.cases import Case

RULE, FIELD = "identity", "same"
SAME, ANOTHER = "same user", "another user"
#: Why a person is asked, without anybody's data.
WHY = {
    identity.UNVERIFIED: "another user has this e-mail address, and it is not verified on both sides",
    identity.SEVERAL_USERS: "it could be several users",
    identity.CONTRADICTION: "one way says it is one user, another way says it is another",
    identity.SEVERAL_RECORDS: "one user would have several such records",
}


def find(parts: Parts, set_: MappingSet) -> Identity:
    """
    Say who everybody is, by the rules of set.yaml and by what people decided so far.

    Raises:
        Refused: there are no users, or a key that is null, empty or there twice.
    """
    with parts.legacy.reading() as reader:
        if not set_.set.also:
            everybody = shapes.users(set_, parts.legacy_schema, reader.select)
            _check_keys(set_.set.users, everybody)
            return _with_users(set_, Identity(everybody))
        read = silos.read(set_, parts.legacy_schema, reader.select)
    for silo, who in zip(read, (set_.set.users, *(also.who for also in set_.set.also.values())), strict=True):
        _check_keys(who, silo.people)
    return _with_users(set_, identity.decide(read, _decisions(parts)))


def held(found: Identity, out: Collection[str]) -> dict[str, str]:
    """Every user concerned by a doubt, with the reason; but for those who stay *out*."""
    reasons: dict[str, str] = {}
    for doubt in _doubts(found, out):
        for key in (doubt["user_key"], *doubt["users"]):
            if key not in out:
                reasons.setdefault(key, f"{WHY[doubt['why']]}: record {doubt['record_key']} of {doubt['source']}")
    return reasons


def opened(parts: Parts, plan_id: int, set_: MappingSet, found: Identity, out: Collection[str]) -> list[dict[str, Any]]:
    """A review case for every doubtful record, which names all users concerned."""
    return [_case(parts, plan_id, set_, doubt) for doubt in _doubts(found, out)]


def of(parts: Parts, plan_id: int, user_keys: Sequence[str]) -> pl.DataFrame:
    """The records of some users of a plan, as a batch needs them."""
    with parts.control.read() as db:
        rows = [(one.source, one.record_key, one.user_key) for one in records.of_users(db, plan_id, user_keys)]
    schema = {"source": pl.String, "record_key": pl.String, "user_key": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def known(parts: Parts, set_: MappingSet, plan_id: int, user_keys: Sequence[str]) -> pl.DataFrame | None:
    """The records of some users: those of the plan, else (there is none yet) as they would be; None for one source."""
    if not set_.set.also:
        return None
    planned = of(parts, plan_id, user_keys)
    return planned if planned.height or not user_keys else find(parts, set_).records


def require_same(before: MappingSet, now: MappingSet) -> None:
    """
    Refuse other people, or other ways to know them, than those whose waves are planned.

    Raises:
        Refused: who is who would have to be found again.
    """
    if _rules(before) != _rules(now):
        raise Refused(
            "set.yaml says in another way who is who; a plan keeps its users, so make a new one: "
            "take back who has moved (`migrator rollback all`), then `migrator plan create`"
        )


def _rules(set_: MappingSet) -> list[Any]:
    """Who the people are and how they are known, without places."""
    if not set_.set.also:
        return []
    silos_ = [(set_.set.users, (), False), *((one.who, one.same, one.several) for one in set_.set.also.values())]
    return [
        (who.table, who.key, several, [(way.how, way.column, way.of, way.table, way.record) for way in same])
        for who, same, several in silos_
    ]


def record_of(case: Case) -> str:
    """The user that a doubtful record is as long as nobody decided."""
    return f"{case.mapping}:{case.source_key}"


def candidates(case: Case) -> list[str]:
    """Who the record of a case may be."""
    return [key for key in case.users if key != record_of(case)]


def check(found: Sequence[Case], action: str, only: Sequence[str]) -> None:
    """
    Refuse what decides nothing.

    Raises:
        Refused: the cases are of another kind, or it is not said which of several users it is.
    """
    doubts = [case for case in found if case.rule == RULE]
    deciding = action in ("same-user", "another-user")
    if deciding and len(doubts) < len(found):
        raise Refused(f"`--{action}` decides who a record is; there is no doubt about that in all of these cases")
    if doubts and not deciding and action != "exclude-user":
        raise Refused(f"case {doubts[0].id} asks who a record is: say --same-user, --another-user, or --exclude-user")
    for case in doubts if action == "same-user" else ():
        if meant(case, only) is None:
            raise Refused(f"case {case.id} may be any of {', '.join(candidates(case))}; say which with --user")


def meant(case: Case, only: Sequence[str]) -> str | None:
    """Which of the candidates a person means; None where that is not said."""
    named = [key for key in candidates(case) if not only or key in only]
    return named[0] if len(named) == 1 else None


def waiting(resolved: Sequence[Case], held_: set[str]) -> set[str]:
    """Users whom open cases hold, and those who turn out to be one with somebody who is held."""
    found, before = set(held_), -1
    while len(found) > before:
        before = len(found)
        for case in resolved:
            if case.rule == RULE and case.action == SAME and found & set(case.users):
                found |= set(case.users)
    return found


def merged(found: Sequence[Case]) -> set[str]:
    """Users who turned out to be others: they are no users of their own any more."""
    return {record_of(case) for case in found if case.rule == RULE and case.action == SAME}


def settle(db: sa.Connection, plan: plans.Plan, found: Sequence[Case], now: datetime) -> None:
    """Write down what was decided: whose the records are, and who is no user of his own."""
    for case in found:
        if case.rule == RULE and case.action == SAME and case.resolution_user is not None:
            before, after = record_of(case), _really(db, plan.id, case.resolution_user)
            records.follow(db, plan.id, before, after)
            records.decide(db, plan.id, case.mapping, case.source_key, after, identity.PERSON)
            reason = f"the same person as another user, decided by {case.resolved_by}"
            held_ = (states.User.HELD, states.User.FAILED)
            users.move(db, plan.id, [before], held_, states.User.EXCLUDED, now, reason=reason)
        elif case.rule == RULE and case.action == ANOTHER:
            records.decide(db, plan.id, case.mapping, case.source_key, record_of(case), identity.PERSON)


def _really(db: sa.Connection, plan_id: int, user: str) -> str:
    """The user, or who the user turned out to be."""
    source, _, key = user.partition(":")
    found = records.get(db, plan_id, source, key) if key else None
    return found.user_key if found else user


def _decisions(parts: Parts) -> pl.DataFrame:
    """What people said under the plan so far."""
    with parts.control.read() as db:
        plan = plans.current(db)
        found = cases.decided(db, plan.id, RULE) if plan else []
    rows = [(case.mapping, case.source_key, case.resolution_user) for case in found if case.action in (SAME, ANOTHER)]
    return pl.DataFrame(rows, schema=identity.DECISIONS, orient="row")


def _doubts(found: Identity, out: Collection[str]) -> Iterator[dict[str, Any]]:
    return (doubt for doubt in found.doubts.iter_rows(named=True) if doubt["user_key"] not in out)


def _case(parts: Parts, plan_id: int, set_: MappingSet, doubt: dict[str, Any]) -> dict[str, Any]:
    also = set_.set.also[doubt["source"]]
    place = place_of(also.name, also.who.place)
    return {
        "plan_id": plan_id,
        "mapping": doubt["source"],
        "source_key": doubt["record_key"],
        "item_key": "",
        "field": FIELD,
        "rule": RULE,
        "cause": parts.key.fingerprint(f"{doubt['source']}\x1f{RULE}\x1f{doubt['why']}")[:8],
        "value": None,
        "sensitive": False,
        "note": WHY[doubt["why"]],
        "file": place.file,
        "line": place.line,
        "position": place.column,
        "holds": True,
        "users": [doubt["user_key"], *doubt["users"]],
    }


def _with_users(set_: MappingSet, found: Identity) -> Identity:
    if not found.users.height:
        raise Refused(f"legacy has no users: {set_.set.users.table} is empty")
    return found


def _check_keys(who: Users, people: pl.DataFrame) -> None:
    doubled = people.filter(pl.col("key").is_duplicated() | pl.col("key").is_null() | (pl.col("key") == ""))
    if doubled.height:
        raise Refused(
            f"{doubled.height} rows of {who.table} have no {who.key} of their own "
            "(null, empty or twice); a user key must name one user"
        )
