"""Which legacy column is meant by a target column: by name, by type, and by what the values look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from migrator.mapping.proposing import words
from migrator.mapping.proposing.facts import Seen
from migrator.mapping.schema import Column, Kind

ENOUGH = 0.42  # below it a likeness is an accident
_MOMENTS = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)
_NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)
_TELLING = {"email": ("email",), "password": ("hash",), "ip": ("ip",), "birth": ("date", "moment")}


@dataclass(frozen=True)
class Candidate:
    """
    A legacy column under the name that a rule gives it (`ref`), with the words around it.

    `join` names what must be joined for it; `worth` is less than 1 where it is farther away; `aggregate` for many rows.
    """

    ref: str
    seen: Seen
    around: tuple[str, ...] = ()
    join: str | None = None
    worth: float = 1.0
    aggregate: str | None = None
    table: str | None = None  # of a join over many rows

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name."""
        return words.words(self.seen.column.name)


def score(wanted: Column, candidate: Candidate, around: Sequence[str] = ()) -> float:
    """How likely *candidate* is meant by *wanted*, 0 to 1; *around* are words of the target table."""
    fitting = fits(wanted, candidate.seen)
    if not fitting or candidate.seen.column.name in ("id",):
        return 0.0
    name = words.words(wanted.name)
    likeness = words.likeness(name, candidate.words, (*candidate.around, *around))
    if wanted.kind in _MOMENTS and all(words.alike(word, "when") >= words.MEANS for word in candidate.words):
        likeness = max(likeness, 0.4)  # `ts` says nothing but that it is a moment
    telling = _telling(wanted, candidate.seen)
    if likeness < 0.35 and not telling:
        return 0.0
    return min(1.0, fitting * (0.85 * likeness + telling)) * candidate.worth


def _telling(wanted: Column, seen: Seen) -> float:
    """What the values say beside the name."""
    for meaning, looks in _TELLING.items():
        if words.means(wanted.name, meaning):
            return 0.25 if any(look in seen.looks for look in looks) else 0.0
    if wanted.kind is Kind.ENUM and any(words.words(seen.column.name)[-1:] == (word,) for word in wanted.values):
        return 0.6  # is_active says which of active and disabled
    if wanted.kind is Kind.JSON and seen.looks & {"json", "php"}:
        return 0.2
    return 0.15 if wanted.kind in _MOMENTS and _is_moment(seen) else 0.0


def _is_moment(seen: Seen) -> bool:
    return seen.column.kind in _MOMENTS or bool(seen.looks & {"moment", "date", "epoch_s", "epoch_ms"})


def fits(wanted: Column, seen: Seen) -> float:
    """How well values of a legacy column go into a target column, 0 (not at all) to 1."""
    worth = _FITS.get(wanted.kind, _text)(wanted, seen)
    if seen.empty:
        return worth * 0.6
    return worth * (0.85 if seen.constant and wanted.kind not in (Kind.ENUM, Kind.BOOLEAN) else 1.0)


def _moment(wanted: Column, seen: Seen) -> float:
    if wanted.kind is Kind.DATE:
        return 1.0 if seen.column.kind in _MOMENTS or seen.looks & {"date", "moment"} else 0.0
    return 1.0 if _is_moment(seen) else 0.0


def _number(wanted: Column, seen: Seen) -> float:
    if seen.unit:
        return 0.2
    if seen.column.kind in _NUMBERS:
        return 1.0 if wanted.kind is not Kind.INTEGER or seen.column.kind is Kind.INTEGER else 0.9
    return 0.7 if "number" in seen.looks else 0.0


def _flag(wanted: Column, seen: Seen) -> float:
    return 1.0 if "flag" in seen.looks or seen.column.kind is Kind.BOOLEAN else 0.0


def _word(wanted: Column, seen: Seen) -> float:
    if _is_moment(seen):
        return 0.0
    return 1.0 if "few" in seen.looks or seen.constant or len(seen.different) <= 12 else 0.2


def _document(wanted: Column, seen: Seen) -> float:
    return 1.0 if seen.looks & {"json", "php"} or seen.column.kind is Kind.JSON else 0.0


def _address(wanted: Column, seen: Seen) -> float:
    return 1.0 if "ip" in seen.looks else 0.3 if seen.column.kind is Kind.TEXT else 0.0


def _text(wanted: Column, seen: Seen) -> float:
    if wanted.kind in (Kind.UUID, Kind.BINARY):
        return 1.0 if seen.column.kind is wanted.kind else 0.0
    if _is_moment(seen) or seen.looks & {"json", "php"}:
        return 0.1
    return 1.0 if seen.column.kind in (Kind.TEXT, Kind.ENUM) else 0.55


_FITS = {
    Kind.DATE: _moment,
    Kind.DATETIME: _moment,
    Kind.TIMESTAMP: _moment,
    Kind.INTEGER: _number,
    Kind.DECIMAL: _number,
    Kind.FLOAT: _number,
    Kind.BOOLEAN: _flag,
    Kind.ENUM: _word,
    Kind.JSON: _document,
    Kind.INET: _address,
}


def assign(
    wanted: Iterable[Column], candidates: Sequence[Candidate], around: Sequence[str] = ()
) -> Mapping[str, Candidate]:
    """Give each target column one candidate, each candidate once: the likeliest pairs first."""
    pairs = [
        (score(column, candidate, around), -place, column.name, candidate)
        for column in wanted
        for place, candidate in enumerate(candidates)
    ]
    taken: dict[str, Candidate] = {}
    used: set[str] = set()
    for likely, _, name, candidate in sorted(pairs, key=lambda pair: (-pair[0], -pair[1], pair[2])):
        if likely >= ENOUGH and name not in taken and candidate.ref not in used:
            taken[name] = candidate
            used.add(candidate.ref)
    return taken
