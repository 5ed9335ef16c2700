"""
The append-only history: one entry per act of a person and per effect of a batch. Each is chained to the one before it.

Entries are written as the last thing of their transaction (`Control.write`), so that the one row that all writers wait
for, the journal's head, is held for as long as a commit takes and no longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from migrator import logs
from migrator.errors import Refused
from migrator.store import chain
from migrator.store.chain import Entry, Head, Sign
from migrator.store.tables import journal, journal_head

#: Events after which the head is written down elsewhere.
ANCHORED = frozenset({"approve", "pass", "hold", "settle", "erase"})
#: The event of entries that say which others were emptied.
EMPTIED = "empty"
PENDING = "journal"  # the option of a writing connection under which its entries wait
_HEAD = 1
_TOGETHER = 1000  # entries that are read, or emptied, at once

_FIELDS = tuple(field.name for field in fields(Entry))
# said once: to put them together takes longer than to carry them out
_THE_HEAD = sa.select(journal_head.c.seq, journal_head.c.hash).where(journal_head.c.id == _HEAD)
_HELD_HEAD = _THE_HEAD.with_for_update()
_NEW_HEAD = (
    sa.update(journal_head)
    .where(journal_head.c.id == _HEAD)
    .values(seq=sa.bindparam("new_seq"), hash=sa.bindparam("new_hash"))
)
_ADD = sa.insert(journal)

#: An entry that waits for the end of its transaction, with the users it is about.
Added: TypeAlias = tuple[Entry, list[str]]


def add(
    db: sa.Connection,
    now: datetime,
    actor: str,
    event: str,
    noun: str,
    ref: object,
    *,
    users: Iterable[str] = (),
    **detail: Any,
) -> None:
    """
    Write one entry, when the transaction ends.

    `users` are kept as a keyed digest, never as a list; `detail` holds counts and reasons only, and what looks like an
    address in a reason is masked.
    """
    entry = Entry(0, now, actor, event, noun, str(ref), json.dumps(logs.masked(detail)))
    db.get_execution_options()[PENDING].append((entry, list(users)))


def write(db: sa.Connection, pending: Sequence[Added], sign: Sign | None) -> Head | None:
    """
    Chain and store what waits; the new head, where something did.

    Raises:
        Refused: Without the project's key, or where the head is missing, nothing can be chained.
    """
    if not pending:
        return None
    if sign is None:
        raise Refused("the journal cannot be written without the project key; open the project with its settings file")
    head = _locked(db)
    rows = []
    for entry, users in pending:
        chained = chain.add(sign, head, replace(entry, digest=chain.users_digest(sign, users)))
        rows.append({name: getattr(chained, name) for name in _FIELDS} | {"detail": json.loads(chained.detail)})
        head = chained.head
    db.execute(_ADD, rows)
    db.execute(_NEW_HEAD, {"new_seq": head.seq, "new_hash": head.hash})
    return head


def worth_an_anchor(added: Sequence[Added]) -> str | None:
    """Why the head is to be written down elsewhere now; None where nothing asks for it."""
    return next((f"{entry.event} {entry.noun} {entry.ref}" for entry, _ in added if entry.event in ANCHORED), None)


def head(db: sa.Connection) -> Head | None:
    """The last entry, as the database says; None where the row that says it is missing."""
    row = db.execute(_THE_HEAD).first()
    return Head(*row) if row else None


def of(db: sa.Connection, noun: str, refs: Iterable[object]) -> list[dict[str, Any]]:
    """Entries about some things, oldest first."""
    query = sa.select(journal).where(journal.c.noun == noun, journal.c.ref.in_([str(ref) for ref in refs]))
    return [dict(row) for row in db.execute(query.order_by(journal.c.seq)).mappings()]


def latest(db: sa.Connection, count: int) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    return [dict(row) for row in db.execute(sa.select(journal).order_by(journal.c.seq.desc()).limit(count)).mappings()]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries are wanted: those that all that is given is true of."""

    user: str | None = None
    wave: str | None = None
    event: str | None = None
    actor: str | None = None
    since: datetime | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """The same for a query."""
        found: list[sa.ColumnElement[bool]] = []
        if self.user is not None:
            found.append(sa.and_(journal.c.noun == "user", journal.c.ref == self.user))
        if self.wave is not None:
            itself = sa.and_(journal.c.noun == "wave", journal.c.ref == self.wave)
            found.append(sa.or_(itself, journal.c.detail["wave"].as_string() == self.wave))
        if self.event is not None:
            found.append(journal.c.event == self.event)
        if self.actor is not None:
            found.append(journal.c.actor == self.actor)
        if self.since is not None:
            found.append(journal.c.at >= self.since)
        return found


