"""
Users leave a batch whose books go on, and are counted anew in another one: nobody is counted twice.

Who goes back takes his share along at once; who was held takes it when he is read anew. What was read of somebody and
not wanted (rows that `where` leaves out, rows that became one) no batch knows of each of its users: so much of it as the
new batch reads of those who came is then taken out of the books of the batches that they came from.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from migrator.errors import MigratorError
from migrator.flows.moving import reckoning
from migrator.flows.moving.kept import KeptBatch, opened
from migrator.flows.parts import Parts
from migrator.mapping.books import Book
from migrator.rollout.states import User
from migrator.store import batches, effects, leavers, users
from migrator.store.leavers import Leaver

log = logging.getLogger("migrator.books")
COUNTED = (User.MOVED, User.LIVE, User.SETTLED, User.HELD, User.FAILED, User.ROLLING_BACK)
UNWANTED = ("filtered", "folded")  # what a batch knows of all of its users together


@dataclass(frozen=True, slots=True)
class Comers:
    """Users of a batch who were in others before, and what those that still count them counted."""

    leavers: tuple[Leaver, ...] = ()
    shares: tuple[tuple[int, reckoning.Share], ...] = ()


def went_back(db: sa.Connection, plan_id: int, batch_id: int, kept: KeptBatch, keys: Sequence[str]) -> None:
    """These users of a batch are in legacy again, and counted no more; done twice, it is done once."""
    if not _anybody_left(db, batch_id):
        return
    known = leavers.parted(db, plan_id, batch_id)
    gone = [key for key in keys if key not in known]
    reckoning.take_out(db, batch_id, reckoning.share(kept, gone))
    leavers.note_parted(db, plan_id, batch_id, gone)


def comers(parts: Parts, plan_id: int, batch_id: int) -> Comers:
    """Who of a batch that is to be recorded comes from another one; nearly always nobody."""
    with parts.control.read() as db:
        found = leavers.of_batch(db, batch_id)
        fences = {one.batch_id: effects.last_fence(db, one.batch_id) for one in found if not one.parted}
    shares = []
    for was, fence in fences.items():
        keys = [one.user_key for one in found if one.batch_id == was and not one.parted]
        try:
            kept = opened(parts, plan_id, was, fence) if fence is not None else None
        except MigratorError as missing:  # the books are for people; what they count must keep nobody from moving
            log.warning("the books of batch %s go on counting %s users who left it: %s", was, len(keys), missing)
            kept = None
        if kept is not None:
            shares.append((was, reckoning.share(kept, keys)))
    return Comers(tuple(found), tuple(shares))


def arrived(db: sa.Connection, plan_id: int, batch_id: int, kept: KeptBatch, found: Comers) -> None:
    """They are counted here from now on, and no more where they were; a batch that nobody is left of has no books."""
    if not found.leavers:
        return
    for was, share in found.shares:
        reckoning.take_out(db, was, share)
    came = len({one.user_key for one in found.leavers}.intersection(kept.users))
    left = {
        name: {part: getattr(rows, part) * came // len(kept.users) for part in UNWANTED}
        for name, rows in kept.sources.items()
        if came
    }
    for was in sorted({one.batch_id for one in found.leavers} - {batch_id}):
        if _anybody_left(db, was):
            _take_unwanted(db, was, left)
    leavers.forget(db, plan_id, [one.user_key for one in found.leavers])


def rows_read(db: sa.Connection, wave_id: int) -> dict[str, int]:
    """
    Per mapping, about how many rows a wave has read of all whom it has looked at, those who have gone back among them.

    What is held is held against this: the few who stay in a batch are no sample of it.
    """
    found = {name: book.read for name, book in effects.books_of(db, [wave_id]).items()}
    for batch_id, gone in leavers.gone_from(db, wave_id).items():
        batch = batches.get(db, batch_id)
        staying = max(1, batch.users - gone) if batch else 1
        for name, book in effects.books_of_batch(db, batch_id).items():
            found[name] += book.read * gone // staying
    return found


def _take_unwanted(db: sa.Connection, was: int, left: Mapping[str, dict[str, int]]) -> None:
    """Take out of the books of a batch what there is of it; the rest is left for the next one."""
    books = effects.books_of_batch(db, was)
    for name, unwanted in left.items():
        for part, count in unwanted.items():
            book = books.get(name, Book())
            mine = min(count, getattr(book, part), book.read)
            if mine:
                books[name] = replace(book, read=book.read - mine, **{part: getattr(book, part) - mine})
                unwanted[part] -= mine
    effects.keep_books(db, was, books)


def _anybody_left(db: sa.Connection, batch_id: int) -> bool:
    """A batch that nobody counts in any more has no books."""
    if users.of_batch(db, batch_id, COUNTED):
        return True
    effects.drop(db, batch_id)
    return False
