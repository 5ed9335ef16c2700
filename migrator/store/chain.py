"""
What makes the journal tell when it was changed: each entry is sealed over the one before it. Arithmetic only, no SQL.

The key is the project's, which the database does not hold: whoever has both can write another history.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

#: The keyed hash (HMAC-SHA-256 under the journal's key) of some bytes.
Sign = Callable[[bytes], bytes]
EMPTY = "{}"  # the detail of an entry that was emptied
_SALT = 16
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Head:
    """How far the journal goes: the number of its last entry, and that entry's hash."""

    seq: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One entry as stored; `detail` is the JSON text itself, as every letter of it counts.

    What may name a person (`ref`, `detail`, `digest`) is in the chain as `payload`, a salted hash: it can be taken out,
    with its salt, and the chain still holds.
    """

    seq: int
    at: datetime
    actor: str
    event: str
    noun: str
    ref: str
    detail: str
    digest: str | None = None
    salt: str | None = None
    payload: str = ""
    prev: str = ""
    hash: str = ""

    @property
    def head(self) -> Head:
        """The journal's head, were this its last entry."""
        return Head(self.seq, self.hash)

    @property
    def emptied(self) -> bool:
        """Whether what it said of a person was taken out."""
        return self.salt is None and self.ref == "" and self.detail == EMPTY and self.digest is None


@dataclass(frozen=True, slots=True)
class Break:
    """Where the journal is not what was written: the first entry concerned, what is wrong with it, in words."""

    seq: int
    kind: str  # edited | removed | inserted | order | cut off | head wrong | anchor | unguarded
    sentence: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head as it was written down elsewhere."""

    at: str
    seq: int
    hash: str
    why: str


def users_digest(sign: Sign, named: Iterable[str]) -> str | None:
    """A keyed hash over some users, in any order; None over nobody."""
    several = sorted(named)
    return sign(_told("users", *several)).hex() if several else None


def add(sign: Sign, head: Head, entry: Entry) -> Entry:
    """The entry as it follows on *head*."""
    salted = replace(entry, seq=head.seq + 1, salt=os.urandom(_SALT).hex(), prev=head.hash)
    complete = replace(salted, payload=_payload(salted))
    return replace(complete, hash=_hash(sign, complete))


def check(
    sign: Sign, entries: Iterable[Entry], head: Head | None, anchors: Iterable[Anchor] = (), *, emptied_by: str
) -> Iterator[Break | Head]:
    """
    Walk the whole journal, oldest first, and say how far it holds.

    Args:
        entries: All of them in their order; only two are held at a time.
        head: What the database says the last one is.
        emptied_by: The event of entries that say which others were emptied, under `entries` of their detail.

    Returns:
        The head after each entry that holds, then one Break at the first that does not, and nothing after it.
    """
    walk = _Walk(sign, emptied_by, {one.seq: one for one in anchors}, top=head.seq if head else 0)
    for entry, after in _pairs(entries):
        found = walk.step(entry, after)
        yield found
        if isinstance(found, Break):
            return
    broken = walk.end(head)
    if broken:
        yield broken


def _pairs(entries: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Each entry with the one after it; none for one that cannot be read, and nothing after that."""
    before: Entry | None = None
    try:
        for entry in entries:
            if before is not None:
                yield before, entry
            before = entry
    except _UNREADABLE:
        if before is not None:
            yield before, None
        yield None, None
        return
    if before is not None:
        yield before, None


