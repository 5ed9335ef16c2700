"""Who was erased comes back by no way: not by a retry, a new plan, a sync, a rollback, nor by a worker that was slow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from migrator.errors import Erased
from migrator.flows.people.desk import Desk
from migrator.store import erasures

if TYPE_CHECKING:  # who only shows a user waits for nothing that moves data
    from migrator.edges.databases.base import Reader


def prints(desk: Desk, keys: Iterable[str]) -> dict[str, str]:
    """The keyed hash of each of *keys*, by which a tombstone knows a user."""
    wanted = list(keys)
    hashes = desk.key.fingerprints(f"user:{key}" for key in wanted)
    return {key: hash_ for key, hash_ in zip(wanted, hashes, strict=True) if hash_ is not None}


def refuse(desk: Desk, reader: Reader, keys: Sequence[str]) -> None:
    """
    Asked in the target transaction, when the users are taken in the ledger: whoever erases them takes them there, too.

    Raises:
        Erased: some of them have a tombstone; nothing may be written.
    """
    if not reader.has_tombstones():
        return
    named = prints(desk, keys)
    gone = reader.erased(list(named.values()))
    if gone:
        raise Erased(tuple(key for key, print_ in named.items() if print_ in gone))


def among(desk: Desk, keys: Iterable[str]) -> dict[str, str]:
    """Those of *keys* who were erased, and their keyed hashes, as far as the control database knows."""
    with desk.control.read() as db:
        if not erasures.any_(db):
            return {}
        named = prints(desk, keys)
        gone = erasures.erased(db, named.values())
    return {key: print_ for key, print_ in named.items() if print_ in gone}


def place(db: sa.Connection, desk: Desk, plan_id: int, keys: Iterable[str], now: datetime) -> None:
    """Those of a new plan's users who were erased are counted in it, and nothing else is kept of them."""
    if not erasures.any_(db):
        return
    named = prints(desk, keys)
    gone = erasures.erased(db, named.values())
    erasures.place(db, plan_id, {key: print_ for key, print_ in named.items() if print_ in gone}, now)
