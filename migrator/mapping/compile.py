"""A mapping set carried out on the source rows of one batch. Nobody is dropped in silence: the books balance."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from migrator.errors import Refused
from migrator.mapping import cleaning, drafts, groups, meetings, troubles, walk
from migrator.mapping import values as columns
from migrator.mapping.books import Book
from migrator.mapping.draft import Draft
from migrator.mapping.lookups import Anchors, InBatch
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.outcome import FINDINGS, NO_FINDINGS, Context, Mapped, SourceRows
from migrator.mapping.people import parents_by_user
from migrator.mapping.schema import Schema, Table
from migrator.mapping.troubles import Trouble


def apply(set_: MappingSet, target: Schema, sources: dict[str, SourceRows], context: Context) -> Mapped:
    """
    Map the source rows of one batch of users.

    Args:
        sources: By mapping, what `shapes.read` gave, or the same frames from a snapshot. All rows of a user belong
            into one batch: parents are looked for nowhere else.

    Returns:
        Rows to write, findings, books and held users. A user with a finding in a hold_user mapping has no row in it.

    Raises:
        Refused: the target lacks a table or column, or *sources* a column.

    Cost:
        Loops over rules, never over rows; Python only once per distinct value of the few steps that need it.
    """
    return mapped_of(drafts_of(set_, target, sources, context), sources, context)


def mapped_of(drafts: MappingOf[str, Draft], sources: MappingOf[str, SourceRows], context: Context) -> Mapped:
    """Settle what becomes of each row of *drafts*, which are made of *sources*."""
    return _mapped(_settled(drafts), sources, context)


def drafts_of(
    set_: MappingSet, target: Schema, sources: MappingOf[str, SourceRows], context: Context
) -> dict[str, Draft]:
    """
    Carry out all mappings, parents first; who may be written is not settled yet.

    Raises:
        Refused: as `apply`.
    """
    made: dict[str, Draft] = {}
    anchors: dict[str, Anchors] = {}
    parents = {wait.parent for mapping in set_.mappings.values() for wait in walk.waits(mapping)}
    for name, mapping in set_.mappings.items():
        if name not in sources:
            continue
        table = table_of(target, mapping)
        by_user = parents_by_user(set_, mapping)
        lookups = InBatch(anchors, context.references, sources[name].frame["__user"], by_user)
        draft = drafts.make(set_, mapping, sources[name], context, lookups, table, target.dialect)
        made[name] = draft
        meetings.check(draft, [other for other in made.values() if other.mapping.target.table == table.name], table)
        if name in parents:
            anchors[name] = draft.anchors()
    return made


def table_of(target: Schema, mapping: Mapping) -> Table:
    """
    Find the table that *mapping* writes.

    Raises:
        Refused: the target has no such table.
    """
    table = target.tables.get(str(mapping.target.table))
    if table is None:
        raise Refused(f"the target has no table {mapping.target.table}; run migrator mapping lint")
    return table


@dataclass(frozen=True, slots=True, eq=False)
class _Settled:
    """What becomes of each row of one mapping, as masks that exclude each other; the rest is written or folded."""

    draft: Draft
    troubles: tuple[Trouble, ...]
    skipped: pl.Series
    review: pl.Series
    blocked: pl.Series
    waits: tuple[tuple[str, str, pl.Series], ...]  # (parent mapping, field, rows)

    @property
    def stopped(self) -> pl.Series:
        """Rows that cannot be written now, so that neither can what hangs on them."""
        return self.review | self.blocked


def _settled(made: MappingOf[str, Draft]) -> dict[str, _Settled]:
    done: dict[str, _Settled] = {}
    for name, draft in made.items():
        done[name] = _settle(draft, done)
    return done


def _settle(draft: Draft, done: MappingOf[str, _Settled]) -> _Settled:
    height = draft.sheet.height
    skipped = troubles.marked(draft.troubles, height, troubles.SKIP)
    kept = tuple(trouble for trouble in draft.troubles if len(trouble))
    if skipped.any():  # a row that is not wanted needs no person
        kept = tuple(part for trouble in kept if len(part := trouble.only(~skipped)))
    review = troubles.marked(kept, height, troubles.REVIEW, troubles.ABORT)
    blocked = draft.waiting & ~review & ~skipped
    waits = [(draft.mapping.name, "", blocked)] if blocked.any() else []
    for link in draft.links:
        if link.mapping in done and len(link.rows):
            hanging = done[link.mapping].stopped.gather(link.parents)
            stopped = _mask(link.rows.filter(hanging), height) & ~review & ~skipped
            if stopped.any():
                waits.append((link.mapping, link.field, stopped & ~blocked))
                blocked = blocked | stopped
    return _Settled(draft, kept, skipped, review, blocked, tuple(waits))


def _mask(rows: pl.Series, height: int) -> pl.Series:
    mask = columns.none(height)
    return mask.scatter(rows.unique(), True) if len(rows) else mask


def _mapped(settled: MappingOf[str, _Settled], sources: MappingOf[str, SourceRows], context: Context) -> Mapped:
    alone = _held(list(settled.values()))
    # who merges with one who is held is held, too: half an account would be moved otherwise
    held = pl.Series(sorted(groups.closed(alone.to_list(), context.groups)), dtype=pl.String)
    rows, books = {}, {}
    for name, one in settled.items():
        rows[name], books[name] = _written(one, sources[name], held)
    found = [_findings(one) for one in settled.values()]
    findings = pl.concat([frame for frames in found for frame in frames] or [NO_FINDINGS])
    return Mapped(
        rows,
        findings,
        books,
        frozenset(held.to_list()),
        _abort(list(settled.values())),
        context.groups,
        cleaned=pl.concat(
            [cleaning.taken(one.draft.mapping, one.draft) for one in settled.values()] or [cleaning.NOTHING]
        ),
    )


def _held(settled: Sequence[_Settled]) -> pl.Series:
    held = [one for one in settled if one.draft.mapping.on_reject == "hold_user" and one.review.any()]
    users = [one.draft.sheet.users.filter(one.review) for one in held]
    return pl.concat(users).unique().sort() if users else pl.Series([], dtype=pl.String)


def _written(one: _Settled, source: SourceRows, held: pl.Series) -> tuple[pl.DataFrame, Book]:
    draft = one.draft
    out = one.skipped | one.review | one.blocked
    of_held = draft.sheet.users.is_in(held.implode()) & ~out if len(held) else columns.none(len(out))
    folded = draft.folded & ~out & ~of_held
    written = ~(out | of_held | folded)
    book = Book(
        read=source.read,
        expanded=source.expanded,
        written=int(written.sum()),
        folded=source.folded + int(folded.sum()),
        filtered=source.filtered,
        skipped=int(one.skipped.sum()),
        review=int(one.review.sum()),
        blocked=int(one.blocked.sum()) + int(of_held.sum()),
    )
    return draft.frame if written.all() else draft.frame.filter(written), book


def _findings(one: _Settled) -> list[pl.DataFrame]:
    sheet, name = one.draft.sheet, one.draft.mapping.name
    told = [troubles.findings(trouble, name, sheet.users, sheet.keys) for trouble in one.troubles]
    return told + [_waiting(one, parent, field, rows) for parent, field, rows in one.waits if rows.any()]


def _waiting(one: _Settled, parent: str, field: str, rows: pl.Series) -> pl.DataFrame:
    """One finding per user, however many rows wait: one cause, one entry."""
    draft = one.draft
    rule = draft.mapping.fields.get(field.partition(".")[0])
    trouble = troubles.made(rows, troubles.REVIEW, field, "lookup", rule.place if rule else draft.mapping.place)
    told = troubles.findings(trouble, draft.mapping.name, draft.sheet.users, draft.sheet.keys)
    single = told.group_by("user", maintain_order=True).agg(pl.all().first(), pl.len().alias("rows"))
    note = pl.format("rows that wait: {}", "rows")
    said = single.with_columns(note.alias("note"), outcome=pl.lit("blocked"), waits_for=pl.lit(parent))
    return said.select(list(FINDINGS))


def _abort(settled: Sequence[_Settled]) -> str:
    for one in settled:
        for trouble in one.troubles:
            if trouble.outcome == troubles.ABORT:
                place = trouble.place
                return (
                    f"{one.draft.mapping.name}.{trouble.field} asks to stop where {trouble.rule} fails "
                    f"({place.file}:{place.line}), and it failed for {len(trouble)} row(s)"
                )
    return ""