def select(db: sa.Connection, asked: Asked, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Entries that were asked for, oldest first; with *limit* the newest of them. Read bit by bit."""
    wanted, after = asked.conditions(), 0
    if limit is not None:
        newest = sa.select(journal.c.seq).where(*wanted).order_by(journal.c.seq.desc()).limit(limit).subquery()
        after = (db.scalar(sa.select(sa.func.min(newest.c.seq))) or 1) - 1
    while True:
        query = sa.select(journal).where(*wanted, journal.c.seq > after).order_by(journal.c.seq).limit(_TOGETHER)
        rows = [dict(row) for row in db.execute(query).mappings()]
        yield from rows
        if len(rows) < _TOGETHER:
            return
        after = rows[-1]["seq"]


def entries(db: sa.Connection) -> Iterator[Entry]:
    """
    All entries as they stand, to be checked; a thousand are held at a time.

    Raises:
        ValueError, TypeError: A row cannot even be read; the ones before it were given.
    """
    columns = [sa.cast(journal.c[name], sa.Text) if name == "detail" else journal.c[name] for name in _FIELDS]
    after = -(2**62)  # also what was put in before the first
    while True:
        query = sa.select(*columns).where(journal.c.seq > after).order_by(journal.c.seq).limit(_TOGETHER)
        count = 0
        for row in _readable(db, query):
            entry = Entry(*row)
            after, count = entry.seq, count + 1
            yield entry
        if count < _TOGETHER:
            return


def _readable(db: sa.Connection, query: sa.Select[Any]) -> Iterator[Any]:
    """The rows; where one of them is none that we wrote, those before it, and then the error."""
    try:
        yield from db.execute(query).all()
    except (ValueError, TypeError):
        for place in range(_TOGETHER):
            yield from db.execute(query.limit(1).offset(place))


def guarded(db: sa.Connection) -> bool:
    """Whether the database still refuses to change and to delete entries."""
    if db.dialect.name == "sqlite":
        master = sa.table("sqlite_master", sa.column("type"), sa.column("tbl_name"), sa.column("name"))
        query = sa.select(master.c.name).where(master.c.type == "trigger", master.c.tbl_name == journal.name)
    else:
        trigger = sa.table("pg_trigger", sa.column("tgname"), sa.column("tgrelid"), sa.column("tgenabled"))
        from sqlalchemy.dialects import postgresql

        here = sa.cast(journal.name, postgresql.REGCLASS)
        query = sa.select(trigger.c.tgname).where(trigger.c.tgrelid == here, trigger.c.tgenabled != "D")
    found = set(db.scalars(query))
    return {"journal_no_edit", "journal_no_delete"} <= found


def empty(db: sa.Connection, now: datetime, actor: str, ref: str, *, why: str) -> int:
    """
    Take out of all entries about a user what they say of him; the chain still holds. How many entries it was.

    An entry says which ones were emptied: others that are empty are found by `audit verify`.
    """
    about = sa.and_(journal.c.noun == "user", journal.c.ref == ref)
    own = db.scalars(sa.select(journal.c.seq).where(about))
    found = sorted([*own, *_approvals_about(db, ref)])
    nothing = sa.update(journal).values(ref="", detail={}, digest=None, salt=None)
    for start in range(0, len(found), _TOGETHER):
        db.execute(nothing.where(journal.c.seq.in_(found[start : start + _TOGETHER])))
    if found:
        add(db, now, actor, EMPTIED, "journal", len(found), entries=found, reason=why)
    return len(found)


def _approvals_about(db: sa.Connection, ref: str) -> list[int]:
    """Entries of what two people were to decide about a user."""
    asked = sa.select(journal.c.seq, journal.c.detail).where(journal.c.noun == "approval")
    return [
        seq
        for seq, said in db.execute(asked)
        if said.get("about") == "user" and (said.get("of") == ref or ref in str(said.get("of")).split(", "))
    ]


def _locked(db: sa.Connection) -> Head:
    """The head, held until the transaction ends: entries follow one another, whoever writes them."""
    row = db.execute(_HELD_HEAD).first()
    if row is None:
        raise Refused(
            "the journal has lost its head; nothing is written before somebody looked: `migrator audit verify`"
        )
    return Head(*row)
