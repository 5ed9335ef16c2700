"""
Users who are held because a row of theirs is in the target already, and by now is there no more: the user who was moved
with it was brought over without it, or went back. Their cases are decided by themselves, and they are sent on their way.

Looked for in the target itself, pass by pass, not told by whoever took the row away: he may have done so before the case
was written down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import polars as pl

from migrator.edges.databases.base import Reader
from migrator.flows.helping import review
from migrator.flows.parts import Parts
from migrator.mapping import fit, values
from migrator.mapping.conflicts import RULE
from migrator.mapping.pairs import ROW, Pairs
from migrator.mapping.schema import Table
from migrator.store import cases, plans
from migrator.store.cases import Case

BY = "sync"  # who decides
PORTION = 5000  # cases looked at in one question


def send_again(parts: Parts) -> int:
    """Send the users on their way whose rows are free by now; how many. Those of a plan that nobody approved stay."""
    with parts.control.read() as db:
        plan = plans.require(db)
        if plan.status != "approved":
            return 0
        waiting = cases.open_of(db, plan.id, RULE)
        begun = cases.resolved_by(db, plan.id, BY)
    free = list(_free(parts, plan.set_hash, waiting)) if waiting else []
    if not free and not begun:
        return 0
    with parts.control.write() as db:
        for case_id in free:
            cases.resolve(db, case_id, review.ACTIONS["fixed-in-source"], None, BY, parts.now())
    return int(review.replay(parts, by=BY)["users"])


def _free(parts: Parts, set_hash: str, waiting: Sequence[Case]) -> Iterator[int]:
    """Those of the cases in whose way nothing stands any more."""
    set_, tables = parts.stored_set(set_hash), parts.target_schema.tables
    at = lambda case: (case.mapping, case.field)
    with parts.target.reading() as reader:
        for (mapping, field), found in groupby(sorted(waiting, key=at), at):
            document = set_.mappings.get(mapping)
            table = tables.get(str(document.target.table)) if document else None
            names = field.split(", ")
            if table is None or not table.columns.keys() >= set(names):
                continue  # written by another mapping set
            together = list(found)
            for first in range(0, len(together), PORTION):
                yield from _gone(parts, reader, table, names, together[first : first + PORTION])


def _gone(parts: Parts, reader: Reader, table: Table, names: Sequence[str], found: Sequence[Case]) -> list[int]:
    """Those of the cases whose values in these columns no row of the table has; not those whose values are not kept."""
    told = [(case.id, parts.key.open(case.value).split(", ")) for case in found if case.value is not None]
    told = [(id_, texts) for id_, texts in told if len(texts) == len(names)]
    wanted = pl.DataFrame({ROW: [id_ for id_, _ in told]}, schema={ROW: pl.Int64}).with_columns(
        _held_as(parts, table, name, [texts[place] for _, texts in told]) for place, name in enumerate(names)
    )
    wanted = wanted.drop_nulls()
    if not wanted.height:
        return []
    there = reader.rows(table.name, wanted.select(names).unique())
    return sorted(set(wanted[ROW]) - Pairs.of(wanted, there, table, names).met)


def _held_as(parts: Parts, table: Table, name: str, texts: Sequence[str]) -> pl.Series:
    text = values.of(pl.Series(texts, dtype=pl.String))
    return fit.fit(text, table.columns[name], parts.target.dialect).values.alias(name)
