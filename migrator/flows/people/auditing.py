"""The journal for those who check it: whether it is what was written, what it says, and where it stood when."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from migrator.errors import Refused
from migrator.flows.people.desk import Desk
from migrator.store import chain, journal
from migrator.store.chain import Anchor, Break, Head
from migrator.store.journal import Asked

COLUMNS = ("seq", "at", "actor", "event", "noun", "ref", "detail", "digest", "payload", "prev", "hash")
#: What a spreadsheet takes for a formula at the beginning of a cell.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
FORMATS = ("jsonl", "csv")
_TELL_EVERY = 500  # entries


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far the journal holds: its last entry that does, and the first break, if there is one."""

    entries: int
    head: Head
    anchors: int
    broken: Break | None

    @property
    def as_json(self) -> dict[str, Any]:
        """For programs."""
        broken = self.broken
        return {
            "holds": broken is None,
            "entries": self.entries,
            "head": {"seq": self.head.seq, "hash": self.head.hash},
            "anchors": self.anchors,
            "break": {"seq": broken.seq, "kind": broken.kind, "sentence": broken.sentence} if broken else None,
        }


def verify(
    desk: Desk,
    anchors: Iterable[Mapping[str, Any]] = (),
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Verdict:
    """
    Check every entry against the one before it, the head and the anchors. Reads bit by bit; holds next to nothing.

    Args:
        anchors: The heads that were written down elsewhere (at, seq, hash, why).
        progress: Told how many entries of how many hold.
    """
    elsewhere = [Anchor(one["at"], one["seq"], one["hash"], one["why"]) for one in anchors]
    last, broken, count = Head(), None, 0
    with desk.control.read() as db:
        head = journal.head(db)
        for found in chain.check(desk.key.sign, journal.entries(db), head, elsewhere, emptied_by=journal.EMPTIED):
            if isinstance(found, Break):
                broken = found
                break
            last, count = found, count + 1
            if count % _TELL_EVERY == 0:
                progress(count, max(head.seq if head else 0, count))
        if broken is None and not journal.guarded(db):
            said = "the triggers that refuse changes are gone from the database; `migrator store upgrade` made them"
            broken = Break(last.seq, "unguarded", said)
    progress(count, count)
    return Verdict(count, last, len(elsewhere), broken)


def head(desk: Desk) -> Head:
    """
    The last entry, as the database says.

    Raises:
        Refused: It does not say.
    """
    with desk.control.read() as db:
        found = journal.head(db)
    if found is None:
        raise Refused("the journal has lost its head; `migrator audit verify` says how far it holds")
    return found


def anchor(desk: Desk, found: Head, why: str) -> None:
    """Write a head down elsewhere, where the project has a place for that."""
    if desk.control.witness:
        desk.control.witness(found, why)


def listed(desk: Desk, asked: Asked, *, limit: int | None = None) -> list[dict[str, Any]]:
    """Entries that were asked for, oldest first; with *limit* the newest of them."""
    with desk.control.read() as db:
        return [told(entry) for entry in journal.select(db, asked, limit=limit)]


def export(desk: Desk, asked: Asked, file: IO[str], form: str) -> int:
    """Write entries, one per line, bit by bit; how many."""
    with desk.control.read() as db:
        entries = (told(entry) for entry in journal.select(db, asked))
        return _csv(file, entries) if form == "csv" else _jsonl(file, entries)


def told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One entry for the outside: without its salt, with which an emptied one could be guessed."""
    return {name: _iso(entry[name]) if name == "at" else entry[name] for name in COLUMNS}


def _jsonl(file: IO[str], entries: Iterator[dict[str, Any]]) -> int:
    count = 0
    for entry in entries:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        count += 1
    return count


def _csv(file: IO[str], entries: Iterator[dict[str, Any]]) -> int:
    writer, count = csv.writer(file), 0
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow(_cells(entry))
        count += 1
    return count


def _cells(entry: Mapping[str, Any]) -> Sequence[str]:
    said = [
        json.dumps(value) if isinstance(value, dict) else "" if value is None else str(value)
        for value in entry.values()
    ]
    return [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in said]


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
