"""Back through steps on text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import reduce
from typing import Any

import polars as pl

from migrator.mapping import jsons
from migrator.mapping import values as columns
from migrator.mapping.backward.lens import Around
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values


def _said(series: pl.Series) -> Values:
    return Values(series, Kind.TEXT)


def unescape_html(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """Escaped again, as the old system keeps it: it may print the text as it stands."""
    return (_said(columns.per_distinct(wanted.text, html.escape)),)


def format_(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """What stands where the text has `{}`."""
    start, _, end = args.partition("{}")
    text = wanted.text
    inner = text.str.strip_prefix(start).str.strip_suffix(end)
    framed = text.str.starts_with(start) & text.str.ends_with(end) & (text.str.len_chars() >= len(start) + len(end))
    return (_said(inner).fails(~framed, f"it is not written as {args}"),)


def split(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The part in its place among the parts that stand there."""
    separator, take = str(args["separator"]), args.get("take", "all")
    if take == "all":
        made = columns.per_distinct(wanted.text, lambda text: _joined(text, separator))
        return (
            _said(made).fails(
                made.is_null() & wanted.values.is_not_null(), "a part is no text, or holds the separator"
            ),
        )
    frame = pl.DataFrame({"before": before[0].text, "wanted": wanted.text})
    pairs = pl.concat_str(pl.col("before").fill_null(""), pl.lit("\x1f"), pl.col("wanted").fill_null("\x1e"))
    told = frame.select(pairs).to_series()
    made = columns.per_distinct(told, lambda pair: _with_part(pair, separator, take))
    # nobody had a text before, and there is no part: nothing stays nothing
    none = columns.is_null(before[0].values) & columns.is_null(wanted.values)
    made = columns.blank(made, none)
    return (_said(made).fails(made.is_null() & ~none, "the part cannot stand among the others"),)


def _joined(text: str, separator: str) -> str | None:
    parts = jsons.read(text)
    if (
        not isinstance(parts, list)
        or not parts
        or any(not isinstance(part, str) or separator in part for part in parts)
    ):
        return None
    return separator.join(parts)


def _with_part(pair: str, separator: str, take: str | int) -> str | None:
    given, _, part = pair.rpartition("\x1f")
    parts = given.split(separator)
    if take == "rest":
        return parts[0] if part == "\x1e" else separator.join([parts[0], part])
    if part == "\x1e" or separator in part:
        return None
    place = {"first": 0, "last": len(parts) - 1}.get(str(take), take)
    assert isinstance(place, int)
    if place > len(parts):
        return None
    return separator.join([*parts[:place], part, *parts[place + 1 :]])


def concat(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """As many parts as there are columns, told apart by the separator; where there are more or fewer nobody can tell."""
    separator, count = (args or {}).get("separator", ""), len(before)
    text = wanted.text
    parts = text.str.split(separator)
    as_many = (parts.list.len() == count) & ~parts.list.eval(pl.element() == "").list.any()
    known = columns.is_true(as_many) | text.is_null()
    note = f"it cannot be told which part of it belongs to which of {count} columns"
    return tuple(_said(parts.list.get(place, null_on_oob=True)).fails(~known, note) for place in range(count))


def no_separator(args: Any) -> str | None:
    """Without a separator nothing tells the parts apart."""
    return None if (args or {}).get("separator") else "without a separator nothing tells the parts apart"


def coalesce(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """Into the first column, which is asked first; the others stay."""
    others = [values.values.is_not_null() for values in before[1:]]
    taken = reduce(lambda one, other: one | other, others, columns.none(len(wanted)))
    first = wanted.only().fails(wanted.values.is_null() & taken, "another column would be taken instead of null")
    return (first, *(values.only() for values in before[1:]))


def range_(wanted: Values, before: Sequence[Values], args: Any, around: Around) -> tuple[Values, ...]:
    """The two bounds of it."""
    opens, closes = (args or {}).get("bounds", "[)")
    text = wanted.text
    pattern = rf'\A\{opens}"?([^",]*)"?,"?([^",]*)"?\{closes}\z'
    failed = text.is_not_null() & ~columns.is_true(text.str.contains(pattern))
    bounds = [text.str.extract(pattern, place) for place in (1, 2)]
    parts = [columns.blank(bound, columns.is_true(bound == "")) for bound in bounds]
    return tuple(_said(part).fails(failed, f"it is no range with the bounds {opens}{closes}") for part in parts)
