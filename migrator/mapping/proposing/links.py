"""Foreign keys of a target table: the account, another mapping's row, or a row of a table that is there already."""

from __future__ import annotations

from typing import Any

from migrator.mapping.proposing import words
from migrator.mapping.proposing.bench import Bench, listed
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.rules import Proposed
from migrator.mapping.schema import Column, ForeignKey


def lookup(bench: Bench, column: Column, key: ForeignKey) -> Proposed | None:
    """Propose how a foreign key is found."""
    required = {} if column.nullable else {"required": True}
    if key.table == bench.ground.root:
        return Proposed({"lookup": bench.names[bench.ground.root], "by": bench.user, **required})
    parent = bench.pairs.get(key.table)
    if parent is not None:
        by = _pointing_at(bench, parent)
        return Proposed({"lookup": bench.names[key.table], "by": by, **required}) if by else None
    return _reference(bench, column, key, required)


def _pointing_at(bench: Bench, parent: str) -> str | None:
    table = bench.ground.legacy.tables[bench.theirs]
    if bench.way.parent == parent:
        return bench.way.on
    for key in table.foreign_keys:
        if key.table == parent and len(key.columns) == 1:
            return key.columns[0]
    its = bench.ground.legacy.tables[parent].key
    return its[0] if len(its) == 1 and its[0] in table.columns and table.key != its else None


def _reference(bench: Bench, column: Column, key: ForeignKey, required: dict[str, Any]) -> Proposed | None:
    """By the legacy id that the row remembers."""
    table = bench.ground.target.tables[key.table]
    match = next((one[0] for one in table.uniques if len(one) == 1 and "legacy" in words.words(one[0])), None)
    found = bench.nearest(column.name, whole=True)
    if found is None or match is None:
        return None
    if "listed" in found.seen.looks:
        return _from_list(bench, found, {"table": table.name, "match": match, "take": key.references[0]}, required)
    there = {"table": table.name, "match": {match: found.ref}, "take": key.references[0]}
    return Proposed({"lookup": there, **required})


def _from_list(bench: Bench, found: Candidate, there: dict[str, str], required: dict[str, Any]) -> Proposed:
    """A column that holds several, with commas between: one row each."""
    part = found.ref.removesuffix("s") if found.ref.endswith("s") else f"{found.ref}_part"
    bench.source["key"] = [*listed(bench.source["key"]), "n"]
    bench.source["unnest"] = {"column": found.ref, "separator": ",", "as": part, "position": "n"}
    bench.unnested = part
    steps = ["trim", "integer", {"lookup": there}]
    return Proposed({"from": part, "transform": steps, **required}, "? what becomes of a part that leads nowhere")
