"""Values on their way from legacy to target: what they are, as text, as JSON, and how two kinds become one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import jsons, moments
from migrator.mapping.schema import Kind

NUMBER = pl.Decimal(38, 18)
MOMENT = pl.Datetime("us")
INSTANT = pl.Datetime("us", "UTC")

_DTYPES: dict[Kind, pl.DataType] = {
    Kind.INTEGER: pl.Int64(),
    Kind.DECIMAL: NUMBER,
    Kind.FLOAT: pl.Float64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.BINARY: pl.Binary(),
    Kind.DATE: pl.Date(),
    Kind.DATETIME: MOMENT,
    Kind.TIMESTAMP: INSTANT,
}

#: What JSON says without quotes.
PLAIN = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN})
_AS_BOOLEAN = {"1": "true", "0": "false"}  # as SQLite keeps them
_BARE = r"\A(-?(0|[1-9][0-9]*)(\.[0-9]+)?|true|false)\z"  # in JSON
_TIMES = (Kind.TIMESTAMP, Kind.DATETIME, Kind.DATE)
_FALSE = pl.Series([False], dtype=pl.Boolean)
_CONTROLS = {chr(code): json.dumps(chr(code))[1:-1] for code in range(32)}
_ESCAPES = {"\\": "\\\\", '"': '\\"'} | _CONTROLS


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """Which rows hang on which rows of another mapping: row `rows[i]` on row `parents[i]` of `mapping`, by `field`."""

    mapping: str
    rows: pl.Series
    parents: pl.Series
    field: str = ""

    def only(self, mask: pl.Series) -> Link:
        """Return the links of the rows where *mask*."""
        kept = mask.gather(self.rows)
        return Link(self.mapping, self.rows.filter(kept), self.parents.filter(kept), self.field)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """
    A column of values of one kind, in the frame type of that kind, and what a step has to say about them.

    A source column of numbers or booleans in which some value is none, or larger than its frame type, is held as text
    as a whole; its kind is what was declared nevertheless, so that no row depends on which others stand beside it.
    A value that a step could not make is null and marked in `failed`; one it looked for in vain in `missing`; one it
    changed on its own account in `changed` (a warning). `bad` marks the rows where a value it was made of had failed;
    `parent` says on which rows of another mapping a looked-up id hangs; `constant`: a literal of the mapping.
    """

    values: pl.Series
    kind: Kind
    failed: pl.Series | None = None
    missing: pl.Series | None = None
    changed: pl.Series | None = None
    note: str | pl.Series = ""
    bad: pl.Series | None = None
    parent: Link | None = None
    constant: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def text(self) -> pl.Series:
        """Each value as canonical text (mapping.md 6.12.7); null stays null."""
        return text(self.values)

    def only(self) -> Values:
        """Return the values alone, without what the last step said."""
        return Values(self.values, self.kind, bad=self.bad, constant=self.constant)

    def fails(self, failed: pl.Series, note: str | pl.Series = "") -> Values:
        """Return these values with null and a mark where *failed*."""
        failed = is_true(failed)
        if not failed.any():
            return self
        return replace(self, values=blank(self.values, failed), failed=failed, note=note)


def dtype_of(kind: Kind) -> pl.DataType:
    """Say the frame type that values of *kind* are held in; text where there is no better one."""
    return _DTYPES.get(kind, pl.String())


def of(series: pl.Series, declared: Kind | None = None) -> Values:
    """Take a column of a frame as it was read; *declared* where it is text and was declared as something else."""
    if declared is None or series.dtype != pl.String:
        return Values(*_typed(series))
    if declared is Kind.BOOLEAN:
        return Values(series.replace(_AS_BOOLEAN), declared)
    return Values(series, Kind.DECIMAL if declared is Kind.FLOAT else declared)


def _typed(series: pl.Series) -> tuple[pl.Series, Kind]:
    dtype = series.dtype
    if dtype == pl.UInt64 and series.max() is not None and series.max() >= 2**63:  # type: ignore[operator]  # an int
        return series.cast(NUMBER), Kind.DECIMAL
    if dtype.is_integer():
        return series.cast(pl.Int64), Kind.INTEGER
    if dtype.is_decimal():
        return series.cast(NUMBER), Kind.DECIMAL
    if dtype == pl.Null:
        return series.cast(pl.String), Kind.TEXT
    if isinstance(dtype, pl.Datetime):
        return series, Kind.TIMESTAMP if dtype.time_zone else Kind.DATETIME
    simple = {pl.Boolean: Kind.BOOLEAN, pl.Binary: Kind.BINARY, pl.Date: Kind.DATE, pl.Float64: Kind.FLOAT}
    return series, simple.get(dtype.base_type(), Kind.TEXT)


def literal(value: Any, height: int = 1) -> Values:
    """Repeat a literal of a mapping *height* times."""
    plain, kind = _literal(value)
    return Values(pl.Series([plain], dtype=dtype_of(kind)).new_from_index(0, height), kind, constant=True)


def _literal(value: Any) -> tuple[Any, Kind]:
    if value is None:
        return None, Kind.TEXT
    if isinstance(value, bool):
        return value, Kind.BOOLEAN
    if isinstance(value, int):
        return (value, Kind.INTEGER) if -(2**63) <= value < 2**63 else (str(value), Kind.TEXT)
    if isinstance(value, Decimal):
        return (value, Kind.DECIMAL) if _is_held(value) else (plain_number(value), Kind.TEXT)
    if isinstance(value, list | tuple | dict):
        return jsons.write(value), Kind.JSON
    return str(value), Kind.TEXT


def _is_held(number: Decimal) -> bool:
    exponent = number.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -18 and number.adjusted() < 20


def plain_number(number: Decimal) -> str:
    """Write a number without exponent and without zeros at the end."""
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def literal_text(value: Any) -> str | None:
    """Say a literal as canonical text, as `map`, `null_if` and `key` compare it."""
    if isinstance(value, Decimal):
        return plain_number(value)
    said: str | None = literal(value).text.item()
    return said


# ---- as text, as JSON -------------------------------------------------------------------------------------------


def text(series: pl.Series) -> pl.Series:
    """Each value as canonical text: integers decimal, decimals without zeros at the end, text as it is."""
    dtype = series.dtype
    if dtype == pl.String:
        return series
    if dtype.is_decimal():
        return _number_text(series)
    if isinstance(dtype, pl.Datetime):
        return moments.text(series)
    if dtype == pl.Binary:
        return series.bin.encode("hex")
    if dtype.is_float():
        return pl.Series(series.name, [_float_text(v) for v in series.to_list()], dtype=pl.String)
    return series.cast(pl.String)


def readable(series: pl.Series) -> pl.Series:
    """Each value as a text that a parser may read: bytes are UTF-8, and null where they are not."""
    return per_distinct(series, bytes.decode) if series.dtype == pl.Binary else text(series)


def _number_text(series: pl.Series) -> pl.Series:
    digits = series.cast(pl.String)
    if not getattr(series.dtype, "scale", 0):
        return digits
    return digits.str.strip_chars_end("0").str.strip_chars_end(".")


def _float_text(number: float | None) -> str | None:
    if number is None or not math.isfinite(number):
        return None if number is None else str(Decimal(number))  # as the databases say it, not as Python
    return plain_number(Decimal(repr(number))) if number else "0"


def json_text(values: Values) -> pl.Series:
    """Each value as compact JSON text; null stays null."""
    if values.kind in PLAIN and values.values.dtype == pl.String:
        bare = is_true(values.values.str.contains(_BARE))
        return pick(bare, values.values, quoted(values.values))
    if values.kind in PLAIN or values.kind is Kind.JSON:
        return values.text
    return quoted(values.text)


def quoted(series: pl.Series) -> pl.Series:
    """Each text as a JSON string, just as `json.dumps(ensure_ascii=False)` writes it."""
    if series.str.contains(r'["\\\x00-\x1f]').any():
        series = series.str.replace_many(_ESCAPES)
    return '"' + series + '"'


# ---- two kinds become one ---------------------------------------------------------------------------------------


def blank(series: pl.Series, mask: pl.Series) -> pl.Series:
    """Null where *mask*."""
    if not mask.null_count() and not mask.any():
        return series
    return pl.select(pl.when(~mask).then(series)).to_series().alias(series.name)


def pick(mask: pl.Series, one: pl.Series, other: pl.Series) -> pl.Series:
    """*one* where *mask*, else *other*; both of one type."""
    if one.dtype == other.dtype and len(one) == len(other) == len(mask):
        return one.zip_with(mask, other).alias(other.name)
    return pl.select(pl.when(mask).then(one).otherwise(other)).to_series().alias(other.name)


def put(values: Values, mask: pl.Series | None, value: Any) -> Values:
    """Put a literal where *mask*; the kind that can say both does not depend on whether it is needed in these rows."""
    if value is None:
        return values if mask is None else replace(values, values=blank(values.values, mask))
    one, other = alike(literal(value), values)
    if mask is None or not mask.any():
        return other
    return replace(other, values=pick(mask, one.values, other.values), constant=False)


def choose(mask: pl.Series, one: Values, other: Values) -> Values:
    """*one* where *mask*, else *other*, in the kind that can say both."""
    left, right = alike(one, other)
    return replace(other, values=pick(mask, left.values, right.values), kind=right.kind, constant=False)


def alike(one: Values, other: Values) -> tuple[Values, Values]:
    """
    Bring two columns to one kind that loses nothing; text can say everything.

    Which kind that is follows from the two kinds and from literals of the mapping, never from the rows: a row must
    come out the same whichever rows stand beside it.
    """
    if one.kind is other.kind:
        return _held_alike(one, other)
    for empty, full in ((one, other), (other, one)):
        if empty.constant and empty.values.null_count() == len(empty):
            nulls = pl.Series([None], dtype=full.values.dtype).new_from_index(0, len(empty))
            typed = replace(empty, values=nulls, kind=full.kind)
            return (typed, full) if empty is one else (full, typed)
    kind = _common(one, other)
    return _held_alike(as_kind(one, kind), as_kind(other, kind))


def _held_alike(one: Values, other: Values) -> tuple[Values, Values]:
    if one.values.dtype == other.values.dtype:
        return one, other
    return replace(one, values=one.text), replace(other, values=other.text)


def _common(one: Values, other: Values) -> Kind:
    kinds = {one.kind, other.kind}
    if Kind.JSON in kinds:
        tree, beside = (one, other) if one.kind is Kind.JSON else (other, one)
        return Kind.TEXT if tree.constant and not beside.constant else Kind.JSON
    if kinds == {Kind.INTEGER, Kind.DECIMAL}:
        return Kind.DECIMAL
    for said, typed in ((one, other), (other, one)):
        if said.constant and said.kind is Kind.TEXT and typed.kind in _TIMES and _says(said, typed.kind):
            return typed.kind
    return Kind.TEXT


def _says(values: Values, kind: Kind) -> bool:
    return moments.parse(values.values, kind).null_count() == values.values.null_count()


def as_kind(values: Values, kind: Kind) -> Values:
    """Say *values* in another kind; the caller knows that it can."""
    if values.kind is kind:
        return values
    if kind is Kind.JSON:
        return replace(values, values=json_text(values), kind=kind)
    if kind is Kind.DECIMAL:
        held = values.values if values.values.dtype == pl.String else values.values.cast(NUMBER)
        return replace(values, values=held, kind=kind)
    if kind in _TIMES:
        return replace(values, values=moments.parse(values.text, kind), kind=kind)
    return replace(values, values=values.text, kind=Kind.TEXT)


def numbers(values: Values) -> pl.Series:
    """
    Each value as an exact number: null where it is none, or has more than 20 digits before or 18 behind the point.

    Cost:
        Vectorised. Text is looked at as a whole: no blanks, no exponent, no thousands.
    """
    if values.kind is Kind.BOOLEAN:
        if values.values.dtype == pl.String:
            return parse_numbers(values.values.replace({"true": "1", "false": "0"}))
        return values.values.cast(pl.Int64).cast(NUMBER)
    if values.values.dtype.is_integer() or values.values.dtype.is_decimal():
        return values.values.cast(NUMBER)
    return parse_numbers(values.text)


def parse_numbers(series: pl.Series) -> pl.Series:
    """Read texts such as `-12.50`; everything else, also what would lose a digit, is null."""
    good = series.str.contains(r"\A[+-]?[0-9]+(\.[0-9]{1,18}0*)?\z")
    return pl.select(pl.when(good).then(series)).to_series().cast(NUMBER, strict=False).alias(series.name)


def in_order(frame: pl.DataFrame, by: Sequence[str], *, backwards: bool = False) -> pl.DataFrame:
    """Sort rows by the columns *by*; nulls come last, ties stay as they are."""
    ranks = pl.DataFrame([ranked(frame[name]).alias(str(place)) for place, name in enumerate(by)])
    if ranks.width == 1 and ranks["0"].is_sorted(descending=backwards, nulls_last=True):
        return frame
    placed = ranks.with_row_index("row").sort(ranks.columns, descending=backwards, nulls_last=True, maintain_order=True)
    return frame[placed["row"]]


def ranked(series: pl.Series) -> pl.Series:
    """
    Give what *series* is ordered by: of text, numerals come first, by their size.

    A number column is read as text where a value beside is no number; the order of the others must not depend on it.
    """
    if series.dtype != pl.String:
        return series
    distinct = pl.DataFrame({"text": series.drop_nulls().unique()})
    sizes = distinct.with_columns(parse_numbers(distinct["text"]).alias("size"))
    if sizes["size"].null_count() == sizes.height:
        return series
    texts = sizes.sort("size", "text", nulls_last=True)["text"]
    places = pl.int_range(len(texts), dtype=pl.Int64, eager=True)
    return series.replace_strict(texts, places, default=None, return_dtype=pl.Int64)


def is_null(series: pl.Series) -> pl.Series:
    """Where there is no value; mostly there is one everywhere."""
    return series.is_null() if series.null_count() else none(len(series))


def none(height: int) -> pl.Series:
    """A mask of no row."""
    return _FALSE.new_from_index(0, height)


def is_true(mask: pl.Series) -> pl.Series:
    """A mask without nulls."""
    return mask.fill_null(False) if mask.null_count() else mask


def per_distinct(series: pl.Series, function: Any, dtype: pl.DataType | None = None) -> pl.Series:
    """
    Map each distinct value by a Python function; a value for which it raises, or gives None, is null.

    Cost:
        One call per distinct value.
    """
    distinct = series.drop_nulls().unique()
    made = pl.Series([_tried(function, value) for value in distinct.to_list()], dtype=dtype or pl.String())
    return series.replace_strict(distinct, made, default=None, return_dtype=made.dtype)


def _tried(function: Any, value: Any) -> Any:
    try:
        return function(value)
    except Exception:  # noqa: BLE001 - whatever a value does to a parser, it is this value's fault and nobody else's
        return None
