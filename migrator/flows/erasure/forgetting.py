"""A snapshot as if some of its users had never been in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import polars as pl

from migrator.flows.moving.kept import KeptBatch
from migrator.mapping import pairs
from migrator.mapping.model import MappingSet
from migrator.mapping.schema import Table


def names_one_of(kept: KeptBatch, users: Collection[str]) -> bool:
    """Whether one of *users* is in it: as a user of the batch, or in what was decided or found about one."""
    wanted = set(users)
    named = {*kept.users, *kept.held, *kept.generations, *kept.groups, *(one.user for one in kept.overrides)}
    return bool(wanted & named) or any(
        frame.filter(pl.col(column).is_in(list(wanted))).height for frame, column in _naming(kept)
    )


def archives_one_of(frames: Mapping[str, pl.DataFrame], users: Collection[str]) -> bool:
    """Whether archived rows are of one of *users*."""
    theirs = [frame["__user"] for frame in frames.values() if "__user" in frame.columns]
    return any(column.is_in(list(users)).any() for column in theirs)


def without(kept: KeptBatch, users: Collection[str], set_: MappingSet, tables: Mapping[str, Table]) -> KeptBatch:
    """
    The same batch without *users*: their rows, the rows that were there before under their keys, and all that was said
    of them. Counts stay: a batch has read and written what it has.
    """
    gone = list(users)
    theirs = pl.col("__user").is_in(gone)
    rows = {name: frame.filter(~theirs.fill_null(False)) for name, frame in kept.rows.items()}
    return replace(
        kept,
        users=tuple(key for key in kept.users if key not in users),
        held=tuple(key for key in kept.held if key not in users),
        sources={
            name: replace(part, frame=_less(part.frame, gone, "__user"), findings=_less(part.findings, gone, "user"))
            for name, part in kept.sources.items()
        },
        overrides=tuple(one for one in kept.overrides if one.user not in users),
        rows=rows,
        before={name: _not_under(frame, name, kept, gone, set_, tables) for name, frame in kept.before.items()},
        findings=_less(kept.findings, gone, "user"),
        cleaned=_less(kept.cleaned, gone, "user"),
        generations={key: number for key, number in kept.generations.items() if key not in users},
        groups={key: leader for key, leader in kept.groups.items() if key not in users},
        numbers={name: _less(frame, gone, "__user") for name, frame in kept.numbers.items()},
        standing={name: _less(frame, gone, "__user") for name, frame in kept.standing.items()},
        left={name: _less(frame, gone, "__user") for name, frame in kept.left.items()},
    )


def _naming(kept: KeptBatch) -> list[tuple[pl.DataFrame, str]]:
    """Every frame with its column of users."""
    sources = [(part.frame, "__user") for part in kept.sources.values()]
    sources += [(part.findings, "user") for part in kept.sources.values()]
    several = (kept.rows, kept.numbers, kept.standing, kept.left)
    found = [(frame, "__user") for frames in several for frame in frames.values()]
    return [
        (frame, column)
        for frame, column in [*sources, *found, (kept.findings, "user"), (kept.cleaned, "user")]
        if column in frame.columns
    ]


def _less(frame: pl.DataFrame, users: list[str], column: str) -> pl.DataFrame:
    if column not in frame.columns:
        return frame
    return frame.filter(~pl.col(column).is_in(users).fill_null(False))


def _not_under(
    before: pl.DataFrame,
    name: str,
    kept: KeptBatch,
    users: list[str],
    set_: MappingSet,
    tables: Mapping[str, Table],
) -> pl.DataFrame:
    """Before-images without those under keys of rows that were these users'; a table that is no more has none."""
    if not before.height or name not in tables:
        return before
    table = tables[name]
    mine = [
        pairs.key_text(rows, table)
        for mapping, rows in kept.rows.items()
        if set_.mappings[mapping].target.table == name
        for rows in [rows.filter(pl.col("__user").is_in(users))]
        if rows.height
    ]
    if not mine:
        return before
    return before.filter(~pairs.key_text(before, table).is_in(pl.concat(mine).implode()))
