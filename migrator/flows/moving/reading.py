"""Read a batch's users from legacy in one snapshot, and map them. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from migrator.edges.databases.base import Asked, LegacyReader
from migrator.errors import Transient
from migrator.flows.parts import Parts
from migrator.flows.plans import identities
from migrator.mapping import cleaning, compare, compile, nobody, shapes, uses, values, walk
from migrator.mapping.model import MappingSet, Predicate, Reference, Users
from migrator.mapping.outcome import Context, Mapped, Override, SourceRows
from migrator.mapping.people import main_name, of_mapping
from migrator.mapping.query import Among, Query
from migrator.mapping.users import told as people_told
from migrator.store import cases, cleanings, plans, users


@dataclass(frozen=True, slots=True)
class Read:
    """The users' source rows as one transaction saw them; `gone` are no longer in legacy, `asked` is what was read."""

    sources: dict[str, SourceRows]
    gone: frozenset[str]
    asked: tuple[Asked, ...]


class ChangedMeanwhile(Transient):
    """Legacy was written to between the read and what was done about it; `users` are those concerned."""

    def __init__(self, said: str, users: frozenset[str]) -> None:
        super().__init__(said, users)
        self.said, self.users = said, users

    def __str__(self) -> str:
        return self.said


class _Listening:
    """A reader that remembers what it was asked."""

    def __init__(self, reader: LegacyReader) -> None:
        self._reader, self.asked = reader, list[Asked]()

    def select(self, query: Query) -> pl.DataFrame:
        """Rows of *query*."""
        rows = self._reader.select(query)
        self.asked.append((query, rows.height))
        return rows

    def count(self, query: Query) -> int:
        """How many rows *query* has."""
        rows = self._reader.count(query)
        self.asked.append((query, rows))
        return rows


def read(parts: Parts, set_: MappingSet, user_keys: Sequence[str], context: Context) -> Read:
    """Read all mappings' rows of these users in one read-only snapshot transaction."""
    people, rows = nobody.apart(set_, user_keys)
    if context.records is None:
        context = replace(context, records=identities.known(parts, set_, int(context.plan_id), people))
    with parts.legacy.reading() as opened:
        reader = _Listening(opened)
        there = _there(parts, reader, set_, pl.Series(people, dtype=pl.String), context)
        gone = frozenset(people) - frozenset(there)
        left = [key for key in people if key not in gone]
        sources = {
            name: shapes.read(mapping, set_, parts.legacy_schema, reader.select, left, context, reader.count)
            for name, mapping in set_.mappings.items()
        }
        if rows:
            parents = nobody.Parents()
            found = _read_rows(parts, set_, reader, rows, parents, context)
            sources = sources | {name: _together(sources[name], one) for name, one in found.items()}
            gone |= frozenset(rows) - parents.owners
    return Read(sources, gone, tuple(reader.asked))


def _there(parts: Parts, reader: _Listening, set_: MappingSet, keys: pl.Series, context: Context) -> pl.Series:
    """Those of the users who have a record left in any source, and whom no `where` leaves out by now."""
    if context.records is None:
        return _wanted(_told(parts, reader, set_, set_.set.users, keys))
    found = [pl.DataFrame(schema={"key": pl.String, "excluded": pl.Boolean})]
    for name, who in _people(set_).items():
        mine = context.records.filter(pl.col("source") == name).select("user_key", "record_key")
        told = _told(parts, reader, set_, who, mine["record_key"])
        found.append(mine.join(told, left_on="record_key", right_on="key").select(key="user_key", excluded="excluded"))
    return _wanted(pl.concat(found).group_by("key").agg(pl.col("excluded").any()))


def _wanted(told: pl.DataFrame) -> pl.Series:
    return told.filter(~pl.col("excluded"))["key"]


def _told(parts: Parts, reader: _Listening, set_: MappingSet, who: Users, keys: pl.Series) -> pl.DataFrame:
    """Those of *keys* who are there, and who of them is left out."""
    if who.where == Predicate():
        return pl.DataFrame({"key": _keys_among(reader, who, keys)}).with_columns(excluded=False)
    asked = tuple(uses.predicate(who.where))
    joins = who.joins if any("." in one for one in asked) else {}
    bare = replace(who, email=None, name=None, locale=None, verified=None, joins=joins)
    return people_told(bare, set_, parts.legacy_schema, reader.select, among=keys).select("key", "excluded")


def _people(set_: MappingSet) -> dict[str, Users]:
    """Whose records each source has."""
    return {main_name(set_.set): set_.set.users, **{name: also.who for name, also in set_.set.also.items()}}


def _keys_among(reader: _Listening, who: Users, texts: pl.Series) -> pl.Series:
    """Those of *texts* that are keys of these people."""
    found = reader.select(Query(who.table, (who.key,), among=Among(who.key, texts)))
    return values.text(found[who.key])


