"""Users who share a value that must be unique in the target: found over everybody before anybody moves, held together."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from migrator.flows.moving import reading
from migrator.flows.parts import Parts
from migrator.mapping import compare, compile, secrecy, shapes, walk
from migrator.mapping.groups import owners
from migrator.mapping.ids import SEPARATOR
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.people import EVERYBODY, USER

CHUNK = 50_000  # users read at once


@dataclass(frozen=True, slots=True)
class Group:
    """Users with one value in a unique key of one mapping's table."""

    mapping: Mapping
    columns: tuple[str, ...]
    value: str
    users: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Why they are held, without the value."""
        return f"shares {', '.join(self.columns)} with {len(self.users) - 1} other user(s); it must be unique in the target"


def find(
    parts: Parts,
    set_: MappingSet,
    as_of: str,
    user_keys: Sequence[str],
    *,
    decided_in: int | None = None,
    records: pl.DataFrame | None = None,
    together: MappingOf[str, str] | None = None,
) -> list[Group]:
    """
    Compare every unique key that is computed from users, over all users.

    Args:
        decided_in: The plan whose decisions about users hold for them here, too.
        records: Their records, where there are several sources.
        together: user -> the first of those with whom he merges, or may: what they share is no matter of uniqueness.

    Cost: one read and one mapping of the mappings on the users' table.
    """
    overrides = reading.overrides(parts, decided_in, user_keys) if decided_in is not None else ()
    context = Context("0", as_of, overrides, reading.references(parts, set_), keyed=parts.key.digest, records=records)
    groups: list[Group] = []
    for mapping in set_.mappings.values():
        keys = _unique_keys(parts, set_, mapping)
        if keys:
            columns = list(dict.fromkeys(name for key in keys for name in key))
            rows = _computed(parts, set_, mapping, columns, user_keys, context)
            for key in keys:
                groups += _groups(mapping, key, rows, together or {})
    return groups


def case(parts: Parts, plan_id: int, group: Group) -> dict[str, Any]:
    """The review case that names them all."""
    rule = group.mapping.fields[group.columns[-1]]
    fields = ", ".join(group.columns)
    print_ = parts.key.fingerprint(group.value)
    return {
        "plan_id": plan_id,
        "mapping": group.mapping.name,
        "source_key": group.users[0],
        "item_key": "",
        "field": fields,
        "rule": "unique",
        "cause": parts.key.fingerprint(f"{group.mapping.name}\x1f{fields}\x1funique\x1f{print_}")[:8],
        "value": parts.key.seal(group.value),
        "sensitive": not secrecy.fields(group.mapping)[1].isdisjoint(group.columns),
        "note": f"{len(group.users)} users share {fields}, which must be unique in {group.mapping.target.table}",
        "file": rule.place.file,
        "line": rule.place.line,
        "position": rule.place.column,
        "holds": True,
        "users": group.users,
    }


def _unique_keys(parts: Parts, set_: MappingSet, mapping: Mapping) -> list[tuple[str, ...]]:
    """Keys that are computed from the user's own row and could be equal for two users."""
    source, table = mapping.source, parts.target_schema.tables[mapping.target.table]
    of_users = {(set_.set.users.table, (set_.set.users.key,)), (EVERYBODY, (USER,))}
    if (source.table, source.key) not in of_users or any(walk.waits(mapping)):
        return []
    wanted = [*table.uniques]
    if mapping.target.on_conflict:
        wanted.append(mapping.target.on_conflict.match)
    return [key for key in dict.fromkeys(map(tuple, wanted)) if all(name in mapping.fields for name in key)]


def _computed(
    parts: Parts,
    set_: MappingSet,
    mapping: Mapping,
    columns: list[str],
    user_keys: Sequence[str],
    context: Context,
) -> pl.DataFrame:
    mapping = _without_id(mapping, user_keys)
    alone = replace(set_, mappings={mapping.name: mapping})
    table = parts.target_schema.tables[mapping.target.table]
    # Looking for what is shared must not be stopped by it: two sharers in one chunk are not rejects here.
    bare = replace(table, uniques=())
    schema = replace(parts.target_schema, tables={**parts.target_schema.tables, table.name: bare})
    frames = []
    for start in range(0, len(user_keys), CHUNK):
        with parts.legacy.reading() as reader:
            some = user_keys[start : start + CHUNK]
            rows = shapes.read(mapping, set_, parts.legacy_schema, reader.select, some, context, reader.count)
        mapped = compile.apply(alone, schema, {mapping.name: rows}, context)
        frames.append(compare.canonical(mapped.rows[mapping.name].select("__user", *columns), table))
    return pl.concat(frames) if frames else pl.DataFrame(schema={"__user": pl.String})


def _without_id(mapping: Mapping, user_keys: Sequence[str]) -> Mapping:
    """The same, computing no ids: nobody looks at them here. Where one could not be made, the row must be rejected."""
    id_ = mapping.target.id
    if id_.how != "uuid5" or any(SEPARATOR in key for key in user_keys):
        return mapping
    return replace(mapping, target=replace(mapping.target, id=replace(id_, how="fields")))


def _groups(mapping: Mapping, key: tuple[str, ...], rows: pl.DataFrame, together: MappingOf[str, str]) -> list[Group]:
    if not rows.height:
        return []
    shared = (
        rows.with_columns(owners(rows["__user"], together).alias("__owner"))
        .drop_nulls(list(key))
        .group_by(key, maintain_order=True)
        .agg(pl.col("__user").unique(maintain_order=True), pl.col("__owner").n_unique())
        .filter(pl.col("__owner") > 1)
    )
    return [
        Group(mapping, key, ", ".join(str(row[name]) for name in key), tuple(row["__user"]))
        for row in shared.iter_rows(named=True)
    ]
