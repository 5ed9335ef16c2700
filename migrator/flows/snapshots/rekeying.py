"""
Another project key in the place of the old one: what the control database keeps sealed is sealed with the new one, and
so are the hashes under which people are looked up; the data key of every snapshot is wrapped with it.

The contents of snapshots stay as they are. What hashes in the target, of tokens and of who was erased, and the journal
depend on goes with the new key in an envelope that only it opens; until all is done, so does the old key. Cut off, it
goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.errors import KeyWrong, Refused, SnapshotDamaged
from migrator.flows.parts import Parts
from migrator.flows.snapshots import resealing
from migrator.store import batches, effects, journal, leases, plans, project_keys, sealed


@dataclass
class Rekeyed:
    """What was sealed and wrapped anew, what was already, and what could not be."""

    sealed: int = 0
    wrapped: int = 0
    before: int = 0
    damaged: list[str] = field(default_factory=list)
    key: str = ""


def begin(db: sa.Connection, new: ProjectKey, old: ProjectKey | None) -> ProjectKey | None:
    """
    The key as it stands when its turn comes: the new one that knows the old one, and so opens everything.

    None: it is in force, and nothing is left to be done.

    Raises:
        Refused: no old key is given, or it is not the one that is in force.
    """
    known = project_keys.current(db)
    if known is not None and known.key_id == new.id:
        taken = new.within(known.envelope) if known.envelope else new
        return taken if taken.knows_earlier else None
    if old is None:
        raise Refused("say with --old where the key is that is in force now: file:PATH, env:NAME or command:ARGV")
    if old.id == new.id:
        raise Refused("the old key and the new one are the same; make another with `openssl rand -base64 32`")
    if known is not None and known.key_id != old.id:
        raise Refused("the key given as the old one is not the one that this project is sealed with")
    whole = old.within(known.envelope) if known is not None and known.envelope else old
    if whole.knows_earlier:
        raise Refused(
            "the change to the key that is in force now was cut off; put that key back and end it with "
            "`migrator snapshot rekey`, then change it again"
        )
    sealed = project_keys.something_sealed(db)
    if sealed is not None:
        try:
            whole.open(sealed)
        except KeyWrong:
            raise Refused("the key given as the old one does not open what this project has sealed") from None
    return new.within(new.envelope(whole, wrapping=True))


def rekey(
    parts: Parts,
    shelf: Callable[[ProjectKey], Snapshots],
    taken: ProjectKey,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Rekeyed:
    """
    Put *taken* (of `begin`) in force and wrap what is there with it.

    Args:
        parts: with *taken* as their key.
        shelf: opens the snapshots with a key.

    Raises:
        Refused: somebody is at work, with the old key.
    """
    with parts.control.write() as db:
        if leases.alive(db) or batches.leased(db):
            raise Refused("workers are alive, and they have the old key; stop them (and `migrator run`) first")
        now = parts.now()
        project_keys.note(db, taken.id, taken.envelope(taken, wrapping=True), parts.actor, now)
        hashes = plans.set_hashes(db)
        journal.add(db, now, parts.actor, "begin rekey", "key", taken.id)
    result = Rekeyed(key=taken.id)
    values = _reseal(parts, result, progress)
    snapshots = shelf(taken)
    there = [(one, found) for one in (snapshots, snapshots.archive, snapshots.carried) for found in one.there()]
    for done, (one, found) in enumerate(there, start=1):
        with parts.control.read() as db:
            known = effects.snapshot(db, found.batch, found.fence)
        for hash_ in [known["set_hash"]] if known else hashes:
            try:
                if one.rewrap(found.ref(hash_), taken):
                    result.wrapped += 1
                else:
                    result.before += 1
                break
            except SnapshotDamaged:
                continue
        else:
            if one.is_there(found.ref("")):
                result.damaged.append(one.where(found.ref("")))
        progress(values + done, values + len(there))
    with parts.control.write() as db:
        now = parts.now()
        if not result.damaged:
            project_keys.note(db, taken.id, taken.envelope(taken, wrapping=False), parts.actor, now)
        journal.add(
            db, now, parts.actor, "rekey", "key", taken.id,
            sealed=result.sealed, wrapped=result.wrapped, before=result.before, damaged=len(result.damaged),
        )  # fmt: skip
    return result


def _reseal(parts: Parts, result: Rekeyed, progress: Callable[[int, int], None]) -> int:
    """Seal values anew; how many there are."""
    with parts.control.read() as db:
        values = sealed.count(db)
    seen = 0

    def told(more: int) -> None:
        nonlocal seen
        seen += more
        progress(seen, values)

    done = resealing.reseal(parts, told)
    result.sealed += done.sealed
    result.damaged += [f"{count} values of {column}" for column, count in sorted(done.wrong.items())]
    return values
