"""
What some users of a batch have to do with its books, when they leave it for another batch.

How many rows were read and not wanted, or folded into others, is known of a batch and not of each user: that stays
with the batch until nobody of it is left. So no row is ever counted twice, and every book balances at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

import polars as pl
import sqlalchemy as sa

from migrator.flows.moving.kept import KeptBatch
from migrator.mapping import cleaning
from migrator.mapping.books import Book
from migrator.store import effects

_OUT = ("written", "review", "blocked", "skipped", "folded")


class Share(NamedTuple):
    """Books per mapping, warnings by (mapping, field, rule), cleaned rows by (mapping, rule, action)."""

    books: dict[str, Book]
    warnings: dict[tuple[str, str, str], int]
    cleaned: dict[tuple[str, str, str], int]


def share(kept: KeptBatch, users: Collection[str]) -> Share:
    """What is of these users in a batch."""
    mine = kept.findings.filter(pl.col("user").is_in(list(users)))
    books = {name: _book(kept, mine, name, users) for name in kept.books}
    warned = mine.filter(pl.col("outcome") == "warning").with_columns(pl.col("field").fill_null(""))
    counted = warned.group_by("mapping", "field", "rule").len().iter_rows()
    taken = kept.cleaned.filter(pl.col("user").is_in(list(users))) if kept.cleaned.height else kept.cleaned
    return Share(books, {(mapping, field, rule): n for mapping, field, rule, n in counted}, cleaning.counts(taken))


def change_hands(db: sa.Connection, was: int, users: Share, batch_id: int, *, last: bool) -> None:
    """
    Take what is of some users out of the books of batch *was*; its rest goes to *batch_id* if nobody is left there.
    """
    left = take_out(db, was, users)
    if last:
        effects.drop(db, was)
        effects.add_books(db, batch_id, left)


def take_out(db: sa.Connection, was: int, users: Share) -> dict[str, Book]:
    """Take what is of some users out of the books of batch *was*; what is left in them."""
    books = effects.books_of_batch(db, was)
    left = {name: book - _within(book, users.books.get(name, Book())) for name, book in books.items()}
    effects.take_off(db, was, users.warnings, users.cleaned)
    effects.keep_books(db, was, left)
    return left


def _book(kept: KeptBatch, mine: pl.DataFrame, name: str, users: Collection[str]) -> Book:
    of_mapping = mine.filter(pl.col("mapping") == name)
    shaped, written, review, _ = _rows(kept, of_mapping, name, users)
    waiting = set(of_mapping.filter(pl.col("outcome") == "blocked")["user"]) | set(kept.held).intersection(users)
    theirs, out, asked, taken = _rows(kept, of_mapping, name, waiting)
    blocked = max(0, theirs - out - asked - taken)  # whoever waits has one finding for all of his rows
    book, rest = Book(read=shaped, written=written), max(0, shaped - written)
    for part, count in (("review", review), ("blocked", blocked), ("folded" if kept.groups else "skipped", rest)):
        book, rest = replace(book, **{part: min(count, rest)}), rest - min(count, rest)
    out = sum(getattr(book, part) for part in _OUT)
    expanded = min(out, _expanded(kept, name, shaped))
    return replace(book, read=out - expanded, expanded=expanded)


def _rows(kept: KeptBatch, found: pl.DataFrame, name: str, users: Collection[str]) -> tuple[int, int, int, int]:
    """Rows of these users in a mapping: as they were read, those written, those for a person, those cleaned away."""
    wanted = list(users)
    shaped, written = (
        frame.filter(pl.col("__user").is_in(wanted)).height if frame is not None else 0
        for frame in (kept.sources[name].frame if name in kept.sources else None, kept.rows.get(name))
    )
    of_them = pl.col("user").is_in(wanted)
    review = found.filter(of_them & (pl.col("outcome") == "review"))
    asked = review.select("user", "key").n_unique() if review.height else 0
    cleaned = kept.cleaned.filter(of_them & (pl.col("mapping") == name) & (pl.col("action") != "hold"))
    return shaped, written, asked, cleaned.height


def _expanded(kept: KeptBatch, name: str, shaped: int) -> int:
    """Rows that an unnest made of theirs; of each user that is not known, so it goes by their part of the rows."""
    rows = kept.sources.get(name)
    return rows.expanded * shaped // rows.frame.height if rows is not None and rows.frame.height else 0


def _within(book: Book, users: Book) -> Book:
    """No more of anything than there is, and even in itself."""
    parts = {part: min(getattr(users, part), getattr(book, part)) for part in _OUT}
    expanded = min(users.expanded, book.expanded)
    out = min(sum(parts.values()), book.read + expanded)
    for part in reversed(_OUT):
        too_many = min(sum(parts.values()) - out, parts[part])
        parts[part] -= max(0, too_many)
    return Book(read=out - min(out, expanded), expanded=min(out, expanded), **parts)


def rows_of(books: Mapping[str, Book]) -> int:
    """Rows written, over all mappings."""
    return sum(book.written for book in books.values())
