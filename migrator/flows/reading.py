"""Read a batch's users from legacy in one snapshot, and map them. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from migrator.errors import Transient
from migrator.flows.parts import Parts
from migrator.mapping import compare, compile, shapes, walk
from migrator.mapping.model import MappingSet, Reference
from migrator.mapping.outcome import Context, Mapped, Override, SourceRows
from migrator.mapping.query import Among, Query
from migrator.store import cases


@dataclass(frozen=True, slots=True)
class Read:
    """The users' source rows as one transaction saw them; `gone` are no longer in legacy."""

    sources: dict[str, SourceRows]
    gone: frozenset[str]


def read(parts: Parts, set_: MappingSet, user_keys: Sequence[str], context: Context) -> Read:
    """Read all mappings' rows of these users in one read-only snapshot transaction."""
    users = set_.set.users
    with parts.legacy.reading() as reader:
        among = Among(users.key, pl.Series(user_keys, dtype=pl.String))
        there = reader.select(Query(users.table, (users.key,), among=among))[users.key].cast(pl.String)
        gone = frozenset(user_keys) - frozenset(there)
        left = [key for key in user_keys if key not in gone]
        sources = {
            name: shapes.read(mapping, set_, parts.legacy_schema, reader.select, left, context, reader.count)
            for name, mapping in set_.mappings.items()
        }
    return Read(sources, gone)


def require_unchanged(
    parts: Parts, set_: MappingSet, context: Context, hashes: Mapping[str, str], user_keys: Sequence[str], mark: str
) -> None:
    """
    Look once more, before the commit, whether legacy still says what was read; cheap where nothing was written at all.

    Raises:
        Transient: rows of a user changed in between; the batch is read again.
    """
    if parts.legacy.mark() == mark:
        return
    now = read(parts, set_, user_keys, context)
    found = dict(compare.source_hashes(now.sources).iter_rows())
    changed = [key for key in user_keys if key in now.gone or found.get(key, "") != hashes.get(key, "")]
    if changed:
        raise Transient(f"{len(changed)} users changed in legacy while they were moved; the batch is read again")


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


def overrides(parts: Parts, plan_id: int, user_keys: Sequence[str]) -> tuple[Override, ...]:
    """What people decided about these users, as the mapping room takes it."""
    actions = {"use": "use", "accept null": "null", "skip row": "skip"}
    with parts.control.read() as db:
        decided = cases.decided_for(db, plan_id, list(user_keys))
    wanted = set(user_keys)
    return tuple(
        Override(
            mapping=case.mapping,
            user=user,
            key=case.source_key if case.rule != "unique" else None,
            field=case.field.split(", ")[-1],  # of a key of several columns the last is the one that tells rows apart
            action=actions[case.action],
            value=parts.key.open(case.resolution) if case.resolution else None,
        )
        for case in decided
        if case.action in actions
        for user in case.users
        if user in wanted and case.resolution_user in (None, user)
    )