@dataclass(slots=True)
class _Walk:
    sign: Sign
    emptied_by: str
    anchors: Mapping[int, Anchor]
    top: int
    last: Head = field(default_factory=Head)
    unexplained: set[int] = field(default_factory=set)  # emptied, and no entry has said so yet

    def step(self, entry: Entry | None, after: Entry | None) -> Head | Break:
        """Take the next entry, if it can be read; *after* follows on it."""
        try:
            broken = self._broken(entry, after) if entry else self._unreadable()
        except _UNREADABLE:
            broken = self._unreadable()
        if broken or entry is None:
            return broken or self._unreadable()
        self.last = entry.head
        if entry.emptied:
            self.unexplained.add(entry.seq)
        elif entry.event == self.emptied_by:
            self.unexplained.difference_update(_named(entry.detail))
        return self.last

    def end(self, head: Head | None) -> Break | None:
        """What is wrong with the end of the journal."""
        last = self.last
        if head is None:
            return Break(last.seq, "head wrong", "the row that names the last entry is missing")
        if head.seq > last.seq:
            said = f"the journal ends at entry {last.seq}, and its head names entry {head.seq}: the end was cut off"
            return Break(last.seq + 1, "cut off", said)
        if head != last:
            return Break(
                last.seq, "head wrong", f"the last entry is {last.seq}, and the head names {head.seq} or another"
            )
        beyond = [seq for seq in self.anchors if seq > last.seq]
        if beyond:
            anchor = self.anchors[max(beyond)]
            said = f"the journal ends at entry {last.seq}, and an anchor of {anchor.at} ({anchor.why}) names entry {anchor.seq}"
            return Break(last.seq + 1, "cut off", f"{said}: the end was cut off")
        if self.unexplained:
            first = min(self.unexplained)
            return Break(first, "edited", f"entry {first} was emptied, and no entry says that it was to be")
        return None

    def _broken(self, entry: Entry, after: Entry | None) -> Break | None:
        expected = self.last.seq + 1
        if entry.seq != expected:
            return self._gap(expected, entry.seq)
        if not hmac.compare_digest(_hash(self.sign, entry), entry.hash):
            return self._forged(entry, after)
        if entry.prev != self.last.hash:
            return Break(entry.seq, "order", f"entry {entry.seq} was not written after the entry that stands before it")
        if not entry.emptied and (entry.salt is None or _payload(entry) != entry.payload):
            return Break(entry.seq, "edited", f"what entry {entry.seq} is about was changed: its ref, detail or digest")
        anchor = self.anchors.get(entry.seq)
        if anchor and anchor.hash != entry.hash:
            said = f"an anchor of {anchor.at} ({anchor.why}) names another entry {entry.seq} than the one that is there"
            return Break(entry.seq, "anchor", f"{said}: the journal from there on is not the one that was written")
        return None

    def _unreadable(self) -> Break:
        seq = self.last.seq + 1
        return Break(seq, "edited", f"what stands where entry {seq} belongs is no entry and cannot be read")

    def _gap(self, expected: int, found: int) -> Break:
        if found < expected:
            return Break(found, "order", f"entry {found} stands where entry {expected} belongs")
        missing = f"entry {expected} is" if found == expected + 1 else f"entries {expected} to {found - 1} are"
        return Break(expected, "removed", f"{missing} missing")

    def _forged(self, entry: Entry, after: Entry | None) -> Break:
        """Its hash is not that of what it says: it was changed, moved here from elsewhere, or never written by us."""
        seq = entry.seq
        for other in range(1, max(self.top, seq) + 1):
            if other != seq and _hash(self.sign, entry, other) == entry.hash:
                said = (
                    f"where entry {seq} belongs stands what was written as entry {other}: entries were removed or moved"
                )
                return Break(seq, "order", said)
        follows, followed = entry.prev == self.last.hash, after is not None and after.prev == entry.hash
        key = " (or the journal was written with another project key)" if seq == 1 else ""
        if follows and (followed or after is None):
            return Break(seq, "edited", f"entry {seq} was changed: its time, actor, event, noun or hashes{key}")
        if followed:
            return Break(seq, "edited", f"entry {seq} was changed: the hash of the entry before it is another{key}")
        return Break(seq, "inserted", f"entry {seq} was not written by migrator: it was put in, or changed{key}")


def _payload(entry: Entry) -> str:
    return hashlib.sha256(_told(entry.salt or "", entry.ref, entry.detail, entry.digest)).hexdigest()


def _hash(sign: Sign, entry: Entry, seq: int | None = None) -> str:
    """The hash of an entry, there or at another place *seq*."""
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    place = str(entry.seq if seq is None else seq)
    return sign(_told("entry", place, entry.prev, at, entry.actor, entry.event, entry.noun, entry.payload)).hex()


def _told(*fields: str | None) -> bytes:
    """Fields after all their lengths, so that nothing can be moved from one into the next; none is not the empty one."""
    said = [b"" if one is None else one.encode("utf-8", "surrogatepass") for one in fields]
    lengths = ",".join("-" if one is None else str(len(part)) for one, part in zip(fields, said, strict=True))
    return b"".join((lengths.encode(), b":", *said))


def _named(detail: str) -> set[int]:
    import json

    found: Any = json.loads(detail).get("entries", ())
    return {int(seq) for seq in found}
