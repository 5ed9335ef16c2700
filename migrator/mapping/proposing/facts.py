"""What a look at legacy values says of a column: dates in numbers, flags in letters, lists in text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import polars as pl

from migrator.mapping import values
from migrator.mapping.schema import Column, Kind

MOST_VALUES = 40  # a column with more distinct values is no list of words
_ENOUGH = 0.8  # of the values must look so
_SECONDS, _MILLISECONDS = (946_684_800, 2_208_988_800), (946_684_800_000, 2_208_988_800_000)
_FLAGS = ({"0", "1"}, {"y", "n"}, {"yes", "no"}, {"true", "false"}, {"t", "f"}, {"on", "off"})
_ZERO_DATES = ("0000-00-00 00:00:00", "0000-00-00")
_LIST = r"\A\s*[0-9]+(\s*,\s*[0-9]*)*\s*\z"
_SHAPES = {
    "moment": r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}",
    "date": r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\z",
    "email": r"\A[^@\s]+@[^@\s]+\.[^@\s]+\z",
    "php": r"\A(a:[0-9]+:\{|O:[0-9]+:|s:[0-9]+:\"|b:[01];)",
    "hash": r"\A(\$[0-9a-zA-Z]{1,8}\$.+|[0-9a-f]{32}([0-9a-f]{8}|[0-9a-f]{32})?(:.+)?)\z",
    "ip": r"\A[0-9]{1,3}(\.[0-9]{1,3}){3}\z",
    "number": r"\A-?[0-9]+(\.[0-9]+)?\z",
}


class Peek(Protocol):
    """The few looks into legacy that a proposal takes."""

    def rows(self, table: str) -> pl.DataFrame:
        """Some rows of a table, all columns; no row where it is empty."""

    def distinct(self, table: str, column: str) -> pl.Series:
        """The different values of a column, at most MOST_VALUES + 1 of them."""

    def nobody(self, table: str, column: str) -> tuple[bool, bool]:
        """Whether a column is null, and whether it is 0, in some row."""

    def known(self, table: str, column: str, keys: pl.Series) -> int:
        """How many of *keys* (all different) are in a column of a table."""


@dataclass(frozen=True)
class Seen:
    """A column and some of its values; `texts` are those that say anything, as text."""

    column: Column
    texts: pl.Series
    rows: int

    @classmethod
    def of(cls, column: Column, series: pl.Series) -> Seen:
        """Look at a column."""
        texts = values.text(series).drop_nulls()
        blank = texts.is_in(["", *_ZERO_DATES])
        return cls(column, texts.filter(~blank).rename("text"), len(series))

    @cached_property
    def different(self) -> list[str]:
        """The different values that were seen, in order."""
        return [str(text) for text in self.texts.unique().sort().to_list()]

    @property
    def empty(self) -> bool:
        """Whether nothing stands in it."""
        return not len(self.texts)

    @property
    def constant(self) -> bool:
        """Whether it says the same in every row that was seen."""
        return self.rows > 1 and len(self.different) <= 1

    @cached_property
    def looks(self) -> frozenset[str]:
        """What the values look like: see `_SHAPES`, and epoch_s, epoch_ms, json, flag, few."""
        if self.empty:
            return frozenset()
        found = {name for name, shape in _SHAPES.items() if self._share(shape) >= _ENOUGH}
        found |= self._epochs() | self._documents()
        if self._share(_LIST) >= _ENOUGH and self._share(r",") >= 0.2:
            found.add("listed")
        lower = {text.lower() for text in self.different[:4]}
        if len(self.different) <= 2 and any(lower <= flags for flags in _FLAGS):
            found.add("flag")
        if len(self.different) <= 12 and len(self.texts) >= 2 * len(self.different):
            found.add("few")
        return frozenset(found)

    def _share(self, shape: str) -> float:
        return float(self.texts.str.contains(shape).mean() or 0)  # type: ignore[arg-type]  # of booleans it is a float

    def _epochs(self) -> set[str]:
        if self.column.kind is not Kind.INTEGER and not self.texts.str.contains(r"\A[0-9]{10,13}\z").all():
            return set()
        numbers = self.texts.cast(pl.Int64, strict=False).drop_nulls()
        numbers = numbers.filter(numbers != 0)
        if len(numbers) < 1:
            return set()
        for name, (low, high) in (("epoch_s", _SECONDS), ("epoch_ms", _MILLISECONDS)):
            if float(numbers.is_between(low, high).mean() or 0) >= _ENOUGH:  # type: ignore[arg-type]
                return {name}
        return set()

    def _documents(self) -> set[str]:
        begins = self.texts.filter(self.texts.str.contains(r"\A\s*[\[{]")).head(50).to_list()
        if len(begins) < _ENOUGH * min(50, len(self.texts)):
            return set()
        good = sum(_parses(text) for text in begins)
        return {"json"} if begins and good >= 0.5 * len(begins) else set()

    @cached_property
    def unit(self) -> str | None:
        """The unit of a moment in a number, if it is one."""
        return "s" if "epoch_s" in self.looks else "ms" if "epoch_ms" in self.looks else None


def has_blanks(series: pl.Series) -> list[str]:
    """How a column writes nothing: '' and zero dates, as far as they were seen."""
    if series.dtype != pl.String:
        return []
    return [blank for blank in ("", *_ZERO_DATES) if (series == blank).any()]


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def is_code(text: str) -> bool:
    """Whether a value reads like the name of something: `first_name`, `notify.email`."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:-]{0,60}", text) is not None
