"""Steps on text. Numbers and times that come here are taken as their canonical text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values


def _said(series: pl.Series) -> Values:
    return Values(series, Kind.TEXT)


def trim(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Cut white space at both ends, no-break and ideographic blanks too.

    Example: trim | ' ann ' -> ann
    """
    return _said(inputs[0].text.str.strip_chars())


def collapse_spaces(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Make one blank of each run of white space.

    Example: collapse_spaces | 'Ann   Lee' -> Ann Lee
    """
    # a blank alone is left where it is, which is most of the work
    return _said(inputs[0].text.str.replace_all(r"\s{2,}|[^\S ]", " "))


def lower(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Write small letters.

    Example: lower | Ann@X.CO -> ann@x.co
    """
    return _said(inputs[0].text.str.to_lowercase())


def upper(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Write capital letters.

    Example: upper | de -> DE
    """
    return _said(inputs[0].text.str.to_uppercase())


def replace(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Replace every `find` by `with`; with `regex: true`, `find` is a pattern and `$1` a group.

    Example: {replace: {find: '-', with: ''}} | 12-34 -> '1234'
    """
    literal = not args.get("regex", False)
    found, new = str(args["find"]), str(args.get("with") or "")
    if literal and "$" not in new:
        return _said(inputs[0].text.str.replace_all(found, new, literal=True))
    if literal:  # a $ would be taken for a group, in a literal, too
        return _said(inputs[0].text.str.replace_many([found], [new]))
    return _said(inputs[0].text.str.replace_all(found, new))


def extract(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Take the part of the text that a pattern's group finds.

    Example: {extract: {regex: 'no ([0-9]+)'}} | order no 17 -> '17'
    """
    given = inputs[0].text
    found = given.str.extract(args["regex"], args.get("group", 1))
    return _said(found).fails(given.is_not_null() & found.is_null(), "the pattern is not found")


def split(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Cut at a separator and take the first part, the rest, the last, number n (from 0), or all as a list.

    Example: {split: {separator: ' ', take: rest}} | Ann Mary Lee -> Mary Lee
    """
    given, separator, take = inputs[0].text, str(args["separator"]), args.get("take", "all")
    parts = given.str.split(separator)
    if take == "all":
        return Values(_as_json(parts), Kind.JSON)
    if take == "rest":
        rest = given.str.splitn(separator, 2).struct.field("field_1")
        return _said(rest)
    place = {"first": 0, "last": -1}.get(take, take)
    return _said(parts.list.get(place, null_on_oob=True))


def _as_json(parts: pl.Series) -> pl.Series:
    items = columns.quoted(parts.explode(empty_as_null=True))
    rows = pl.DataFrame({"row": pl.int_range(len(parts), eager=True).gather(_rows(parts)), "item": items})
    joined = rows.group_by("row", maintain_order=True).agg(pl.col("item").str.join(","))["item"]
    return columns.pick(
        parts.is_not_null(), "[" + joined + "]", pl.Series([None], dtype=pl.String).new_from_index(0, len(parts))
    )


def _rows(parts: pl.Series) -> pl.Series:
    lengths = parts.list.len().fill_null(1).clip(lower_bound=1)
    return pl.int_range(len(parts), eager=True).repeat_by(lengths).explode(empty_as_null=True)


def concat(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Join columns by a separator; nulls are left out unless `skip_nulls: false`, and nothing but nulls is null.

    Example: {concat: {separator: ' '}} | [Ann, null, Lee] -> Ann Lee
    """
    options = args or {}
    skip = options.get("skip_nulls", True)
    texts = [values.text.alias(str(place)) for place, values in enumerate(inputs)]
    frame = pl.DataFrame(texts)
    joined = frame.select(
        pl.concat_str(pl.all(), separator=options.get("separator", ""), ignore_nulls=skip)
    ).to_series()
    if not any(text.null_count() for text in texts):
        return _said(joined)
    some = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return _said(columns.blank(joined, ~some))


def coalesce(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Take the first column that is not null; `coalesce: warn` tells when it was not the first column.

    Example: coalesce | [null, ann, bob] -> ann
    """
    taken = inputs[0].only()
    source = pl.Series([None], dtype=pl.String).new_from_index(0, len(taken))
    for place, values in enumerate(inputs[1:], start=1):
        here = taken.values.is_null() & values.values.is_not_null()
        taken = columns.choose(here, values.only(), taken)
        label = env.labels[place] if place < len(env.labels) else f"column {place + 1}"
        source = columns.pick(here, pl.Series([f"taken from {label}"]).new_from_index(0, len(taken)), source)
    if args != "warn" or source.null_count() == len(source):
        return taken
    return Values(taken.values, taken.kind, changed=source.is_not_null(), note=source)


def truncate(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Keep the first n characters; a value that was longer is a warning.

    Example: {truncate: 3} | annika -> ann
    """
    given = inputs[0].text
    if not columns.is_true(given.str.len_bytes() > args).any():
        return _said(given)
    longer = columns.is_true(given.str.len_chars() > args)
    return Values(given.str.head(args), Kind.TEXT, changed=longer if longer.any() else None, note="cut off")


def format_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Put the value where the text has `{}`.

    Example: {format: 'USR-{}'} | 7 -> USR-7
    """
    before, _, after = args.partition("{}")
    return _said(before + inputs[0].text + after)


@takes.shaped({"type": "string", "pattern": r"^[^{}]*\{\}[^{}]*$"})
def _format_args(args: Any) -> str | None:
    good = isinstance(args, str) and args.count("{}") == 1
    return None if good else "it takes a text with one {} in it, such as 'USR-{}'"


@takes.shaped({"anyOf": [{"enum": ["first", "rest", "last", "all"]}, {"type": "integer", "minimum": 0}]})
def _take(args: Any) -> str | None:
    return (
        None
        if args in ("first", "rest", "last", "all") or (type(args) is int and args >= 0)
        else ("it is first, rest, last, all or a number from 0")
    )


_REPLACED = takes.options({"find": takes.text, "with": takes.anything}, regex=takes.flag)


@takes.shaped(_REPLACED.schema)
def _replace_args(args: Any) -> str | None:
    wrong = _REPLACED(args)
    return wrong or (takes.regex(args["find"]) if args.get("regex") else None)


WORDS = (
    word(trim, takes.nothing),
    word(collapse_spaces, takes.nothing),
    word(lower, takes.nothing),
    word(upper, takes.nothing),
    word(replace, _replace_args),
    word(extract, takes.options({"regex": takes.regex}, group=takes.digits), fallible=True),
    word(split, takes.options({"separator": takes.text}, take=_take)),
    word(concat, takes.optional(takes.options(separator=takes.anything, skip_nulls=takes.flag)), many=True),
    word(coalesce, takes.optional(takes.choice("warn")), many=True),
    word(truncate, takes.size),
    word(format_, _format_args),
)
