"""
Keys -> conditions that hold for exactly the values meant, whatever the collation, and still use an index.

Text is asked for twice: as its column compares it, which finds it by the index, and byte by byte, which decides.
Keys stand in the statement itself: a temporary table needs a right that an account for reading does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import frames
from migrator.edges.databases.mysql_statements import OneOfNumbers
from migrator.edges.databases.mysql_values import ZONE, bindable, exact
from migrator.mapping.schema import Column, Kind

_UNSIGNED = r"^(0|[1-9]\d{0,19})$"
_MOST_UNSIGNED = 2**64
_FINE = re.compile(r"(.*:\d\d)(?:\.(\d*[1-9]))?")
_TIMES = frozenset({Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP})
#: What the characters of a column's character set are called in Python; of others it is not known what they hold.
_CODECS = {"latin1": "cp1252", "ascii": "ascii"}
_ALL_OF_UNICODE = frozenset({"utf8mb4", "utf16", "utf16le", "utf32"})
_FIRST_PLANE = frozenset({"utf8", "utf8mb3", "ucs2"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One column with the values it may have, in order; None where the column can hold no such value."""

    column: ColumnElement[Any]
    values: list[Any]
    exactly: bool  # the comparison decides


def among(column: ColumnElement[Any], declared: Column, values: pl.Series) -> ColumnElement[bool]:
    """Hold where the column is one of *values*."""
    return matching({declared.name: column}, {declared.name: declared}, values.alias(declared.name).to_frame())


def matching(
    main: Mapping[str, ColumnElement[Any]], columns: Mapping[str, Column], keys: pl.DataFrame
) -> ColumnElement[bool]:
    """Hold for the rows whose columns equal those of a row of *keys*, in which nothing is null."""
    decisive = [_decisive(main[name], columns[name], keys[name]) for name in keys.columns]
    rows = [row for row in zip(*(asked.values for asked in decisive), strict=True) if None not in row]
    if not rows:
        return sa.false()
    decides = _one_of([asked.column for asked in decisive], rows)
    if all(asked.exactly for asked in decisive):
        return decides
    found = [
        _by_index(main[name], columns[name], keys[name], asked)
        for name, asked in zip(keys.columns, decisive, strict=True)
    ]
    if any(asked is None for asked in found):
        return decides
    known = [asked for asked in found if asked is not None]
    rows = [row for row in zip(*(asked.values for asked in known), strict=True) if None not in row]
    if not rows:
        return sa.false()
    if all(_is_of_utf8(columns[name]) for name in keys.columns):
        return sa.and_(_one_of([asked.column for asked in known], rows), decides)
    # comparing rows, MariaDB forgets to convert the characters of a value to those of its column
    each = (
        asked.column.in_(list(dict.fromkeys(values)))
        for asked, values in zip(known, zip(*rows, strict=True), strict=True)
    )
    return sa.and_(*each, decides)


def _is_of_utf8(declared: Column) -> bool:
    return _charset(declared) in ("", "utf8mb4", "utf8mb3", "utf8", "ascii")


def _charset(declared: Column) -> str:
    return declared.collation.partition("_")[0]


def _one_of(columns: Sequence[ColumnElement[Any]], rows: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    if len(columns) == 1:
        values = [value for (value,) in rows]
        return OneOfNumbers(columns[0], values) if set(map(type, values)) == {int} else columns[0].in_(values)
    return sa.tuple_(*columns).in_(rows)


def _decisive(column: ColumnElement[Any], declared: Column, values: pl.Series) -> Asked:
    kind = declared.kind
    if values.dtype.is_temporal() and kind in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP):
        return Asked(column, bindable(values, declared), exactly=True)
    if kind is Kind.INTEGER:
        return Asked(column, _integers(values, declared), exactly=True)
    if kind in (Kind.DECIMAL, Kind.FLOAT):
        numbers = frames.matchable(values, kind)
        return Asked(column, [None if text is None else Decimal(text) for text in numbers], exactly=True)
    if kind is Kind.BOOLEAN:
        return Asked(column, [_TRUTH.get(text) for text in frames.text(values)], exactly=True)
    if kind is Kind.BINARY:
        return Asked(column, _bytes(values), exactly=True)
    if kind is Kind.UUID:
        return Asked(column, frames.matchable(values, kind).to_list(), exactly=True)
    printed = [None if text is None else _as_printed(text, declared) for text in frames.text(values)]
    return Asked(exact(column), [None if text is None else text.encode() for text in printed], exactly=False)


_TRUTH = {"true": True, "false": False}


def _integers(values: pl.Series, declared: Column) -> list[int | None]:
    if values.dtype.is_integer():
        return values.to_list()
    if not declared.unsigned:
        return frames.matchable(values, Kind.INTEGER).cast(pl.Int64).to_list()
    texts = frames.text(values)
    numbers = [int(text) if text is not None and re.match(_UNSIGNED, text) else None for text in texts]
    return [number if number is not None and number < _MOST_UNSIGNED else None for number in numbers]


def _bytes(values: pl.Series) -> list[bytes | None]:
    if values.dtype == pl.Binary:
        return values.to_list()
    hexadecimal = frames.text(values).str.extract(r"^\\x((?:[0-9a-f]{2})*)$", 1)
    return hexadecimal.str.decode("hex", strict=False).to_list()


def _as_printed(text: str, declared: Column) -> str | None:
    """Say a time as the server prints it: with all its places behind the second, and without the zone it is in."""
    if declared.kind not in _TIMES:
        return text
    if declared.kind is Kind.TIMESTAMP and not text.startswith("0000"):
        if not text.endswith(ZONE):
            return None
        text = text.removesuffix(ZONE)
    places = 6 if declared.scale is None else declared.scale
    fine = _FINE.fullmatch(text)
    if fine is None or len(fine[2] or "") > places:
        return None
    return f"{fine[1]}.{(fine[2] or '').ljust(places, '0')}" if places else fine[1]


def _by_index(column: ColumnElement[Any], declared: Column, values: pl.Series, decisive: Asked) -> Asked | None:
    """Ask for it as the column compares it; None where that is not possible for certain."""
    if decisive.exactly:
        return decisive
    if declared.kind not in (Kind.TEXT, Kind.ENUM):
        return None
    if not declared.collation:  # one of our own tables, which keeps keys as bytes
        return Asked(column, decisive.values, exactly=False)
    charset = _charset(declared)
    if charset not in _ALL_OF_UNICODE | _FIRST_PLANE | set(_CODECS):
        return None
    # the server refuses to compare a character that the column's character set does not have
    texts = (None if text is None or not _holds(charset, text) else text for text in frames.text(values))
    return Asked(column, list(texts), exactly=False)


def _holds(charset: str, text: str) -> bool:
    if charset in _ALL_OF_UNICODE or text.isascii():
        return True
    if charset in _FIRST_PLANE:
        return max(text) <= "\uffff"
    try:
        text.encode(_CODECS[charset])
    except UnicodeEncodeError:
        return False
    return True
