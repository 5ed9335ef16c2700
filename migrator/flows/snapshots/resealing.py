"""
What the control database keeps sealed is sealed with the project's new key: some thousand values at a time.

Each value says by which key it opens, so that whoever was cut off looks at all of them again, and seals those that are
left. The hash under which a user is found by e-mail is made anew in the statement that seals his address.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migrator.crashpoints import crash_point
from migrator.edges.keys import ProjectKey
from migrator.errors import KeyWrong
from migrator.flows import sets
from migrator.flows.parts import Parts
from migrator.flows.telling import contacts
from migrator.store import sealed


@dataclass
class Resealed:
    """How many were sealed anew, were before, and which columns have values that no key opens (how many)."""

    sealed: int = 0
    before: int = 0
    wrong: dict[str, int] = field(default_factory=dict)

    def open_by_none(self, where: str) -> None:
        """One more that does not open."""
        self.wrong[where] = self.wrong.get(where, 0) + 1


def reseal(parts: Parts, progress: Callable[[int], None] = lambda values: None) -> Resealed:
    """Seal everything with the key of *parts*, which knows those before it."""
    result = Resealed()
    for column in sealed.COLUMNS:
        last: sealed.Key | None = None
        while True:
            with parts.control.write() as db:
                found = sealed.after(db, column, last)
                fresh = _fresh(parts.key, column, found, result)
                sealed.put(db, column, fresh, _hashes(parts, column, fresh))
                crash_point("reseal-part-written")
            if not found:
                break
            last = found[-1][0]
            progress(len(found))
    _sets(parts, result)
    return result


def _fresh(
    key: ProjectKey, column: sealed.Column, found: list[tuple[sealed.Key, bytes]], result: Resealed
) -> dict[sealed.Key, bytes]:
    fresh: dict[sealed.Key, bytes] = {}
    for row, blob in found:
        if key.seals(blob):
            result.before += 1
            continue
        try:
            fresh[row] = key.resealed(blob)
        except KeyWrong:
            result.open_by_none(f"{column.table}.{column.name}")
    result.sealed += len(fresh)
    return fresh


def _hashes(parts: Parts, column: sealed.Column, fresh: dict[sealed.Key, bytes]) -> dict[sealed.Key, str | None]:
    """Of the e-mail address in each, where people are looked up by it."""
    if column.told_by is None:
        return {}
    told: list[dict[str, Any]] = [json.loads(parts.key.open(blob)) for blob in fresh.values()]
    return dict(zip(fresh, contacts.email_prints(parts, [one.get("email") for one in told]), strict=True))


def _sets(parts: Parts, result: Resealed) -> None:
    """Code among the texts of mapping sets."""
    with parts.control.write() as db:
        for hash_, texts in list(sealed.sets(db)):
            try:
                fresh = sets.resealed(texts, parts.key)
            except KeyWrong:
                result.open_by_none("mapping_sets.texts")
                continue
            if fresh != texts:
                sealed.put_set(db, hash_, fresh)
                result.sealed += 1
