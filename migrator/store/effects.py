"""What batches left behind: books, warnings, snapshots, verifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from migrator.mapping.books import Book
from migrator.store.tables import batches, books, cleaned, leavers, snapshots, verifications, warnings


def keep_books(db: sa.Connection, batch_id: int, found: Mapping[str, Book]) -> None:
    """Store the books of a batch; those of an earlier attempt give way."""
    db.execute(sa.delete(books).where(books.c.batch_id == batch_id))
    if found:
        db.execute(
            sa.insert(books), [{"batch_id": batch_id, "mapping": name, **asdict(book)} for name, book in found.items()]
        )


def drop(db: sa.Connection, batch_id: int) -> None:
    """Forget books and warnings of a batch whose users go elsewhere."""
    db.execute(sa.delete(leavers).where(leavers.c.batch_id == batch_id))
    db.execute(sa.delete(cleaned).where(cleaned.c.batch_id == batch_id))
    db.execute(sa.delete(books).where(books.c.batch_id == batch_id))
    db.execute(sa.delete(warnings).where(warnings.c.batch_id == batch_id))


def books_of(db: sa.Connection, wave_ids: Sequence[int]) -> dict[str, Book]:
    """The books of all batches of these waves, summed per mapping."""
    names = ("read", "expanded", "written", "folded", "filtered", "skipped", "review", "blocked")
    query = (
        sa.select(books.c.mapping, *(sa.func.sum(books.c[name]) for name in names))
        .join(batches, batches.c.id == books.c.batch_id)
        .where(batches.c.wave_id.in_(wave_ids))
        .group_by(books.c.mapping)
        .order_by(books.c.mapping)
    )
    return {row[0]: Book(*(int(number) for number in row[1:])) for row in db.execute(query)}


def books_of_batch(db: sa.Connection, batch_id: int) -> dict[str, Book]:
    """The books of one batch, per mapping."""
    names = tuple(Book.__slots__)
    query = sa.select(books.c.mapping, *(books.c[name] for name in names)).where(books.c.batch_id == batch_id)
    return {row[0]: Book(*(int(number) for number in row[1:])) for row in db.execute(query.order_by(books.c.mapping))}


def add_books(db: sa.Connection, batch_id: int, more: Mapping[str, Book]) -> None:
    """Count more into the books of a batch."""
    known = books_of_batch(db, batch_id)
    names = dict.fromkeys([*known, *more])
    keep_books(db, batch_id, {name: known.get(name, Book()) + more.get(name, Book()) for name in names})


def take_off(
    db: sa.Connection,
    batch_id: int,
    warned: Mapping[tuple[str, str, str], int],
    taken: Mapping[tuple[str, str, str], int],
) -> None:
    """Count fewer warnings (by mapping, field, rule) and cleaned rows (by mapping, rule, action) of a batch."""
    for (mapping, name, rule), count in warned.items():
        mine = (warnings.c.batch_id == batch_id, warnings.c.mapping == mapping)
        one = (*mine, warnings.c.field == name, warnings.c.rule == rule)
        db.execute(sa.delete(warnings).where(*one, warnings.c.count <= count))
        db.execute(sa.update(warnings).where(*one).values(count=warnings.c.count - count))
    for (mapping, rule, _), count in taken.items():
        ours = (cleaned.c.batch_id == batch_id, cleaned.c.mapping == mapping, cleaned.c.rule == rule)
        db.execute(sa.delete(cleaned).where(*ours, cleaned.c.rows <= count))
        db.execute(sa.update(cleaned).where(*ours).values(rows=cleaned.c.rows - count))


def keep_warnings(db: sa.Connection, batch_id: int, found: Sequence[Mapping[str, Any]]) -> None:
    """Store counted warnings of a batch (mapping, field, rule, count, sealed sample)."""
    db.execute(sa.delete(warnings).where(warnings.c.batch_id == batch_id))
    if found:
        db.execute(sa.insert(warnings), [{"batch_id": batch_id, **row} for row in found])


def warnings_of(db: sa.Connection, wave_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Warnings of these waves by cause, most frequent first, each with one sealed sample."""
    total = sa.func.sum(warnings.c.count).label("count")
    query = (
        sa.select(
            warnings.c.mapping,
            warnings.c.field,
            warnings.c.rule,
            total,
            sa.func.min(warnings.c.batch_id).label("batch_id"),
        )
        .join(batches, batches.c.id == warnings.c.batch_id)
        .where(batches.c.wave_id.in_(wave_ids))
        .group_by(warnings.c.mapping, warnings.c.field, warnings.c.rule)
        .order_by(total.desc(), warnings.c.mapping, warnings.c.field)
    )
    found = [dict(row) for row in db.execute(query).mappings()]
    for row in found:
        row["count"] = int(row["count"])
        row["sample"] = db.scalar(
            sa.select(warnings.c.sample).where(
                warnings.c.batch_id == row.pop("batch_id"),
                warnings.c.mapping == row["mapping"],
                warnings.c.field == row["field"],
                warnings.c.rule == row["rule"],
            )
        )
    return found


def keep_snapshot(
    db: sa.Connection, batch_id: int, fence: int, path: str, set_hash: str, users: int, now: datetime
) -> None:
    """Note where the sealed snapshot of a batch and fence is; writing it twice is harmless."""
    known = db.scalar(sa.select(snapshots.c.path).where(snapshots.c.batch_id == batch_id, snapshots.c.fence == fence))
    values = {"path": path, "set_hash": set_hash, "users": users, "kept_at": now}
    if known is None:
        db.execute(sa.insert(snapshots).values(batch_id=batch_id, fence=fence, **values))
    else:
        db.execute(
            sa.update(snapshots).where(snapshots.c.batch_id == batch_id, snapshots.c.fence == fence).values(**values)
        )


def snapshot(db: sa.Connection, batch_id: int, fence: int) -> dict[str, Any] | None:
    """Where a snapshot is and with which mapping set it was made."""
    row = (
        db.execute(sa.select(snapshots).where(snapshots.c.batch_id == batch_id, snapshots.c.fence == fence))
        .mappings()
        .first()
    )
    return dict(row) if row else None


def last_fence(db: sa.Connection, batch_id: int) -> int | None:
    """The fence of the newest snapshot of a batch; None where it has none."""
    newest: int | None = db.scalar(sa.select(sa.func.max(snapshots.c.fence)).where(snapshots.c.batch_id == batch_id))
    return newest


def keep_verification(db: sa.Connection, **values: Any) -> None:
    """Store the result of one verification."""
    db.execute(sa.insert(verifications).values(**values))


def last_verification(db: sa.Connection, plan_id: int, wave_id: int | None = None) -> dict[str, Any] | None:
    """The newest verification of a wave, or of anything in the plan."""
    query = sa.select(verifications).where(verifications.c.plan_id == plan_id)
    if wave_id is not None:
        query = query.where(verifications.c.wave_id == wave_id)
    row = db.execute(query.order_by(verifications.c.id.desc()).limit(1)).mappings().first()
    return dict(row) if row else None
