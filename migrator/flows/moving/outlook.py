"""What some users would become: read, mapped, held against the target. The same for a move and a preview; no writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from migrator.edges.databases.base import Claim
from migrator.errors import Transient
from migrator.flows.moving import numbers, reading, writing
from migrator.flows.parts import Parts
from migrator.mapping import conflicts, groups, pairs
from migrator.mapping.identities import id_column
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, Mapped
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True)
class Outlook:
    """
    Users on the way to the target, as far as it goes without touching anything.

    `there` are those who are still in legacy; `mapped` is what the mappings make of them, `decided` what is left of it
    once the rows that are in the target already were looked at. `context` is what it was mapped with: beside what was
    given, the numbers taken and the ids of rows that are there already.
    """

    read: reading.Read
    there: list[str]
    mapped: Mapped
    look: writing.Look
    decided: Mapped
    context: Context


def of(
    parts: Parts,
    set_: MappingSet,
    user_keys: Sequence[str],
    context: Context,
    progress: Callable[[], None] = lambda: None,
    claim: Claim | None = None,
    seen_as: Callable[[Mapped, writing.Look], writing.Look] = lambda mapped, look: look,
) -> Outlook:
    """
    Read, map and hold against the target.

    Where a row of ours is there already under another id, that id is the one that counts, also for its children: then
    all is mapped again with it, until every row has the id it is to have.

    Args:
        progress: called between the long steps.
        claim: the batch that will write: numbers are taken for it. None writes nothing at all, and makes numbers up.
        seen_as: what of the target counts: who is brought over again is judged as if he had never been there.

    Returns:
        All of it, also where a rule asked to stop (`mapped.abort`): what then happens is for the caller to say.
    """
    read = reading.read(parts, set_, user_keys, context)
    progress()
    there = [key for key in user_keys if key not in read.gone]
    context = replace(context, groups=groups.among(context.groups, there))
    if claim is not None:
        context = replace(context, numbers=numbers.take(parts, set_, claim, read.sources))
    schema = parts.target_schema
    for _ in (*set_.mappings, None):  # parents first: each turn settles one generation at least
        mapped = reading.map_(parts, set_, read.sources, context)
        progress()
        look = seen_as(mapped, writing.look(parts, set_, mapped, there))
        look = replace(look, meetings=_with_numbers_of_ours(set_, schema, look, context, mapped))
        ways = conflicts.give_way(set_, schema, mapped, look.meetings, context)
        if not ways:
            break
        context = replace(context, standing=_also(context.standing, ways))
    decided = conflicts.decide(set_, schema, mapped, look.meetings, look.owners, context)
    progress()
    return Outlook(read, there, mapped, look, decided, context)


def _also(known: Mapping[str, pl.DataFrame], found: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """What was found last counts."""
    rows = ["__user", "__key"]
    both = {name: pl.concat([found[name], known[name]]) for name in known.keys() & found.keys()}
    stacked = {**known, **found, **both}
    return {name: stacked[name].unique(rows, keep="first", maintain_order=True) for name in sorted(stacked)}


def _with_numbers_of_ours(
    set_: MappingSet, schema: Schema, look: writing.Look, context: Context, mapped: Mapped
) -> dict[conflicts.Meeting, pl.DataFrame]:
    """
    Leave out what stands under a number of ours by accident.

    Raises:
        Transient: the application was first with a number that was taken for us; the next attempt takes another.
    """
    kept = dict(look.meetings)
    for meeting, there in look.meetings.items():
        document, table = set_.mappings[meeting.mapping], schema.tables[meeting.table]
        if document.target.id.how != "sequence" or meeting.columns != (id_column(document, table),) or not there.height:
            continue
        standing = context.standing.get(meeting.mapping)
        theirs = pairs.key_text(there, table).is_in([] if standing is None else standing["id"].to_list())
        if context.numbers is not None and not theirs.all():
            raise Transient(f"rows of {meeting.table} have numbers that were taken for ours; the batch is read again")
        kept[meeting] = there.filter(theirs)
    return kept