def _read_rows(
    parts: Parts,
    set_: MappingSet,
    reader: _Listening,
    owners: Sequence[str],
    parents: nobody.Parents,
    context: Context,
) -> dict[str, SourceRows]:
    """The rows of nobody that are these owners', by the mappings that move such rows; parents come first."""
    return {
        mapping.name: shapes.read_rows(
            mapping, set_, parts.legacy_schema, reader.select, owners,
            partial(_keys_among, reader, _people(set_)[of_mapping(set_.set, mapping)]), parents, context,
        )
        for mapping in nobody.movers(set_)
    }  # fmt: skip


def _together(one: SourceRows, other: SourceRows) -> SourceRows:
    """Rows of users and rows of nobody; a batch holds the one or the other."""
    if not one.frame.height:
        return other
    return SourceRows(
        pl.concat([one.frame, other.frame], how="diagonal_relaxed"),
        **{part: getattr(one, part) + getattr(other, part) for part in ("read", "filtered", "expanded", "folded")},
        kinds={**one.kinds, **other.kinds},
    )


def require_unchanged(
    parts: Parts,
    set_: MappingSet,
    context: Context,
    before: Read,
    user_keys: Sequence[str],
    mark: str,
) -> None:
    """
    Look once more, before the commit, whether legacy still says what was read; cheap where it can tell without the rows.

    Raises:
        ChangedMeanwhile: rows of a user changed in between; the batch is read again.
    """
    if parts.legacy.mark() == mark:
        return
    with parts.legacy.reading() as reader:
        if reader.unchanged(before.asked, mark):
            return
    now = read(parts, set_, user_keys, context)
    changed = now.gone | compare.changed_users(before.sources, now.sources)
    if changed:
        raise ChangedMeanwhile(
            f"{len(changed)} users changed in legacy while they were moved; the batch is read again", changed
        )


def map_(parts: Parts, set_: MappingSet, sources: dict[str, SourceRows], context: Context) -> Mapped:
    """Map the rows of all mappings together."""
    return compile.apply(set_, parts.target_schema, sources, context)


def references(parts: Parts, set_: MappingSet) -> dict[str, pl.DataFrame]:
    """Rows of the target's reference tables that rules look things up in: only the columns they name."""
    wanted: dict[str, dict[str, None]] = {}
    for mapping in set_.mappings.values():
        for spot in walk.spots(mapping):
            source = spot.rule.source
            if isinstance(source, Reference):
                columns = wanted.setdefault(source.table, {})
                columns |= dict.fromkeys([name for name, _ in source.match] + [source.take])
            for step in spot.rule.steps:
                if step.name == "lookup" and isinstance(step.args, dict) and "table" in step.args:
                    columns = wanted.setdefault(step.args["table"], {})
                    columns |= dict.fromkeys([step.args["match"], step.args["take"]])
    if not wanted:
        return {}
    with parts.target.reading() as reader:
        return {table: reader.select(Query(table, tuple(columns))) for table, columns in wanted.items()}


def context(parts: Parts, set_: MappingSet, plan: plans.Plan, user_keys: Sequence[str]) -> Context:
    """What these users of a plan are mapped with, beside their own rows."""
    with parts.control.read() as db:
        together = users.groups(db, plan.id, user_keys)
    return Context(
        plan_id=str(plan.id),
        as_of=plan.cut_off,
        overrides=overrides(parts, plan.id, user_keys),
        references=references(parts, set_),
        keyed=parts.key.digest,
        groups=together,
    )


def overrides(parts: Parts, plan_id: int, user_keys: Sequence[str]) -> tuple[Override, ...]:
    """What people decided about these users, as the mapping room takes it."""
    with parts.control.read() as db:
        decided = cases.decided_for(db, plan_id, list(user_keys))
        taken_back = sorted(cleanings.taken_back(db, plan_id))
    wanted = set(user_keys)
    about = tuple(
        _override(parts, case, user)
        for case in decided
        if case.action in _ACTIONS
        for user in case.users
        if user in wanted and case.resolution_user in (None, user)
    )
    return about + tuple(
        Override(mapping, user, None, cleaning.spared(rule), "keep")
        for mapping, rule in taken_back
        for user in user_keys
    )


_ACTIONS = {"use": "use", "accept null": "null", "skip row": "skip", "keep row": "keep"}


def _override(parts: Parts, case: cases.Case, user: str) -> Override:
    action = _ACTIONS[case.action or ""]
    field = case.field.split(", ")[-1]  # of a key of several columns the last is the one that tells rows apart
    return Override(
        mapping=case.mapping,
        user=user,
        key=case.source_key if case.rule != "unique" else None,
        field=cleaning.spared(field) if action == "keep" else field,
        action=action,
        value=parts.key.open(case.resolution) if case.resolution else None,
    )
