"""Back through steps that put one value in the place of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.backward.lens import Around
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values


def map_(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The one old value for the new one."""
    olds: dict[str | None, list[str]] = {}
    for old, new in args.items():
        if old != "else":
            olds.setdefault(columns.literal_text(new), []).append(str(old))
    nothing = olds.pop(None, [])
    made, failed, note = _unique(
        wanted.text, {str(new): old for new, old in olds.items()}, keep=args.get("else") == "keep"
    )
    if len(nothing) == 1:
        made = columns.pick(columns.is_null(wanted.values), pl.Series(nothing).new_from_index(0, len(made)), made)
    return (Values(made, Kind.TEXT).fails(failed, note),)


def some_twice(args: Any) -> str:
    """For which values there is a way."""
    news = [columns.literal_text(new) for old, new in args.items() if old != "else"]
    single = [new for new in dict.fromkeys(news) if new is not None and news.count(new) == 1]
    twice = len(single) < len({new for new in news if new is not None}) or args.get("else", "keep") != "keep"
    return f"only {', '.join(single) or 'none'}" if twice else ""


def in_file(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The one line of the file that has the value, or of a table of the target, or the row of the same user."""
    if not isinstance(args, dict):
        return tuple(_of_parent(wanted, str(args), around))
    if "table" in args:
        return tuple(of_reference(wanted, args["table"], [args["match"]], args["take"], around))
    header, rows = around.env.files[args["file"]]
    key, value = header.index(args["match"]), header.index(args["take"])
    olds: dict[str, list[str]] = {}
    for row in rows:
        olds.setdefault(row[value], []).append(row[key])
    made, failed, note = _unique(wanted.text, olds, keep=False)
    return (Values(made, Kind.TEXT).fails(failed, note),)


def of_reference(wanted: Values, table: str, match: Sequence[str], take: str, around: Around) -> list[Values]:
    """What leads to the one row of a reference table that has the value."""
    known = around.env.context.references.get(table)
    note = f"no row of {table} alone has it"
    if known is None:
        return [Values(wanted.text, Kind.TEXT).fails(wanted.values.is_not_null(), note) for _ in match]
    told = known.select(columns.text(known[take]).alias("taken"), *(known[name].alias(f"m {name}") for name in match))
    single = told.filter(pl.col("taken").is_not_null() & ~pl.col("taken").is_duplicated())
    found = wanted.text.alias("taken").to_frame().join(single, on="taken", how="left", maintain_order="left")
    parts = [columns.of(found[f"m {name}"]) for name in match]
    return [part.fails(wanted.values.is_not_null() & part.values.is_null(), note) for part in parts]


def _of_parent(wanted: Values, mapping: str, around: Around) -> list[Values]:
    return of_parent(wanted, mapping, around)


def of_parent(wanted: Values, mapping: str, around: Around) -> list[Values]:
    """The legacy key of the row of the same user that has this id."""
    parts = around.parents.keys(mapping, wanted.text, around.users)
    note = f"no row of this user in {mapping} has this id"
    return [part.fails(wanted.values.is_not_null() & part.values.is_null(), note) for part in parts]


def _unique(
    text: pl.Series, olds: Mapping[str, Sequence[str]], *, keep: bool
) -> tuple[pl.Series, pl.Series, pl.Series]:
    """The one old value of each, where there is one; which fail, and why."""
    single = {new: old[0] for new, old in olds.items() if len(old) == 1}
    several = [new for new, old in olds.items() if len(old) > 1]
    made = text.replace_strict(list(single), list(single.values()), default=None, return_dtype=pl.String)
    many = columns.is_true(text.is_in(several))
    if keep:
        made = columns.pick(made.is_null() & ~many, text, made)
    failed = text.is_not_null() & made.is_null()
    notes = pl.Series(["legacy has no value for it", "legacy has several values for it"])
    return made, failed, notes.gather(many.cast(pl.Int64))
