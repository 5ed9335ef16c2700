"""
Frame types at the border to a database: what a read gives, and the text forms that writes and keys take.

Read frames: INTEGER is Int64; DECIMAL and FLOAT are Decimal(38, 18), floats by their shortest text; BOOLEAN is
Boolean; BINARY is Binary; everything else is String as the database prints it. A column with a value that does not
fit its declared kind is String as a whole, each value in canonical text: so look at the frame's type, not only at
the schema.

Write frames: FLOAT is Float64, DATE is Date, DATETIME is Datetime("us"), TIMESTAMP is Datetime("us", "UTC"); the rest
is as read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from migrator.mapping.schema import Kind

EXACT = pl.Decimal(38, 18)

#: Without loss in Decimal(38, 18). Whether a number fits is a question of digits, not of size.
_FITS_EXACT = r"^-?\d{1,20}(\.\d{1,18}0*)?$"
#: The text of a float that every server prints alike.
_SHORTEST = r"^-?\d{1,16}(\.\d{1,18})?$"
_INTEGER = r"^(0|-?[1-9]\d{0,18})$"
_NUMBER = r"^-?\d+(\.\d+)?$"
#: What a database of loose types turns into a number when it compares text with a number column.
_NUMERAL = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_PRINTED = r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?"
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

READ_TYPES: dict[Kind, pl.DataType] = {
    Kind.INTEGER: pl.Int64(),
    Kind.DECIMAL: EXACT,
    Kind.FLOAT: EXACT,
    Kind.BOOLEAN: pl.Boolean(),
    Kind.BINARY: pl.Binary(),
}


def read_type(kind: Kind) -> pl.DataType:
    """Say which frame type a column of *kind* is read as when all its values fit."""
    return READ_TYPES.get(kind, pl.String())


def canonical(value: object) -> str | None:
    """
    Give the canonical text of one value as a driver returns it.

    Integers decimal, other numbers without exponent and trailing zeros, text as it is; bytes that are not UTF-8 are
    taken for Latin-1, which loses none of them.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return lenient_text(value)
    if isinstance(value, float):
        return plain(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return plain(value)
    return str(value)


def plain(number: Decimal) -> str:
    """Print *number* without exponent and trailing zeros; minus zero is zero."""
    if not number.is_finite():
        return str(number)
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def lenient_text(value: bytes) -> str:
    """Decode UTF-8, or else Latin-1: every byte stays visible, and `repair_encoding` can mend what was mangled."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def from_driver(name: str, values: Sequence[object], kind: Kind) -> pl.Series:
    """Make the column of a read frame from Python values, which a loosely typed database may have mixed."""
    if kind in (Kind.DECIMAL, Kind.FLOAT):
        return _numbers(name, values)
    if kind is Kind.BOOLEAN:
        return _booleans(name, values)
    try:
        return pl.Series(name, values, dtype=read_type(kind), strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return as_canonical(name, values)


def as_canonical(name: str, values: Sequence[object]) -> pl.Series:
    """Make a String column of canonical texts."""
    return pl.Series(name, [canonical(value) for value in values], dtype=pl.String)


def _booleans(name: str, values: Sequence[object]) -> pl.Series:
    if set(map(type, values)) <= {int, bool, type(None)} and set(values) <= {0, 1, None}:
        return pl.Series(name, values, dtype=pl.Int64).cast(pl.Boolean)
    return as_canonical(name, values)


def _numbers(name: str, values: Sequence[object]) -> pl.Series:
    types = set(map(type, values)) - {type(None)}
    if types <= {int}:
        return pl.Series(name, values, dtype=pl.Int64).cast(EXACT)
    if types <= {int, float}:
        return _floats(name, values, below=2.0**53 if int in types else 1e20)
    return exact_or_text(as_canonical(name, values))


def _floats(name: str, values: Sequence[object], *, below: float) -> pl.Series:
    """
    Take the short way where nothing can be lost on it.

    Shortest text has at most 17 digits, so from 0.01 up to 10^20 it always fits; integers among the floats (SQLite
    keeps 3.00 as 3) are floats without loss up to 2^53.
    """
    floats = pl.Series(name, values, dtype=pl.Float64)
    size = floats.abs()
    if ((size == 0) | ((size >= 0.01) & (size < below))).all():
        return floats.cast(pl.String).cast(EXACT)
    return exact_or_text(as_canonical(name, values))


def exact_or_text(texts: pl.Series) -> pl.Series:
    """Turn number texts into Decimal(38, 18) when every one fits, else leave them all canonical text."""
    if not _fit_exact(texts):
        texts = pl.Series(texts.name, [_canonical_numeral(text) for text in texts], dtype=pl.String)
    return texts.cast(EXACT) if _fit_exact(texts) else texts


def float_texts(texts: pl.Series) -> pl.Series:
    """
    Say each float by its shortest text, which servers choose differently for some large ones (1e23); then as `exact_or_text`.
    """
    if texts.str.contains(_SHORTEST).all():
        return exact_or_text(texts)
    return exact_or_text(pl.Series(texts.name, [_shortest(text) for text in texts], dtype=pl.String))


def _shortest(text: str | None) -> str | None:
    return canonical(float(text)) if text is not None and re.fullmatch(_PRINTED, text) else text


def _fit_exact(texts: pl.Series) -> bool:
    return texts.str.contains(_FITS_EXACT).all()


def _canonical_numeral(text: str | None) -> str | None:
    """Only what a database prints for a number is touched; text that found its way into the column stays as it is."""
    return plain(Decimal(text)) if text is not None and re.fullmatch(_PRINTED, text) else text


# ---- keys --------------------------------------------------------------------------------------------------------


def text(series: pl.Series) -> pl.Series:
    """Print any column of a read or write frame as the text by which rows are matched."""
    kind = series.dtype
    if isinstance(kind, pl.Decimal):
        return _without_zeros(series.cast(EXACT).cast(pl.String))
    if isinstance(kind, pl.Datetime):
        return moments(series, zone="+00")
    if kind == pl.Binary:
        return ("\\x" + series.bin.encode("hex")).alias(series.name)
    if kind.is_float():
        return as_canonical(series.name, series.to_list())
    return series.cast(pl.String)  # dates print as ISO


def moments(series: pl.Series, zone: str) -> pl.Series:
    """Print times as PostgreSQL does: no fraction that is zero, none of its trailing zeros; *zone* where there is one."""
    suffix = zone if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone else ""
    return _without_zeros(series.dt.replace_time_zone(None).cast(pl.String)) + suffix


def _without_zeros(texts: pl.Series) -> pl.Series:
    """Take zeros from the end behind the point, which all of *texts* have, and the point where nothing is left there."""
    return texts.str.strip_chars_end("0").str.strip_suffix(".")


def matchable(series: pl.Series, kind: Kind) -> pl.Series:
    """
    Leave only key texts that a column of *kind* can hold as its canonical text; the others match nothing.

    So neither does '012' find the number 12, nor does 'abc' make the database refuse the question.
    """
    if series.dtype.is_integer() and kind in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT):
        return series.cast(pl.String)
    texts = text(series)
    if kind is Kind.INTEGER:
        return _only(texts, _is_integer(texts))
    if kind in (Kind.DECIMAL, Kind.FLOAT):
        return _only(texts, texts.str.contains(_NUMBER))
    if kind is Kind.BOOLEAN:
        return _only(texts, texts.is_in(["true", "false"]))
    if kind is Kind.UUID:
        lower = texts.str.to_lowercase()
        return _only(lower, lower.str.contains(_UUID))
    return texts


def loosely_matchable(series: pl.Series, kind: Kind) -> pl.Series:
    """Do the same where a number column may hold text: only a numeral that is not canonical matches nothing."""
    texts = text(series)
    if kind is not Kind.INTEGER:
        return texts
    return _only(texts, _is_integer(texts) | ~texts.str.contains(_NUMERAL))


def _is_integer(texts: pl.Series) -> pl.Series:
    return texts.str.contains(_INTEGER) & texts.cast(pl.Int64, strict=False).is_not_null()


def _only(texts: pl.Series, kept: pl.Series) -> pl.Series:
    return texts.set(~kept.fill_null(False), None)
