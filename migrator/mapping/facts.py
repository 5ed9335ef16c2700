"""What lint may know of the data behind a schema: counts, maxima, few distinct values. Asked for column by column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

#: More distinct values than this are no list of values.
MOST_VALUES = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """
    One column over the rows that were looked at; all of them where `whole`.

    `same` is the one value of all filled rows where they have only one and it may be shown (`constant` says that they
    have). Values are canonical text.
    """

    rows: int
    whole: bool
    filled: int  # not null
    constant: bool = False
    same: str | None = None
    longest: int | None = None  # characters
    least: str | None = None  # numbers only
    greatest: str | None = None  # numbers only
    digits: int | None = None  # decimals and floats: no value has more behind the point


@dataclass(frozen=True, slots=True)
class Listed:
    """Each distinct value as text, with the number of rows; none of them where there are more than MOST_VALUES."""

    counts: dict[str, int]
    more: bool = False


class Facts(Protocol):
    """One database's data. Each answer is None where it is not known."""

    def seen(self, table: str, column: str) -> Seen | None:
        """Look at one column."""

    def values(self, table: str, column: str) -> Listed | None:
        """List the distinct values of one column, null left out."""

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool | None:
        """Whether two rows of *table* have the same values in *columns*, none of them null."""


class Nothing:
    """Nothing is known of the data."""

    def seen(self, table: str, column: str) -> Seen | None:
        """Say that it is not known."""
        return None

    def values(self, table: str, column: str) -> Listed | None:
        """Say that it is not known."""
        return None

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool | None:
        """Say that it is not known."""
        return None


NOTHING = Nothing()


class Content(Enum):
    """What stands in a column, nulls and blanks left out."""

    EMPTY = "nothing"
    CONSTANT = "one value"
    VARIOUS = "several values"


def content(facts: Facts, table: str, column: str, blanks: Collection[str]) -> tuple[Content, int] | None:
    """
    Say what stands in a column, and in how many of the rows looked at.

    Args:
        blanks: Texts that mean null.
    """
    seen = facts.seen(table, column)
    if seen is None:
        return None
    if not seen.filled or (seen.same is not None and seen.same in blanks):
        return Content.EMPTY, 0
    if seen.constant and (seen.same is not None or not blanks):
        return Content.CONSTANT, seen.filled
    if not blanks:
        return Content.VARIOUS, seen.filled
    listed = facts.values(table, column)
    if listed is None or listed.more:
        return None if listed is None else (Content.VARIOUS, seen.filled)
    left = {value: count for value, count in listed.counts.items() if value not in blanks}
    found = Content.EMPTY if not left else Content.CONSTANT if len(left) == 1 else Content.VARIOUS
    return found, sum(left.values())
