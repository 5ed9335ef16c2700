"""Rows of nobody in a plan: counted per mapping, refused where nothing is said of them, given an owner where they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from migrator.errors import MappingInvalid, Refused
from migrator.flows.parts import Parts
from migrator.mapping import nobody, shapes
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.shapes import Unowned

NOT_WANTED = "left out by `where`"


@dataclass(frozen=True, slots=True)
class Counted:
    """What becomes of rows of nobody: numbers per mapping, and the owners of those that move."""

    per_mapping: dict[str, Any]
    owners: list[str]


def count(parts: Parts, set_: MappingSet, context: Context, everybody: pl.DataFrame | None = None) -> Counted:
    """
    Count the rows of nobody of every mapping: per mapping `rows` = `moves` + `left`, and why they are left.

    Per legacy table: all rows = rows of users + `rows` + rows of excluded users.

    Args:
        everybody: `key` and `excluded` of all users, where they were read already.

    Raises:
        MappingInvalid: rows of nobody of whom no mapping says what becomes (E211); all mappings at once.
    """
    counted, owners, refused = dict[str, Any](), list[str](), list[str]()
    parents = nobody.Parents()
    with parts.legacy.reading() as reader:
        if everybody is None:
            everybody = shapes.users(set_, parts.legacy_schema, reader.select, context)
        for name, mapping in set_.mappings.items():
            found = shapes.unowned(
                mapping, set_, parts.legacy_schema, reader.select, context, parents, everybody, reader
            )
            refused += _refusals(mapping, found)
            counted[name] = _numbers(mapping, found)
            owners += found.divided.owners.to_list() if found.divided else []
    if refused:
        raise MappingInvalid("\n".join(refused), len(refused))
    return Counted(counted, owners)


def refuse_like_users(set_: MappingSet, people: pl.Series) -> None:
    """A user whose key reads like that of a row of nobody would be taken for one."""
    alike = [key for key in people if nobody.mapping_of(set_, key) is not None]
    if alike:
        raise Refused(
            f"{len(alike)} users have a key like those of rows of nobody, e.g. {alike[0]}; "
            "give the mapping another name, or leave its rows of nobody behind"
        )


def _numbers(mapping: Document, found: Unowned) -> dict[str, Any]:
    divided, reason = found.divided, mapping.source.without_user.leave if mapping.source.without_user else None
    return {
        "rows": found.count,
        "null": found.null,
        "unknown": found.unknown,
        "moves": divided.moved if divided else 0,
        "strays": divided.strays if divided else 0,
        "left": divided.filtered if divided else found.count,
        "of_excluded": found.excluded,
        "all": found.rows,
        "reason": NOT_WANTED if divided else reason,
        "table": mapping.source.table,
    }


def _refusals(mapping: Document, found: Unowned) -> list[str]:
    place = mapping.source.place
    head = f"{place.file}:{place.line}:{place.column}  error E211 rows-of-nobody\n"
    if found.divided and found.divided.keyless:
        key, rows = ", ".join(mapping.source.key), f"{found.divided.keyless} rows of {mapping.source.table}"
        said = f"{head}  {rows} belong to no user and have no {key} to be known by\n"
        return [f"{said}  help: leave them out by `where`, or take a key that every row has"]
    if not found.count or mapping.source.without_user is not None:
        return []
    said = (
        f"{head}  {found.count} rows of {mapping.source.table} belong to no user "
        f"({found.null} without one, {found.unknown} with one that does not exist), "
        f"e.g. keys {', '.join(found.sample)}\n"
        "  help: say why they stay: without_user: {leave: ???}, or let them move: without_user: move"
    )
    return [said]
